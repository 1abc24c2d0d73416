//! The contract as Markdown: one table of functions for each interface, from the doc comments of its WIT.

use wit_parser::{
    Docs, Function, Handle, Interface, InterfaceId, Resolve, Type, TypeDef, TypeDefKind, World,
};

/// Interfaces in the order in which they are best read: what a filter exports, then what it may ask for.
const ORDER: &[&str] = &[
    "types",
    "lifecycle",
    "requests",
    "responses",
    "connections",
    "command",
    "messages",
    "client",
    "store",
    "limit",
    "names",
    "log",
    "metrics",
    "clock",
    "random",
];

/// Markdown for the package in `wit`, which is one text.
///
/// # Errors
///
/// What is wrong with the text, where.
pub fn markdown(wit: &str) -> anyhow::Result<String> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("gimbal.wit", wit)?;
    let Some(package) = resolve.packages.get(package) else {
        anyhow::bail!("the text has no package");
    };
    let mut interfaces: Vec<(&String, InterfaceId)> =
        package.interfaces.iter().map(|(name, id)| (name, *id)).collect();
    interfaces.sort_by_key(|(name, _)| {
        ORDER
            .iter()
            .position(|known| known == name)
            .unwrap_or(ORDER.len())
    });
    let mut page = format!(
        "# Reference of `{}`\n\nMade from the doc comments of the WIT files by `gimbal wit --markdown`; \
         [README](README.md) has the concepts, [`filters`](../filters/README.md) the recipes.\n\n",
        package.name
    );
    for (name, _) in &interfaces {
        page.extend([format!("* [`{name}`](#{name})\n")]);
    }
    page.push_str("* [worlds](#worlds)\n");
    for (name, id) in interfaces {
        if let Some(interface) = resolve.interfaces.get(id) {
            describe(&mut page, &resolve, name, interface);
        }
    }
    page.push_str("\n## worlds\n");
    for (name, id) in &package.worlds {
        if let Some(world) = resolve.worlds.get(*id) {
            describe_world(&mut page, &resolve, name, world);
        }
    }
    Ok(page)
}

fn describe(page: &mut String, resolve: &Resolve, name: &str, interface: &Interface) {
    page.extend([format!("\n## {name}\n\n{}", text(&interface.docs))]);
    for (name, id) in &interface.types {
        if let Some(definition) = resolve.types.get(*id)
            && !is_borrowed(resolve, definition)
        {
            describe_type(page, resolve, name, definition);
        }
    }
    for function in interface.functions.values() {
        page.extend([format!(
            "\n### `{}`\n\n```wit\n{}\n```\n\n{}",
            function.name,
            signature(resolve, function),
            text(&function.docs)
        )]);
    }
}

/// Whether it only repeats a type of another interface (`use types.{code}`).
fn is_borrowed(resolve: &Resolve, definition: &TypeDef) -> bool {
    let TypeDefKind::Type(Type::Id(id)) = &definition.kind else {
        return false;
    };
    resolve
        .types
        .get(*id)
        .is_some_and(|original| original.owner != definition.owner)
}

fn describe_type(page: &mut String, resolve: &Resolve, name: &str, definition: &TypeDef) {
    let kind = definition.kind.as_str();
    let is_alias = !matches!(
        definition.kind,
        TypeDefKind::Record(_) | TypeDefKind::Variant(_) | TypeDefKind::Enum(_) | TypeDefKind::Flags(_)
    );
    if is_alias {
        let shape = shape(resolve, &definition.kind);
        page.extend([format!(
            "\n### type `{name}` = `{shape}`\n\n{}",
            text(&definition.docs)
        )]);
        return;
    }
    page.extend([format!("\n### {kind} `{name}`\n\n{}\n", text(&definition.docs))]);
    let rows: Vec<(String, &Docs)> = match &definition.kind {
        TypeDefKind::Record(record) => record
            .fields
            .iter()
            .map(|field| {
                (
                    format!("{}: {}", field.name, spelled(resolve, &field.ty)),
                    &field.docs,
                )
            })
            .collect(),
        TypeDefKind::Variant(variant) => variant
            .cases
            .iter()
            .map(|case| match &case.ty {
                Some(ty) => (format!("{}({})", case.name, spelled(resolve, ty)), &case.docs),
                None => (case.name.clone(), &case.docs),
            })
            .collect(),
        TypeDefKind::Enum(cases) => cases
            .cases
            .iter()
            .map(|case| (case.name.clone(), &case.docs))
            .collect(),
        TypeDefKind::Flags(flags) => flags
            .flags
            .iter()
            .map(|flag| (flag.name.clone(), &flag.docs))
            .collect(),
        _ => Vec::new(),
    };
    for (what, docs) in rows {
        page.extend([format!("* `{what}`: {}\n", on_one_line(docs))]);
    }
}

