//! Photos for a person to look at, as one HTML page that needs no other file: a model's worst mistakes, and
//! the classes that it confuses.

use std::io::Read;
use std::path::{Path, PathBuf};

use frostline_trainer::{Confusion, NO_CLASS, Prediction};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use url::Url;

use crate::error::{Error, Result};
use crate::photos::NOT_A_NUMBER;

mod thumbnail;

/// Maximum number of mistakes on a page.
pub const MISTAKES: usize = 24;
/// Maximum number of pairs of classes on a page.
const PAIRS: usize = 12;
const STYLE: &str = include_str!("review.css");

/// The generator that a page names; a page with this name may be replaced by a newer one.
const GENERATOR: &str = "frostline";
/// The generator is within this number of bytes from the start of a page.
const HEAD: u64 = 1024;

/// Fails if `path` exists and is not a page of this program, or if no page can be written there.
///
/// # Errors
/// [`Error::NotAPage`], [`Error::NoFolder`].
pub fn room_for(path: &Path) -> Result<()> {
    Error::if_no_folder(path)?;
    let Ok(kind) = std::fs::symlink_metadata(path) else { return Ok(()) };
    let mut head = vec![];
    let is_page = kind.is_file()
        && std::fs::File::open(path).is_ok_and(|file| file.take(HEAD).read_to_end(&mut head).is_ok())
        && String::from_utf8_lossy(&head).contains(&format!("name=\"generator\" content=\"{GENERATOR}\""));
    if is_page { Ok(()) } else { Err(Error::NotAPage { path: path.to_owned() }) }
}

/// A part of the page.
pub struct Section {
    /// Its heading.
    pub title: String,
    /// Paragraphs below it.
    pub words: Vec<String>,
    /// Photos in this order.
    pub photos: Vec<Photo>,
    /// Rows of a table: cells under [`Section::columns`].
    pub rows: Vec<Vec<String>>,
    /// What the columns of the table are.
    pub columns: Vec<&'static str>,
}

/// A photo and the finding about it.
pub struct Photo {
    /// The file.
    pub path: PathBuf,
    /// Its name on the page.
    pub name: String,
    /// The finding, such as `cat → dog`.
    pub claim: String,
    /// Its figures.
    pub figures: String,
}

impl Section {
    /// Words alone.
    pub fn new(title: impl Into<String>, words: Vec<String>) -> Self {
        Self { title: title.into(), words, photos: vec![], rows: vec![], columns: vec![] }
    }

    /// The photos that `predictions` get wrong, those with the least probable label first. `photo` gives the
    /// path and the name of a photo; `kind` describes the photos, such as `validation photos`.
    pub fn mistakes<'a>(
        kind: &str,
        classes: &[String],
        labels: &[u32],
        predictions: &[Prediction],
        photo: impl Fn(usize) -> (&'a Path, String),
    ) -> Self {
        let of_label = |i: usize| predictions[i].probabilities[labels[i] as usize];
        let mut wrong: Vec<usize> =
            (0..labels.len()).filter(|&i| predictions[i].class != labels[i]).collect();
        wrong.sort_by(|&a, &b| of_label(a).total_cmp(&of_label(b)));
        let (count, all) = (wrong.len(), labels.len());
        let mut words = vec![match count {
            0 => format!("All {all} are recognised."),
            _ => format!(
                "{count} of {all} are not recognised. Those whose label is least probable come first."
            ),
        }];
        wrong.truncate(MISTAKES);
        words.extend(shown(wrong.len(), count));
        let photos = wrong.into_iter().map(|i| {
            let (path, name) = photo(i);
            let label = &classes[labels[i] as usize];
            let (claim, figures) = match predictions[i].class {
                NO_CLASS => (format!("{label} → ?"), NOT_A_NUMBER.to_owned()),
                class => {
                    let (class, p) = (&classes[class as usize], predictions[i].probabilities[class as usize]);
                    let figures = format!("{label} {}, {class} {}", percent(of_label(i)), percent(p));
                    (format!("{label} → {class}"), figures)
                }
            };
            Photo { path: path.to_owned(), name, claim, figures }
        });
        let photos = photos.collect();
        Self { photos, ..Self::new(format!("Worst mistakes on {kind}"), words) }
    }

    /// Which classes are taken for which, the most frequent pair first.
    pub fn confusions(kind: &str, classes: &[String], confusion: &Confusion) -> Self {
        let all = 0..confusion.classes();
        let pairs = all.clone().flat_map(|truth| all.clone().map(move |taken| (truth, taken)));
        let mut pairs: Vec<(usize, usize, u64)> = pairs
            .map(|(truth, taken)| (truth, taken, confusion.count(truth, taken)))
            .filter(|&(truth, taken, count)| truth != taken && count > 0)
            .collect();
        pairs.sort_by_key(|&(_, _, count)| std::cmp::Reverse(count));
        pairs.truncate(PAIRS);
        let words = match pairs.is_empty() {
            true => format!("No class is taken for another among the {kind}."),
            false => format!("The most frequent mistakes among the {kind}."),
        };
        let row = |(truth, taken, count): (usize, usize, u64)| {
            vec![
                classes[truth].clone(),
                classes[taken].clone(),
                count.to_string(),
                confusion.images(truth).to_string(),
            ]
        };
        let rows = pairs.into_iter().map(row).collect();
        let columns = vec!["label", "taken for", "photos", "of"];
        Self { rows, columns, ..Self::new("Classes that are confused most", vec![words]) }
    }

