//! `frostline serve`: a page in the browser with the classes of a photo and a map of where the network looked.

use crate::output::{complain, warn};
use crate::serve::{Site, Viewer, queue, serve};
use crate::train::folder::report_in;
use crate::{Error, Output, Result, gpu, model};
use clap::Args;
use frostline_trainer::wilson;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::net::TcpListener;
use std::path::Path;

/// The flags.
#[derive(Args, Debug)]
pub struct Serve {
    /// A run folder or checkpoint of `frostline train`, a file of weights, or hf:owner/name.
    model: OsString,
    /// The port to listen at; 0 is any that is free.
    #[arg(long, default_value_t = 7878)]
    port: u16,
    /// The name or address to listen at. With any but the default, others on the network can send photos.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
}

impl Serve {
    /// Serves until Ctrl-C.
    ///
    /// # Errors
    /// [`Error::Listen`] if the port cannot be had; for a model that cannot be opened.
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
        let site = Site::new(self.told(&opened), queue, self.host.clone());
        ctrlc::set_handler(|| {
            complain("stopped");
            std::process::exit(0);
        })
        .map_err(Error::Signal)?;
        let url = format!("http://{address}/");
        output.say(format_args!("{url}  drop a photo there; Ctrl-C ends the server"))?;
        output.json_line(&json!({ "url": url, "host": address.ip(), "port": address.port() }))?;
        let server = std::thread::spawn(move || serve(listener, site));
        jobs.work(|photo| viewer.look(photo));
        match server.join() {
            Ok(ended) => ended.map_err(|error| self.refused(error)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    fn listen(&self) -> Result<TcpListener> {
        let listener =
            TcpListener::bind((self.host.as_str(), self.port)).map_err(|error| self.refused(error))?;
        listener.set_nonblocking(true).map_err(|error| self.refused(error))?;
        Ok(listener)
    }

    fn refused(&self, source: std::io::Error) -> Error {
        Error::Listen { host: self.host.clone(), port: self.port, source }
    }

    /// What `/model` says.
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
            "preprocessing": opened.learner.input(),
            "accuracy": accuracy,
        })
    }
}
