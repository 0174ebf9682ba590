    let i = id.x;
    if i >= p.kernel * p.kernel * p.c_in * p.c_out { return; }
    let co = i % p.c_out;
    let ci = i / p.c_out % p.c_in;
    let kw = i / p.c_out / p.c_in % p.kernel;
    let kh = i / p.c_out / p.c_in / p.kernel;
    var sum = 0.0;
    for (var n = 0u; n < p.images; n++) {
        for (var oh = 0u; oh < p.h_out; oh++) {
            for (var ow = 0u; ow < p.w_out; ow++) {
                let ih = i32(oh * p.stride + kh) - i32(p.padding);
                let iw = i32(ow * p.stride + kw) - i32(p.padding);
                if ih < 0 || ih >= i32(p.h_in) || iw < 0 || iw >= i32(p.w_in) { continue; }
                let pixel = (n * p.h_in + u32(ih)) * p.w_in + u32(iw);
                sum += x[pixel * p.c_in + ci] * dy[((n * p.h_out + oh) * p.w_out + ow) * p.c_out + co];
            }
        }
    }
    dw[i] = sum;
