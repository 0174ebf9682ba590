//! `hf:owner/name`: from a cache in `huggingface_hub`'s layout, from a hub, and from neither.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use frostline_loader::Preprocessing;
use frostline_loader::safetensors;
use sha2::{Digest, Sha256};
use tempfile::{TempDir, tempdir};

use crate::support::{Ran, TRAINED, frostline, frostline_with};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const CONFIG: &str = r#"{"architecture": "resnet18", "pretrained_cfg": {"input_size": [3, 32, 32], "interpolation": "bicubic", "crop_pct": 0.875,
    "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}, "label_names": ["bleu", "vert", "rouge"]}"#;

/// The trained model as bare weights, which contain no preprocessing.
fn bare() -> Vec<u8> {
    let folder = tempdir().unwrap();
    let path = folder.path().join("bare.safetensors");
    let mut file = safetensors::read(TRAINED.model()).unwrap();
    file.tensors.retain(|name, _| !name.starts_with("optimizer."));
    safetensors::write(&path, &file.tensors, &BTreeMap::new(), safetensors::Dtype::F32).unwrap();
    fs::read(path).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `$HF_HOME` with one repository in its cache, and the path of its weights there.
fn cache() -> (TempDir, PathBuf) {
    let home = tempdir().unwrap();
    let repository = home.path().join("hub/models--tiny--colours");
    let snapshot = repository.join("snapshots").join(COMMIT);
    for folder in [&repository.join("blobs"), &repository.join("refs"), &snapshot] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(repository.join("refs/main"), COMMIT).unwrap();
    let weights = bare();
    let blob = repository.join("blobs").join(sha256(&weights));
    fs::write(&blob, weights).unwrap();
    link(&blob, &snapshot.join("model.safetensors"));
    fs::write(snapshot.join("config.json"), CONFIG).unwrap();
    (home, blob)
}

#[cfg(unix)]
fn link(to: &Path, at: &Path) {
    std::os::unix::fs::symlink(to, at).unwrap();
}

/// Links need a right on Windows; the cache then holds the files themselves, and no hash.
#[cfg(not(unix))]
fn link(to: &Path, at: &Path) {
    fs::copy(to, at).unwrap();
}

fn with_home(home: &Path, arguments: &[&str], more: &[(&str, &str)]) -> Ran {
    let mut variables = vec![("HF_HOME", home.to_str().unwrap())];
    variables.extend(more);
    frostline_with(arguments, &variables)
}

const OFFLINE: &[(&str, &str)] = &[("HF_HUB_OFFLINE", "1")];

#[test]
fn the_cache_is_enough() {
    let (home, _) = cache();
    let photo = format!("{}/red/0.png", TRAINED.photos());
    let row =
        with_home(home.path(), &["predict", "hf:tiny/colours", &photo, "--json", "--top", "1"], OFFLINE)
            .json();
    assert_eq!(row[0]["predictions"][0]["class"], "rouge", "names are the repository's: {row}");
    let found = with_home(home.path(), &["inspect", "hf:tiny/colours@main", "--json"], OFFLINE).json();
    assert!(found["network"].as_str().unwrap().starts_with("resnet18"), "{found}");
}

/// The repository's preprocessing is applied: the same weights in a folder with the same configuration give
/// the same predictions, and others without it.
#[test]
fn preprocessing_comes_with_the_weights() {
    let (home, blob) = cache();
    let folder = tempdir().unwrap();
    let photo = format!("{}/red/0.png", TRAINED.photos());
    fs::copy(&blob, folder.path().join("model.safetensors")).unwrap();
    let local = || frostline(["predict", folder.path().to_str().unwrap(), &photo, "--json"]).json();
    let plain = local();
    fs::write(folder.path().join("config.json"), CONFIG).unwrap();
    let preset = local();
    let hub = with_home(home.path(), &["predict", "hf:tiny/colours", &photo, "--json"], OFFLINE).json();
    assert_eq!(preset, hub);
    assert_ne!(plain[0]["predictions"][0]["probability"], preset[0]["predictions"][0]["probability"]);
    // It is also that of the file.
    let expected = Preprocessing {
        interpolation: frostline_loader::Interpolation::Bicubic,
        ..Preprocessing::imagenet(32)
    };
    assert_eq!(expected.resize, Some(36));
    fs::write(folder.path().join("config.json"), CONFIG.replace("bicubic", "lanczos")).unwrap();
    frostline(["predict", folder.path().to_str().unwrap(), &photo]).error(&["config.json", "lanczos"]);
}

#[test]
fn without_network_the_error_says_which_file_to_put_where() {
    let home = tempdir().unwrap();
    let cached = home.path().join("hub/models--timm--resnet18.tv_in1k").display().to_string();
    let url = "/timm/resnet18.tv_in1k/resolve/main/model.safetensors";
    // No server listens on port 1.
    for variables in [OFFLINE, &[("HF_ENDPOINT", "http://127.0.0.1:1")]] {
        with_home(home.path(), &["inspect", "hf:timm/resnet18.tv_in1k"], variables).error(&[
            &cached,
            url,
            "config.json",
        ]);
    }
}

#[test]
fn names_that_are_none_are_refused() {
    let home = tempdir().unwrap();
    for name in ["hf:resnet18", "hf:../../etc/passwd", "hf:a/..", "hf:a/b@../c"] {
        with_home(home.path(), &["inspect", name], OFFLINE).error(&["owner/name"]);
    }
}

#[cfg(unix)]
#[test]
fn a_damaged_file_in_the_cache_is_found_out() {
    let (home, blob) = cache();
    let mut bytes = fs::read(&blob).unwrap();
    let end = bytes.len() - 1;
    bytes[end] ^= 1;
    fs::write(&blob, bytes).unwrap();
    with_home(home.path(), &["inspect", "hf:tiny/colours"], OFFLINE)
        .error(&["SHA-256", blob.to_str().unwrap()]);
}

/// A hub with one repository on this machine; counts its requests.
struct Server {
    address: String,
    requests: Arc<AtomicUsize>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves these bytes as the weights, under the hash `etag`.
    fn start(weights: Vec<u8>, etag: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (requests, log) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(vec![])));
        let (counter, lines) = (requests.clone(), log.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut first, mut from) = (String::new(), 0);
                reader.read_line(&mut first).unwrap();
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    if line.trim().is_empty() {
                        break;
                    }
                    if let Some(range) = line.to_lowercase().strip_prefix("range: bytes=") {
                        from = range.split('-').next().unwrap().parse().unwrap();
                        first = format!("{} {}", first.trim(), range.trim());
                    }
                }
                counter.fetch_add(1, Ordering::Relaxed);
                lines.lock().unwrap().push(first.clone());
                let path = first.split(' ').nth(1).unwrap_or_default();
                let (body, etag) = match path {
                    "/tiny/colours/resolve/main/model.safetensors" => (weights.as_slice(), etag.as_str()),
                    "/tiny/colours/resolve/main/config.json" => (CONFIG.as_bytes(), "config"),
                    _ => {
                        let _ = stream.write_all(
                            b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                        );
                        continue;
                    }
                };
                let end = if first.ends_with("0-0") { 0 } else { body.len() - 1 };
                let head = format!(
                    "HTTP/1.1 206 Partial Content\r\nx-repo-commit: {COMMIT}\r\netag: \"{etag}\"\r\ncontent-range: bytes {from}-{end}/{}\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n",
                    body.len(),
                    end + 1 - from
                );
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[from..=end]));
            }
        });
        Self { address, requests, log }
    }
}

