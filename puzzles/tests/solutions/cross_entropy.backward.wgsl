    let i = id.x;
    if i >= p.rows * p.classes { return; }
    let row = i / p.classes;
    let first = row * p.classes;
    var largest = logits[first];
    for (var k = 1u; k < p.classes; k++) {
        largest = max(largest, logits[first + k]);
    }
    var sum = 0.0;
    for (var k = 0u; k < p.classes; k++) {
        sum += exp(logits[first + k] - largest);
    }
    let probability = exp(logits[i] - largest) / sum;
    dlogits[i] = (probability - select(0.0, 1.0, i % p.classes == labels[row])) / f32(p.rows);
