    let i = id.x;
    if i >= p.rows * p.channels { return; }
    let c = i % p.channels;
    let normalised = (x[i] - mean[c]) * rstd[c];
    let through_statistics = (dbeta[c] + normalised * dgamma[c]) / f32(p.rows);
    dx[i] = gamma[c] * rstd[c] * (dy[i] - through_statistics);
