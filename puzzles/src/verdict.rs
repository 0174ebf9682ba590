//! What is wrong with a result: which element, by how much, and what the wrong ones have in common.

use crate::case::{Case, Grid};
use frostline_twin::compare::{EPS32, FACTOR, TINY};
use std::fmt;

/// The bits of elements that were not written yet: a NaN that arithmetic does not make.
pub const UNWRITTEN: u32 = 0x7fc0_dead;

/// The bits of floats behind the end of an input: another NaN, so that a copy of it counts as written.
pub const NOTHING: u32 = 0x7fc0_0bad;

/// Elements behind the end of every array, which no kernel should read or write.
pub const BEHIND: usize = 1024;

/// What an element is instead of right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Right,
    Unwritten,
    NotFinite,
    Off,
}

/// An output that differs from the twin's.
#[derive(Clone, Debug, PartialEq)]
pub struct Wrong {
    /// The shape at which it was found.
    pub case: String,
    /// Elements that are wrong, of how many.
    pub count: (usize, usize),
    /// The first line: the worst element, its position in words, what was expected and found.
    pub element: String,
    /// What the wrong elements have in common.
    pub remarks: Vec<String>,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (wrong, all) = self.count;
        writeln!(f, "At {}:", self.case)?;
        if wrong > 0 {
            let are = if wrong == 1 { "is" } else { "are" };
            writeln!(f, "  {wrong} of {all} elements {are} wrong.")?;
        }
        write!(f, "  {}", self.element)?;
        self.remarks.iter().try_for_each(|remark| write!(f, "\n  {remark}"))
    }
}

/// Compares what a kernel left in its output, with [`BEHIND`] elements behind the end.
///
/// # Errors
/// What is wrong, if anything is.
pub fn judge(case: &Case, found: &[u32]) -> Result<(), Box<Wrong>> {
    let expected = &case.expected.value;
    let size = expected.value.data.len();
    let kinds: Vec<Kind> =
        (0..size).map(|i| kind(found[i], expected.at([i]).value, bound(case, i))).collect();
    let wrong: Vec<usize> = (0..size).filter(|&i| kinds[i] != Kind::Right).collect();
    let behind = found[size..].iter().position(|word| *word != UNWRITTEN);
    let name = case.expected.name;
    let behind = behind.map(|at| {
        let behind = if at == 0 { "directly".to_owned() } else { format!("{at} elements") };
        format!(
            "`{name}` is written {behind} behind its end: {name}[{}], while it has {size} elements. \
             There are more invocations than elements; those left over must not write.",
            size + at
        )
    });
    let verdict = |element: String, remarks| {
        let count = (wrong.len(), size);
        Err(Box::new(Wrong { case: case.what.clone(), count, element, remarks }))
    };
    if wrong.is_empty() {
        return behind.map_or(Ok(()), |element| verdict(element, vec![]));
    }
    let worst = worst(case, found, &kinds, &wrong);
    let mut remarks = common(case, found, &kinds, &wrong);
    remarks.extend(behind);
    verdict(worst, remarks)
}

/// How far an element may be off.
fn bound(case: &Case, i: usize) -> f64 {
    FACTOR * EPS32 * case.expected.value.terms.data[i] + TINY
}

fn kind(found: u32, expected: f64, bound: f64) -> Kind {
    let value = f32::from_bits(found);
    match found {
        UNWRITTEN => Kind::Unwritten,
        _ if !value.is_finite() => Kind::NotFinite,
        _ if (f64::from(value) - expected).abs() <= bound => Kind::Right,
        _ => Kind::Off,
    }
}

/// The position of an element, one number an axis.
fn position(case: &Case, mut i: usize) -> Vec<usize> {
    let shape = &case.expected.value.value.shape;
    let mut position = vec![0; shape.len()];
    for (index, size) in position.iter_mut().zip(shape).rev() {
        *index = i % size;
        i /= size;
    }
    position
}

