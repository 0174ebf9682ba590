    let i = id.x;
    if i < p.size { dx[i] = select(0.0, dy[i], y[i] > 0.0); }
