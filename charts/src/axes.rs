//! A coordinate system: maps values to pixels, and draws ticks and axis names.

use crate::canvas::{At, Canvas, Level, Paint, Side, Style};
use crate::color::{BLACK, FAINT, GREY};
use crate::font;

/// Size of tick labels, and of the axes' names.
const TICK: f64 = 12.0;
const NAME: f64 = 13.0;
/// Room below the plot for ticks and the name of x.
pub(crate) const BELOW: f64 = 46.0;

/// A tick: its position and label.
pub(crate) type Tick = (f64, String);

/// An axis from one value to another.
#[derive(Clone, Copy)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    log: bool,
}

impl Axis {
    /// From the lowest to the highest of `values`, and a little to either side.
    pub(crate) fn around(values: impl IntoIterator<Item = f64>, log: bool) -> Self {
        let axis = Self { low: 0.0, high: 1.0, log };
        let scaled = values.into_iter().map(|value| axis.scale(value)).filter(|value| value.is_finite());
        let (low, high) =
            scaled.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        if low > high {
            return axis;
        }
        let margin = if high > low { 0.05 * (high - low) } else { 0.5 };
        Self { low: low - margin, high: high + margin, log }
    }

    /// From `low` to `high`.
    pub(crate) fn from(low: f64, high: f64) -> Self {
        Self { low, high: if high > low { high } else { low + 1.0 }, log: false }
    }

    fn scale(&self, value: f64) -> f64 {
        if self.log { value.max(1e-12).log10() } else { value }
    }

    /// 0 at the low end and 1 at the high one.
    pub(crate) fn share(&self, value: f64) -> f64 {
        (self.scale(value) - self.low) / (self.high - self.low)
    }

    /// Ticks at round values, at most `most` of them; at least `step` apart.
    pub(crate) fn ticks(&self, most: usize, step: f64) -> Vec<Tick> {
        if self.log {
            return self.powers();
        }
        let step = round_step((self.high - self.low) / most.max(1) as f64).max(step);
        let digits = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
        let (first, last) =
            ((self.low / step - 1e-9).ceil() as i64, (self.high / step + 1e-9).floor() as i64);
        (first..=last)
            .map(|i| i as f64 * step)
            .map(|value| (value, with_minus(&format!("{value:.digits$}"))))
            .collect()
    }

    /// Powers of ten; if these are few, also their double and fivefold.
    fn powers(&self) -> Vec<Tick> {
        let (first, last) = (self.low.floor() as i32, self.high.ceil() as i32);
        let factors: &[f64] = if self.high - self.low > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let values =
            (first..=last).flat_map(|power| factors.iter().map(move |factor| factor * 10f64.powi(power)));
        let inside = values.filter(|value| (0.0..=1.0).contains(&self.share(*value)));
        inside.map(|value| (value, number(value))).collect()
    }
}

/// The next of 1, 2 and 5 times a power of ten that is not below `least`.
pub(crate) fn round_step(least: f64) -> f64 {
    let least = if least.is_finite() && least > 0.0 { least } else { 1.0 };
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| *step >= 0.999_999 * least)
        .unwrap_or(10.0 * power)
}

