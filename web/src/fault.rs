//! Errors for JavaScript: a message for people, and a kind for pages.

use frostline_engine::Error as Engine;
use frostline_export::Error as Export;
use frostline_loader::Error as Loader;
use frostline_models::Error as Models;
use frostline_trainer::Error as Trainer;
use wasm_bindgen::JsValue;

/// An error on its way to JavaScript.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    kind: &'static str,
    message: String,
}

/// A result that JavaScript gets.
pub type Result<T> = std::result::Result<T, Fault>;

impl Fault {
    /// Something that was given is wrong.
    pub fn input(message: impl Into<String>) -> Self {
        Self { kind: "input", message: message.into() }
    }

    /// A bug of frostline.
    pub fn internal(message: impl Into<String>) -> Self {
        Self { kind: "internal", message: message.into() }
    }
}

impl From<Fault> for JsValue {
    fn from(fault: Fault) -> Self {
        let error = js_sys::Error::new(&fault.message);
        let _ = js_sys::Reflect::set(&error, &"kind".into(), &fault.kind.into());
        error.into()
    }
}

fn kind(error: &Engine) -> &'static str {
    match error {
        Engine::NoAdapter { .. } | Engine::NoSuchAdapter { .. } | Engine::NoDevice { .. } => "no-adapter",
        Engine::DeviceLost { .. } => "device-lost",
        Engine::OutOfMemory { .. } | Engine::TooLarge { .. } => "out-of-memory",
        Engine::Refused { .. } | Engine::Shader { .. } | Engine::CannotBlock | Engine::OutOfBounds { .. } => {
            "internal"
        }
        _ => "input",
    }
}

impl From<Engine> for Fault {
    fn from(error: Engine) -> Self {
        let message = match &error {
            Engine::NoAdapter { .. } => {
                "this browser has WebGPU and offers no adapter: its GPU may be blocked, or WebGPU switched off \
                 for it"
                    .to_owned()
            }
            _ => error.to_string(),
        };
        Self { kind: kind(&error), message }
    }
}

impl From<Models> for Fault {
    fn from(error: Models) -> Self {
        match error {
            Models::Engine(error) => error.into(),
            error => Self::input(error.to_string()),
        }
    }
}

impl From<Export> for Fault {
    fn from(error: Export) -> Self {
        Self::input(error.to_string())
    }
}

impl From<Loader> for Fault {
    fn from(error: Loader) -> Self {
        Self::input(error.to_string())
    }
}

impl From<Trainer> for Fault {
    fn from(error: Trainer) -> Self {
        match error {
            Trainer::Engine(error) => error.into(),
            Trainer::Models(error) => error.into(),
            error => Self::input(error.to_string()),
        }
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::input(format!("settings: {error}"))
    }
}