/// `image 0, row 2, column 3, channel 1`
fn in_words(case: &Case, i: usize) -> String {
    let numbers = position(case, i);
    let words: Vec<String> =
        case.expected.axes.iter().zip(numbers).map(|(axis, number)| format!("{axis} {number}")).collect();
    words.join(", ")
}

/// The first element that was not written, else the first NaN, else the element with the largest error.
fn worst(case: &Case, found: &[u32], kinds: &[Kind], wrong: &[usize]) -> String {
    let name = case.expected.name;
    let first = |kind: Kind| wrong.iter().copied().find(|&i| kinds[i] == kind);
    let expected = |i: usize| case.expected.value.value.data[i];
    if let Some(i) = first(Kind::NotFinite) {
        let value = f32::from_bits(found[i]);
        return format!("`{name}` at {}: expected {:.6}, found {value}.", in_words(case, i), expected(i));
    }
    let off = |i: usize| (f64::from(f32::from_bits(found[i])) - expected(i)).abs();
    let most = wrong.iter().copied().filter(|&i| kinds[i] == Kind::Off);
    if let Some(i) = most.max_by(|&a, &b| off(a).total_cmp(&off(b))) {
        let allowed = if bound(case, i) > 2.0 * TINY {
            format!("rounding allows {:.0e}", bound(case, i))
        } else {
            "and nothing is rounded here".to_owned()
        };
        return format!(
            "`{name}` at {}: expected {:.6}, found {:.6}: off by {:.2e}, {allowed}.",
            in_words(case, i),
            expected(i),
            f32::from_bits(found[i]),
            off(i)
        );
    }
    let i = wrong[0];
    format!("`{name}` at {} is never written; expected {:.6}.", in_words(case, i), expected(i))
}

/// What the wrong elements have in common.
fn common(case: &Case, found: &[u32], kinds: &[Kind], wrong: &[usize]) -> Vec<String> {
    let mut remarks = vec![];
    let unwritten = wrong.iter().filter(|&&i| kinds[i] == Kind::Unwritten).count();
    let size = kinds.len();
    if unwritten == size {
        remarks.push("Nothing is written at all.".to_owned());
        if let Grid::Workgroups(..) = case.grid {
            remarks.push(
                "Has an invocation returned before a workgroupBarrier()? All have to reach it.".to_owned(),
            );
        }
        return remarks;
    }
    if unwritten > 0 && wrong.len() > 1 {
        let are = if unwritten == 1 { " is" } else { "s are" };
        remarks.push(format!("{unwritten} element{are} never written."));
    }
    if wrong.iter().any(|&i| kinds[i] == Kind::NotFinite) {
        remarks.push(
            "What is no number comes from an overflow, from 0/0, or from behind the end of an array: NaN is \
             stored there."
                .to_owned(),
        );
    }
    remarks.extend(place(case, wrong));
    let off: Vec<usize> = wrong.iter().copied().filter(|&i| kinds[i] == Kind::Off).collect();
    let pairs: Vec<(f64, f64)> = off
        .iter()
        .map(|&i| (f64::from(f32::from_bits(found[i])), case.expected.value.value.data[i]))
        .collect();
    // One wrong element does not show a rule; a few may agree by chance.
    if pairs.len() >= 3 {
        let rule = factor(case, &pairs)
            .or_else(|| displaced(case, found, &off))
            .or_else(|| shifted(case, found, &off));
        remarks.extend(rule);
    }
    remarks
}

