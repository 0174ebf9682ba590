// A fragment of 16 × 16, f16 times f16 added up in f32, as NVIDIA and AMD GPUs multiply it. Operands
// are rounded to f16: only for plans that store activations so. Not run yet, for want of such an
// adapter; off unless FROSTLINE_TUNING=cooperative. What it shares with fragments of 4 × 4 is tested
// with those.
//!use shared/fragments.wgsl
//!enable f16
//!enable wgpu_cooperative_matrix
alias Operand = f16;
alias FragmentA = coop_mat16x16<f16, A>;
alias FragmentB = coop_mat16x16<f16, B>;
alias FragmentC = coop_mat16x16<f32, C>;

// T: the matrix's rows lie along memory. A's columns do.
fn load_a(at: u32) -> FragmentA { return coopLoad<FragmentA>(&slice_a[at], ROW_A); }
fn load_b(at: u32) -> FragmentB { return coopLoadT<FragmentB>(&slice_b[at], ROW_B); }
fn multiply_add(a: FragmentA, b: FragmentB, c: FragmentC) -> FragmentC { return coopMultiplyAdd(a, b, c); }
fn store_c(c: FragmentC, at: u32) { coopStoreT(c, &strips[at], RN); }
