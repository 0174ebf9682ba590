//! `frostline serve`: a page in the browser with the classes of a photo and, for each, a class activation
//! map.

use crate::output::{note, warn};
use crate::serve::{Reach, Site, Viewer, bare, queue, reach, serve};
use crate::train::folder::report_in;
use crate::{Error, Output, Result, gpu, model};
use clap::Args;
use frostline_trainer::wilson;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long requests that arrived before Ctrl-C may take.
const GRACE: Duration = Duration::from_secs(5);

/// The flags.
#[derive(Args, Debug)]
pub struct Serve {
    /// A run folder or checkpoint of `frostline train`, a file of weights, or hf:owner/name.
    model: OsString,
    /// The port to listen at; 0 chooses a free port.
    #[arg(long, default_value_t = 7878)]
    port: u16,
    /// The name or address to listen at, such as 0.0.0.0 for all addresses. With any but the default and ::1,
    /// others on the network can send photos.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
}

impl Serve {
    /// Serves until Ctrl-C.
    ///
    /// # Errors
    /// [`Error::Listen`] if the port cannot be opened; for a model that cannot be opened.
    pub fn run(&self, output: &Output) -> Result<()> {
        // A program that starts the server can read the address and close the pipe.
        let output = output.outliving_its_reader();
        // Before the model is read, which takes time: a port in use ends the command.
        let listener = self.listen()?;
        let address = listener.local_addr().map_err(|error| self.refused(error))?;
        if !address.ip().is_loopback() {
            warn(format_args!("{address}: anybody on the network can send photos here, unencrypted"));
        }
        let opened = model::open(&gpu::open()?, &self.model)?;
        let mut viewer = Viewer::new(&opened.learner, &opened.classes)?;
        let (queue, jobs) = queue();
        let Reach { url, others, names } = reach(bare(&self.host), address);
        let site = Site::new(self.told(&opened), queue, names);
        let stop = stop_on_ctrl_c()?;
        output.say(format_args!("{url} drop a photo there; Ctrl-C ends the server"))?;
        if !others.is_empty() {
            output.say(format_args!("from other machines: {}", others.join(" or ")))?;
        }
        let place = json!({ "url": url, "others": others, "host": address.ip(), "port": address.port() });
        output.json_line(&place)?;
        let server = std::thread::spawn(move || serve(listener, site, stop));
        jobs.work(|photo| viewer.look(photo));
        match server.join() {
            Ok(ended) => ended.map_err(|error| self.refused(error))?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        note("stopped");
        Ok(())
    }

    fn listen(&self) -> Result<TcpListener> {
        let listener =
            TcpListener::bind((bare(&self.host), self.port)).map_err(|error| self.refused(error))?;
        listener.set_nonblocking(true).map_err(|error| self.refused(error))?;
        Ok(listener)
    }

    fn refused(&self, source: std::io::Error) -> Error {
        Error::Listen { host: self.host.clone(), port: self.port, source }
    }

    /// What `/model` returns.
    fn told(&self, opened: &model::Opened) -> Value {
        let accuracy = report_in(Path::new(&self.model)).map(|report| {
            let interval = wilson(report.right, report.images as u64);
            let (share, right, photos) = (report.accuracy, report.right, report.images);
            json!({ "share": share, "right": right, "photos": photos, "interval": interval })
        });
        json!({
            "model": self.model.to_string_lossy(),
            "network": opened.learner.model().name(),
            "classes": opened.classes,
            "preprocessing": opened.learner.preprocessing(),
            "accuracy": accuracy,
        })
    }
}

/// Signals that Ctrl-C was pressed. The process ends [`GRACE`] later, even if requests are running, and at
/// once if it is pressed again.
fn stop_on_ctrl_c() -> Result<oneshot::Receiver<()>> {
    let (ask, asked) = oneshot::channel();
    let mut ask = Some(ask);
    let end = || {
        note("stopped");
        std::process::exit(0);
    };
    let pressed = move || match ask.take().map(|ask| ask.send(())) {
        Some(Ok(())) => {
            std::thread::spawn(move || {
                std::thread::sleep(GRACE);
                end()
            });
        }
        _ => end(),
    };
    ctrlc::set_handler(pressed).map_err(Error::Signal)?;
    Ok(asked)
}
