//! What a WGSL text declares, read by naga: bindings by name, the fields of `Params`, the workgroup.

/// How an entry point uses a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The uniform `Params`.
    Params,
    /// `Params` in storage: see [`frostline_shaders::stored_params()`].
    StoredParams,
    /// Storage that is read.
    Read,
    /// Storage that is declared writable.
    Write,
}

/// A variable of group 0 that the entry point uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Its name in the text.
    pub name: String,
    /// Its `@binding`.
    pub index: u32,
    /// How it is used.
    pub access: Access,
}

/// A member of `Params`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its first byte.
    pub offset: u32,
    /// Whether it is an `f32`; else it is a `u32`.
    pub float: bool,
}

/// What the host has to provide for an entry point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Names of all variables with a `@binding`, used or not.
    pub declared: Vec<String>,
    /// Those that the entry point uses.
    pub bindings: Vec<Binding>,
    /// The members of `Params`, where the entry point uses it.
    pub fields: Vec<Field>,
    /// Bytes of `Params`.
    pub params_bytes: u32,
    /// Invocations of a workgroup, in x, y and z.
    pub workgroup: [u32; 3],
}

/// Why a text is no kernel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The compiler's message, with line, column and the source.
    #[error("{0}")]
    Compiler(String),
    /// There is no such entry point.
    #[error("the file has no entry point `{wanted}`; it has {found}")]
    NoEntry {
        /// The name that is called.
        wanted: String,
        /// Those that there are.
        found: String,
    },
    /// A variable is in another group than 0.
    #[error("`{name}` is in group {group}: all bindings here are in group 0")]
    Group {
        /// The variable.
        name: String,
        /// Its group.
        group: u32,
    },
}

/// Reads `text`. Compiler messages name `path`.
///
/// # Errors
/// If the text is no valid WGSL, lacks the entry point, or has bindings in another group than 0.
pub fn interface(text: &str, entry: &str, path: &str) -> Result<Interface, Fault> {
    let module = naga::front::wgsl::parse_str(text)
        .map_err(|error| Fault::Compiler(error.emit_to_string_with_path(text, path)))?;
    let (flags, capabilities) = (naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty());
    let info = naga::valid::Validator::new(flags, capabilities)
        .validate(&module)
        .map_err(|error| Fault::Compiler(error.emit_to_string_with_path(text, path)))?;
    let index = module.entry_points.iter().position(|known| known.name == entry);
    let index = index.ok_or_else(|| Fault::NoEntry {
        wanted: entry.to_owned(),
        found: match &*module.entry_points {
            [] => "none".to_owned(),
            some => some.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(", "),
        },
    })?;
    let used = info.get_entry_point(index);
    let mut found = Interface {
        declared: vec![],
        bindings: vec![],
        fields: vec![],
        params_bytes: 0,
        workgroup: module.entry_points[index].workgroup_size,
    };
    for (handle, variable) in module.global_variables.iter() {
        let (Some(name), Some(binding)) = (&variable.name, &variable.binding) else { continue };
        if binding.group != 0 {
            return Err(Fault::Group { name: name.clone(), group: binding.group });
        }
        found.declared.push(name.clone());
        if used[handle].is_empty() {
            continue;
        }
        let is_params = module.types[variable.ty].name.as_deref() == Some("Params");
        let access = match variable.space {
            naga::AddressSpace::Uniform => Access::Params,
            naga::AddressSpace::Storage { .. } if is_params => Access::StoredParams,
            naga::AddressSpace::Storage { access } if access.contains(naga::StorageAccess::STORE) => {
                Access::Write
            }
            _ => Access::Read,
        };
        found.bindings.push(Binding { name: name.clone(), index: binding.binding, access });
        if let (Access::Params | Access::StoredParams, naga::TypeInner::Struct { members, span }) =
            (access, &module.types[variable.ty].inner)
        {
            found.params_bytes = *span;
            found.fields = members.iter().map(|member| field(member, &module)).collect();
        }
    }
    Ok(found)
}

fn field(member: &naga::StructMember, module: &naga::Module) -> Field {
    let scalar = module.types[member.ty].inner.scalar();
    Field {
        name: member.name.clone().unwrap_or_default(),
        offset: member.offset,
        float: scalar.is_some_and(|scalar| scalar.kind == naga::ScalarKind::Float),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "struct Params { size: u32, eps: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> unused: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(8, 4)
fn forward(@builtin(global_invocation_id) id: vec3u) {
    if id.x < p.size { y[id.x] = x[id.x] + p.eps; }
}";

    #[test]
    fn bindings_fields_and_workgroup() {
        let found = interface(TEXT, "forward", "a.wgsl").unwrap();
        assert_eq!(found.declared, ["p", "x", "unused", "y"]);
        let bindings = found.bindings.iter().map(|one| (one.name.as_str(), one.index, one.access));
        assert!(bindings.eq([("p", 0, Access::Params), ("x", 1, Access::Read), ("y", 3, Access::Write)]));
        assert_eq!(found.fields[1], Field { name: "eps".into(), offset: 4, float: true });
        assert_eq!((found.params_bytes, found.workgroup), (8, [8, 4, 1]));
    }

    #[test]
    fn faults_name_the_line_and_the_entry_points() {
        let wrong = TEXT.replace("x[id.x] +", "x[id.x] ++ z");
        let Err(Fault::Compiler(message)) = interface(&wrong, "forward", "a.wgsl") else { panic!() };
        assert!(message.contains("a.wgsl:8:"), "{message}");
        let fault = interface(TEXT, "backward", "a.wgsl").unwrap_err();
        assert_eq!(fault.to_string(), "the file has no entry point `backward`; it has forward");
        let fault = interface("", "forward", "a.wgsl").unwrap_err();
        assert_eq!(fault.to_string(), "the file has no entry point `forward`; it has none");
        let fault = interface(&TEXT.replace("(0) @binding(2)", "(1) @binding(0)"), "forward", "a.wgsl");
        let fault = fault.unwrap_err().to_string();
        assert_eq!(fault, "`unused` is in group 1: all bindings here are in group 0");
    }
}
