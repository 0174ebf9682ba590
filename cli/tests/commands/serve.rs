//! serve: the answers are those of `predict`, and no request ends the server.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use frostline_engine::Gpu;
use frostline_loader::safetensors;
use frostline_models::Model;
use frostline_trainer::Learner;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{CLASSES, TRAINED, command, frostline};

/// A server that ends with the test.
struct Server {
    child: Child,
    port: u64,
    /// What it printed.
    said: Value,
}

impl Server {
    fn start(model: &str) -> Self {
        let server = Self::start_with(model, &[]);
        assert_eq!(server.said["url"], format!("http://127.0.0.1:{}/", server.port));
        server
    }

    fn start_with(model: &str, flags: &[&str]) -> Self {
        let arguments = [&["serve", model, "--port", "0", "--json"], flags].concat();
        let mut child =
            command(arguments, &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        // The pipe closes here, and the server continues.
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line:?}"));
        let port = said["port"].as_u64().unwrap();
        Self { child, port, said }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Status and JSON of a request to `path`, with this body or, without one, by GET.
    fn ask(&self, path: &str, kind: &str, body: Option<&[u8]>) -> (u16, Value) {
        let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
        let agent: ureq::Agent = config.build().into();
        let mut response = match body {
            Some(body) => agent.post(self.url(path)).content_type(kind).send(body).unwrap(),
            None => agent.get(self.url(path)).call().unwrap(),
        };
        (response.status().as_u16(), response.body_mut().read_json().unwrap())
    }

    fn predict(&self, photo: &[u8]) -> (u16, Value) {
        self.ask("/predict", "application/octet-stream", Some(photo))
    }

    /// The response to these bytes, as they are.
    fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port as u16)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = vec![];
        // A server that refuses an unread body may close the connection after its answer.
        let _ = stream.read_to_end(&mut response);
        String::from_utf8(response).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `predict` has in its file for each photo. In batches of one, as photos come to a server.
fn predicted(model: &str, photos: &[PathBuf]) -> Vec<Value> {
    let folder = tempdir().unwrap();
    let file = folder.path().join("rows.jsonl").display().to_string();
    let flags = ["--batch", "1", "--jsonl", &file].map(PathBuf::from);
    let begin = ["predict", model].map(PathBuf::from);
    frostline(begin.iter().chain(photos).chain(&flags));
    fs::read_to_string(&file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The classes and probabilities of an answer, as `predict` has them.
fn predictions(answer: &Value) -> Value {
    let classes = answer["classes"].as_array().unwrap().iter();
    classes.map(|one| json!({ "class": one["name"], "probability": one["probability"] })).collect()
}

fn class_photos() -> Vec<PathBuf> {
    CLASSES.map(|class| Path::new(&TRAINED.photos()).join(class).join("1.png")).to_vec()
}

/// Good photos, odd ones and broken ones: the same probabilities to the bit, and the same reasons.
#[test]
fn a_photo_has_the_probabilities_that_predict_gives() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../loader/tests");
    let files = |folder: &str, begin: &str| -> Vec<PathBuf> {
        let files = fs::read_dir(tests.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|file| file.file_name().unwrap().to_str().unwrap().starts_with(begin)).collect()
    };
    let photos = [class_photos(), files("cases", ""), files("golden", "decode_")].concat();
    let server = Server::start(&TRAINED.model());
    let (mut good, mut bad) = (0, 0);
    for (photo, row) in photos.iter().zip(predicted(&TRAINED.model(), &photos)) {
        let (status, answer) = server.predict(&fs::read(photo).unwrap());
        if let Some(error) = row["error"].as_str() {
            let expected = error.replace(&photo.display().to_string(), "the photo");
            assert_eq!((status, &answer), (400, &json!({ "error": expected })), "{}", photo.display());
            bad += 1;
        } else {
            assert_eq!(status, 200, "{answer}");
            assert_eq!(predictions(&answer), row["predictions"], "{}", photo.display());
            good += 1;
        }
    }
    assert!(good > 10 && bad > 1, "{good} good photos and {bad} others");
}

/// Each request is refused with a message, and the next photo is answered normally.
#[test]
fn what_cannot_be_answered_is_refused_and_ends_nothing() {
    let server = Server::start(&TRAINED.model());
    let photo = fs::read(&class_photos()[2]).unwrap();
    let refused = |(status, answer): (u16, Value), expected: u16, word: &str| {
        let text = answer["error"].as_str().unwrap_or_default().to_owned();
        assert!(status == expected && text.contains(word), "{status}: {answer}, expected {expected}: {word}");
        let (status, answer) = server.predict(&photo);
        assert_eq!((status, &answer["classes"][0]["name"]), (200, &json!("red")), "after {text}");
    };
    let form = |field: &str| {
        let head = format!(
            "--x\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"a.png\"\r\n\
             Content-Type: image/png\r\n\r\n"
        );
        [head.as_bytes(), &photo, b"\r\n--x--\r\n"].concat()
    };
    let send = |body: &[u8]| server.ask("/predict", "multipart/form-data; boundary=x", Some(body));
    let (status, answer) = send(&form("photo"));
    assert_eq!((status, &answer["classes"][0]["name"]), (200, &json!("red")), "{answer}");
    refused(send(&form("picture")), 400, "no field named `photo`");
    refused(send(&form("photo")[..200]), 400, "");
    refused(server.predict(b""), 400, "the photo");
    refused(server.predict(b"no picture"), 400, "the photo");
    refused(server.predict(&vec![0; (64 << 20) + 1]), 413, "64 MiB");
    refused(server.ask("/predict", "", None), 405, "POST");
    refused(server.ask("/", "text/plain", Some(b"x")), 405, "GET");
    refused(server.ask("/photos", "", None), 404, "/predict");

    // Half a photo, and then a closed connection.
    let mut gone = TcpStream::connect(("127.0.0.1", server.port as u16)).unwrap();
    gone.write_all(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\nx").unwrap();
    drop(gone);
    let foreign = server.raw("GET /model HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert!(foreign.starts_with("HTTP/1.1 403 ") && !foreign.contains("red"), "{foreign}");
    let nonsense = server.raw("no HTTP\r\n\r\n");
    assert!(nonsense.starts_with("HTTP/1.1 400 "), "{nonsense}");
    assert_eq!(server.predict(&photo).0, 200);
}

#[test]
fn photos_that_come_at_once_are_answered_each_for_itself() {
    let server = Server::start(&TRAINED.model());
    let photos = class_photos();
    let expected = predicted(&TRAINED.model(), &photos);
    let bytes: Vec<Vec<u8>> = photos.iter().map(|photo| fs::read(photo).unwrap()).collect();
    std::thread::scope(|scope| {
        // More at once than the server accepts.
        for i in 0..24 {
            let (server, bytes, expected) = (&server, &bytes[i % 3], &expected[i % 3]);
            scope.spawn(move || assert_eq!(predictions(&server.predict(bytes).1), expected["predictions"]));
        }
    });
}

/// Names as folders may have them, in a run with a report; maps of several places, which with the bias make
/// the probabilities.
#[test]
fn names_are_texts_and_maps_make_the_probabilities() {
    let names = ["<script>alert(1)</script>", "\"it's\" & co", "Größe 猫 \u{202e}x"].map(str::to_owned);
    let run = tempdir().unwrap();
    let file = run.path().join("best.safetensors");
    let model = Model::new("resnet10").unwrap().width(4).in_channels(3).classes(3);
    let mut learner = Learner::new(&Arc::new(Gpu::new().unwrap()), model, 32, 5).unwrap();
    learner.set_classes(&names).unwrap();
    let bias = [0.25, -1.0, 0.5];
    learner.params().set("fc.bias", &bias).unwrap();
    learner.save(&file).unwrap();
    let report = json!({ "run": "x", "model": "x", "step": 1, "images": 40, "right": 38, "accuracy": 0.95,
        "loss": 0.1, "classes": [] });
    fs::write(run.path().join("report.json"), report.to_string()).unwrap();
    let server = Server::start(run.path().to_str().unwrap());

    let (status, told) = server.ask("/model", "", None);
    assert_eq!((status, &told["classes"], &told["network"]), (200, &json!(names), &json!("resnet10")));
    assert_eq!((&told["accuracy"]["right"], &told["accuracy"]["photos"]), (&json!(38), &json!(40)));
    assert_eq!(told["preprocessing"]["crop"], 32);

    // 44 x 36 pixels, of which the network gets the square in the middle.
    let (_, answer) = server.predict(&fs::read(&class_photos()[0]).unwrap());
    let seen = ["left", "top", "width", "height"].map(|side| answer["seen"][side].as_f64().unwrap());
    assert!(seen[0] > 0.09 && (seen[0] - (1.0 - seen[2]) / 2.0).abs() < 0.02, "{answer}");
    assert!(answer["ms"].as_f64().unwrap() > 0.0);
    let logits: Vec<f64> = names
        .iter()
        .zip(bias)
        .map(|(name, bias)| {
            let classes = answer["classes"].as_array().unwrap();
            let one = classes.iter().find(|one| one["name"] == name.as_str()).unwrap();
            let rows: Vec<Vec<f64>> = serde_json::from_value(one["map"].clone()).unwrap();
            assert!(rows.len() == 4 && rows.iter().all(|row| row.len() == 4), "{rows:?}");
            rows.concat().iter().sum::<f64>() / 16.0 + f64::from(bias)
        })
        .collect();
    let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
    for one in answer["classes"].as_array().unwrap() {
        let class = names.iter().position(|name| one["name"] == name.as_str()).unwrap();
        let off = (logits[class].exp() / sum - one["probability"].as_f64().unwrap()).abs();
        assert!(off < 1e-5, "{name}: {off:e}", name = names[class]);
    }
}

#[test]
fn an_output_that_is_not_a_number_is_told_as_such() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("huge.safetensors");
    let mut weights = safetensors::read(TRAINED.model()).unwrap();
    for (_, tensor) in weights.tensors.iter_mut().filter(|(name, _)| name.ends_with("fc.weight")) {
        tensor.data.fill(3e38);
    }
    safetensors::write(&file, &weights.tensors, &weights.metadata, safetensors::Dtype::F32).unwrap();
    let server = Server::start(file.to_str().unwrap());
    let (status, answer) = server.predict(&fs::read(&class_photos()[0]).unwrap());
    assert_eq!(status, 500);
    assert!(answer["error"].as_str().unwrap().contains("not a number"), "{answer}");
}

/// All of it comes from the server, and folder names are never read as HTML.
#[test]
fn clients_that_send_nothing_more_keep_nobody_waiting() {
    let server = Server::start(&TRAINED.model());
    let begin = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nabc";
    let stalled: Vec<TcpStream> = (0..40)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", server.port as u16)).unwrap();
            stream.write_all(begin.as_bytes()).unwrap();
            stream
        })
        .collect();
    let begun = std::time::Instant::now();
    let (status, _) = server.predict(&fs::read(&class_photos()[0]).unwrap());
    // Their time is over after 60 seconds.
    assert!(status == 200 && begun.elapsed().as_secs() < 30, "{status} after {:?}", begun.elapsed());
    drop(stalled);
}

#[test]
fn the_page_is_complete_in_itself() {
    let server = Server::start(&TRAINED.model());
    let response = server.raw("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let (head, page) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("text/html; charset=utf-8"), "{head}");
    assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
    assert!(page.trim_end().ends_with("</html>"));
    for foreign in
        ["http:", "https:", "//cdn", "@import", "innerHTML", "insertAdjacentHTML", "document.write"]
    {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

#[test]
fn a_port_that_is_taken_is_told_with_advice() {
    let server = Server::start(&TRAINED.model());
    let port = server.port.to_string();
    frostline(["serve", &TRAINED.model(), "--port", &port]).error(&[&port, "--port 0"]);
    frostline(["serve", &TRAINED.model(), "--host", "203.0.113.1"]).error(&["203.0.113.1", "--host"]);
    frostline(["serve", &TRAINED.photos(), "--port", "0"]).error(&["folder of photos"]);
    assert_eq!(frostline(["serve", &TRAINED.model(), "--port", "65536"]).code, Some(2));
}

/// The status with which the server answers to `GET /model` at `address`, with this name in `Host`.
fn status(address: &str, port: u64, name: &str) -> String {
    let mut stream = TcpStream::connect((address, port as u16)).unwrap();
    let request = format!("GET /model HTTP/1.1\r\nHost: {name}:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn an_ipv6_address_is_given_with_brackets_or_without() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("this machine has no IPv6");
        return;
    }
    for host in ["::1", "[::1]"] {
        let server = Server::start_with(&TRAINED.model(), &["--host", host]);
        assert_eq!(server.said["url"], format!("http://[::1]:{}/", server.port));
        assert_eq!(status("::1", server.port, "[::1]"), "200");
    }
}

#[test]
fn at_all_addresses_it_says_where_and_answers_to_the_machines_name() {
    let server = Server::start_with(&TRAINED.model(), &["--host", "0.0.0.0"]);
    let port = server.port;
    assert_eq!(server.said["url"], format!("http://127.0.0.1:{port}/"));
    let own = hostname::get().unwrap().into_string().unwrap();
    assert_eq!(status("127.0.0.1", port, &own), "200");
    assert_eq!(status("127.0.0.1", port, "evil.example"), "403");
    for url in server.said["others"].as_array().unwrap() {
        let host = url.as_str().unwrap().strip_prefix("http://").unwrap();
        let host = host.strip_suffix(&format!(":{port}/")).unwrap();
        assert_eq!(status("127.0.0.1", port, host), "200", "{url}");
    }
    // A server that listens on this machine only does not accept the machine's name.
    let server = Server::start(&TRAINED.model());
    assert_eq!(status("127.0.0.1", server.port, &format!("{own}.local")), "403");
}

#[cfg(unix)]
fn press(child: &Child) {
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_server_at_once() {
    let arguments = ["serve", &TRAINED.model(), "--port", "0", "--host", "0.0.0.0"];
    let mut child = command(arguments, &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert!(line.starts_with("http://127.0.0.1:") && line.contains("Ctrl-C"), "{line}");
    let pressed = Instant::now();
    press(&child);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(pressed.elapsed() < Duration::from_secs(4), "{:?}", pressed.elapsed());
    assert!(said.contains("warning: 0.0.0.0:") && said.contains("anybody on the network"), "{said}");
    assert!(said.ends_with("stopped\n"), "{said}");
}

/// A photo that is on its way when Ctrl-C is pressed is answered; an incomplete one is given up.
#[cfg(unix)]
#[test]
fn ctrl_c_lets_a_request_in_flight_finish() {
    let photo = fs::read(&class_photos()[2]).unwrap();
    let half = |server: &Server| {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port as u16)).unwrap();
        let head = format!(
            "POST /predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            photo.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&photo[..photo.len() / 2]).unwrap();
        // The server has begun to read it when it has answered another request.
        assert_eq!(server.ask("/model", "", None).0, 200);
        stream
    };
    let mut server = Server::start(&TRAINED.model());
    let mut stream = half(&server);
    press(&server.child);
    std::thread::sleep(Duration::from_millis(500));
    stream.write_all(&photo[photo.len() / 2..]).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 200 ") && response.contains("red"), "{response}");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));

    let mut server = Server::start(&TRAINED.model());
    let _stream = half(&server);
    let pressed = Instant::now();
    press(&server.child);
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    assert!((4..10).contains(&pressed.elapsed().as_secs()), "{:?}", pressed.elapsed());
}