/// `200`, `0.003` or `10⁻⁵`: two digits if there is a fraction.
pub(crate) fn number(value: f64) -> String {
    if value > 0.0 && value < 0.000_999 {
        let power = value.log10().floor();
        let factor = (value / 10f64.powf(power)).round();
        let power: String = format!("{power}").chars().map(raised).collect();
        return if factor == 1.0 { format!("10{power}") } else { format!("{factor}·10{power}") };
    }
    let digits = if value >= 10.0 || value <= 0.0 { 0 } else { 1 - value.log10().floor() as i32 };
    let text = format!("{value:.*}", digits.max(0) as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn raised(digit: char) -> char {
    match digit {
        '-' => '⁻',
        digit => {
            "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().nth(digit.to_digit(10).map_or(10, |digit| digit as usize)).unwrap_or(digit)
        }
    }
}

/// A minus sign instead of a hyphen; none before zero.
pub(crate) fn with_minus(text: &str) -> String {
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().any(|c| ('1'..='9').contains(&c)) => format!("−{rest}"),
        Some(rest) => rest.to_owned(),
        None => text.to_owned(),
    }
}

/// A rectangle with a coordinate system in it.
pub(crate) struct Plot {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
    x: Axis,
    y: Axis,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
}

impl Plot {
    /// A plot in the rectangle at `at`, with space to its left and below it for ticks and names.
    pub(crate) fn new(
        at: At,
        size: (f64, f64),
        (x, x_ticks): (Axis, Vec<Tick>),
        (y, y_ticks): (Axis, Vec<Tick>),
    ) -> Self {
        let left = 12.0 + NAME * 1.5 + font::widest(y_ticks.iter().map(|tick| tick.1.as_str()), TICK);
        let (width, height) = (size.0 - left - 18.0, size.1 - BELOW);
        Self { left: at.0 + left, top: at.1, width, height, x, y, x_ticks, y_ticks }
    }

    pub(crate) fn x(&self, value: f64) -> f64 {
        self.left + self.width * self.x.share(value)
    }

    pub(crate) fn y(&self, value: f64) -> f64 {
        self.top + self.height * (1.0 - self.y.share(value))
    }

    pub(crate) fn bottom(&self) -> f64 {
        self.top + self.height
    }

    /// Draws lines at the ticks, the ticks' labels, and the names of both axes.
    pub(crate) fn draw(&self, canvas: &mut Canvas, x_name: &str, y_name: &str) {
        let (right, bottom) = (self.left + self.width, self.bottom());
        for (value, label) in &self.y_ticks {
            let y = self.y(*value);
            canvas.line((self.left, y), (right, y), FAINT, 1.0);
            canvas.text(label, (self.left - 7.0, y), Style::new(TICK).at(Side::Right, Level::Middle));
        }
        let mut end = f64::NEG_INFINITY;
        for (value, label) in &self.x_ticks {
            let (x, half) = (self.x(*value), font::width(label, TICK) / 2.0);
            canvas.line((x, self.top), (x, bottom), FAINT, 1.0);
            canvas.line((x, bottom), (x, bottom + 4.0), BLACK, 1.0);
            // Labels that would touch are left out.
            if x - half > end + 4.0 {
                canvas.text(label, (x, bottom + 8.0), Style::new(TICK).at(Side::Center, Level::Top));
                end = x + half;
            }
        }
        canvas
            .path(&[(self.left, self.top), (self.left, bottom), (right, bottom)], Paint::stroke(BLACK, 1.0));
        let name = Style::new(NAME).color(GREY);
        canvas.text(x_name, ((self.left + right) / 2.0, bottom + 28.0), name.at(Side::Center, Level::Top));
        let widest = font::widest(self.y_ticks.iter().map(|tick| tick.1.as_str()), TICK);
        let x = self.left - 7.0 - widest - 6.0 - NAME;
        canvas.text(y_name, (x, (self.top + bottom) / 2.0), name.at(Side::Center, Level::Top).upright());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_rates_are_short() {
        let numbers = [1500.0, 50.0, 1.0, 0.3, 0.0033, 0.0010000000474974513, 1e-5, 2e-7].map(number);
        assert_eq!(numbers, ["1500", "50", "1", "0.3", "0.0033", "0.001", "10⁻⁵", "2·10⁻⁷"]);
    }

    #[test]
    fn an_axis_has_some_ticks_and_not_too_many() {
        for longest in [0.003, 0.9, 1.0, 7.0, 12.0, 12.1, 39.0, 100.0, 119.0, 12345.0] {
            let count = Axis::from(0.0, longest).ticks(12, 0.0).len();
            assert!((4..=13).contains(&count), "{count} ticks for {longest}");
        }
        let labels: Vec<String> =
            Axis::from(-0.5, 0.5).ticks(5, 0.0).into_iter().map(|tick| tick.1).collect();
        assert_eq!(labels, ["−0.4", "−0.2", "0.0", "0.2", "0.4"]);
        assert_eq!(Axis::from(0.0, 3.0).ticks(12, 1.0).len(), 4);
    }

    #[test]
    fn a_logarithmic_axis_has_round_ticks() {
        let labels = |low, high| {
            Axis::around([low, high], true).ticks(8, 0.0).into_iter().map(|tick| tick.1).collect::<Vec<_>>()
        };
        assert_eq!(labels(20.0, 200.0), ["20", "50", "100", "200"]);
        assert_eq!(labels(1e-6, 1.0), ["10⁻⁶", "10⁻⁵", "10⁻⁴", "0.001", "0.01", "0.1", "1"]);
    }
}
