//! A device.

use crate::fault::{Fault, Result};
use frostline_engine::{Compiled, Gpu, GpuOptions, Kernels};
use frostline_self_test::{class, self_test_async};
use serde::Serialize;
use std::cell::RefCell;
use std::sync::Arc;
use wasm_bindgen::prelude::*;

thread_local! {
    /// What is called after each pipeline. Values of JavaScript belong to one thread, as this does.
    static ON_COMPILE: RefCell<Option<js_sys::Function>> = const { RefCell::new(None) };
}

/// A device with its compiled kernels.
#[wasm_bindgen]
pub struct Engine {
    pub(crate) gpu: Arc<Gpu>,
}

#[derive(Serialize)]
struct CompiledEvent<'a> {
    kernel: &'a str,
    done: usize,
    total: usize,
    milliseconds: f64,
}

/// What the self-test found in all.
#[derive(Serialize)]
struct Found {
    passed: usize,
    failed: usize,
    checks: usize,
    kernels: Vec<String>,
}

#[wasm_bindgen]
impl Engine {
    /// Opens the best adapter with the `kernels` "fitting", "portable" or "gpu". `on_compile` gets the JSON
    /// of every pipeline that is compiled.
    pub async fn open(kernels: String, on_compile: js_sys::Function) -> Result<Engine> {
        console_error_panic_hook::set_once();
        let kernels = match kernels.as_str() {
            "fitting" => Kernels::Fitting,
            "portable" => Kernels::Portable,
            "gpu" => Kernels::Gpu,
            other => {
                return Err(Fault::input(format!("kernels: {other}; there are fitting, portable and gpu")));
            }
        };
        let gpu = Gpu::request(&GpuOptions { kernels, ..GpuOptions::default() }).await?;
        ON_COMPILE.set(Some(on_compile));
        gpu.on_compile(|Compiled { kernel, done, total, time }| {
            let milliseconds = time.as_secs_f64() * 1e3;
            let event = CompiledEvent { kernel, done: *done, total: *total, milliseconds };
            if let (Some(call), Ok(event)) =
                (ON_COMPILE.with_borrow(Clone::clone), serde_json::to_string(&event))
            {
                // What it throws is for the page's console.
                let _ = call.call1(&JsValue::NULL, &event.into());
            }
        });
        Ok(Self { gpu: Arc::new(gpu) })
    }

    /// The class of kernels in use: "gpu" or "portable".
    pub fn kernels(&self) -> String {
        class(self.gpu.tuning()).to_owned()
    }

    /// Resolves to the reason once the device is lost.
    pub async fn lost(&self) -> String {
        self.gpu.lost().await
    }

    /// Destroys the device, as a driver reset would.
    pub fn lose(&self) {
        self.gpu.lose();
    }

    /// Runs every kernel beside its twin. `on_check` gets the JSON of each check; the result is JSON.
    pub async fn self_test(&self, on_check: js_sys::Function) -> Result<String> {
        let found = self_test_async(&self.gpu, |check| {
            if let Ok(check) = serde_json::to_string(&Check::from(check)) {
                let _ = on_check.call1(&JsValue::NULL, &check.into());
            }
        })
        .await;
        // A lost device fails every check; that is the one error to report.
        self.gpu.wait_async().await?;
        let (checks, failed) = (found.checks.len(), found.failed().count());
        let kernels = found.ran.iter().cloned().collect();
        Ok(serde_json::to_string(&Found { passed: checks - failed, failed, checks, kernels })?)
    }

    /// The file of a kernel such as `conv2d.forward`, with its header, and the line of its entry point:
    /// JSON.
    pub fn source(&self, kernel: &str) -> Result<String> {
        let unknown = || Fault::input(format!("there is no kernel {kernel}"));
        let (file, entry) = kernel.split_once('.').ok_or_else(unknown)?;
        let known = frostline_shaders::kernels().any(|known| known == (file, entry));
        let text = frostline_shaders::raw(&format!("{file}.wgsl")).ok().filter(|_| known);
        let text = text.ok_or_else(unknown)?;
        let line = text.lines().position(|line| line.contains(&format!("fn {entry}(")));
        let line = line.map_or(1, |at| at + 1);
        Ok(serde_json::json!({ "file": format!("{file}.wgsl"), "text": text, "line": line }).to_string())
    }
}

/// A check as pages get it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Check<'a> {
    op: &'a str,
    kernels: &'a str,
    what: &'a str,
    largest_error: Option<f64>,
    of_tolerance: Option<f64>,
    passed: bool,
    error: Option<&'a str>,
}

impl<'a> From<&'a frostline_self_test::Check> for Check<'a> {
    fn from(check: &'a frostline_self_test::Check) -> Self {
        Self {
            op: &check.op,
            kernels: check.kernels,
            what: &check.what,
            largest_error: check.largest_error,
            of_tolerance: check.of_tolerance,
            passed: check.passed,
            error: check.error.as_deref(),
        }
    }
}
