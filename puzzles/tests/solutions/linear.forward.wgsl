    let i = id.x;
    if i >= p.rows * p.outputs { return; }
    let row = i / p.outputs;
    let o = i % p.outputs;
    var sum = bias[o];
    for (var k = 0u; k < p.inputs; k++) {
        sum += x[row * p.inputs + k] * w[k * p.outputs + o];
    }
    y[i] = sum;
