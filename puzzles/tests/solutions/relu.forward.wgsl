    let i = id.x;
    if i < p.size { y[i] = max(x[i], 0.0); }
