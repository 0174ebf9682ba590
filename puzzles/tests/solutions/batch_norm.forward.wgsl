    let i = id.x;
    if i >= p.rows * p.channels { return; }
    let c = i % p.channels;
    y[i] = (x[i] - mean[c]) / sqrt(variance[c] + p.eps) * gamma[c] + beta[c];
