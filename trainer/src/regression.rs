//! Linear heads with an L2 penalty, trained to their optimum.
//!
//! Minimises C·Σᵢ loss(xᵢ·Wᵀ + b, yᵢ) + ½‖W‖²; b is not penalised. With the softmax loss
//! −ln softmax(z)\[y\] this is multinomial logistic regression, the objective of scikit-learn's
//! `LogisticRegression`. With the squared hinge loss it is a linear support vector machine. The problem is
//! convex and small beside the network that made the features, so it is solved on the host: no rate, no number
//! of steps and no order of the rows decides the result.

use frostline_loader::HostTensor;

use crate::error::{Error, Result};
use crate::evaluate::Evaluation;
use crate::features::Features;
use crate::head::{Head, Standardization};

mod lbfgs;
mod objective;

use objective::Objective;

/// The solver stops when no derivative of the mean objective exceeds this.
const TOLERANCE: f64 = 1e-6;
/// The same while strengths are compared.
const ROUGH: f64 = 1e-4;
/// Maximum number of iterations of the solver; scikit-learn's 100 are too few for weak penalties.
const ITERATIONS: usize = 1000;

/// The loss of a row with logits z and label y.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeadLoss {
    /// −ln softmax(z)\[y\]: multinomial logistic regression.
    #[default]
    Softmax,
    /// Mean over the classes of max(0, 1 − z\[y\] + z\[j\])², j ≠ y: PyTorch's `MultiMarginLoss(p=2)`. For
    /// two classes it is scikit-learn's `LinearSVC` with the same C. Logits are margins: their softmax is not
    /// a probability.
    SquaredHinge,
}

/// A head at its optimum.
#[derive(Clone, Debug, PartialEq)]
pub struct Regression {
    /// The head, with the standardisation of its features.
    pub head: Head,
    /// The inverse strength of the penalty.
    pub c: f64,
    /// The largest derivative of the mean objective at the end.
    pub gradient: f64,
    /// Number of iterations.
    pub iterations: usize,
    /// Whether the largest derivative is small enough.
    pub converged: bool,
}

/// Features that are standardised once, for fits at several strengths.
pub struct Fitter<'a> {
    standardization: Standardization,
    values: Vec<f32>,
    /// Their mean squares, feature by feature.
    squares: Vec<f64>,
    features: &'a Features,
    loss: HeadLoss,
    /// The solver stops when the largest derivative is below this.
    tolerance: f64,
    /// Weights, then biases, of the last fit, from which the next one starts.
    theta: Vec<f64>,
}

impl<'a> Fitter<'a> {
    /// For heads on `features`.
    ///
    /// # Errors
    /// [`Error::NoImages`] without rows; [`Error::Label`] for a label beyond the classes;
    /// [`Error::NotFinite`] for features that are not numbers.
    pub fn new(features: &'a Features) -> Result<Self> {
        features.check_labels("train a head on")?;
        let standardization = Standardization::overall(features);
        let values = standardization.apply(features).values;
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::NotFinite { row: index / features.width });
        }
        let theta = vec![0.0; features.classes.len() * (features.width + 1)];
        let squares = objective::squares(&values, features.width);
        let (loss, tolerance) = (HeadLoss::default(), TOLERANCE);
        Ok(Self { standardization, values, squares, features, loss, tolerance, theta })
    }

    /// Fits with `loss` instead of the softmax loss of [`Fitter::new`].
    #[must_use]
    pub fn loss(self, loss: HeadLoss) -> Self {
        Self { loss, ..self }
    }

    /// Fits as exactly as the choice of a strength needs: with scikit-learn's tolerance.
    #[must_use]
    pub(crate) fn roughly(self) -> Self {
        Self { tolerance: ROUGH, ..self }
    }

    /// The optimum at `c`. Fits of a path start where the fit before them ended; the optimum is the same.
    ///
    /// # Errors
    /// [`Error::Setting`] unless `c` is a finite number above 0.
    pub fn fit(&mut self, c: f64) -> Result<Regression> {
        if !(c.is_finite() && c > 0.0) {
            return Err(Error::Setting {
                name: "c",
                value: c.to_string(),
                reason: "it must be a number above 0",
            });
        }
        let Features { width, labels, classes, .. } = self.features;
        let penalty = 1.0 / (c * labels.len() as f64);
        let objective = Objective {
            values: &self.values,
            width: *width,
            squares: &self.squares,
            labels,
            classes: classes.len(),
            loss: self.loss,
            penalty,
        };
        let found = lbfgs::minimise(&objective, &mut self.theta, self.tolerance, ITERATIONS);
        let (weight, bias) = self.theta.split_at(classes.len() * width);
        let floats = |values: &[f64]| values.iter().map(|value| *value as f32).collect();
        let head = Head {
            standardization: self.standardization.clone(),
            weight: HostTensor::new(vec![classes.len(), *width], floats(weight))?,
            bias: HostTensor::new(vec![classes.len()], floats(bias))?,
        };
        Ok(Regression {
            head,
            c,
            gradient: found.gradient,
            iterations: found.iterations,
            converged: found.gradient <= self.tolerance,
        })
    }
}

/// The optimum for `features` at strength `c`.
///
/// # Errors
/// As [`Fitter::new`] and [`Fitter::fit`].
pub fn regression(features: &Features, c: f64) -> Result<Regression> {
    Fitter::new(features)?.fit(c)
}

impl Head {
    /// The head's logits for `features`.
    ///
    /// # Errors
    /// [`Error::FeatureWidth`], [`Error::Classes`], [`Error::Label`] or [`Error::NoImages`] if features and
    /// head do not fit together.
    pub fn evaluate(&self, features: &Features) -> Result<Evaluation> {
        let logits = self.logits(features)?;
        Ok(Evaluation::of(&logits, &features.labels, features.classes.len()))
    }

    /// The logits of every row: (rows, classes).
    ///
    /// # Errors
    /// As [`Head::evaluate`].
    pub fn logits(&self, features: &Features) -> Result<Vec<f32>> {
        features.check_labels("test a head on")?;
        let (classes, width) = (self.bias.data.len(), self.standardization.mean.len());
        if features.width != width {
            return Err(Error::FeatureWidth { train: width, other: features.width });
        }
        if features.classes.len() != classes {
            return Err(Error::Classes { data: features.classes.len(), model: classes });
        }
        let values = self.standardization.apply(features).values;
        Ok(objective::logits(&values, width, &self.weight.data, &self.bias.data))
    }
}
