    let i = id.x;
    if i < p.size { y[i] = a[i] + b[i]; }
