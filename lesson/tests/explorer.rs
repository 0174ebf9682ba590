//! The explorer over HTTP: its answers, its events, and that nothing is lost.

use frostline_lesson::explorer::{Explorer, Record, Status};
use frostline_lesson::{Error, Lab, NoFlags, Outline, Settings, Track};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

const SETTINGS: Settings = Settings { images: &[12, 16], seeds: 2, steps: 3, batch: 8, lr: 0.02 };
const OUTLINE: Outline = Outline {
    number: 7,
    version: 1,
    title: "a title",
    claim: "a claim",
    defaults: SETTINGS,
    quick: SETTINGS,
};

fn explorer(flags: &str, port: u16) -> Result<Explorer, Error> {
    let words = std::iter::once("ch7").chain(flags.split_whitespace());
    let (flags, NoFlags {}) = OUTLINE.read(words).unwrap();
    let lab = Lab::new(flags);
    Explorer::open(lab.gpu()?.clone(), Track::open(&lab.flags, &lab.assets)?, &lab.flags, port)
}

/// An explorer that is being served.
struct Served {
    url: String,
    over: oneshot::Sender<()>,
    thread: JoinHandle<Vec<Record>>,
}

impl Served {
    fn start(flags: &str) -> Self {
        let explorer = explorer(&format!("--json {flags}"), 0).unwrap();
        let (url, (over, until)) = (explorer.url(), oneshot::channel::<()>());
        let thread =
            std::thread::spawn(move || explorer.serve(async { until.await.unwrap_or_default() }).unwrap());
        Self { url, over, thread }
    }

    fn end(self) -> Vec<Record> {
        self.over.send(()).unwrap();
        self.thread.join().unwrap()
    }

