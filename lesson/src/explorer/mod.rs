//! The explorer: a page on this machine, where every change of a control starts a training run.
//!
//! ```text
//! page ── POST /run ──► server ──► board ──► trainer thread, which owns the GPU
//! page ◄─ GET /events ─ server ◄── board ◄── the run's losses, accuracies, cost
//! ```
//!
//! The board is the only state: the last runs, of which at most one is running and one is waiting. Any number
//! of pages can show the board; they store nothing.

mod board;
mod menu;
mod request;
mod server;
mod sweet_spot;
mod trainer;

pub use board::{KEPT_RUNS, Loss, Point, Record, Status};
pub use menu::{Domain, Menu, Scenario};
pub use request::{Problem, Request};
pub use sweet_spot::{Comparison, Mix, compare, panel, table};
pub use trainer::{GroupCost, RunCost, StepCost};

use crate::data::track::Track;
use crate::error::{Error, Result};
use crate::outline::Flags;
use board::Board;
use frostline_engine::Gpu;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use trainer::Trainer;

/// A page that is ready to be served.
pub struct Explorer {
    listener: TcpListener,
    address: SocketAddr,
    menu: Arc<Menu>,
    trainer: Trainer,
}

impl Explorer {
    /// Opens `port` of 127.0.0.1 (0: a free one), for runs on `track` with the batch, length, images, rates
    /// and seeds that `flags` set.
    ///
    /// # Errors
    /// [`Error::Port`] if the port cannot be opened; [`Error::Flags`] for numbers of images that a task does
    /// not have.
    pub fn open(gpu: Arc<Gpu>, track: Track, flags: &Flags, port: u16) -> Result<Self> {
        let menu = Arc::new(Menu::new(gpu.describe(), &track, flags)?);
        let taken = |error: std::io::Error| Error::Port { port, reason: error.to_string() };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(taken)?;
        listener.set_nonblocking(true).map_err(taken)?;
        let address = listener.local_addr().map_err(taken)?;
        let trainer = Trainer::new(gpu, track, flags.clone(), &menu)?;
        Ok(Self { listener, address, menu, trainer })
    }

    /// The address of the page.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves the page until `until` resolves, then stops the running run.
    ///
    /// Returns the last [`KEPT_RUNS`] runs, in the order they were requested.
    ///
    /// # Errors
    /// [`Error::Server`] if the system does not let it serve.
    pub fn serve(self, until: impl Future<Output = ()>) -> Result<Vec<Record>> {
        let Self { listener, menu, mut trainer, .. } = self;
        let board = Arc::new(Board::default());
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::server)?;
        std::thread::scope(|scope| {
            let training = scope.spawn(|| trainer.work(&board));
            let served = runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).map_err(Error::server)?;
                server::serve(listener, menu, board.clone(), until).await
            });
            board.close();
            let trained =
                training.join().map_err(|_| Error::Server("the training thread panicked".to_owned()));
            served.and(trained)
        })?;
        // The streams of open pages end with the runtime.
        drop(runtime);
        Ok(board.records())
    }
}
