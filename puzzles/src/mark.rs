//! Marking: a text is compiled, run at every shape of its puzzle, and compared with the twin.

use crate::bounded::TURNS;
use crate::case::{Case, Grid};
use crate::device::{Device, Program, Scalar, Trouble};
use crate::interface::{Fault, Interface, interface};
use crate::list::Puzzle;
use crate::verdict::{BEHIND, NOTHING, UNWRITTEN, Wrong, judge};

/// Why a text does not solve its puzzle.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Complaint {
    /// It is no kernel.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// The entry point never mentions the output.
    #[error("nothing writes `{0}` yet: fill in the body of the entry point")]
    Empty(&'static str),
    /// A workgroup has another size than the puzzle needs.
    #[error("@workgroup_size must stay at {wanted}, it is {found}")]
    Workgroup {
        /// What it is.
        found: String,
        /// What it must be.
        wanted: String,
    },
    /// A loop does not end.
    #[error(
        "At {case}:\n  the loop at line {line}, or one around it, does not end: one invocation took more than {TURNS} \
         turns. Does its variable change, and is its condition false at last?"
    )]
    Endless {
        /// The shape.
        case: String,
        /// The line of the loop, or of one in it.
        line: u32,
    },
    /// The result is wrong.
    #[error("{wrong}{}", after(.right))]
    Wrong {
        /// What is wrong.
        wrong: Box<Wrong>,
        /// The shapes at which it was right before.
        right: Vec<String>,
    },
    /// The device failed, or the text uses a binding or a field that the puzzle does not have.
    #[error("{0}")]
    Trouble(#[from] Trouble),
}

fn after(right: &[String]) -> String {
    match right {
        [] => String::new(),
        [one] => format!("\n  Right at the shape before: {one}."),
        [first, ..] => format!("\n  Right at the {} shapes before, such as: {first}.", right.len()),
    }
}

/// Marks `text`, which compiler messages call `path`, at the shapes of `seed`. Gives these shapes.
///
/// # Errors
/// The first thing that is wrong.
pub async fn mark(
    device: &Device,
    puzzle: &Puzzle,
    text: &str,
    path: &str,
    seed: u64,
) -> Result<Vec<String>, Complaint> {
    let found = interface(text, puzzle.entry, path)?;
    let cases = (puzzle.cases)(seed);
    for case in &cases {
        check(&found, case)?;
    }
    let program = device.checked_program(text, puzzle.entry, found).await?;
    let mut right = vec![];
    for case in &cases {
        match try_case(device, &program, case).await {
            Ok(()) => right.push(case.what.clone()),
            Err(Complaint::Wrong { wrong, .. }) => return Err(Complaint::Wrong { wrong, right }),
            Err(other) => return Err(other),
        }
    }
    Ok(right)
}

/// Whether the kernel can be run at `case`.
fn check(found: &Interface, case: &Case) -> Result<(), Complaint> {
    if !found.bindings.iter().any(|binding| binding.name == case.expected.name) {
        return Err(Complaint::Empty(case.expected.name));
    }
    let words = |[x, y, z]: [u32; 3]| if z == 1 { format!("({x}, {y})") } else { format!("({x}, {y}, {z})") };
    match case.grid {
        Grid::Workgroups(_, wanted) if wanted != found.workgroup => {
            Err(Complaint::Workgroup { found: words(found.workgroup), wanted: words(wanted) })
        }
        _ => Ok(()),
    }
}

/// Runs `program` at `case`, and judges what it wrote.
///
/// # Errors
/// What is wrong.
pub async fn try_case(device: &Device, program: &Program, case: &Case) -> Result<(), Complaint> {
    let behind = |float: bool| std::iter::repeat_n(if float { NOTHING } else { u32::MAX }, BEHIND);
    let upload = |input: &crate::case::Input| {
        let words: Vec<u32> = input.words.iter().copied().chain(behind(input.float)).collect();
        (input.name, device.upload(&words))
    };
    let inputs: Vec<_> = case.inputs.iter().map(upload).collect();
    let size = case.expected.value.value.data.len();
    let output = device.upload(&vec![UNWRITTEN; size + BEHIND]);
    let mut buffers: Vec<_> = inputs.iter().map(|(name, buffer)| (*name, buffer)).collect();
    buffers.push((case.expected.name, &output));
    let params: &[(&str, Scalar)] = &case.params;
    let bound = device.bind(program, &buffers, params, workgroups(case, program.workgroup()))?;
    device.dispatch(&[&bound], 1);
    let found = device.read(&output).await?;
    if let Some(line) = device.endless(&bound).await? {
        return Err(Complaint::Endless { case: case.what.clone(), line });
    }
    judge(case, &found).map_err(|wrong| Complaint::Wrong { wrong, right: vec![] })
}

fn workgroups(case: &Case, size: [u32; 3]) -> [u32; 3] {
    match case.grid {
        Grid::Workgroups(groups, _) => groups,
        // One more than needed, so that a missing comparison with the size shows at every shape.
        Grid::Invocations(count) => [count as u32 / size.iter().product::<u32>() + 1, 1, 1],
    }
}
