//! Which interfaces a filter may call: what it wants, narrowed by its operator.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, StoreContextMut};

use super::componentize::{PACKAGE, STDIO, VERSION};
use super::ctx::Ctx;
use super::failing::Refused;
use super::host;
use super::manifest::Manifest;
use crate::filter::LoadError;

/// Every interface that can be imported.
pub(super) const ALL: [&str; 10] = [
    "command", "messages", "names", "client", "store", "limit", "log", "metrics", "clock", "random",
];
/// What is granted without asking: it reaches nothing but the command itself and lines of the log. An operator's list
/// that names one of them means all that it does not name to be refused.
const PLAIN: [&str; 5] = ["command", "client", "log", "clock", "random"];

/// The interfaces a component imports, by name.
pub(super) fn imports(component: &Component, engine: &Engine) -> Vec<String> {
    let ty = component.component_type();
    let names = ty
        .imports(engine)
        .filter_map(|(name, _)| short(name).map(str::to_owned));
    names.filter(|name| ALL.contains(&name.as_str())).collect()
}

/// `store` of `gimbal:filter/store@0.1.0`.
pub(super) fn short(import: &str) -> Option<&str> {
    import
        .strip_prefix(PACKAGE)?
        .strip_prefix('/')?
        .strip_suffix(VERSION)?
        .strip_suffix('@')
}

/// What a filter is granted.
pub(super) fn decide(
    manifest: Option<&Manifest>,
    imports: &[String],
    operator: Option<&[String]>,
) -> Result<Vec<String>, LoadError> {
    if let Some(unknown) = operator
        .into_iter()
        .flatten()
        .find(|grant| !ALL.contains(&grant.as_str()))
    {
        return Err(LoadError {
            step: "grants",
            what: format!("grants: there is no interface `{unknown}`"),
            accepted: ALL.join(", "),
        });
    }
    let wanted = manifest.and_then(|manifest| manifest.imports.as_deref());
    let wants = |name: &str| wanted.unwrap_or(imports).iter().any(|want| want == name);
    let names_plain = operator.is_some_and(|list| list.iter().any(|grant| PLAIN.contains(&grant.as_str())));
    let may = |name: &str| match operator {
        None => true,
        Some(list) => list.iter().any(|grant| grant == name) || (!names_plain && PLAIN.contains(&name)),
    };
    // Python and QuickJS import the whole world, used or not: what is not granted refuses when it is called.
    let asks_for_all = wanted.is_none() && ALL.iter().all(|name| wants(name));
    if let Some(missing) = ALL.iter().find(|name| wants(name) && !may(name))
        && !asks_for_all
    {
        let granted: Vec<&str> = operator.into_iter().flatten().map(String::as_str).collect();
        return Err(LoadError {
            step: "grants",
            what: format!(
                "it needs `{missing}`, which its grants ({}) do not include",
                granted.join(", ")
            ),
            accepted: format!("grants with `{missing}`, or no grants at all to give it what it asks for"),
        });
    }
    let is_granted = |name: &str| may(name) && (wants(name) || PLAIN.contains(&name));
    Ok(ALL
        .iter()
        .filter(|name| is_granted(name))
        .map(|name| (*name).to_owned())
        .collect())
}

/// A linker with what is granted; the rest of what the component imports refuses when it is called.
pub(super) fn linker(
    engine: &Engine,
    component: &Component,
    granted: &[String],
) -> wasmtime::Result<Linker<Ctx>> {
    let mut linker = Linker::new(engine);
    let ty = component.component_type();
    for (import, item) in ty.imports(engine) {
        let name = short(import).unwrap_or(import);
        let granting = if import == STDIO { "log" } else { name };
        let is_granted = granted.iter().any(|grant| grant == granting);
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            continue;
        };
        match (is_granted, import == STDIO) {
            (true, true) => host::link_stdio(&mut linker, import)?,
            (true, false) => {
                host::link(&mut linker, name)?;
            }
            (false, _) => {
                let mut refusing = linker.instance(import)?;
                for (function, item) in instance.exports(engine) {
                    if let ComponentItem::ComponentFunc(_) = item.ty {
                        let what = format!("{name}.{function}");
                        refusing.func_new(function, move |_: StoreContextMut<'_, Ctx>, _, _, _| {
                            Err(wasmtime::Error::new(Refused(what.clone())))
                        })?;
                    }
                }
            }
        }
    }
    Ok(linker)
}
