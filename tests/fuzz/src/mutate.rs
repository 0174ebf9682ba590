//! Damage. One generator determines all of it, so that a case can be repeated from its number.

use std::ops::Range;

use frostline_loader::shuffle::below;
use rand_chacha::ChaCha8Rng;

/// Values that a mutation writes over numbers: the limits of arithmetic.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    1 << 62,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];
/// A file does not grow beyond this, so that a million cases take minutes.
const LONGEST: usize = 64 << 10;

/// Damages `bytes` in one to seven places. `words` are pieces of text with a meaning in the format; `donor`
/// is another valid file, for crossover.
pub fn damage(bytes: &mut Vec<u8>, words: &[&str], donor: &[u8], rng: &mut ChaCha8Rng) {
    let count = 1 + below(4, rng) * below(3, rng);
    for _ in 0..count {
        damage_once(bytes, words, donor, rng);
        bytes.truncate(LONGEST);
    }
}

fn damage_once(bytes: &mut Vec<u8>, words: &[&str], donor: &[u8], rng: &mut ChaCha8Rng) {
    let at = place(bytes, rng);
    match below(16, rng) {
        0 | 1 => change(bytes, at, |byte, rng| byte ^ (1 << below(8, rng)), rng),
        2 => change(bytes, at, |_, rng| below(256, rng) as u8, rng),
        3 => change(bytes, at, |byte, rng| byte.wrapping_add(below(9, rng) as u8).wrapping_sub(4), rng),
        4 => write_edge(bytes, at, rng),
        5 => insert(bytes, at, &(0..=below(16, rng)).map(|_| below(256, rng) as u8).collect::<Vec<_>>()),
        6 => drop(bytes.drain(range(bytes.len(), rng))),
        7 => {
            let again = bytes[range(bytes.len(), rng)].to_vec();
            insert(bytes, at, &again);
        }
        8 => insert(bytes, at, &donor[range(donor.len(), rng)]),
        9 => splice(bytes, at, donor, rng),
        10 => bytes.truncate(at),
        11 => bytes.extend(std::iter::repeat_n(below(2, rng) as u8 * 0xff, below(300, rng) as usize)),
        12 | 13 => replace_number(bytes, at, rng),
        _ => insert_word(bytes, at, words, rng),
    }
}

fn place(bytes: &[u8], rng: &mut ChaCha8Rng) -> usize {
    below(bytes.len() as u64 + 1, rng) as usize
}

/// Mostly short, sometimes anything.
fn range(len: usize, rng: &mut ChaCha8Rng) -> Range<usize> {
    if len == 0 {
        return 0..0;
    }
    let begin = below(len as u64, rng) as usize;
    let most = if below(4, rng) == 0 { len - begin } else { (len - begin).min(16) };
    begin..begin + 1 + below(most as u64, rng) as usize
}

fn change(bytes: &mut [u8], at: usize, new: impl Fn(u8, &mut ChaCha8Rng) -> u8, rng: &mut ChaCha8Rng) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = new(*byte, rng);
    }
}

fn write_edge(bytes: &mut [u8], at: usize, rng: &mut ChaCha8Rng) {
    let value = EDGES[below(EDGES.len() as u64, rng) as usize];
    let width = 1usize << below(4, rng);
    let (little, big) = (value.to_le_bytes(), value.to_be_bytes());
    let piece = if below(2, rng) == 0 { &little[..width] } else { &big[8 - width..] };
    let end = (at + width).min(bytes.len());
    bytes[at.min(end)..end].copy_from_slice(&piece[..end - at.min(end)]);
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}

/// From `at` on the donor's bytes, at the same place or anywhere.
fn splice(bytes: &mut Vec<u8>, at: usize, donor: &[u8], rng: &mut ChaCha8Rng) {
    let from = if below(2, rng) == 0 { at } else { place(donor, rng) };
    bytes.truncate(at);
    bytes.extend(donor.get(from..).unwrap_or_default());
}

fn insert_word(bytes: &mut Vec<u8>, at: usize, words: &[&str], rng: &mut ChaCha8Rng) {
    if words.is_empty() {
        return;
    }
    let word = words[below(words.len() as u64, rng) as usize].as_bytes();
    // Deep nesting overflows the stack of recursive parsers.
    let times = if below(16, rng) == 0 { 1 + below(5000, rng) as usize } else { 1 };
    insert(bytes, at, &word.repeat(times));
}

/// Writes another number in place of the next run of decimal digits.
fn replace_number(bytes: &mut Vec<u8>, at: usize, rng: &mut ChaCha8Rng) {
    let Some(begin) = (at..bytes.len()).find(|&i| bytes[i].is_ascii_digit()) else { return };
    let end = (begin..bytes.len()).find(|&i| !bytes[i].is_ascii_digit()).unwrap_or(bytes.len());
    let old =
        std::str::from_utf8(&bytes[begin..end]).ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let new = match below(6, rng) {
        0 => old.wrapping_add(1),
        1 => old.wrapping_sub(1),
        2 => old.wrapping_mul(2),
        3 => EDGES[below(EDGES.len() as u64, rng) as usize],
        4 => below(100, rng),
        _ => old.wrapping_add(4),
    };
    bytes.splice(begin..end, new.to_string().into_bytes());
}

