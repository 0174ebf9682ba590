    let i = id.x;
    if i >= p.images * p.pixels * p.channels { return; }
    let c = i % p.channels;
    let n = i / p.channels / p.pixels;
    dx[i] = dy[n * p.channels + c] / f32(p.pixels);