fn describe_world(page: &mut String, resolve: &Resolve, name: &str, world: &World) {
    page.extend([format!("\n### world `{name}`\n\n{}\n", text(&world.docs))]);
    for (what, items) in [("imports", &world.imports), ("exports", &world.exports)] {
        let names: Vec<String> = items
            .keys()
            .map(|key| {
                let name = resolve.name_world_key(key);
                let short = name.rsplit('/').next().unwrap_or(&name);
                format!("`{}`", short.split('@').next().unwrap_or(short))
            })
            .collect();
        if !names.is_empty() {
            page.extend([format!("* {what} {}\n", names.join(", "))]);
        }
    }
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let params: Vec<String> = function
        .params
        .iter()
        .map(|param| format!("{}: {}", param.name, spelled(resolve, &param.ty)))
        .collect();
    let result = function
        .result
        .as_ref()
        .map(|ty| format!(" -> {}", spelled(resolve, ty)))
        .unwrap_or_default();
    format!("{}: func({}){result}", function.name, params.join(", "))
}

/// A type as WIT spells it; named ones by their names.
fn spelled(resolve: &Resolve, ty: &Type) -> String {
    let Type::Id(id) = ty else {
        return match ty {
            Type::Bool => "bool",
            Type::U8 => "u8",
            Type::U16 => "u16",
            Type::U32 => "u32",
            Type::U64 => "u64",
            Type::S8 => "s8",
            Type::S16 => "s16",
            Type::S32 => "s32",
            Type::S64 => "s64",
            Type::F32 => "f32",
            Type::F64 => "f64",
            Type::Char => "char",
            Type::String => "string",
            _ => "error-context",
        }
        .to_owned();
    };
    match resolve.types.get(*id) {
        Some(TypeDef { name: Some(name), .. }) => name.clone(),
        Some(definition) => shape(resolve, &definition.kind),
        None => "unknown".to_owned(),
    }
}

fn shape(resolve: &Resolve, kind: &TypeDefKind) -> String {
    let spell = |ty: &Type| spelled(resolve, ty);
    let maybe = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "_".to_owned(), spell);
    match kind {
        TypeDefKind::Type(ty) => spell(ty),
        TypeDefKind::List(ty) => format!("list<{}>", spell(ty)),
        TypeDefKind::Option(ty) => format!("option<{}>", spell(ty)),
        TypeDefKind::Result(result) => match (&result.ok, &result.err) {
            (None, None) => "result".to_owned(),
            (Some(ok), None) => format!("result<{}>", spell(ok)),
            (ok, err) => format!("result<{}, {}>", maybe(ok), maybe(err)),
        },
        TypeDefKind::Tuple(tuple) => {
            let types: Vec<String> = tuple.types.iter().map(spell).collect();
            format!("tuple<{}>", types.join(", "))
        }
        TypeDefKind::Handle(Handle::Own(id) | Handle::Borrow(id)) => spelled(resolve, &Type::Id(*id)),
        other => other.as_str().to_owned(),
    }
}

fn text(docs: &Docs) -> String {
    let text = docs.contents.as_deref().unwrap_or_default().trim();
    if text.is_empty() {
        String::new()
    } else {
        format!("{text}\n")
    }
}

fn on_one_line(docs: &Docs) -> String {
    let text = docs.contents.as_deref().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_item_is_described() {
        let wit = "package a:b@0.1.0;\n\
                   /// What is told.\ninterface types {\n  /// How.\n  variant verdict {\n    /// On.\n    forward,\n    /// Later.\n    delay(u32),\n  }\n}\n\
                   interface command {\n  use types.{verdict};\n  /// Asks.\n  ask: func(name: string) -> result<option<verdict>, string>;\n}\n\
                   /// All.\nworld filter {\n  import command;\n}\n";
        let page = markdown(wit).unwrap();
        for expected in [
            "# Reference of `a:b@0.1.0`",
            "### variant `verdict`\n\nHow.\n\n* `forward`: On.\n* `delay(u32)`: Later.\n",
            "ask: func(name: string) -> result<option<verdict>, string>\n```\n\nAsks.\n",
            "### world `filter`\n\nAll.\n\n* imports `types`, `command`\n",
        ] {
            assert!(page.contains(expected), "{expected:?} is not in {page}");
        }
        assert_eq!(page.matches("variant `verdict`").count(), 1, "{page}");
    }

    #[test]
    fn a_text_that_is_not_wit_is_an_error() {
        assert!(markdown("package a:b; interface {").is_err());
    }

    #[test]
    fn the_reference_in_the_repository_is_that_of_the_contract() {
        let package = crate::author::contract();
        let written = include_str!("../../wit/REFERENCE.md");
        assert_eq!(
            markdown(&package).unwrap(),
            written,
            "`gimbal wit --markdown > wit/REFERENCE.md` makes it anew"
        );
    }
}
