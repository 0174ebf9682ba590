//! The recipe of the lesson's runs.

use frostline_engine::Optim;

/// SGD as in all recipes of this lesson: Nesterov's momentum 0.9, weight decay 5e-4.
pub fn sgd(lr: f32) -> Optim {
    Optim::sgd(lr).momentum(0.9).nesterov().weight_decay(5e-4)
}
