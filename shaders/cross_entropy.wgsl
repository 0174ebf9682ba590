//! cross_entropy: loss = Σ_n −Σ_k t_k·log p_k / Σ_n u_n over the labelled rows n,  p = softmax(logits)
//!   t_k = u·(1 − s)·onehot(label) + s/K·w_k with class weights w, u = w_label, and label smoothing s (Szegedy et al. 2016):
//!   PyTorch's CrossEntropyLoss(weight, label_smoothing). Without weights w = 1. Label 2³²−1: row ignored.
//!   MIXED: the mean over two labels a row, its own by the share λ and its partner's by 1 − λ (mixup, Zhang et al. 2018):
//!   t, u and hits of a row are λ·own + (1 − λ)·partner's
//!   backward: dlogits = scale·(p·Σ_k t_k − t)/Σ_n u_n, with the loss scale of f16 storage, else 1
//!
//! Everything is relative to the row's largest logit z_max: log p_k = (z_k − z_max) − log Σ exp(z − z_max). The two
//! are stored apart, since their sum would lose the digits of the second where logits are large.
//!
//! `forward`: one invocation per row. `sum`: one per SPAN rows, for batches that `mean` does not take at once.
//! `mean`: one workgroup, whose LANES invocations take every LANES-th row and add up their sums in a tree.
//! `backward`: one per 4 logits. Sums are taken in blocks of BLOCK: a value passes through at most
//! BLOCK + turns/BLOCK additions of an invocation, and the error is at most as many times 2⁻²⁴·Σ|terms|.
//!use shared/finite.wgsl
//!use shared/loss_scaler.wgsl
const WG: u32 = 64;
const SPAN: u32 = 1024;    // rows that an invocation of `sum` adds up
const LANES: u32 = 1;      // invocations of `mean`, a power of two; 1: without workgroup memory
const WEIGHTED: u32 = 0;   // 1: classes have weights
const MIXED: u32 = 0;      // 1: rows have a partner
const SCALED: u32 = 0;     // 1: the gradient carries the loss scale

struct Params { rows: u32, classes: u32, c4: u32, slot: u32, smoothing: f32, mean_weight: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<vec4f>;             // (N, K/4)
@group(0) @binding(2) var<storage, read> labels: array<u32>;               // (N)
@group(0) @binding(3) var<storage, read> class_weights: array<vec4f>;      // (K/4)
@group(0) @binding(4) var<storage, read> mixes: array<vec4f>;              // (N) partner, λ, 0, 0
@group(0) @binding(5) var<storage, read> norms: array<vec2f>;              // (N) z_max, log Σ exp(z − z_max)
@group(0) @binding(6) var<storage, read> rows_in: array<vec4f>;            // (N) loss, hits, labelled, u; or sums of these
@group(0) @binding(7) var<storage, read> summary: array<vec4f>;            // (1) loss, hits, labelled rows, Σ u
@group(0) @binding(8) var<storage, read_write> norms_out: array<vec2f>;    // (N)
@group(0) @binding(9) var<storage, read_write> rows_out: array<vec4f>;     // (N); zeros where the row is ignored
@group(0) @binding(10) var<storage, read_write> summary_out: array<vec4f>; // (1)
@group(0) @binding(11) var<storage, read_write> history: array<vec4f>;     // the summaries of past steps, a ring
@group(0) @binding(12) var<storage, read_write> dlogits: array<vec4f>;     // (N, K/4)
@group(0) @binding(13) var<storage, read> scaler: LossScaler;              // (1)
fn load_logits(i: u32) -> vec4f { return logits[i]; }
fn load_class_weights(i: u32) -> vec4f { return class_weights[i]; }
fn load_mixes(i: u32) -> vec4f { return mixes[i]; }
fn load_rows_in(i: u32) -> vec4f { return rows_in[i]; }
fn store_rows_out(i: u32, value: vec4f) { rows_out[i] = value; }
fn store_dlogits(i: u32, value: vec4f) { dlogits[i] = value; }

const IGNORED = 0xffffffffu;
const BLOCK = 32u;   // terms added up by themselves

// The classes of block k.
fn classes_of(k: u32) -> vec4u {
    return vec4u(4u * k) + vec4u(0u, 1u, 2u, 3u);
}

// The lanes of class block k that are classes and not padding.
fn is_class(k: u32) -> vec4<bool> {
    return classes_of(k) < vec4u(p.classes);
}

fn weights(k: u32) -> vec4f {
    if WEIGHTED == 1u { return load_class_weights(k); }
    return vec4f(1.0);
}

fn weight(label: u32) -> f32 {
    if WEIGHTED == 1u && label != IGNORED {
        let block = load_class_weights(label / 4u);
        return block[label % 4u];
    }
    return 1.0;
}

// What a row is to be: its own label and its partner's, and the share of each; 0 where it is ignored.
struct Target { labels: vec2u, shares: vec2f }

fn target_of(row: u32) -> Target {
    var both = vec2u(labels[row], IGNORED);
    var share = 1.0;
    if MIXED == 1u {
        let own = load_mixes(row);
        both.y = labels[u32(own.x)];
        share = own.y;
    }
    return Target(both, select(vec2f(), vec2f(share, 1.0 - share), both != vec2u(IGNORED)));
}

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let row = id.y * groups.x * WG + id.x;
    if row >= p.rows { return; }
    let t = target_of(row);
    var top = -3.4028234e38;
    var best = 0u;
    var at_label = vec2f();
    for (var k = 0u; k < p.c4; k++) {
        let z = load_logits(row * p.c4 + k);
        let real = is_class(k);
        for (var j = 0u; j < 4u; j++) { //!unroll
            if real[j] {
                if z[j] > top { top = z[j]; best = 4u * k + j; }
                at_label = select(at_label, vec2f(z[j]), t.labels == vec2u(4u * k + j));
            }
        }
    }
    // Σ exp(z − z_max) and, for label smoothing, Σ w·(z − z_max).
    var sums = vec2f();
    for (var first = 0u; first < p.c4; first += BLOCK) {
        var part = vec2f();
        for (var k = first; k < min(first + BLOCK, p.c4); k++) {
            let z = load_logits(row * p.c4 + k) - top;
            let real = is_class(k);
            part.x += dot(select(vec4f(), exp(z), real), vec4f(1.0));
            if p.smoothing > 0.0 {
                let w = weights(k);
                part.y += dot(select(vec4f(), w * z, real & (w > vec4f())), vec4f(1.0));
            }
        }
        sums += part;
    }
    // The sum is finite unless a logit is not: then NaN, by its bits, as exp(NaN) is ∞ on some drivers.
    let log_sum = infinite_to_nan(vec4f(log(sums.x))).x;
    let u = t.shares * vec2f(weight(t.labels.x), weight(t.labels.y));
    // A label that has no share costs nothing, however small its probability.
    let costs = select(vec2f(), u * (log_sum - (at_label - top)), u > vec2f());
    var loss = (1.0 - p.smoothing) * (costs.x + costs.y);
    if p.smoothing > 0.0 {
        // Of all classes, by weight: what label smoothing pulls towards.
        let spread = p.mean_weight * log_sum - sums.y / f32(p.classes);
        loss += p.smoothing * spread * (t.shares.x + t.shares.y);
    }
    let right = (t.labels == vec2u(best)) & vec2<bool>(is_finite(sums.x));
    let hits = dot(t.shares, select(vec2f(), vec2f(1.0), right));
    let labelled = any(t.labels != vec2u(IGNORED));
    norms_out[row] = vec2f(top, log_sum);
    store_rows_out(row, select(vec4f(), vec4f(loss, hits, 1.0, u.x + u.y), labelled));
}

