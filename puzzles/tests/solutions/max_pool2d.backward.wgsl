    let i = id.x;
    if i >= p.images * p.h_in * p.w_in * p.channels { return; }
    let c = i % p.channels;
    let iw = i / p.channels % p.w_in;
    let ih = i / p.channels / p.w_in % p.h_in;
    let n = i / p.channels / p.w_in / p.h_in;
    var sum = 0.0;
    for (var kh = 0u; kh < p.kernel; kh++) {
        for (var kw = 0u; kw < p.kernel; kw++) {
            let down = i32(ih + p.padding) - i32(kh);
            let right = i32(iw + p.padding) - i32(kw);
            if down < 0 || right < 0 || u32(down) % p.stride != 0u || u32(right) % p.stride != 0u { continue; }
            let oh = u32(down) / p.stride;
            let ow = u32(right) / p.stride;
            if oh >= p.h_out || ow >= p.w_out { continue; }
            let at = ((n * p.h_out + oh) * p.w_out + ow) * p.channels + c;
            if place[at] == kh * p.kernel + kw { sum += dy[at]; }
        }
    }
    dx[i] = sum;
