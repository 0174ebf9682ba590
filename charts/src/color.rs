//! Colours of all figures.

use std::fmt;

/// Red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Color(pub u8, pub u8, pub u8);

pub(crate) const BLACK: Color = Color(0, 0, 0);
pub(crate) const WHITE: Color = Color(255, 255, 255);
/// Grid lines.
pub(crate) const FAINT: Color = Color(234, 234, 234);
/// Distinct in print and for colour-blind readers (Okabe and Ito 2008).
pub(crate) const COLORS: [Color; 5] =
    [Color(213, 94, 0), Color(0, 114, 178), Color(0, 158, 115), Color(204, 121, 167), Color(86, 86, 86)];
/// Colours of series: the same, and two more of that palette.
pub(crate) const SERIES: [Color; 7] = {
    let [a, b, c, d, e] = COLORS;
    [a, b, c, d, e, Color(86, 180, 233), Color(230, 159, 0)]
};
/// Words that explain.
pub(crate) const GREY: Color = COLORS[4];

/// Viridis (van der Walt and Smith 2015) at equal distances.
const VIRIDIS: [Color; 9] = [
    Color(68, 1, 84),
    Color(71, 44, 122),
    Color(59, 81, 139),
    Color(44, 113, 142),
    Color(33, 144, 141),
    Color(39, 173, 129),
    Color(92, 200, 99),
    Color(170, 220, 50),
    Color(253, 231, 37),
];

impl Color {
    /// A colour between this one (0) and another (1).
    pub(crate) fn towards(self, to: Self, share: f64) -> Self {
        let mix = |from: u8, to: u8| {
            (f64::from(from) + share.clamp(0.0, 1.0) * (f64::from(to) - f64::from(from))).round() as u8
        };
        Self(mix(self.0, to.0), mix(self.1, to.1), mix(self.2, to.2))
    }
}

/// The colour of a series.
pub(crate) fn of_series(series: usize) -> Color {
    SERIES[series % SERIES.len()]
}

/// From nearly white to the blue of all figures.
pub(crate) fn blue(share: f64) -> Color {
    Color(243, 247, 251).towards(COLORS[1], share)
}

/// From dark blue over green to yellow.
pub(crate) fn viridis(share: f64) -> Color {
    let at = share.clamp(0.0, 1.0) * (VIRIDIS.len() - 1) as f64;
    let below = (at as usize).min(VIRIDIS.len() - 2);
    VIRIDIS[below].towards(VIRIDIS[below + 1], at - below as f64)
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_begin_and_end_with_their_colours() {
        assert_eq!((blue(0.0), blue(1.0)), (Color(243, 247, 251), COLORS[1]));
        assert_eq!((viridis(-1.0), viridis(0.5), viridis(2.0)), (VIRIDIS[0], VIRIDIS[4], VIRIDIS[8]));
        assert_eq!(COLORS[0].to_string(), "#d55e00");
    }
}