/// Where they all are, if not everywhere.
fn place(case: &Case, wrong: &[usize]) -> Option<String> {
    let shape = &case.expected.value.value.shape;
    let axes = &case.expected.axes;
    if wrong.len() == shape.iter().product::<usize>() {
        return Some("No element is right.".to_owned());
    }
    if wrong.len() == 1 {
        return None;
    }
    let positions: Vec<Vec<usize>> = wrong.iter().map(|&i| position(case, i)).collect();
    let mut places = vec![];
    for (axis, name) in axes.iter().enumerate() {
        let (first, last) = (positions[0][axis], shape[axis] - 1);
        if shape[axis] > 1 && positions.iter().all(|position| position[axis] == first) {
            let which = if first == last { " (the last)" } else { "" };
            places.push(format!("{name} {first}{which}"));
        }
    }
    if !places.is_empty() {
        return Some(format!("All wrong elements are in {}.", places.join(" and ")));
    }
    let spatial: Vec<usize> =
        (0..axes.len()).filter(|&axis| ["row", "column"].contains(&axes[axis])).collect();
    let border = |position: &Vec<usize>| {
        spatial.iter().any(|&axis| position[axis] == 0 || position[axis] + 1 == shape[axis])
    };
    if spatial.len() == 2 && positions.iter().all(border) && axes.contains(&"channel") {
        return Some("All wrong elements are at the border of the image.".to_owned());
    }
    let unmet = |(axis, name): (usize, &&str)| {
        // Rest of a tile: right before some index, wrong from there on.
        let first = positions.iter().map(|position| position[axis]).min()?;
        let all = wrong.len() == (shape[axis] - first) * shape.iter().product::<usize>() / shape[axis];
        (first > 0 && all).then(|| format!("Everything is wrong from {name} {first} on, and right before."))
    };
    axes.iter().enumerate().find_map(unmet)
}

/// A factor between found and expected that is the same everywhere.
fn factor(case: &Case, pairs: &[(f64, f64)]) -> Option<String> {
    if pairs.iter().all(|(found, _)| *found == 0.0) {
        return Some("Every wrong element is 0.".to_owned());
    }
    let clear: Vec<f64> = pairs
        .iter()
        .filter(|(_, expected)| expected.abs() > 1e-3)
        .map(|(found, expected)| found / expected)
        .collect();
    let ratio = *clear.first()?;
    let same = |ratio: f64| clear.iter().all(|other| (other - ratio).abs() <= 1e-3 * ratio.abs());
    if clear.len() < 3 || ratio == 0.0 || !same(ratio) {
        return None;
    }
    if (ratio + 1.0).abs() < 1e-3 {
        return Some("Every wrong element has the wrong sign.".to_owned());
    }
    let named = |factor: f64| {
        case.counts.iter().find(|(_, count)| (factor / count - 1.0).abs() < 1e-3).map(|(name, _)| *name)
    };
    let (size, way) = if ratio.abs() > 1.0 { (ratio, "large") } else { (1.0 / ratio, "small") };
    let what = named(size).map_or(String::new(), |name| format!(", and that is the number of {name}"));
    Some(format!("Every wrong element is {size:.3} times too {way}{what}."))
}

/// Values that are right at another position.
fn displaced(case: &Case, found: &[u32], off: &[usize]) -> Option<String> {
    let expected = &case.expected.value.value.data;
    let place_of = |i: usize| {
        let value = f64::from(f32::from_bits(found[i]));
        let near = |j: &usize| (expected[*j] - value).abs() <= bound(case, *j);
        (value != 0.0).then(|| (0..expected.len()).find(near)).flatten()
    };
    let elsewhere: Vec<(usize, usize)> = off.iter().filter_map(|&i| Some((i, place_of(i)?))).collect();
    if elsewhere.len() * 5 < off.len() * 4 {
        return None;
    }
    let (here, there) = elsewhere[0];
    Some(format!(
        "The values are right, but at the wrong place: what is found at {} is expected at {}.",
        in_words(case, here),
        in_words(case, there)
    ))
}