    /// Status and answer.
    fn post(&self, path: &str, kind: &str, body: &str) -> (u16, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer =
            agent.post(format!("{}{path}", self.url)).header("content-type", kind).send(body).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_json().unwrap())
    }

    fn run(&self, wish: &Value) -> u64 {
        let (status, answer) = self.post("/run", "application/json", &wish.to_string());
        assert_eq!(status, 200, "{answer}");
        answer["run"].as_u64().unwrap()
    }

    fn state(&self) -> Value {
        ureq::get(format!("{}/state", self.url)).call().unwrap().body_mut().read_json().unwrap()
    }

    fn events(&self) -> Events {
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(300)));
        let agent: ureq::Agent = config.build().into();
        let body = agent.get(format!("{}/events", self.url)).call().unwrap().into_body().into_reader();
        Events(BufReader::new(Box::new(body)))
    }

    /// The raw answer to raw bytes.
    fn raw(&self, text: &str) -> String {
        let mut stream = TcpStream::connect(self.url.strip_prefix("http://").unwrap()).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

struct Events(BufReader<Box<dyn Read>>);

impl Events {
    /// The next event: its name and data.
    fn next(&mut self) -> (String, Value) {
        let (mut name, mut line) = (String::new(), String::new());
        loop {
            line.clear();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the events ended");
            if let Some(found) = line.trim_end().strip_prefix("event: ") {
                name = found.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                return (name, serde_json::from_str(data).unwrap());
            }
        }
    }

    /// All events of run `id`, until it has `status`.
    fn until(&mut self, id: u64, status: &str) -> Vec<Value> {
        let mut told = vec![];
        loop {
            let (name, run) = self.next();
            if name == "run" && run["id"] == id {
                told.push(run);
                if told.last().unwrap()["status"] == status {
                    return told;
                }
            }
        }
    }
}

fn wish(trainable: &[&str]) -> Value {
    json!({ "trainable": trainable, "domain": "similar", "images": 8, "lr": 0.02 })
}

#[test]
fn a_run_is_told_from_its_plan_to_its_accuracy() {
    let served = Served::start("");
    let mut events = served.events();
    let (name, state) = events.next();
    assert_eq!((name.as_str(), &state["runs"]), ("state", &json!([])));
    assert_eq!(state["menu"]["groups"], json!(["stem+layer1", "layer2", "layer3", "layer4", "fc"]));
    let id = served.run(&wish(&["fc", "layer4"]));
    let told = events.until(id, "finished");
    let statuses: Vec<_> = told.iter().map(|run| run["status"].as_str().unwrap()).collect();
    assert_eq!(statuses[..2], ["waiting", "running"]);
    let planned = told.iter().position(|run| !run["cost"].is_null()).unwrap();
    assert!(
        told[planned]["losses"].as_array().unwrap().is_empty(),
        "the cost is known before the first step"
    );
    let run = told.last().unwrap();
    assert_eq!((run["losses"].as_array().unwrap().len(), run["step"].as_u64()), (3, Some(3)));
    assert!(run["losses"][0]["loss"].as_f64().unwrap() > 0.0);
    assert_eq!(run["validation"].as_array().unwrap().last().unwrap()["step"], 3);
    assert!((0.0..=1.0).contains(&run["accuracy"].as_f64().unwrap()));

    let cost = &run["cost"];
    for of in ["kernels", "macs", "kept_bytes"] {
        assert!(cost["step"][of].as_u64() < cost["unfrozen"][of].as_u64(), "{of}: {cost}");
    }
    let skipped = |group: usize| cost["groups"][group]["skipped"].as_u64().unwrap();
    assert!(skipped(0) > 0 && skipped(2) > 0 && skipped(4) == 0, "{cost}");
    let records = served.end();
    assert_eq!((records.len(), records[0].status), (1, Status::Finished));
}

#[test]
fn a_change_stops_the_run_under_way_and_a_second_page_sees_all() {
    let served = Served::start("--steps 100000");
    let mut events = served.events();
    let first = served.run(&wish(&["fc"]));
    events.until(first, "running");
    let second = served.run(&wish(&["layer4", "fc"]));
    events.until(first, "cancelled");
    let mut told = events.until(second, "running");
    while told.last().unwrap()["losses"].as_array().unwrap().is_empty() {
        told.push(events.next().1);
    }
    // A page that goes away in the middle of a run takes nothing with it.
    drop(events);

    let mut other = served.events();
    let (name, state) = other.next();
    assert_eq!(name, "state");
    let statuses: Vec<_> =
        state["runs"].as_array().unwrap().iter().map(|run| run["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["cancelled", "running"]);
    assert!(
        !state["runs"][1]["losses"].as_array().unwrap().is_empty(),
        "a second page gets what the first has seen"
    );

    assert_eq!(served.post("/cancel", "application/json", "{}"), (200, json!({ "cancelled": second })));
    other.until(second, "cancelled");
    assert_eq!(served.post("/cancel", "application/json", "{}"), (200, json!({ "cancelled": null })));
    assert_eq!(served.state()["runs"][1]["accuracy"], Value::Null);

    // The end stops the current run quickly.
    let third = served.run(&wish(&["fc"]));
    other.until(third, "running");
    let last = served.end().pop().unwrap();
    assert_eq!((last.id, last.status), (third, Status::Cancelled));
}

#[test]
fn the_same_wish_gives_the_same_numbers_and_a_failure_is_told() {
    let served = Served::start("");
    let mut events = served.events();
    let mut losses = vec![];
    for _ in 0..2 {
        let id = served.run(&wish(&["layer4", "fc"]));
        losses.push(events.until(id, "finished").last().unwrap()["losses"].clone());
    }
    assert_eq!(losses[0], losses[1]);
    let wild = served.run(&json!({ "trainable": ["stem+layer1", "fc"], "domain": "different", "images": 16, "lr": 10, "seed": 1 }));
    let mut told = events.next().1;
    while !(told["id"] == wild && ["finished", "failed"].contains(&told["status"].as_str().unwrap())) {
        told = events.next().1;
    }
    // Three steps may or may not overflow; either way it has an end, and the next run works.
    assert_eq!(told["status"] == "failed", told["error"].is_string());
    let id = served.run(&wish(&["fc"]));
    events.until(id, "finished");
    served.end();
}

#[test]
fn wrong_wishes_are_answered_with_a_sentence() {
    let served = Served::start("");
    let json = "application/json";
    let cases = [
        (400, json, "{", ""),
        (400, json, "[]", ""),
        (400, json, r#"{"trainable":["fc"],"domain":"similar","images":8}"#, "lr"),
        (400, json, r#"{"trainable":["fc"],"domain":"similar","images":8,"lr":0.1,"colour":1}"#, "colour"),
        (
            400,
            json,
            r#"{"trainable":["layer9"],"domain":"similar","images":8,"lr":0.1}"#,
            "there are: stem+layer1, layer2",
        ),
        (400, json, r#"{"trainable":[],"domain":"similar","images":8,"lr":0.1}"#, "at least one layer group"),
        (400, json, r#"{"trainable":["fc"],"domain":"else","images":8,"lr":0.1}"#, "similar, different"),
        (400, json, r#"{"trainable":["fc"],"domain":"different","images":8,"lr":0.1}"#, "needs at least 10"),
        (
            400,
            json,
            r#"{"trainable":["fc"],"domain":"similar","images":100000,"lr":0.1}"#,
            "clothes has 1200",
        ),
        (400, json, r#"{"trainable":["fc"],"domain":"similar","images":8,"lr":-1}"#, "above 0"),
        (
            415,
            "text/plain",
            r#"{"trainable":["fc"],"domain":"similar","images":8,"lr":0.1}"#,
            "application/json",
        ),
    ];
    for (status, kind, body, words) in cases {
        let (got, answer) = served.post("/run", kind, body);
        let error = answer["error"].as_str().unwrap();
        assert!(got == status && !error.is_empty() && error.contains(words), "{body}: {got} {answer}");
    }
    assert_eq!(
        served.post("/run", json, r#"{"trainable":[],"domain":"similar","images":8,"lr":0.1}"#).1["field"],
        "trainable"
    );
    assert_eq!(served.post("/run", json, &" ".repeat(5000)).0, 413);
    assert_eq!(served.post("/cancel", "text/plain", "{}").0, 415);
    assert_eq!(served.post("/elsewhere", json, "{}").0, 404);
    assert_eq!(served.post("/state", json, "{}").0, 405);
    assert!(served.end().is_empty(), "nothing wrong became a run");
}

#[test]
fn only_this_machine_is_answered() {
    let served = Served::start("");
    for (host, status) in
        [("127.0.0.1:1", 200), ("localhost", 200), ("[::1]:7878", 200), ("evil.example:7878", 403), ("", 403)]
    {
        let answer = served.raw(&format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{host}: {answer}");
        assert_eq!(answer.contains("<title>"), status == 200, "{host}");
    }
    assert!(served.url.starts_with("http://127.0.0.1:"));
    for file in ["style.css", "explorer.css", "explorer.js", "explorer-server.js", "charts.js"] {
        let answer =
            served.raw(&format!("GET /{file} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.to_lowercase().contains("content-security-policy"),
            "{answer}"
        );
    }
    // A line that is not HTTP ends a connection, not the explorer.
    served.raw("nonsense\r\n\r\n");
    assert_eq!(served.state()["runs"], json!([]));
    served.end();
}

#[test]
fn a_port_in_use_and_images_that_are_not_there_are_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let Err(error) = explorer("--json", port) else { panic!("port {port} was in use") };
    let text = error.to_string();
    assert!(text.contains(&format!("--port {port}")) && text.contains("--port 0"), "{text}");
    let Err(error) = explorer("--json --images 12,5000", 0) else { panic!("5000 images") };
    assert!(error.to_string().contains("--images 5000"), "{error}");
}
