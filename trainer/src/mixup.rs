//! Mixup (Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization"): training on mixtures of two images
//! and the same mixture of their labels.
//!
//! As in the authors' code there is one share λ ~ Beta(α, α) for a batch, and every image's partner is
//! another of the batch. They depend only on the seed and the batch's place in the run, so a resumed run uses
//! the same mixtures as an uninterrupted run.

use frostline_engine::ops::Mix;
use frostline_loader::BatchState;
use frostline_loader::shuffle::{batch_generator, shuffle};
use rand_distr::{Beta, Distribution};

use crate::error::{Error, Result};

/// The distribution of the shares.
fn shares(alpha: f32) -> Result<Beta<f64>> {
    let refused = || Error::Setting {
        name: "mixup, alpha",
        value: alpha.to_string(),
        reason: "expected a number above 0, up to 1000",
    };
    if !(alpha > 0.0 && alpha <= 1000.0) {
        return Err(refused());
    }
    Beta::new(f64::from(alpha), f64::from(alpha)).map_err(|_| refused())
}

/// Fails unless shares can be drawn.
pub(crate) fn check(alpha: f32) -> Result<()> {
    shares(alpha).map(|_| ())
}

/// The shares and partners of the `batch` images of the batch at `state`.
pub(crate) fn draw(alpha: f32, state: BatchState, batch: usize) -> Result<Vec<Mix>> {
    let mut generator = batch_generator(state.seed, state.epoch, state.position as u64);
    let share = shares(alpha)?.sample(&mut generator) as f32;
    let mut partners: Vec<usize> = (0..batch).collect();
    shuffle(&mut partners, &mut generator);
    Ok(partners.into_iter().map(|partner| Mix { partner, share }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u64, position: usize) -> BatchState {
        BatchState { seed: 7, epoch, position }
    }

    #[test]
    fn a_batch_has_one_share_and_each_partner_once() {
        let mixes = draw(0.2, at(3, 1), 9).unwrap();
        assert!(mixes.iter().all(|mix| mix.share == mixes[0].share));
        let mut partners: Vec<usize> = mixes.iter().map(|mix| mix.partner).collect();
        assert!(partners.iter().enumerate().any(|(i, &partner)| i != partner));
        partners.sort_unstable();
        assert!(partners.into_iter().eq(0..9));
        assert_eq!(draw(0.2, at(3, 1), 9).unwrap(), mixes);
        assert_ne!(draw(0.2, at(3, 2), 9).unwrap(), mixes);
        assert_ne!(draw(0.2, at(4, 1), 9).unwrap(), mixes);
    }

    /// Beta(α, α) has mean ½ and variance 1 / (4·(2α + 1)).
    #[test]
    fn shares_are_spread_as_alpha_says() {
        for alpha in [0.2, 1.0, 8.0] {
            let shares: Vec<f64> =
                (0..4000).map(|i| f64::from(draw(alpha, at(0, i), 1).unwrap()[0].share)).collect();
            let mean = shares.iter().sum::<f64>() / 4000.0;
            let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / 4000.0;
            let expected = 1.0 / (4.0 * (2.0 * f64::from(alpha) + 1.0));
            assert!((mean - 0.5).abs() < 0.03, "alpha {alpha}: mean {mean}");
            assert!(
                (variance / expected - 1.0).abs() < 0.1,
                "alpha {alpha}: variance {variance}, not {expected}"
            );
            assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for alpha in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(matches!(check(alpha), Err(Error::Setting { name: "mixup, alpha", .. })), "{alpha}");
        }
        // At the limits of floats, shares are 0 or 1, and not another value.
        let share = draw(1e-6, at(0, 0), 1).unwrap()[0].share;
        assert!((0.0..=1.0).contains(&share), "{share}");
    }
}
