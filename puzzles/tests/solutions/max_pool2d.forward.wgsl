    let i = id.x;
    if i >= p.images * p.h_out * p.w_out * p.channels { return; }
    let c = i % p.channels;
    let ow = i / p.channels % p.w_out;
    let oh = i / p.channels / p.w_out % p.h_out;
    let n = i / p.channels / p.w_out / p.h_out;
    var best = -3.4028234e38;
    for (var kh = 0u; kh < p.kernel; kh++) {
        for (var kw = 0u; kw < p.kernel; kw++) {
            let ih = i32(oh * p.stride + kh) - i32(p.padding);
            let iw = i32(ow * p.stride + kw) - i32(p.padding);
            if ih >= 0 && ih < i32(p.h_in) && iw >= 0 && iw < i32(p.w_in) {
                best = max(best, x[((n * p.h_in + u32(ih)) * p.w_in + u32(iw)) * p.channels + c]);
            }
        }
    }
    y[i] = best;
