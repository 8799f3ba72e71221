//! What a path in a module means. In: the modules of a crate. Out: the module that defines it and
//! those that pass it on (`pub use`), or the path in another crate. Pure.

use std::path::Path;

use super::syntax::Module;

/// A crate of the workspace.
#[derive(Debug)]
pub struct Crate {
    /// The name of its package.
    pub name: String,
    /// The root is the first.
    pub modules: Vec<Module>,
}

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub place: Place,
    /// The modules whose imports lead there.
    pub passed_by: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A module of this crate.
    Module(usize),
    /// Something that this module defines.
    Item(usize),
    /// A path that begins with another crate, or with a name of the language.
    Elsewhere(Vec<String>),
}

/// Imports that refer to each other end here.
const DEEPEST: usize = 32;

impl Crate {
    /// The file of a module.
    pub fn file(&self, index: usize) -> &Path {
        self.modules.get(index).map_or(Path::new(""), |module| &module.file)
    }

    /// What `path` names in the module `from`; `None` for `Self`.
    pub fn resolve(&self, from: usize, path: &[String]) -> Option<Named> {
        self.resolve_within(from, path, DEEPEST)
    }

    fn resolve_within(&self, from: usize, path: &[String], depth: usize) -> Option<Named> {
        let (first, mut rest) = path.split_first()?;
        let module = |index| Named { place: Place::Module(index), passed_by: Vec::new() };
        let mut named = match first.as_str() {
            "Self" => return None,
            "crate" => module(0),
            "self" => module(from),
            "super" => {
                let mut above = self.modules.get(from)?.parent;
                while let [name, below @ ..] = rest
                    && name == "super"
                {
                    above = self.modules.get(above)?.parent;
                    rest = below;
                }
                module(above)
            }
            name => match self.look_up(from, name, depth) {
                Some(named) => named,
                None => Named { place: Place::Elsewhere(vec![name.to_owned()]), passed_by: Vec::new() },
            },
        };
        for name in rest {
            match &mut named.place {
                Place::Elsewhere(path) => path.push(name.clone()),
                // What is below an item, such as a variant, is defined with it.
                Place::Item(_) => {}
                Place::Module(index) => {
                    let index = *index;
                    match self.look_up(index, name, depth) {
                        Some(found) => {
                            if index != from && self.is_import(index, name) {
                                named.passed_by.push(index);
                            }
                            named.passed_by.extend(found.passed_by);
                            named.place = found.place;
                        }
                        // A macro may define it.
                        None => named.place = Place::Item(index),
                    }
                }
            }
        }
        Some(named)
    }

    fn is_import(&self, index: usize, name: &str) -> bool {
        let module = self.modules.get(index);
        module.is_some_and(|module| !module.children.contains_key(name) && !module.items.contains(name))
    }

    /// What one name means in a module.
    fn look_up(&self, index: usize, name: &str, depth: usize) -> Option<Named> {
        let module = self.modules.get(index)?;
        let depth = depth.checked_sub(1)?;
        let direct = |place| Some(Named { place, passed_by: Vec::new() });
        if let Some(child) = module.children.get(name) {
            return direct(Place::Module(*child));
        }
        if module.items.contains(name) {
            return direct(Place::Item(index));
        }
        match module.imports.get(name).map(Vec::as_slice) {
            // `use tokio;` names the crate.
            Some([only]) if only == name => direct(Place::Elsewhere(vec![name.to_owned()])),
            Some(path) => self.resolve_within(index, path, depth),
            None => {
                module.globs.iter().find_map(|path| match self.resolve_within(index, path, depth)?.place {
                    Place::Module(other) if other != index => self.look_up(other, name, depth),
                    _ => None,
                })
            }
        }
    }
}