    fn markup(&self) -> Markup {
        let thumbnails = thumbnail::all(&self.photos);
        html! {
            section {
                h2 { (self.title) }
                @for words in &self.words { p { (words) } }
                @if !self.photos.is_empty() {
                    div.photos {
                        @for (photo, thumbnail) in self.photos.iter().zip(&thumbnails) {
                            (photo.markup(thumbnail.as_ref().map(String::as_str)))
                        }
                    }
                }
                @if !self.rows.is_empty() {
                    div.scroll { table {
                        thead { tr { @for column in &self.columns { th { (column) } } } }
                        tbody { @for row in &self.rows { tr { @for cell in row { td { (cell) } } } } }
                    } }
                }
            }
        }
    }
}

impl Photo {
    /// The photo with a thumbnail, or with the reason why there is none.
    fn markup(&self, thumbnail: Result<&str, &String>) -> Markup {
        let link = std::path::absolute(&self.path).ok().and_then(|path| Url::from_file_path(path).ok());
        let picture = html! {
            @match thumbnail {
                Ok(data) => { img src=(data) alt=(format!("Photo {}", self.name)); }
                Err(reason) => { span.gone { "No picture: " (reason) } }
            }
        };
        html! {
            figure {
                @match &link {
                    Some(link) => { a.picture href=(link) { (picture) } }
                    None => { span.picture { (picture) } }
                }
                figcaption {
                    strong { (self.claim) }
                    span { (self.figures) }
                    @match &link {
                        Some(link) => { a href=(link) { (self.name) } }
                        None => { span { (self.name) } }
                    }
                }
            }
        }
    }
}

/// The page. Names are escaped, so that they are text, never markup.
pub fn page(title: &str, about: &str, sections: &[Section]) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="generator" content=(GENERATOR);
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                p { (about) }
                @for section in sections { (section.markup()) }
            }
        }
    };
    page.into_string()
}

/// A note if not all are shown.
pub fn shown(shown: usize, all: usize) -> Option<String> {
    (shown < all).then(|| format!("The first {shown} of them are shown."))
}

/// A probability, never rounded to 0 or 1.
pub fn percent(p: f64) -> String {
    match p {
        p if p < 0.01 => "<1%".to_owned(),
        p if p > 0.99 => ">99%".to_owned(),
        p => format!("{:.0}%", 100.0 * p),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prediction(class: u32, probabilities: [f64; 2]) -> Prediction {
        Prediction { class, probabilities: probabilities.to_vec() }
    }

    #[test]
    fn mistakes_are_ordered_by_the_probability_of_the_label() {
        let classes = ["cat", "dog"].map(str::to_owned);
        let predictions = [
            prediction(0, [0.9, 0.1]),
            prediction(1, [0.4, 0.6]),
            prediction(0, [0.995, 0.005]),
            prediction(NO_CLASS, [f64::NAN; 2]),
        ];
        let photo = |i: usize| (Path::new("none"), format!("{i}.png"));
        let section = Section::mistakes("photos", &classes, &[0, 0, 1, 1], &predictions, photo);
        let said: Vec<_> =
            section.photos.iter().map(|p| (p.name.as_str(), p.claim.as_str(), p.figures.as_str())).collect();
        assert_eq!(
            said,
            [
                ("2.png", "dog → cat", "dog <1%, cat >99%"),
                ("1.png", "cat → dog", "cat 40%, dog 60%"),
                ("3.png", "dog → ?", NOT_A_NUMBER),
            ]
        );
        assert!(section.words[0].starts_with("3 of 4 are not recognised"), "{:?}", section.words);
        let right = Section::mistakes("photos", &classes, &[0], &predictions[..1], photo);
        assert_eq!(right.words, ["All 1 are recognised."]);
    }

    #[test]
    fn pairs_are_ordered_by_their_number() {
        let classes = ["a", "b", "c"].map(str::to_owned);
        let confusion = Confusion::new(3, [(0, 0), (0, 1), (1, 0), (1, 0), (2, 2)]);
        let rows = Section::confusions("photos", &classes, &confusion).rows;
        assert_eq!(rows, [["b", "a", "2", "2"], ["a", "b", "1", "2"]]);
    }

    #[test]
    fn names_are_text_and_a_photo_that_is_gone_is_listed() {
        let evil = "<script>\"&'";
        let photo = Photo {
            path: Path::new("/gone").join(format!("{evil}.png")),
            name: format!("{evil}.png"),
            claim: format!("{evil} → dog"),
            figures: evil.to_owned(),
        };
        let rows = vec![vec![evil.to_owned()]];
        let section = Section {
            photos: vec![photo],
            rows,
            columns: vec!["label"],
            ..Section::new(evil, vec![evil.into()])
        };
        let page = page(evil, evil, &[section]);
        assert!(!page.contains("<script"), "{page}");
        assert_eq!(page.matches("&lt;script&gt;&quot;&amp;'").count(), 10, "also in the reason: {page}");
        assert!(page.contains("No picture: ") && !page.contains("<img"), "{page}");
        assert!(page.contains("href=\"file:///gone/%3Cscript%3E%22&amp;'.png\""), "{page}");
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_not_unicode_is_a_link_to_the_file() {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"/gone/\xff.png")).to_owned();
        let photo = Photo { path, name: "name".to_owned(), claim: String::new(), figures: String::new() };
        let section = Section { photos: vec![photo], ..Section::new("", vec![]) };
        let page = page("", "", &[section]);
        assert!(page.contains("href=\"file:///gone/%FF.png\""), "{page}");
    }
}
