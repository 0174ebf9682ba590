//! The site's files: those that are read from the repository, and those that are copied.

use super::live::{self, ASSETS, Live};
use super::{Result, failed};
use crate::page::figure_file;
use frostline_loader::atomic::write_atomically;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The file by which a folder is recognised as a site, so that no other folder is emptied.
const MARK: &str = ".frostline-site";

/// The repository, and the folder of the site.
pub(super) struct Files<'a> {
    root: &'a Path,
    out: &'a Path,
}

/// A figure that was copied.
pub(super) struct Found {
    /// Its file in `figures/`.
    pub name: String,
    /// Whether it contains photos, whose colours must not change on a dark page.
    pub photos: bool,
    /// Width and height in pixels.
    pub size: Option<(u32, u32)>,
}

impl<'a> Files<'a> {
    /// Empties the site in `out`, or creates one in a new or empty folder.
    pub(super) fn new(root: &'a Path, out: &'a Path) -> Result<Self> {
        let is_site = out.join(MARK).is_file();
        let is_empty = fs::read_dir(out).map_or(true, |mut entries| entries.next().is_none());
        if !is_site && !is_empty {
            return Err(failed(
                out,
                &"it contains files and is not a site; give an empty folder, or a new \
                                     one",
            ));
        }
        if is_site {
            fs::remove_dir_all(out).map_err(|error| failed(out, &error))?;
        }
        let files = Self { root, out };
        files.write(MARK, "made by `make site`; changes by hand are lost\n")?;
        Ok(files)
    }

    /// The text of a file of the repository.
    pub(super) fn read(&self, path: &str) -> Result<String> {
        let path = self.root.join(path);
        fs::read_to_string(&path).map_err(|error| failed(&path, &error))
    }

    /// Writes a file of the site.
    pub(super) fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.out.join(path);
        folder_of(&path)?;
        Ok(write_atomically(&path, |file| file.write_all(text.as_bytes()))?)
    }

    /// Paths of all kernels below `shaders/`, those that are shared last.
    pub(super) fn shaders(&self) -> Result<Vec<String>> {
        let mut paths = vec![];
        for (folder, prefix) in [("shaders", ""), ("shaders/shared", "shared/")] {
            let names = names(&self.root.join(folder))?;
            paths.extend(
                names
                    .into_iter()
                    .filter(|name| name.ends_with(".wgsl"))
                    .map(|name| format!("{prefix}{name}")),
            );
        }
        Ok(paths)
    }

    /// Copies the published figure `file`, if there is one.
    pub(super) fn figure(&self, file: &str) -> Result<Option<Found>> {
        let Some(from) = figure_file(&self.root.join("docs/figures"), file) else { return Ok(None) };
        let Some(name) = from.file_name().map(|name| name.to_string_lossy().into_owned()) else {
            return Ok(None);
        };
        let bytes = fs::read(&from).map_err(|error| failed(&from, &error))?;
        let text = String::from_utf8_lossy(&bytes);
        self.copy(&from, &format!("figures/{name}"))?;
        let is_drawing =
            from.extension().is_some_and(|extension| extension == "svg") && !text.contains("<image");
        Ok(Some(Found { name, photos: !is_drawing, size: size(&text) }))
    }

    /// Example photos by class: paths below `assets/photos/`.
    pub(super) fn photos(&self) -> Result<BTreeMap<String, Vec<String>>> {
        let folder = self.root.join("assets/photos");
        let classes = names(&folder)?.into_iter().filter(|name| folder.join(name).is_dir());
        classes
            .map(|class| {
                let photos = names(&folder.join(&class))?;
                Ok((class.clone(), photos.into_iter().map(|name| format!("{class}/{name}")).collect()))
            })
            .collect()
    }

    /// Copies style and scripts and, if the engine was built, weights, data and example photos.
    pub(super) fn copy_site(&self, live: &Live) -> Result<()> {
        let site = self.root.join("web/site");
        for path in below(&site, Path::new(""))? {
            let name = path.to_string_lossy().replace('\\', "/");
            let is_engine = ["engine", "puzzles-worker", "pkg/"].iter().any(|part| name.starts_with(part));
            if name != "shell.html" && !name.ends_with(".md") && (live.engine || !is_engine) {
                self.copy(&site.join(&path), &name)?;
            }
        }
        for name in ["charts.js", "explorer.js", "explorer.css"] {
            self.copy(&self.root.join("web").join(name), name)?;
        }
        if live.engine {
            let assets = ASSETS.iter().map(|name| (*name).to_owned());
            let photos = self.photos()?.into_values().flatten().map(|name| format!("photos/{name}"));
            let about = ["photos/LICENSES.csv".to_owned(), "LICENSES.md".to_owned()];
            for name in assets.chain(photos).chain(about) {
                self.copy(&self.root.join("assets").join(&name), &format!("assets/{name}"))?;
            }
            live::data(self, &self.root.join("assets"))?;
        }
        Ok(())
    }

    fn copy(&self, from: &Path, to: &str) -> Result<()> {
        let to = self.out.join(to);
        folder_of(&to)?;
        fs::copy(from, &to).map(|_| ()).map_err(|error| failed(from, &error))
    }
}

fn folder_of(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))
}

/// Names in a folder, sorted.
fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).map_err(|error| failed(folder, &error))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// Paths of all files in `folder`, relative to it.
fn below(folder: &Path, at: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![];
    for name in names(&folder.join(at))? {
        let path = at.join(name);
        if folder.join(&path).is_dir() { found.extend(below(folder, &path)?) } else { found.push(path) }
    }
    Ok(found)
}

/// Width and height that an SVG declares.
fn size(svg: &str) -> Option<(u32, u32)> {
    let number = |name: &str| {
        let rest = svg.get(..300).unwrap_or(svg).split_once(&format!(" {name}=\""))?.1;
        rest.split('"').next()?.parse().ok()
    };
    Some((number("width")?, number("height")?))
}
