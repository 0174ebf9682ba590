//! The algorithms and tiles that could compute a convolution on this class of adapters; `examples/tune.rs`
//! measures them.

use super::{Algorithm, Class, Conv, Filtering, Pass, Tile, Tiles, Tuning};
use std::fmt;

/// Numbers of channels that a lane may compute.
const CHANNELS: [u32; 4] = [4, 8, 16, 32];

impl Tuning {
    /// Every algorithm and tile worth measuring for `conv`: the table's choice, its choice for the other
    /// algorithms, and then their other tiles, those that resemble a choice first. The other tiles depend
    /// only on the class of `conv`.
    ///
    /// All of them compute the same result within the same bounds; `engine/tests/candidates.rs` runs them.
    pub fn candidates(&self, conv: &Conv) -> Vec<Algorithm> {
        let mut choices = vec![self.table(conv), Algorithm::Direct(self.direct(conv))];
        choices.extend(self.winograd(conv).map(Algorithm::Winograd));
        if self.class == Class::Gpu {
            choices.push(Algorithm::Tiled(self.tiled(conv)));
        }
        let mut others: Vec<Algorithm> = self.direct_tiles(conv).map(Algorithm::Direct).collect();
        if let Some(own) = self.winograd(&conv.smallest()) {
            others.extend(self.filterings(conv, own).map(Algorithm::Winograd));
        }
        if self.class == Class::Gpu {
            others.extend(self.tilings().map(Algorithm::Tiled));
        }
        let strangeness = |other: &Algorithm| {
            choices.iter().map(|choice| distance(*choice, *other)).fold(f32::INFINITY, f32::min)
        };
        others.sort_by(|a, b| strangeness(a).total_cmp(&strangeness(b)));
        let mut candidates: Vec<Algorithm> = vec![];
        for algorithm in choices.iter().copied().chain(others) {
            if !candidates.contains(&algorithm) {
                candidates.push(algorithm);
            }
        }
        candidates
    }

    /// Whether `algorithm` is a candidate for every convolution of the class of `conv`. Only then may it be a
    /// measured choice.
    pub fn suits_class(&self, conv: &Conv, algorithm: Algorithm) -> bool {
        [conv.class(), conv.smallest()].iter().all(|conv| self.candidates(conv).contains(&algorithm))
    }

    /// Maximum number of vec4 sums of a lane. A GPU slows down or spills registers with more. A processor
    /// spills with fewer, but its stack is fast, and the reuse of each load matters more.
    fn sums(&self, pass: Pass) -> u32 {
        match (self.class, pass) {
            (Class::Subgroup { .. }, Pass::BackwardWeight) => 96,
            (Class::Subgroup { .. }, _) => 64,
            (Class::Gpu | Class::Portable, _) => 32,
        }
    }

    fn direct_tiles(&self, conv: &Conv) -> impl Iterator<Item = Tile> {
        let (sums, kw, widest) = (self.sums(conv.pass), conv.kw as u32, result_channels(conv));
        let (pixels, at_a_time): (&[u32], &[u32]) = match conv.pass {
            Pass::BackwardWeight => (&[1], &[1, 2, 4]),
            Pass::Forward | Pass::BackwardInput => (&[1, 2, 4, 7, 8, 14], &[1]),
        };
        let longest = conv.class().width as u32;
        let own = self.direct(conv).tm;
        let tiles = CHANNELS.into_iter().filter(move |tm| *tm != own).chain([own]).flat_map(move |tm| {
            let strips = pixels.iter().filter(move |pw| **pw <= longest);
            strips.flat_map(move |&pw| at_a_time.iter().map(move |&u| Tile { tm, pw, u }))
        });
        tiles.filter(move |tile| {
            let held = match conv.pass {
                // Four input channels of a row of the window.
                Pass::BackwardWeight => kw * tile.tm,
                Pass::Forward | Pass::BackwardInput => tile.tm / 4 * tile.pw,
            };
            tile.tm <= widest && held <= sums
        })
    }

    /// The variants of Winograd's algorithm other than the table's, which is `own`.
    fn filterings(&self, conv: &Conv, own: Filtering) -> impl Iterator<Item = Filtering> {
        let (sums, pass, widest) = (self.sums(conv.pass), conv.pass, result_channels(conv));
        let (tiles, blocks): (&[u32], [u32; 3]) = match pass {
            Pass::BackwardWeight => (&[4], [1, 2, 4]),
            // There is no such block in them.
            Pass::Forward | Pass::BackwardInput => (&[1, 2, 4, 7], [own.q; 3]),
        };
        let shapes = move |m| {
            CHANNELS.into_iter().flat_map(move |tm| {
                tiles.iter().flat_map(move |&p| blocks.map(move |q| Filtering { m, tm, p, q }))
            })
        };
        [2, 4].into_iter().flat_map(shapes).filter(move |filtering| {
            let held = match pass {
                Pass::BackwardWeight => filtering.tm * filtering.q,
                Pass::Forward | Pass::BackwardInput => filtering.tm / 4 * filtering.p,
            };
            filtering.tm <= widest && held <= sums
        })
    }

