//! multi_margin: loss = mean over the labelled rows of 1/K·Σ_{k≠label} max(0, m − z_label + z_k), z the logits,
//!   m the margin: the hinge loss of a linear support vector machine with K classes. Label 2³²−1: row ignored.
//!   backward: dz_k = scale·[m − z_label + z_k > 0]/(K·labelled rows),  dz_label = −Σ_{k≠label} dz_k
//! One invocation per row. `cross_entropy.mean` sums the rows up. A logit that is NaN makes the loss NaN.
//!use shared/activation.wgsl
//!use shared/finite.wgsl
//!use shared/loss_scaler.wgsl
const WG: u32 = 64;
const SCALED: u32 = 0;   // 1: the gradient carries the loss scale of f16 storage; else scale = 1

struct Params { rows: u32, classes: u32, c4: u32, margin: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<vec4f>;          // (N, K/4)
@group(0) @binding(2) var<storage, read> labels: array<u32>;            // (N)
@group(0) @binding(3) var<storage, read> summary: array<vec4f>;         // (1) loss, hits, labelled rows, Σ u
@group(0) @binding(4) var<storage, read_write> rows_out: array<vec4f>;  // (N) loss, hits, labelled, labelled
@group(0) @binding(5) var<storage, read_write> dlogits: array<vec4f>;   // (N, K/4)
@group(0) @binding(6) var<storage, read> scaler: LossScaler;               // (1)
fn load_logits(i: u32) -> vec4f { return logits[i]; }
fn store_rows_out(i: u32, value: vec4f) { rows_out[i] = value; }
fn store_dlogits(i: u32, value: vec4f) { dlogits[i] = value; }

const IGNORED = 0xffffffffu;

// The classes of block k.
fn classes_of(k: u32) -> vec4u {
    return vec4u(4u * k) + vec4u(0u, 1u, 2u, 3u);
}

// m − z_label + z_k of the other classes; 0 for the label and for the padding.
fn excess(z: vec4f, k: u32, at_label: f32, label: u32) -> vec4f {
    let other = (classes_of(k) < vec4u(p.classes)) & (classes_of(k) != vec4u(label));
    return select(vec4f(), p.margin - at_label + z, other);
}

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let row = id.y * groups.x * WG + id.x;
    if row >= p.rows { return; }
    let label = labels[row];
    if label == IGNORED {
        store_rows_out(row, vec4f());
        return;
    }
    let block = load_logits(row * p.c4 + label / 4u);
    let at_label = block[label % 4u];
    var top = -3.4028234e38;
    var best = 0u;
    var loss = 0.0;
    for (var k = 0u; k < p.c4; k++) {
        let z = load_logits(row * p.c4 + k);
        for (var j = 0u; j < 4u; j++) { //!unroll
            if 4u * k + j < p.classes && z[j] > top { top = z[j]; best = 4u * k + j; }
        }
        loss += dot(activate(1u, excess(z, k, at_label, label)), vec4f(1.0));
    }
    let hit = f32(best == label && is_finite(loss));
    store_rows_out(row, vec4f(loss / f32(p.classes), hit, 1.0, 1.0));
}

@compute @workgroup_size(WG)
fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let row = id.y * groups.x * WG + id.x;
    if row >= p.rows { return; }
    let label = labels[row];
    var at_label = 0.0;
    var violations = 0.0;
    var unit = 0.0;
    if label != IGNORED {
        let block = load_logits(row * p.c4 + label / 4u);
        at_label = block[label % 4u];
        var scale = 1.0;
        if SCALED == 1u { scale = scaler.scale; }
        unit = scale / (f32(p.classes) * max(summary[0].z, 1.0));
        for (var k = 0u; k < p.c4; k++) {
            let violated = excess(load_logits(row * p.c4 + k), k, at_label, label) > vec4f();
            violations += dot(select(vec4f(), vec4f(1.0), violated), vec4f(1.0));
        }
    }
    for (var k = 0u; k < p.c4; k++) {
        let violated = excess(load_logits(row * p.c4 + k), k, at_label, label) > vec4f();
        let d = select(select(vec4f(), vec4f(1.0), violated), vec4f(-violations), classes_of(k) == vec4u(label));
        store_dlogits(row * p.c4 + k, unit * d);
    }
}