/// Writes a text, number or list in place of another, so that the rest stays JSON: then the contents must be
/// refused, not the syntax.
fn replace_token(json: &mut Vec<u8>, words: &[&str], donor: &[u8], rng: &mut ChaCha8Rng) {
    let (places, others) = (tokens(json), tokens(donor));
    if places.is_empty() || others.is_empty() || words.is_empty() {
        return;
    }
    let place = places[below(places.len() as u64, rng) as usize].clone();
    let any = |tokens: &[Range<usize>], rng: &mut ChaCha8Rng| {
        tokens[below(tokens.len() as u64, rng) as usize].clone()
    };
    let new = match below(4, rng) {
        0 => json[any(&places, rng)].to_vec(),
        1 => words[below(words.len() as u64, rng) as usize].as_bytes().to_vec(),
        _ => {
            let alike: Vec<Range<usize>> =
                others.iter().filter(|other| donor[other.start] == json[place.start]).cloned().collect();
            donor[any(if alike.is_empty() { &others } else { &alike }, rng)].to_vec()
        }
    };
    json.splice(place, new);
}

/// Where texts, numbers and flat lists are.
fn tokens(json: &[u8]) -> Vec<Range<usize>> {
    let mut tokens = vec![];
    let mut at = 0;
    while let Some(rest @ [first, ..]) = json.get(at..) {
        let length = match first {
            b'"' => {
                2 + rest[1..]
                    .iter()
                    .scan(false, |escaped, &byte| {
                        let ends = byte == b'"' && !*escaped;
                        *escaped = byte == b'\\' && !*escaped;
                        (!ends).then_some(())
                    })
                    .count()
            }
            b'[' => rest.iter().take_while(|&&byte| byte != b']').count() + 1,
            _ => rest.iter().take_while(|byte| byte.is_ascii_digit()).count(),
        };
        if length > 0 && at + length <= json.len() {
            tokens.push(at..at + length);
        }
        // A list's numbers count as well.
        at += if *first == b'[' { 1 } else { length.max(1) };
    }
    tokens
}

/// Damages the header of a safetensors file, or its data, and corrects the length at its start: otherwise
/// hardly any damaged header would be parsed.
pub fn damage_safetensors(bytes: &mut Vec<u8>, words: &[&str], donor: &[u8], rng: &mut ChaCha8Rng) {
    let header = |bytes: &[u8]| -> Option<usize> {
        let length = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
        (8 + length as usize <= bytes.len()).then_some(length as usize)
    };
    let (Some(length), Some(donor_length)) = (header(bytes), header(donor)) else {
        return damage(bytes, words, donor, rng);
    };
    let mut json = bytes[8..8 + length].to_vec();
    let mut data = bytes[8 + length..].to_vec();
    let donor_json = &donor[8..8 + donor_length];
    if below(2, rng) == 0 {
        (0..=below(3, rng)).for_each(|_| replace_token(&mut json, words, donor_json, rng));
    } else {
        damage(&mut json, words, donor_json, rng);
    }
    if below(8, rng) == 0 {
        damage(&mut data, &[], &donor[8 + donor_length..], rng);
    }
    *bytes = [&(json.len() as u64).to_le_bytes(), json.as_slice(), &data].concat();
}

/// Makes the checksums of a PNG's chunks right, as far as its chunks can be followed: otherwise no damaged
/// chunk would be parsed.
pub fn mend_png(bytes: &mut [u8]) {
    let mut at = 8;
    while let Some(length) =
        bytes.get(at..at + 4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]) as usize)
    {
        let end = at + 8 + length;
        if end + 4 > bytes.len() {
            return;
        }
        let checksum = crc32(&bytes[at + 4..end]);
        bytes[end..end + 4].copy_from_slice(&checksum.to_be_bytes());
        at = end + 4;
    }
}

/// The checksum of PNG chunks (PNG specification, annex D).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes
        .iter()
        .fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |c, _| (c >> 1) ^ (0xedb8_8320 * (c & 1))))
}

#[cfg(test)]
mod tests {
    use frostline_loader::shuffle::item_generator;

    use super::*;

    #[test]
    fn a_case_is_the_same_again_and_cases_differ() {
        let original: Vec<u8> = (0..200).collect();
        let mutated = |case| {
            let mut bytes = original.clone();
            damage(&mut bytes, &["word", "{"], b"another file", &mut item_generator(7, 0, case));
            bytes
        };
        let all: std::collections::HashSet<Vec<u8>> = (0..1000).map(mutated).collect();
        assert!(all.len() > 900, "{} of 1000 are different", all.len());
        assert!((0..1000).all(|case| mutated(case) == mutated(case)));
        assert!(all.iter().all(|bytes| bytes.len() <= LONGEST));
        // A file without anything to damage must not cause a panic.
        for case in 0..1000 {
            damage(&mut vec![], &[], &[], &mut item_generator(7, 1, case));
        }
    }

    #[test]
    fn tokens_are_what_can_be_exchanged() {
        let json = br#"{"a \" b":[1,23],"c":4,"cut"#;
        let found: Vec<&str> =
            tokens(json).into_iter().map(|token| std::str::from_utf8(&json[token]).unwrap()).collect();
        assert_eq!(found, [r#""a \" b""#, "[1,23]", "1", "23", r#""c""#, "4"]);
        let mut json = json.to_vec();
        for case in 0..1000 {
            replace_token(&mut json, &["0.5"], br#"[7,"d"]"#, &mut item_generator(7, 2, case));
        }
        assert!(json.starts_with(b"{") && json.ends_with(b"\"cut"), "{}", json.escape_ascii());
    }

    #[test]
    fn mended_files_get_past_the_first_check() {
        // The check value of CRC-32, from its catalogue.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x04tEXtabcd????\0\0\0\0IENDxxxx".to_vec();
        mend_png(&mut png);
        assert_eq!(png[20..24], crc32(b"tEXtabcd").to_be_bytes());
        assert_eq!(png[32..], 0xae42_6082_u32.to_be_bytes(), "every PNG ends in these four bytes");
    }
}
