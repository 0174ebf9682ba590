//! What the program does and how long it takes, printed if `RUST_LOG` is set: `frostline_cli=info` has the
//! phases of a command, `wgpu_core=warn` the messages of the graphics library.

use std::io::Write;
use std::time::Instant;

use log::{Level, log_enabled};

/// Writes log lines to standard error, with the seconds since now, if `RUST_LOG` is set.
pub fn begin() {
    if std::env::var_os("RUST_LOG").is_none() {
        return;
    }
    let start = Instant::now();
    let mut logger = env_logger::Builder::from_env(env_logger::Env::default());
    logger.format(move |line, record| {
        let seconds = start.elapsed().as_secs_f64();
        writeln!(line, "{seconds:9.3} {:<5} {}: {}", record.level(), record.target(), record.args())
    });
    // There is no other logger in this program.
    let _ = logger.try_init();
}

/// Does `work`, and logs how long it took.
pub fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    if !log_enabled!(Level::Info) {
        return work();
    }
    let start = Instant::now();
    log::info!("{what} …");
    let done = work();
    log::info!("{what}: {:.3} s", start.elapsed().as_secs_f64());
    done
}
