//! Files of a repository on the Hugging Face hub: from its cache, or downloaded into it.
//!
//! The `hf-hub` crate downloads and keeps the cache in the layout that Python's `huggingface_hub` has, so
//! both share their files. This module adds two things: the hash is checked, and if there is no network, the
//! error states which file to put where.
//!
//! | variable | effect |
//! |---|---|
//! | `HF_HOME` | the cache is `$HF_HOME/hub`; by default `~/.cache/huggingface/hub` |
//! | `HF_HUB_CACHE` | the cache itself |
//! | `HF_ENDPOINT` | a hub other than huggingface.co |
//! | `HF_HUB_OFFLINE=1` | no requests over the network |

use crate::{Error, Result};
use etcetera::home_dir;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, CacheRepo, Repo, RepoType};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// A repository.
#[derive(Debug)]
pub struct Hub {
    name: String,
    cache: CacheRepo,
    /// The repository's folder in the cache.
    folder: PathBuf,
    /// `None` if no network requests are allowed.
    remote: Option<(Api, ApiRepo)>,
    endpoint: String,
}

impl Hub {
    /// `owner/name` or `owner/name@revision`. Sends no request yet.
    ///
    /// # Errors
    /// [`Error::HubName`] for a name of another form; [`Error::NoHome`] where there is no home folder for the
    /// cache; [`Error::Download`] if the client cannot be made.
    pub fn open(spec: &str) -> Result<Self> {
        let (name, revision) = spec.split_once('@').unwrap_or((spec, "main"));
        if !is_name(name) || !is_revision(revision) {
            return Err(Error::HubName { name: spec.to_owned() });
        }
        let cache = Cache::new(cache_folder()?);
        let repo = Repo::with_revision(name.to_owned(), RepoType::Model, revision.to_owned());
        let folder = cache.path().join(repo.folder_name());
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let remote = match variable("HF_HUB_OFFLINE").as_deref() {
            None | Some("0") => {
                let api = ApiBuilder::from_cache(cache.clone()).with_endpoint(endpoint.clone()).build();
                let api = api
                    .map_err(|error| Error::Download { what: spec.to_owned(), reason: error.to_string() })?;
                let remote = api.repo(repo.clone());
                Some((api, remote))
            }
            Some(_) => None,
        };
        Ok(Self { name: spec.to_owned(), cache: cache.repo(repo), folder, remote, endpoint })
    }

    /// The complete file `name`, from the cache or downloaded. A progress bar shows where standard error is a
    /// terminal.
    ///
    /// # Errors
    /// [`Error::NotOnHub`] if the repository or the file is not there; [`Error::NoNetwork`];
    /// [`Error::Damaged`] if size or hash differ from the hub's.
    pub fn file(&self, name: &str) -> Result<PathBuf> {
        if let Some(path) = self.cache.get(name) {
            verify(&path)?;
            return Ok(path);
        }
        let Some((api, remote)) = &self.remote else {
            return Err(self.no_network(name, "HF_HUB_OFFLINE is set"));
        };
        let url = remote.url(name);
        let expected = api.metadata(&url).map_err(|error| self.failed(name, &url, &error))?;
        let path = remote.download(name).map_err(|error| self.failed(name, &url, &error))?;
        let actual =
            std::fs::metadata(&path).map_err(|source| Error::Read { path: path.clone(), source })?.len();
        let whole = if actual == expected.size() as u64 {
            verify(&path)
        } else {
            Err(Error::Damaged {
                path: path.clone(),
                reason: format!("it has {actual} bytes, but the hub reports {}", expected.size()),
            })
        };
        if whole.is_err() {
            // The next run must not find the damaged file.
            let _ = std::fs::canonicalize(&path).and_then(std::fs::remove_file);
            let _ = std::fs::remove_file(&path);
        }
        whole.map(|()| path)
    }

    /// As [`Hub::file`]; `None` if the repository has no such file.
    ///
    /// Offline the contents of the repository are unknown: a file that is not in the cache counts as missing.
    ///
    /// # Errors
    /// As [`Hub::file`].
    pub fn file_if_any(&self, name: &str) -> Result<Option<PathBuf>> {
        match self.file(name) {
            Ok(path) => Ok(Some(path)),
            Err(Error::NotOnHub { .. } | Error::NoNetwork { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn failed(&self, file: &str, url: &str, error: &ApiError) -> Error {
        match error {
            ApiError::RequestError(inner) => match **inner {
                // The hub answers 401 for repositories that do not exist.
                ureq::Error::StatusCode(401 | 403 | 404) => Error::NotOnHub { url: url.to_owned() },
                ureq::Error::StatusCode(code) => {
                    Error::Download { what: url.to_owned(), reason: format!("the hub answered {code}") }
                }
                ref other => self.no_network(file, &other.to_string()),
            },
            other => Error::Download { what: url.to_owned(), reason: other.to_string() },
        }
    }

    fn no_network(&self, file: &str, reason: &str) -> Error {
        let (name, revision) = self.name.split_once('@').unwrap_or((&self.name, "main"));
        Error::NoNetwork {
            name: self.name.clone(),
            reason: reason.to_owned(),
            url: format!("{}/{name}/resolve/{revision}/{file}", self.endpoint),
            cache: self.folder.clone(),
        }
    }
}

/// `owner/name`: two parts of letters, digits, `-`, `_` and `.`, none of them only dots.
fn is_name(name: &str) -> bool {
    let plain = |part: &str| {
        part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) && part.chars().any(|c| c != '.')
    };
    name.split('/').count() == 2 && name.split('/').all(plain)
}

/// A branch, tag or commit; no path that leads out of the cache.
fn is_revision(revision: &str) -> bool {
    !revision.is_empty()
        && revision.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && !revision.starts_with('.')
}

fn cache_folder() -> Result<PathBuf> {
    if let Some(cache) = variable("HF_HUB_CACHE") {
        return Ok(cache.into());
    }
    let home = match variable("HF_HOME") {
        Some(home) => PathBuf::from(home),
        None => home_dir().map_err(|_| Error::NoHome)?.join(".cache").join("huggingface"),
    };
    Ok(home.join("hub"))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Compares a cached file with its hash. The hub names large files by their SHA-256, and the cache
/// keeps each under that name, with a link to it; a file that was put there in another way has no hash.
fn verify(path: &Path) -> Result<()> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    let blob = std::fs::canonicalize(path).map_err(read)?;
    let name = blob.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if name.len() != 64 || !name.chars().all(|c| c.is_ascii_hexdigit()) {
        return Ok(());
    }
    let mut hash = Sha256::new();
    let mut file = std::fs::File::open(&blob).map_err(read)?;
    std::io::copy(&mut file, &mut hash).map_err(read)?;
    let actual: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if actual.eq_ignore_ascii_case(&name) {
        return Ok(());
    }
    Err(Error::Damaged { path: blob, reason: format!("its SHA-256 is {actual}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_cache_are_refused() {
        for name in ["timm/resnet18.tv_in1k", "microsoft/resnet-50"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["resnet18", "a/b/c", "../x", "a/..", "a/b c", "/b", "a/", "a\\b/c"] {
            assert!(!is_name(name), "{name}");
        }
        assert!(is_revision("main") && is_revision("v1.0") && !is_revision("../x") && !is_revision("a/b"));
    }
}
