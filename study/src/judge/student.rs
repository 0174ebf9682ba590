use statrs::distribution::{ContinuousCDF, StudentsT};

/// Student's t with `freedom` degrees of freedom, at least 1.
pub(super) struct Student(StudentsT);

impl Student {
    pub fn new(freedom: f64) -> Self {
        Student(StudentsT::new(0.0, 1.0, freedom).expect("degrees of freedom above 0"))
    }

    /// The chance of a value above `t`.
    pub fn above(&self, t: f64) -> f64 {
        self.0.sf(t)
    }

    /// The value with a chance of `p` to be above it.
    pub fn quantile_above(&self, p: f64) -> f64 {
        -self.0.inverse_cdf(p)
    }
}
pub(super) struct Mix { pub a: Student, pub b: Student, pub w: f64 }
impl Mix {
    pub fn quantile_above(&self, p: f64) -> f64 { self.w*self.a.quantile_above(p) + (1.0-self.w)*self.b.quantile_above(p) }
    pub fn above(&self, t: f64) -> f64 {
        if t < 0.0 { return 1.0 - self.above(-t); }
        if self.w > 0.999999 { return self.a.above(t); }
        let (mut lo, mut hi) = (1e-12f64.ln(), 0.5f64.ln());
        for _ in 0..20 { let mid = 0.5*(lo+hi); if self.quantile_above(mid.exp()) > t { lo = mid } else { hi = mid } }
        (0.5*(lo+hi)).exp()
    }
}
