    let c = id.x;
    if c >= p.channels { return; }
    var sum = 0.0;
    for (var row = 0u; row < p.rows; row++) { sum += x[row * p.channels + c]; }
    let mean = sum / f32(p.rows);
    var squares = 0.0;
    for (var row = 0u; row < p.rows; row++) {
        let deviation = x[row * p.channels + c] - mean;
        squares += deviation * deviation;
    }
    stats[c] = mean;
    stats[p.channels + c] = squares / f32(p.rows);