#[test]
fn what_is_downloaded_once_is_there_offline() {
    let weights = bare();
    let server = Server::start(weights.clone(), sha256(&weights));
    let home = tempdir().unwrap();
    let endpoint = [("HF_ENDPOINT", server.address.as_str())];
    let photo = format!("{}/green/0.png", TRAINED.photos());
    let arguments = ["predict", "hf:tiny/colours", &photo, "--json", "--top", "1"];
    let online = with_home(home.path(), &arguments, &endpoint);
    assert_eq!(online.stderr, "", "a bar is for terminals");
    let online = online.json();
    assert_eq!(online[0]["predictions"][0]["class"], "vert");
    let requests = server.requests.load(Ordering::Relaxed);
    assert!(requests > 0, "{:?}", server.log.lock().unwrap());

    assert_eq!(with_home(home.path(), &arguments, OFFLINE).json(), online);
    with_home(home.path(), &["inspect", "hf:tiny/absent"], &endpoint).error(&["tiny/absent", "no such file"]);
}

/// A proxy's error page, a broken disk: bytes that differ from the hub's description must not stay in the
/// cache.
#[cfg(unix)]
#[test]
fn a_download_that_is_not_what_the_hub_says_is_not_kept() {
    let mut weights = bare();
    let promised = sha256(&weights);
    weights[100] ^= 1;
    let server = Server::start(weights, promised);
    let home = tempdir().unwrap();
    let endpoint = [("HF_ENDPOINT", server.address.as_str())];
    for _ in 0..2 {
        with_home(home.path(), &["inspect", "hf:tiny/colours"], &endpoint).error(&["SHA-256"]);
        with_home(home.path(), &["inspect", "hf:tiny/colours"], OFFLINE).error(&["not in the cache"]);
    }
}
