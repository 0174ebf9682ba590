    let i = id.x;
    if i >= p.images * p.channels { return; }
    let c = i % p.channels;
    let n = i / p.channels;
    var sum = 0.0;
    for (var k = 0u; k < p.pixels; k++) {
        sum += x[(n * p.pixels + k) * p.channels + c];
    }
    y[i] = sum / f32(p.pixels);
