//! The parts that compute in the page: a module in `web/site/live` for each. A part that is not built is
//! absent. Without the engine for browsers, all parts that train are absent.

use super::Result;
use super::files::Files;
use super::shell::{Place, Shell};
use crate::data::assets::Assets;
use crate::explorer::Menu;
use crate::page::html::text;
use std::path::{Path, PathBuf};

/// A part of a chapter's page, or of a page without a chapter.
pub(super) struct Part {
    /// Its module: `live/ch4.js`.
    module: &'static str,
    title: &'static str,
    /// What the reader can do there.
    words: &'static str,
    /// Whether the part needs the engine.
    trains: bool,
}

const PARTS: [Part; 9] = [
    Part {
        module: "ch0",
        title: "Try it: a race",
        words: "Two networks learn four kinds of clothes from the same images: one from random weights, one \
            from pretrained ones.",
        trains: true,
    },
    Part {
        module: "ch1",
        title: "Try it: look inside",
        words: "Choose or drop a photo. Each stage of the network computes maps from it: many channels, \
            each a small picture.",
        trains: true,
    },
    Part {
        module: "ch2",
        title: "Try it: features and a head",
        words: "Photos go through the frozen network once. A head is fitted to their features.",
        trains: true,
    },
    Part {
        module: "ch3",
        title: "Try it: tune and forget",
        words: "Choose what trains and at which rate. The second curve is the accuracy on the classes that \
            the network was pretrained on.",
        trains: true,
    },
    Part {
        module: "ch4",
        title: "Try it: move the frostline",
        words: "All stages before the line are frozen. Move it: the kernels that disappear from a training \
            step are drawn as empty bars. Choose a bar to read its WGSL.",
        trains: false,
    },
    Part {
        module: "ch5",
        title: "Try it: a rate for each stage",
        words: "Choose a base rate and the factor from stage to stage, train, and see how far each stage \
            moves.",
        trains: true,
    },
    Part {
        module: "ch6",
        title: "Try it: augment a photo",
        words: "The kernel that training uses makes variants of your photo.",
        trains: true,
    },
    Part {
        module: "ch7",
        title: "Try it: the explorer",
        words: "Choose what trains. Every change is a training run in this page, and each run becomes a \
            point: its cost and its accuracy.",
        trains: true,
    },
    Part {
        module: "ch8",
        title: "Try it: one base, several heads",
        words: "One network computes features once; a head for each task is fitted to them.",
        trains: true,
    },
];

/// A page that belongs to no chapter.
pub(super) struct Page {
    pub file: &'static str,
    module: &'static str,
    /// In the navigation.
    pub name: &'static str,
    title: &'static str,
    lead: &'static str,
}

const PAGES: [Page; 2] = [
    Page {
        file: "own.html",
        module: "own",
        name: "Your photos",
        title: "Your photos",
        lead: "Train the network on your own classes. Nothing leaves your machine: the page has no server \
            to send photos to.",
    },
    Page {
        file: "puzzles.html",
        module: "puzzles",
        name: "Puzzles",
        title: "Write a kernel",
        lead: "Fill in the missing lines of a kernel. Your GPU runs it, and the page compares the result \
            with plain loops in double precision.",
    },
];

const FALLBACK: &str = "This part computes in your browser. It needs JavaScript and WebGPU. The text and the \
                        measured results need neither.";

/// The parts of a site.
pub(super) struct Live {
    modules: PathBuf,
    /// Whether the engine was built for browsers.
    pub engine: bool,
}

impl Live {
    pub(super) fn new(root: &Path) -> Self {
        let site = root.join("web/site");
        let engine = site.join("engine.js").is_file() && site.join("pkg/frostline_web_bg.wasm").is_file();
        Self { modules: site.join("live"), engine }
    }

    fn has(&self, module: &str, trains: bool) -> bool {
        (self.engine || !trains) && self.modules.join(format!("{module}.js")).is_file()
    }

    /// The part of a page, or an empty text.
    pub(super) fn part(&self, module: &str) -> String {
        let found = PARTS.iter().find(|part| part.module == module && self.has(module, part.trains));
        found.map_or(String::new(), |part| {
            let (title, words) = (text(part.title), text(part.words));
            format!(
                "<section class=\"live\" aria-labelledby=\"try\"><h2 \
                    id=\"try\">{title}</h2>\n<p>{words}</p>\n{}\
                 </section>\n",
                self.place(module, part.trains)
            )
        })
    }

    /// The pages of the site.
    pub(super) fn pages(&self) -> impl Iterator<Item = &'static Page> {
        PAGES.iter().filter(|page| self.has(page.module, true))
    }

    /// The element into which a script puts a part.
    fn place(&self, module: &str, trains: bool) -> String {
        let word = |is: bool| if is { "yes" } else { "no" };
        let (engine, trains) = (word(self.engine), word(trains));
        format!(
            "<div data-live=\"{module}\" data-engine=\"{engine}\" data-trains=\"{trains}\"><p class=\"note \
                fallback\">{FALLBACK}</p></div>\n"
        )
    }

    /// A paragraph for the start page.
    pub(super) fn welcome(&self) -> String {
        let words = if self.engine {
            "The parts called “Try it” train in this tab, on your own GPU. Nothing that you give them \
            leaves \
             your machine."
        } else {
            "This copy of the lesson has no engine for browsers, so nothing trains in it. The measured \
                results \
             are complete."
        };
        format!("<p>{words} <span data-webgpu hidden></span></p>")
    }

    pub(super) fn in_words(&self) -> String {
        let parts: Vec<&str> =
            PARTS.iter().filter(|part| self.has(part.module, part.trains)).map(|part| part.module).collect();
        let pages: Vec<&str> = self.pages().map(|page| page.module).collect();
        let engine = if self.engine { "with" } else { "without" };
        let all = [parts, pages].concat().join(", ");
        format!("{engine} the engine for browsers; live parts: {all}")
    }
}

/// The HTML of such a page.
pub(super) fn page(shell: &Shell, page: &Page, live: &Live) -> String {
    let main = format!(
        "<h1>{}</h1>\n<p class=\"lead\">{}</p>\n<section class=\"live\" aria-label=\"{}\">\n{}</section>\n",
        text(page.title),
        text(page.lead),
        text(page.title),
        live.place(page.module, true)
    );
    let title = format!("{} – Transfer Learning From Zero", page.title);
    shell.page(Place::File(page.file), &title, page.lead, &main)
}

/// Weights and data that the engine reads, below `assets/`.
pub(super) const ASSETS: [&str; 12] = [
    "resnet10_fashion.safetensors",
    "resnet10_photos.safetensors",
    "digits_train.png",
    "digits_train.json",
    "digits_test.png",
    "digits_test.json",
    "fashion_train.png",
    "fashion_train.json",
    "fashion_test.png",
    "fashion_test.json",
    "fashion_source_test.png",
    "fashion_source_test.json",
];

/// Writes the list of the example photos, and the choices of the explorer.
pub(super) fn data(files: &Files<'_>, assets: &Path) -> Result<()> {
    let photos = files.photos()?;
    files.write("data/photos.json", &serde_json::json!(photos).to_string())?;
    let menu = Menu::for_page(&Assets::new(assets))?;
    // Not by way of `Value`, which would write 0.02 as the f64 next to its f32.
    let menu = serde_json::to_string(&menu).expect("plain data always has a JSON form");
    files.write("data/explorer.json", &menu)
}
