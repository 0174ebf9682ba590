//! The markers of a JPEG file, between its picture data: the frame, the scans, the end.
//!
//! ITU T.81, annex B. The parser reads no picture data. It determines what the decoders do not report:
//! whether the file ends where it should, and which of the two decoders reads this kind correctly.

/// Maximum number of scans in a file; libjpeg-turbo's tools recommend this limit against files that are made
/// to take extremely long. A camera's file has one, a progressive one about ten.
const MOST_SCANS: usize = 500;
/// Coefficients of a block.
const COEFFICIENTS: usize = 64;

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const APP0: u8 = 0xe0;
const APP1: u8 = 0xe1;
const APP14: u8 = 0xee;

/// The markers of a file.
#[derive(Debug, Default)]
pub(super) struct Markers<'a> {
    pub frame: Option<Frame>,
    pub scans: Vec<Scan>,
    /// Whether the end marker is there.
    pub ended: bool,
    /// Whether there is a JFIF header, whose colours are YCbCr.
    pub jfif: bool,
    /// The colour transform of Adobe's marker.
    pub adobe: Option<u8>,
    /// EXIF data.
    pub exif: Option<&'a [u8]>,
}

/// The kind and size of the picture.
#[derive(Debug)]
pub(super) struct Frame {
    /// The number of its SOF marker.
    pub process: u8,
    /// Bits of a sample.
    pub precision: u8,
    pub width: u32,
    pub height: u32,
    pub components: Vec<Component>,
}

/// One plane of the picture.
#[derive(Debug)]
pub(super) struct Component {
    pub id: u8,
    /// Its sampling factors, across and down.
    pub sampling: (u8, u8),
}

/// The coefficients and planes in a scan.
#[derive(Debug)]
pub(super) struct Scan {
    /// Places in [`Frame::components`].
    pub components: Vec<usize>,
    pub spectrum: (u8, u8),
    /// Number of bits that are left for later scans.
    pub low_bits: u8,
}

impl Frame {
    pub fn is_progressive(&self) -> bool {
        matches!(self.process, 0xc2 | 0xca)
    }

    pub fn is_arithmetic(&self) -> bool {
        matches!(self.process, 0xc9 | 0xca)
    }

    /// Whether every plane is sampled at most as finely as the first, which is the brightness.
    pub fn first_is_finest(&self) -> bool {
        let [first, others @ ..] = &self.components[..] else { return false };
        let (across, down) = first.sampling;
        others.iter().all(|other| other.sampling.0 <= across && other.sampling.1 <= down)
    }
}

impl<'a> Markers<'a> {
    /// Parses a file, up to its end marker or as far as it goes.
    ///
    /// # Errors
    /// With the reason, for a file whose frame or scans are contradictory.
    pub fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut markers = Self::default();
        let mut rest = bytes.get(2..).unwrap_or_default();
        while let Some((marker, after)) = next_marker(rest) {
            rest = after;
            match marker {
                EOI => {
                    markers.ended = true;
                    break;
                }
                // Markers without content: a second start marker, restarts, and TEM.
                SOI | 0x01 | 0xd0..=0xd7 => {}
                _ => {
                    let Some((segment, after)) = segment(rest) else { break };
                    rest = after;
                    markers.add(marker, segment)?;
                }
            }
        }
        Ok(markers)
    }

    fn add(&mut self, marker: u8, segment: &'a [u8]) -> Result<(), String> {
        match marker {
            // All but DHT, JPG and DAC, which have numbers between those of the frames.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                if self.frame.is_some() {
                    return Err("it has two frames".to_owned());
                }
                self.frame = Some(frame(marker, segment).ok_or("its frame header is broken")?);
            }
            SOS => {
                let frame = self.frame.as_ref().ok_or("a scan comes before the frame")?;
                if self.scans.len() == MOST_SCANS {
                    return Err(format!("it has more than {MOST_SCANS} scans"));
                }
                self.scans.push(scan(frame, segment).ok_or("the header of a scan is broken")?);
            }
            APP0 if segment.starts_with(b"JFIF\0") => self.jfif = true,
            APP1 => self.exif = self.exif.or(segment.strip_prefix(b"Exif\0\0")),
            APP14 if segment.starts_with(b"Adobe") => self.adobe = segment.get(11).copied(),
            _ => {}
        }
        Ok(())
    }

    /// Whether the scans contain the complete picture: every plane of a sequential file, every bit of every
    /// coefficient of a progressive one.
    pub fn is_complete(&self) -> bool {
        let Some(frame) = &self.frame else { return false };
        if !frame.is_progressive() {
            return (0..frame.components.len())
                .all(|plane| self.scans.iter().any(|scan| scan.components.contains(&plane)));
        }
        let mut exact = vec![[false; COEFFICIENTS]; frame.components.len()];
        for scan in &self.scans {
            let (from, to) = (usize::from(scan.spectrum.0), usize::from(scan.spectrum.1));
            for &plane in &scan.components {
                for coefficient in exact[plane].iter_mut().take(to + 1).skip(from) {
                    *coefficient = scan.low_bits == 0;
                }
            }
        }
        exact.as_flattened().iter().all(|exact| *exact)
    }
}

/// The next marker, and the data after it. Between segments all other bytes are skipped, as libjpeg does; in
/// a scan's data, 0xff 0x00 is a byte of it.
fn next_marker(mut bytes: &[u8]) -> Option<(u8, &[u8])> {
    loop {
        let at = bytes.iter().position(|&byte| byte == 0xff)?;
        bytes = &bytes[at..];
        let fill = bytes.iter().position(|&byte| byte != 0xff)?;
        let marker = bytes[fill];
        bytes = &bytes[fill + 1..];
        if marker != 0 {
            return Some((marker, bytes));
        }
    }
}

/// The content of a segment, and the data after it; `None` if it was cut off.
fn segment(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[high, low], _) = bytes.split_first_chunk()?;
    let (segment, rest) = bytes.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
    Some((segment.get(2..)?, rest))
}

fn frame(process: u8, segment: &[u8]) -> Option<Frame> {
    let (&[precision, y1, y0, x1, x0, count], planes) = segment.split_first_chunk()?;
    let component = |&[id, sampling, _]: &[u8; 3]| Component { id, sampling: (sampling >> 4, sampling & 15) };
    let components: Vec<Component> = planes.as_chunks().0.iter().map(component).collect();
    let sound = |&Component { sampling: (across, down), .. }: &Component| {
        (1..=4).contains(&across) && (1..=4).contains(&down)
    };
    let whole = count > 0 && components.len() == usize::from(count) && components.iter().all(sound);
    let [height, width] = [[y1, y0], [x1, x0]].map(|bytes| u32::from(u16::from_be_bytes(bytes)));
    whole.then_some(Frame { process, precision, width, height, components })
}

fn scan(frame: &Frame, segment: &[u8]) -> Option<Scan> {
    let (&count, rest) = segment.split_first()?;
    let (planes, rest) = rest.split_at_checked(2 * usize::from(count))?;
    let &[from, to, bits] = rest.first_chunk()?;
    let place = |&[id, _]: &[u8; 2]| frame.components.iter().position(|component| component.id == id);
    let components: Vec<usize> = planes.as_chunks().0.iter().map(place).collect::<Option<_>>()?;
    let sound = !components.is_empty() && usize::from(to) < COEFFICIENTS && from <= to;
    sound.then_some(Scan { components, spectrum: (from, to), low_bits: bits & 15 })
}
