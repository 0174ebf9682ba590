    let row = group.y * 8u + local.y;
    let column = group.x * 8u + local.x;
    let mine = local.y * 8u + local.x;
    var sum = 0.0;
    for (var first = 0u; first < p.inner; first += 8u) {
        var from_a = 0.0;
        var from_b = 0.0;
        if row < p.rows && first + local.x < p.inner {
            from_a = a[row * p.inner + first + local.x];
        }
        if first + local.y < p.inner && column < p.columns {
            from_b = b[(first + local.y) * p.columns + column];
        }
        tile_a[mine] = from_a;
        tile_b[mine] = from_b;
        workgroupBarrier(); // all is copied
        for (var k = 0u; k < 8u; k++) {
            sum += tile_a[local.y * 8u + k] * tile_b[k * 8u + local.x];
        }
        workgroupBarrier(); // all is used
    }
    if row < p.rows && column < p.columns { c[row * p.columns + column] = sum; }