/// A difference that depends on the last axis only.
fn shifted(case: &Case, found: &[u32], off: &[usize]) -> Option<String> {
    let (&last, axis) = (case.expected.value.value.shape.last()?, case.expected.axes.last()?);
    let difference = |i: usize| f64::from(f32::from_bits(found[i])) - case.expected.value.value.data[i];
    let mut by_place = vec![vec![]; last];
    off.iter().for_each(|&i| by_place[i % last].push(difference(i)));
    let constant = |all: &Vec<f64>| all.iter().all(|one| (one - all[0]).abs() <= 1e-4 * all[0].abs());
    let many = by_place.iter().filter(|all| all.len() > 1).count();
    (last > 1 && many * 2 > last && by_place.iter().filter(|all| !all.is_empty()).all(constant)).then(|| {
        format!("Elements of one {axis} are all off by the same amount: is a number that there is one of for each {axis} missing?")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use frostline_twin::{Array, Value};

    fn case(shape: &[usize]) -> Case {
        let values =
            (0..shape.iter().product::<usize>()).map(|i| (i as f64 * 0.7).sin() + 2.0 * i as f64).collect();
        let value = Value::exact(&Array::new(shape, values));
        Case::new("a shape".into(), "y", &["image", "row", "column", "channel"], value).count("pixels", 20)
    }

    fn found(case: &Case, change: impl Fn(usize, f64) -> f64) -> Vec<u32> {
        let values = case.expected.value.value.data.iter().enumerate();
        let words = values.map(|(i, value)| (change(i, *value) as f32).to_bits());
        words.chain(std::iter::repeat_n(UNWRITTEN, BEHIND)).collect()
    }

    fn message(case: &Case, words: &[u32]) -> String {
        judge(case, words).unwrap_err().to_string()
    }

    #[test]
    fn what_is_right_passes() {
        let case = case(&[2, 4, 5, 3]);
        assert_eq!(judge(&case, &found(&case, |_, value| value)), Ok(()));
    }

    #[test]
    fn one_element_is_named_in_words() {
        let case = case(&[2, 4, 5, 3]);
        let words = found(&case, |i, value| if i == 64 { value + 0.5 } else { value });
        let message = message(&case, &words);
        assert!(message.contains("1 of 120 elements is wrong"), "{message}");
        assert!(message.contains("`y` at image 1, row 0, column 1, channel 1: expected 128.7"), "{message}");
    }

    #[test]
    fn factors_borders_places_and_shifts_are_seen() {
        let case = case(&[2, 4, 5, 3]);
        let times = message(&case, &found(&case, |_, value| value * 20.0));
        assert!(times.contains("20.000 times too large, and that is the number of pixels"), "{times}");
        let border = |i: usize| [0, 3].contains(&(i / 15 % 4)) || [0, 4].contains(&(i / 3 % 5));
        let border = message(
            &case,
            &found(&case, |i, value| if border(i) { value + 0.1 * i as f64 + 1.0 } else { value }),
        );
        assert!(border.contains("at the border of the image"), "{border}");
        let values = case.expected.value.value.data.clone();
        let moved = message(&case, &found(&case, |i, _| values[(i + 3) % 120]));
        assert!(moved.contains("is expected at image 0, row 0, column 1, channel 0"), "{moved}");
        let bias = message(&case, &found(&case, |i, value| value + 1.0 + (i % 3) as f64));
        assert!(bias.contains("Elements of one channel are all off by the same amount"), "{bias}");
    }

    #[test]
    fn what_is_not_written_not_finite_or_behind_the_end_is_said() {
        let case = case(&[1, 2, 2, 3]);
        let nothing = message(&case, &vec![UNWRITTEN; 12 + BEHIND]);
        assert!(
            nothing.contains("never written") && nothing.contains("Nothing is written at all"),
            "{nothing}"
        );
        let mut words = found(&case, |_, value| value);
        words[14] = 0;
        let behind = message(&case, &words);
        assert!(behind.contains("y[14], while it has 12 elements"), "{behind}");
        words[5] = f32::NAN.to_bits();
        let nan = message(&case, &words);
        assert!(
            nan.contains("row 0, column 1, channel 2: expected 9.64") && nan.contains("found NaN"),
            "{nan}"
        );
    }
}
