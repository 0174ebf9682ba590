    var sum = 0.0;
    for (var row = lane; row < p.rows; row += 64u) {
        sum += dy[row * p.outputs + group.x];
    }
    sums[lane] = sum;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if lane < half { sums[lane] += sums[lane + half]; }
        workgroupBarrier();
    }
    if lane == 0u { dbias[group.x] = sums[0]; }
