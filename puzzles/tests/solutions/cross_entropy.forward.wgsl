    let row = id.x;
    if row >= p.rows { return; }
    let first = row * p.classes;
    var largest = logits[first];
    for (var k = 1u; k < p.classes; k++) {
        largest = max(largest, logits[first + k]);
    }
    var sum = 0.0;
    for (var k = 0u; k < p.classes; k++) {
        sum += exp(logits[first + k] - largest);
    }
    loss[row] = log(sum) - (logits[first + labels[row]] - largest);
