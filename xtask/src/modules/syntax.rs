//! Parses the files of a crate. In: its root file. Out: its modules, with the names that they
//! define and import, and every path in them. Code that is compiled only for tests is left out.

mod paths;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Item, ItemMod, Lit, Meta, Token};

/// A module of a crate.
#[derive(Debug, Default)]
pub struct Module {
    /// Its names from the crate's root; empty for the root.
    pub path: Vec<String>,
    pub file: PathBuf,
    /// Its index among the modules; the root is its own parent.
    pub parent: usize,
    pub children: BTreeMap<String, usize>,
    /// The names of what it defines, except modules.
    pub items: BTreeSet<String>,
    /// Imported names, with the paths of what they name.
    pub imports: BTreeMap<String, Vec<String>>,
    /// The paths before `::*`.
    pub globs: Vec<Vec<String>>,
    /// Every path in the module.
    pub references: Vec<Reference>,
}

/// A path in the source, such as `crate::aws::Client`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    pub path: Vec<String>,
    pub line: usize,
}

/// Reads a file of the crate; `None` if there is no such file.
pub type Read<'a> = &'a dyn Fn(&Path) -> std::io::Result<Option<String>>;

/// All modules of a crate, the root first.
pub fn modules(root: &Path, read: Read<'_>) -> anyhow::Result<Vec<Module>> {
    let mut modules = vec![Module { file: root.to_path_buf(), ..Module::default() }];
    let items = parse(root, read)?;
    let folder = root.parent().unwrap_or(Path::new("")).to_path_buf();
    add_items(&mut modules, 0, items, &folder, read)?;
    Ok(modules)
}

fn parse(file: &Path, read: Read<'_>) -> anyhow::Result<Vec<Item>> {
    let text = read(file).with_context(|| format!("read {}", file.display()))?;
    let text = text.with_context(|| format!("{} does not exist", file.display()))?;
    Ok(syn::parse_file(&text).with_context(|| format!("parse {}", file.display()))?.items)
}

/// Adds the items to the module at `index`, and the modules below it. `folder` is where the files
/// of its modules are.
fn add_items(
    modules: &mut Vec<Module>,
    index: usize,
    items: Vec<Item>,
    folder: &Path,
    read: Read<'_>,
) -> anyhow::Result<()> {
    for item in items {
        if is_test_only(attributes(&item)) {
            continue;
        }
        match item {
            Item::Mod(module) => add_module(modules, index, module, folder, read)?,
            item => {
                if let Some(module) = modules.get_mut(index) {
                    module.items.extend(name(&item));
                    paths::collect(module, &item);
                }
            }
        }
    }
    Ok(())
}

fn add_module(
    modules: &mut Vec<Module>,
    parent: usize,
    module: ItemMod,
    folder: &Path,
    read: Read<'_>,
) -> anyhow::Result<()> {
    let name = module.ident.to_string();
    let Some(above) = modules.get_mut(parent) else { bail!("no module {parent}") };
    let path = [above.path.clone(), vec![name.clone()]].concat();
    let (above_file, inner_folder) = (above.file.clone(), folder.join(&name));
    let (file, folder, items) = match module.content {
        Some((_, items)) => (above_file, inner_folder, items),
        None => {
            let beside = folder.join(format!("{name}.rs"));
            let (file, folder) = match path_attribute(&module.attrs) {
                Some(named) => {
                    let file = above_file.parent().unwrap_or(Path::new("")).join(named);
                    let folder = file.parent().unwrap_or(Path::new("")).to_path_buf();
                    (file, folder)
                }
                None if read(&beside)?.is_some() => (beside, inner_folder),
                None => (inner_folder.join("mod.rs"), inner_folder),
            };
            let items = parse(&file, read)?;
            (file, folder, items)
        }
    };
    let index = modules.len();
    if let Some(above) = modules.get_mut(parent) {
        above.children.insert(name, index);
    }
    modules.push(Module { path, file, parent, ..Module::default() });
    add_items(modules, index, items, &folder, read)
}

/// The file in `#[path = "…"]`.
fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    })
}

/// The name that an item defines.
fn name(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether the code is compiled only for tests.
fn is_test_only(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute.parse_args::<Meta>().is_ok_and(|condition| needs_test(&condition))
    })
}

/// Whether a condition of `cfg` holds only in tests.
fn needs_test(condition: &Meta) -> bool {
    let Meta::List(list) = condition else { return condition.path().is_ident("test") };
    let parts = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
    let mut parts = parts.into_iter().flatten();
    match () {
        () if list.path.is_ident("all") => parts.any(|part| needs_test(&part)),
        () if list.path.is_ident("any") => parts.all(|part| needs_test(&part)),
        () => false,
    }
}
