use super::parts::{mean, within};
use super::{Images, Paired, Parts};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

impl Parts {
    /// Draws seeds and test images again, each with replacement and independently of the other, and separates
    /// the variance of the mean into its parts.
    ///
    /// The pigeonhole bootstrap (Owen 2007) uses only means with both drawn. Their variance has R/(n·m) three
    /// times: once from the seeds, once from the images, once from both. Here each resample also gives the
    /// mean with only its seeds and with only its images, so that each part is known and counted once.
    ///
    /// Seeds that have their own images are drawn whole. Their means already contain the sampling noise of
    /// their images; images drawn again within them would count it twice (Davison and Hinkley 1997, section
    /// 3.8).
    pub fn resampled(paired: &Paired, resamples: usize, seed: u64) -> Self {
        let rows = in_order(&paired.rows);
        let (n, m) = (rows.len(), rows[0].len());
        let means: Vec<f64> = rows.iter().map(|row| mean(row)).collect();
        let grand = mean(&means);
        let shared = paired.images == Images::Shared && m > 1;

        let mut draws = Draws::new(seed);
        let (mut per_seed, mut per_image) = (vec![0.0; n], vec![0.0; if shared { m } else { 0 }]);
        let (mut seeds, mut images, mut both) = (0.0, 0.0, 0.0);
        for _ in 0..resamples {
            draws.tally(&mut per_seed);
            let seeds_off = dot(&per_seed, &means) / n as f64 - grand;
            seeds += seeds_off * seeds_off;
            if shared {
                draws.tally(&mut per_image);
                let (mut all, mut weighted) = (0.0, 0.0);
                for (row, weight) in rows.iter().zip(&per_seed) {
                    let drawn = dot(&per_image, row) / m as f64;
                    all += drawn;
                    weighted += weight * drawn;
                }
                let images_off = all / n as f64 - grand;
                let rest_off = weighted / n as f64 - grand - seeds_off - images_off;
                images += images_off * images_off;
                both += rest_off * rest_off;
            }
        }

        // The variance of draws from n values is too small by the factor (n − 1)/n: by a fifth for five seeds
        // (Hesterberg 2015; Efron and Tibshirani 1993).
        let count = resamples as f64;
        let up = |n: usize| n as f64 / (n as f64 - 1.0);
        let seeds = seeds / count * up(n);
        if shared {
            Parts { seeds, images: images / count * up(m), rest: both / count * up(n) * up(m) }
        } else {
            Parts { seeds, images: 0.0, rest: within(&rows, &means) }
        }
    }
}

/// The rows in a fixed order and with a mean that is not negative, so that the same draws select the same
/// rows for any order of the seeds and either direction of the claim.
fn in_order(rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let total: f64 = rows.iter().map(|row| mean(row)).sum();
    let sign = if total < 0.0 { -1.0 } else { 1.0 };
    let mut rows: Vec<Vec<f64>> = rows.iter().map(|row| row.iter().map(|y| sign * y).collect()).collect();
    rows.sort_by(|a, b| {
        a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).find(|o| o.is_ne()).unwrap_or(a.len().cmp(&b.len()))
    });
    rows
}

struct Draws {
    rng: ChaCha8Rng,
    bytes: Vec<u8>,
}

impl Draws {
    fn new(seed: u64) -> Self {
        Draws { rng: ChaCha8Rng::seed_from_u64(seed), bytes: Vec::new() }
    }

    /// Draws as many items as `counts` has, with replacement, and counts how often each was drawn.
    fn tally(&mut self, counts: &mut [f64]) {
        counts.fill(0.0);
        self.bytes.resize(4 * counts.len(), 0);
        self.rng.fill_bytes(&mut self.bytes);
        let len = counts.len() as u64;
        for bytes in self.bytes.chunks_exact(4) {
            let word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            // Probabilities of indices differ by at most len / 2³².
            counts[((u64::from(word) * len) >> 32) as usize] += 1.0;
        }
    }
}

/// Four sums in parallel, because additions to a single sum wait for each other.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (a_whole, b_whole) = (a.chunks_exact(4), b.chunks_exact(4));
    let left: f64 = a_whole.remainder().iter().zip(b_whole.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_whole.zip(b_whole) {
        for lane in 0..4 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + left
}
