//! augment: y = (jitter(rotate(flip(crop(x)))) − mean) / std, with other numbers for every image; x in 0..1.
//!   crop:   a window of x, resized to H_out × W_out by bilinear interpolation, antialiased where it shrinks: pixel i of
//!           an axis is Σ_j w_j·x_j / Σ_j w_j,  w_j = max(0, 1 − |j + ½ − c| / s),  c = (i + ½)·scale,  s = max(scale, 1)
//!   flip:   columns, then rows, in reverse order
//!   rotate: the value at m·(pixel − centre) + centre, m a rotation with a shift, from the nearest pixel or the four
//!           around it; outside the image `fill`
//!   jitter: up to four of, in any order, each clamped to 0..1:
//!           1 brightness f·v,  2 contrast f·v + (1 − f)·mean grey,  3 saturation f·v + (1 − f)·grey,  4 hue + f turns
//! As torchvision 0.14's resized_crop (antialias), hflip, vflip, rotate, adjust_… and normalize do it to float tensors.
//! Nothing is stored in between: a pixel of y asks for the pixels of x that it comes from. There is no gradient.
//!
//! One workgroup per (image, part of it), whose lanes take every WG-th pixel. Contrast needs the mean grey of what was
//! done before it, so an image with contrast is gone through twice: `grey_sums` adds up each part, `forward` the parts.
const WG: u32 = 64;

