//! Kernels by name, and what their WGSL declares.
//!
//! The WGSL is the declaration: binding names, their access and the fields of `Params` are read from it with
//! naga, so that Rust code does not repeat them. naga is a third of a module for browsers, and a browser
//! compiles WGSL itself: there they are read from `reflected.json`, which `engine/tests/reflected.rs` compares.

use crate::error::{Error, Result};
use frostline_shaders::{Format, Share};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
#[cfg(not(target_family = "wasm"))]
use std::sync::Mutex;
use std::sync::{Arc, LazyLock};
#[cfg(not(target_family = "wasm"))]
use wgpu::naga;

/// An entry point of a shader file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// The file in `shaders/`, without `.wgsl`.
    pub file: &'static str,
    /// The entry point.
    pub entry: &'static str,
}

impl Kernel {
    /// `conv2d.backward_input`: the label of its pipeline, plan line and profile row.
    pub fn name(&self) -> String {
        format!("{}.{}", self.file, self.entry)
    }
}

/// A kernel with its constants set: one pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// The kernel.
    pub kernel: Kernel,
    /// Constants that differ from the file's.
    pub constants: Vec<(&'static str, u32)>,
    /// How weights are shared.
    pub share: Share,
    /// Bindings that are not kept as their file declares them.
    pub formats: Vec<(&'static str, Format)>,
}

impl Variant {
    /// How the binding `name` is kept.
    pub fn format(&self, name: &str) -> Format {
        self.formats.iter().find(|(known, _)| *known == name).map_or(Format::Single, |(_, format)| *format)
    }
}

/// How a kernel uses a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// The uniform `Params`.
    Params,
    /// Storage that is read.
    Read,
    /// Storage that is declared writable.
    Write,
}

/// A scalar of `Params`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    /// `u32`.
    U32(u32),
    /// `f32`.
    F32(f32),
}

impl Scalar {
    /// Its four bytes in a uniform.
    pub(crate) fn to_le_bytes(self) -> [u8; 4] {
        match self {
            Scalar::U32(value) => value.to_le_bytes(),
            Scalar::F32(value) => value.to_le_bytes(),
        }
    }
}

/// What an entry point declares.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reflection {
    /// Binding index and access by name.
    pub bindings: BTreeMap<String, (u32, Access)>,
    /// Bindings that may have another format: those with an accessor, such as `load_x` or `store_y`.
    pub texels: BTreeSet<String>,
    /// Bindings that this entry point stores to. One that is writable for the sake of another entry
    /// point of the file may only be read here.
    pub written: BTreeSet<String>,
    /// Byte offset and whether it is a float, of every field of `Params`.
    pub fields: BTreeMap<String, (u32, bool)>,
    /// Bytes of `Params`.
    pub params_bytes: u32,
}

/// What `kernel` declares, read from its WGSL before this was compiled.
#[cfg(target_family = "wasm")]
pub fn reflect(kernel: Kernel) -> Result<Arc<Reflection>> {
    static TABLE: LazyLock<serde_json::Result<HashMap<String, Arc<Reflection>>>> = LazyLock::new(|| {
        let table: HashMap<String, Reflection> = serde_json::from_str(include_str!("reflected.json"))?;
        Ok(table.into_iter().map(|(name, reflection)| (name, Arc::new(reflection))).collect())
    });
    let fail = |reason: String| Error::Shader { kernel: kernel.name(), reason };
    let table = TABLE.as_ref().map_err(|error| fail(error.to_string()))?;
    let known = table.get(&kernel.name()).cloned();
    known.ok_or_else(|| fail("it is not in reflected.json".to_owned()))
}

/// Reads what `kernel` declares; parsed once per process.
#[cfg(not(target_family = "wasm"))]
pub fn reflect(kernel: Kernel) -> Result<Arc<Reflection>> {
    static CACHE: LazyLock<Mutex<HashMap<Kernel, Arc<Reflection>>>> = LazyLock::new(Mutex::default);
    if let Some(known) = CACHE.lock().expect("no panic while reflecting").get(&kernel) {
        return Ok(known.clone());
    }
    let fail = |reason: String| Error::Shader { kernel: kernel.name(), reason };
    // The portable text declares the same bindings as any other and needs no capability.
    let text = frostline_shaders::source(kernel.file, &[], Share::Portable, &[])
        .map_err(|error| fail(error.to_string()))?;
    let module = naga::front::wgsl::parse_str(&text).map_err(|error| fail(error.emit_to_string(&text)))?;
    let info =
        naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty())
            .validate(&module)
            .map_err(|error| fail(error.emit_to_string(&text)))?;
    let index = module.entry_points.iter().position(|entry| entry.name == kernel.entry);
    let index = index.ok_or_else(|| fail("the file has no such entry point".to_owned()))?;
    let reflection = Arc::new(declared(&module, info.get_entry_point(index)));
    CACHE.lock().expect("no panic while reflecting").insert(kernel, reflection.clone());
    Ok(reflection)
}

#[cfg(not(target_family = "wasm"))]
fn declared(module: &naga::Module, info: &naga::valid::FunctionInfo) -> Reflection {
    let mut reflection = Reflection {
        bindings: BTreeMap::new(),
        texels: BTreeSet::new(),
        written: BTreeSet::new(),
        fields: BTreeMap::new(),
        params_bytes: 0,
    };
    for (handle, variable) in module.global_variables.iter() {
        let (Some(name), Some(binding)) = (&variable.name, &variable.binding) else { continue };
        if info[handle].is_empty() {
            continue;
        }
        let access = match variable.space {
            naga::AddressSpace::Storage { access } if access.contains(naga::StorageAccess::STORE) => {
                Access::Write
            }
            naga::AddressSpace::Storage { .. } => Access::Read,
            _ => Access::Params,
        };
        reflection.bindings.insert(name.clone(), (binding.binding, access));
        if info[handle].contains(naga::valid::GlobalUse::WRITE) {
            reflection.written.insert(name.clone());
        }
        let accessors = [format!("load_{name}"), format!("store_{name}")];
        let mut functions = module.functions.iter().filter_map(|(_, function)| function.name.as_ref());
        if functions.any(|function| accessors.contains(function)) {
            reflection.texels.insert(name.clone());
        }
        if let (Access::Params, naga::TypeInner::Struct { members, span }) =
            (access, &module.types[variable.ty].inner)
        {
            reflection.params_bytes = *span;
            for member in members {
                let float = matches!(module.types[member.ty].inner, naga::TypeInner::Scalar(s) if s.kind == naga::ScalarKind::Float);
                reflection.fields.insert(member.name.clone().unwrap_or_default(), (member.offset, float));
            }
        }
    }
    reflection
}