// Every stride-th of rows_in from `first` on and before `end`.
fn sum_of(first: u32, end: u32, stride: u32) -> vec4f {
    var total = vec4f();
    for (var block = first; block < end; block += stride * BLOCK) {
        var part = vec4f();
        for (var row = block; row < min(block + stride * BLOCK, end); row += stride) {
            part += load_rows_in(row);
        }
        total += part;
    }
    return total;
}

@compute @workgroup_size(WG)
fn sum(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i * SPAN < p.rows { store_rows_out(i, sum_of(i * SPAN, min(i * SPAN + SPAN, p.rows), 1u)); }
}

var<workgroup> totals: array<vec4f, LANES>;

@compute @workgroup_size(LANES)
fn mean(@builtin(local_invocation_index) lane: u32) {
    var total = sum_of(lane, p.rows, LANES);
    if LANES > 1u {
        for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
            totals[lane] = total;
            workgroupBarrier();
            if lane < stride { total += totals[lane + stride]; }
            workgroupBarrier();
        }
    }
    if lane == 0u {
        let summed = vec4f(total.x / select(1.0, total.w, total.w > 0.0), total.yzw);
        summary_out[0] = summed;
        history[p.slot] = summed;
    }
}

@compute @workgroup_size(WG)
fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.rows * p.c4 { return; }
    let k = i % p.c4;
    let row = i / p.c4;
    let t = target_of(row);
    let u = t.shares * vec2f(weight(t.labels.x), weight(t.labels.y));
    let labelled = t.shares.x + t.shares.y;
    let own = select(vec4f(), vec4f((1.0 - p.smoothing) * u.x), classes_of(k) == vec4u(t.labels.x));
    let partner = select(vec4f(), vec4f((1.0 - p.smoothing) * u.y), classes_of(k) == vec4u(t.labels.y));
    let target_ = own + partner + labelled * p.smoothing / f32(p.classes) * weights(k);
    let total = (1.0 - p.smoothing) * (u.x + u.y) + labelled * p.smoothing * p.mean_weight;
    let divisor = select(1.0, summary[0].w, summary[0].w > 0.0);
    var scale = 1.0;
    if SCALED == 1u { scale = scaler.scale; }
    let norm = norms[row];
    let d = scale * (total * exp((load_logits(i) - norm.x) - norm.y) - target_) / divisor;
    store_dlogits(i, select(vec4f(), d, is_class(k) & vec4<bool>(labelled > 0.0)));
}