    /// The tiles of the GPU's table and others that are known to be fast on GPUs, with several depths and
    /// with two alternating slices, as far as they fit into this adapter's workgroups; and in fragments, if
    /// the adapter multiplies them.
    fn tilings(&self) -> impl Iterator<Item = Tiles> {
        let depths = |tiles: Tiles| {
            [8, 16, 32].into_iter().flat_map(move |bk| [1, 2].map(|buffers| Tiles { bk, buffers, ..tiles }))
        };
        let largest = self.workgroup_bytes;
        let registers =
            Tiles::measured().flat_map(depths).filter(move |tiles| tiles.workgroup_bytes() <= largest);
        let fragments = self.fragments.filter(|fragments| fragments.hold(self.storage));
        registers.chain(
            fragments.into_iter().flat_map(|fragments| {
                Tiles::all_for_fragments().map(move |tiles| tiles.in_fragments(fragments))
            }),
        )
    }
}

/// Padded channels of the operand that a pass sums in tiles.
fn result_channels(conv: &Conv) -> u32 {
    let channels = if conv.pass == Pass::BackwardInput { conv.c_in } else { conv.c_out };
    channels.next_multiple_of(4) as u32
}

/// How often the numbers of one must be doubled or halved to get those of the other.
fn distance(a: Algorithm, b: Algorithm) -> f32 {
    let doublings =
        |pairs: &[(u32, u32)]| pairs.iter().map(|&(a, b)| (a as f32 / b as f32).log2().abs()).sum();
    match (a, b) {
        (Algorithm::Direct(a), Algorithm::Direct(b)) => doublings(&[(a.tm, b.tm), (a.pw, b.pw), (a.u, b.u)]),
        (Algorithm::Winograd(a), Algorithm::Winograd(b)) => {
            doublings(&[(a.m, b.m), (a.tm, b.tm), (a.p, b.p), (a.q, b.q)])
        }
        (Algorithm::Tiled(a), Algorithm::Tiled(b)) => doublings(&[
            (a.bm, b.bm),
            (a.bn, b.bn),
            (a.bk, b.bk),
            (a.rm, b.rm),
            (a.rn, b.rn),
            (a.buffers, b.buffers),
            (a.lanes, b.lanes),
        ]),
        _ => f32::INFINITY,
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Algorithm::Direct(Tile { tm, pw, u: 1 }) => format!("direct {tm}×{pw}"),
            Algorithm::Direct(Tile { tm, pw, u }) => format!("direct {tm}×{pw}·{u}"),
            Algorithm::Winograd(Filtering { m, tm, p, q }) => format!("winograd F({m}) {tm}×{p}×{q}"),
            Algorithm::Tiled(Tiles { bm, bn, bk, rm, rn, buffers, fragment, .. }) => {
                let more = if *buffers > 1 { " double" } else { "" };
                let fragments = if *fragment > 1 { " fragments" } else { "" };
                format!("tiled {bm}×{bn}×{bk}/{rm}×{rn}{more}{fragments}")
            }
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convolutions() -> Vec<Conv> {
        let passes = [Pass::Forward, Pass::BackwardInput, Pass::BackwardWeight];
        let shapes = [
            (7, 2, 3, 64, 112),
            (3, 1, 64, 64, 56),
            (3, 2, 64, 128, 28),
            (1, 1, 64, 256, 25_088),
            (3, 1, 3, 5, 1),
        ];
        let conv = |pass, (kernel, stride, c_in, c_out, width)| {
            let rows = if kernel == 1 { 1 } else { 8 * width };
            Conv { pass, kh: kernel, kw: kernel, stride, c_in, c_out, width, rows }
        };
        shapes.iter().flat_map(|&shape| passes.map(|pass| conv(pass, shape))).collect()
    }

    #[test]
    fn the_tables_choice_is_the_first_and_no_candidate_comes_twice() {
        for tuning in [Tuning::subgroup(8), Tuning::portable(), Tuning::gpu()] {
            for conv in convolutions() {
                let candidates = tuning.candidates(&conv);
                assert_eq!(candidates[0], tuning.table(&conv), "{conv:?}");
                assert!(
                    candidates.len() > 2 || conv.c_in == 3 && conv.width == 1,
                    "{conv:?}: {candidates:?}"
                );
                let distinct: std::collections::HashSet<_> = candidates.iter().collect();
                assert_eq!(distinct.len(), candidates.len(), "{conv:?}");
            }
        }
    }

    #[test]
    fn neighbours_come_before_strangers() {
        let conv = convolutions()[6];
        let candidates = Tuning::subgroup(8).candidates(&conv);
        let Algorithm::Direct(own) = candidates[0] else {
            panic!("3×3 with a stride of 2: {:?}", candidates[0])
        };
        let far = |algorithm: &Algorithm| distance(Algorithm::Direct(own), *algorithm);
        assert!(candidates.windows(2).all(|pair| far(&pair[0]) <= far(&pair[1])), "{candidates:?}");
    }
}