struct Params {
    n: u32, h_in: u32, w_in: u32, h_out: u32, w_out: u32, channels: u32, bilinear: u32, fill: f32,
    mean_0: f32, mean_1: f32, mean_2: f32, std_0: f32, std_1: f32, std_2: f32,
    parts: u32, pixels_per_part: u32,   // of an image of y
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;           // (N, H_in, W_in, 1) grey or RGB
@group(0) @binding(2) var<storage, read> transforms: array<vec4f>;  // (N, 5) as `Transform` below
@group(0) @binding(3) var<storage, read> greys: array<f32>;         // (N, parts), 0 without contrast
@group(0) @binding(4) var<storage, read_write> greys_out: array<f32>;   // (N, parts)
@group(0) @binding(5) var<storage, read_write> y: array<vec4f>;     // (N, H_out, W_out, 1)
fn load_x(i: u32) -> vec4f { return x[i]; }
fn load_transforms(i: u32) -> vec4f { return transforms[i]; }
fn store_y(i: u32, value: vec4f) { y[i] = value; }

var<workgroup> sums: array<f32, WG>;

struct Transform {
    image: u32,
    corner: vec2f,   // top, left
    size: vec2f,     // height, width of the window
    row_x: vec3f,    // source column from (column, row, 1), both from the centre
    row_y: vec3f,    // source row
    flip: vec2f,     // 1: rows, columns in reverse order
    codes: vec4f,    // what is done to the colours, in this order; 0: nothing
    factors: vec4f,
}

fn transform(image: u32) -> Transform {
    let a = load_transforms(5u * image);
    let b = load_transforms(5u * image + 1u);
    let c = load_transforms(5u * image + 2u);
    let codes = load_transforms(5u * image + 3u);
    let factors = load_transforms(5u * image + 4u);
    return Transform(image, a.xy, a.zw, b.xyz, c.xyz, vec2f(c.w, b.w), codes, factors);
}

// Pixel (row, column) of the window, resized.
fn resized(t: Transform, at: vec2f) -> vec4f {
    let scale = t.size / vec2f(f32(p.h_out), f32(p.w_out));
    let support = max(scale, vec2f(1.0));
    let center = (at + 0.5) * scale;
    let first = max(vec2i(center - support + 0.5), vec2i(0));
    let last = min(vec2i(center + support + 0.5), vec2i(t.size));
    var sum = vec4f();
    var total = 0.0;
    for (var i = first.x; i < last.x; i++) {
        let wy = max(0.0, 1.0 - abs(f32(i) + 0.5 - center.x) / support.x);
        let row = (t.image * p.h_in + u32(t.corner.x) + u32(i)) * p.w_in + u32(t.corner.y);
        for (var j = first.y; j < last.y; j++) {
            let w = wy * max(0.0, 1.0 - abs(f32(j) + 0.5 - center.y) / support.y);
            sum = fma(load_x(row + u32(j)), vec4f(w), sum);
            total += w;
        }
    }
    return sum / total;
}

// Pixel (row, column) after crop and flips; zero outside.
fn flipped(t: Transform, at: vec2f) -> vec4f {
    let edge = vec2f(f32(p.h_out), f32(p.w_out)) - 1.0;
    return resized(t, select(at, edge - at, t.flip == vec2f(1.0)));
}

fn inside(at: vec2f) -> bool {
    return all(at >= vec2f(0.0)) && at.x < f32(p.h_out) && at.y < f32(p.w_out);
}

// Pixel `k` of the image after all that moves pixels.
fn moved(t: Transform, k: u32) -> vec4f {
    let center = 0.5 * (vec2f(f32(p.h_out), f32(p.w_out)) - 1.0);
    let from_center = vec3f(f32(k % p.w_out) - center.y, f32(k / p.w_out) - center.x, 1.0);
    let source = vec2f(dot(t.row_y, from_center), dot(t.row_x, from_center)) + center;
    if p.bilinear == 0u {
        let at = round(source);
        if inside(at) { return flipped(t, at); }
        return vec4f(p.fill);
    }
    let corner = floor(source);
    let part = source - corner;
    var sum = vec4f();
    var covered = 0.0;
    for (var q = 0u; q < 4u; q++) {
        let step = vec2f(f32(q / 2u), f32(q % 2u));
        let each = select(1.0 - part, part, step == vec2f(1.0));
        let w = each.x * each.y;
        if w > 0.0 && inside(corner + step) {
            sum = fma(flipped(t, corner + step), vec4f(w), sum);
            covered += w;
        }
    }
    // What lies half outside is darkened and filled: torchvision's rule for a fill colour.
    return sum * covered + (1.0 - covered) * p.fill;
}

fn grey(v: vec4f) -> f32 {
    if p.channels == 1u { return v.x; }
    return 0.2989 * v.x + 0.587 * v.y + 0.114 * v.z;
}

// Hexcone model (Smith 1978), as Pillow and torchvision have it.
fn turned(rgb: vec3f, turns: f32) -> vec3f {
    let high = max(max(rgb.x, rgb.y), rgb.z);
    let low = min(min(rgb.x, rgb.y), rgb.z);
    if high == low { return rgb; }
    let range = high - low;
    let d = (high - rgb) / range;
    var h = 4.0 + d.y - d.x;
    if rgb.y == high { h = 2.0 + d.x - d.z; }
    if rgb.x == high { h = d.z - d.y; }
    h = h / 6.0 + turns;
    h = 6.0 * (h - floor(h));
    let part = h - floor(h);
    let s = range / high;
    let p1 = clamp(high * (1.0 - s), 0.0, 1.0);
    let q1 = clamp(high * (1.0 - s * part), 0.0, 1.0);
    let t1 = clamp(high * (1.0 - s * (1.0 - part)), 0.0, 1.0);
    switch u32(h) % 6u {
        case 0u: { return vec3f(high, t1, p1); }
        case 1u: { return vec3f(q1, high, p1); }
        case 2u: { return vec3f(p1, high, t1); }
        case 3u: { return vec3f(p1, q1, high); }
        case 4u: { return vec3f(t1, p1, high); }
        default: { return vec3f(high, p1, q1); }
    }
}

// One change of colour; `mean` is the image's mean grey before it.
fn jittered(v: vec4f, code: f32, f: f32, mean: f32) -> vec4f {
    if code == 1.0 { return clamp(f * v, vec4f(), vec4f(1.0)); }
    if code == 2.0 { return clamp(f * v + (1.0 - f) * mean, vec4f(), vec4f(1.0)); }
    if p.channels == 1u { return v; }
    if code == 3.0 { return clamp(f * v + (1.0 - f) * grey(v), vec4f(), vec4f(1.0)); }
    if code == 4.0 { return vec4f(turned(v.xyz, f), 0.0); }
    return v;
}

// The sum of every lane's value, for all of them.
fn sum_of_lanes(lane: u32, value: f32) -> f32 {
    sums[lane] = value;
    workgroupBarrier();
    var sum = 0.0;
    for (var i = 0u; i < WG; i++) { sum += sums[i]; }
    return sum;
}

// The pixels of a part: from .x to below .y.
fn pixels_of(part: u32) -> vec2u {
    let first = part * p.pixels_per_part;
    return vec2u(first, min(first + p.pixels_per_part, p.h_out * p.w_out));
}

@compute @workgroup_size(WG)
fn grey_sums(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let item = min(group.y * groups.x + group.x, p.n * p.parts - 1u);
    let t = transform(item / p.parts);
    let range = pixels_of(item % p.parts);
    // What comes before contrast, if there is contrast.
    var before = 4u;
    for (var i = 0u; i < 4u; i++) {
        if t.codes[i] == 2.0 { before = i; }
    }
    var sum = 0.0;
    for (var k = range.x + lane; k < range.y && before < 4u; k += WG) {
        var v = moved(t, k);
        for (var i = 0u; i < before; i++) { v = jittered(v, t.codes[i], t.factors[i], 0.0); }
        sum += grey(v);
    }
    let total = sum_of_lanes(lane, sum);
    if lane == 0u { greys_out[item] = total; }
}

@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let item = min(group.y * groups.x + group.x, p.n * p.parts - 1u);
    let n = item / p.parts;
    let t = transform(n);
    let range = pixels_of(item % p.parts);
    var sum = 0.0;
    for (var i = lane; i < p.parts; i += WG) { sum += greys[n * p.parts + i]; }
    let mean = sum_of_lanes(lane, sum) / f32(p.h_out * p.w_out);

    let shift = vec4f(p.mean_0, p.mean_1, p.mean_2, 0.0);
    let spread = vec4f(p.std_0, p.std_1, p.std_2, 1.0);
    let real = vec4u(0u, 1u, 2u, 3u) < vec4u(p.channels);
    for (var k = range.x + lane; k < range.y; k += WG) {
        var v = moved(t, k);
        for (var i = 0u; i < 4u; i++) { v = jittered(v, t.codes[i], t.factors[i], mean); }
        store_y(n * p.h_out * p.w_out + k, select(vec4f(), (v - shift) / spread, real));
    }
}
