// The loss scale of plans that store gradients as f16. `loss_scale.update` is the one that moves it.
struct LossScaler {
    scale: f32,          // a power of two: what the next backward multiplies the loss's gradient by
    good_steps: u32,     // steps taken in a row at this scale
    skipped_steps: u32,  // steps not taken, in all
    taken: u32,          // 1: the optimiser takes this step
    unscale: f32,        // 1/scale of this step's gradients
    bias1: f32,          // 1 − β₁ᵗ of AdamW, t the number of steps taken
    bias2: f32,          // 1 − β₂ᵗ
}
