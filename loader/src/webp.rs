//! Checks the sizes in a WebP file against each other before it is decoded.
//!
//! The decoder allocates by two numbers that a damaged file can set to any value: the length of the EXIF
//! chunk (4 GB for a file of 232 bytes) and the sides of a lossy frame (402 MB, however small the canvas).
//! `frostline-fuzz` found both; the files are in `tests/fuzz/findings`. The layout is that of the WebP
//! Container Specification.

/// Bytes of a chunk's name and length.
const HEAD: usize = 8;
/// Bytes of an animation's frame before its own chunks.
const FRAME_HEAD: usize = 16;

/// The file without the bytes after its end; other formats unchanged.
///
/// # Errors
/// With a reason, for a chunk that is longer than the file and for a frame larger than the canvas.
pub(crate) fn checked(bytes: &[u8]) -> Result<&[u8], String> {
    let Some(([b'R', b'I', b'F', b'F', size @ .., b'W', b'E', b'B', b'P'], _)) =
        bytes.split_first_chunk::<12>()
    else {
        return Ok(bytes);
    };
    let file = &bytes[..bytes.len().min(number(size).saturating_add(HEAD))];
    let mut canvas = None;
    for chunk in chunks(file.get(12..).unwrap_or_default()) {
        match chunk? {
            (b"VP8X", content) => canvas = sides_of_canvas(content),
            (b"ANMF", content) => {
                for inner in chunks(content.get(FRAME_HEAD..).unwrap_or_default()) {
                    check_frame(inner?, canvas)?;
                }
            }
            chunk => check_frame(chunk, canvas)?,
        }
    }
    Ok(file)
}

type Chunk<'a> = (&'a [u8; 4], &'a [u8]);

/// Names and contents, until less is left than a chunk needs. Chunks begin at even offsets.
fn chunks(mut bytes: &[u8]) -> impl Iterator<Item = Result<Chunk<'_>, String>> {
    std::iter::from_fn(move || {
        let (name, rest) = bytes.split_first_chunk::<4>()?;
        let (size, rest) = rest.split_first_chunk::<4>()?;
        let size = number(size);
        let Some(content) = rest.get(..size) else {
            bytes = &[];
            return Some(Err(format!(
                "its chunk {} should have {size} bytes, but only {} are left",
                name.escape_ascii(),
                rest.len()
            )));
        };
        bytes = rest.get(size + size % 2..).unwrap_or_default();
        Some(Ok((name, content)))
    })
}

fn sides_of_canvas(content: &[u8]) -> Option<[usize; 2]> {
    Some([1 + number(content.get(4..7)?), 1 + number(content.get(7..10)?)])
}

/// A lossy frame stores its sides behind its tag and start code (RFC 6386, section 9.1).
fn check_frame((name, content): Chunk<'_>, canvas: Option<[usize; 2]>) -> Result<(), String> {
    let (b"VP8 ", Some([width, height]), Some(sides)) = (name, canvas, content.get(6..10)) else {
        return Ok(());
    };
    let [w, h] = [&sides[..2], &sides[2..]].map(|side| number(side) & 0x3fff);
    if w > width || h > height {
        return Err(format!("a frame of {w}x{h} does not fit into its canvas of {width}x{height}"));
    }
    Ok(())
}

/// Little-endian, at most four bytes.
fn number(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte))
}
