    let i = id.x;
    if i >= p.images * p.h_out * p.w_out * p.c_out { return; }
    let co = i % p.c_out;
    let ow = i / p.c_out % p.w_out;
    let oh = i / p.c_out / p.w_out % p.h_out;
    let n = i / p.c_out / p.w_out / p.h_out;
    var sum = 0.0;
    for (var kh = 0u; kh < p.kernel; kh++) {
        for (var kw = 0u; kw < p.kernel; kw++) {
            let ih = i32(oh * p.stride + kh) - i32(p.padding);
            let iw = i32(ow * p.stride + kw) - i32(p.padding);
            if ih < 0 || ih >= i32(p.h_in) || iw < 0 || iw >= i32(p.w_in) { continue; }
            let pixel = (n * p.h_in + u32(ih)) * p.w_in + u32(iw);
            for (var ci = 0u; ci < p.c_in; ci++) {
                sum += x[pixel * p.c_in + ci] * w[((kh * p.kernel + kw) * p.c_in + ci) * p.c_out + co];
            }
        }
    }
    y[i] = sum;
