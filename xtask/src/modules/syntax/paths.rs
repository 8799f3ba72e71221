//! Finds the paths in an item. In: its syntax. Out: the module's imports and references. Macros and
//! attributes are only sequences of tokens, in which every `a::b` counts as a path.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{
    Attribute, Ident, ImplItem, Item, ItemUse, LitStr, Macro, Meta, Path, TraitItem, UseTree, Visibility,
};

use super::{Module, Reference, is_test_only};

/// Adds the item's imports and paths to the module.
pub fn collect(module: &mut Module, item: &Item) {
    Paths { module }.visit_item(item);
}

struct Paths<'a> {
    module: &'a mut Module,
}

impl Paths<'_> {
    /// Notes a path. One name alone is either defined here, or its import was noted.
    fn add(&mut self, path: Vec<String>, line: usize) {
        if path.len() > 1 {
            self.module.references.push(Reference { path, line });
        }
    }

    fn add_use(&mut self, tree: &UseTree, before: &[String]) {
        match tree {
            UseTree::Path(path) => {
                self.add_use(&path.tree, &[before, &[path.ident.to_string()]].concat());
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_use(tree, before)),
            UseTree::Name(name) => self.import(before, &name.ident, None),
            UseTree::Rename(rename) => self.import(before, &rename.ident, Some(&rename.rename)),
            UseTree::Glob(glob) => {
                self.module.globs.push(before.to_vec());
                let line = glob.star_token.spans.first().map_or(0, line_of);
                self.module.references.push(Reference { path: before.to_vec(), line });
            }
        }
    }

    fn import(&mut self, before: &[String], name: &Ident, rename: Option<&Ident>) {
        // `use a::b::{self}` imports `b`.
        let path = match name == "self" {
            true => before.to_vec(),
            false => [before, &[name.to_string()]].concat(),
        };
        self.module.references.push(Reference { path: path.clone(), line: line_of(&name.span()) });
        if let Some(name) = rename.map(Ident::to_string).or_else(|| path.last().cloned()) {
            // An import within a function must not hide one of the module.
            self.module.imports.entry(name).or_insert(path);
        }
    }

    /// Every `a::b::c` among tokens.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let (mut line, mut colons) = (0, 0);
        for token in tokens {
            match &token {
                TokenTree::Punct(punctuation) if punctuation.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) => {
                    if colons != 2 || path.is_empty() {
                        self.add(std::mem::take(&mut path), line);
                        line = line_of(&ident.span());
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Group(group) => {
                    self.add(std::mem::take(&mut path), line);
                    colons = 0;
                    self.add_tokens(group.stream());
                }
                _ => {
                    self.add(std::mem::take(&mut path), line);
                    colons = 0;
                }
            }
        }
        self.add(path, line);
    }

    /// Paths in the strings of an attribute, as in `#[serde(default = "crate::time::now")]`.
    fn add_strings(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.add_strings(group.stream()),
                TokenTree::Literal(literal) => {
                    let line = line_of(&literal.span());
                    let text = syn::parse_str::<LitStr>(&literal.to_string()).map(|text| text.value());
                    if let Ok(path) = text.and_then(|text| syn::parse_str::<Path>(&text)) {
                        self.add(segments(&path), line);
                    }
                }
                _ => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        // `use ::a` names an external crate; the tree does not contain the colons.
        self.add_use(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast Path) {
        let line = path.segments.first().map_or(0, |first| line_of(&first.ident.span()));
        self.add(segments(path), line);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_path(&call.path);
        self.add_tokens(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.add_tokens(list.tokens.clone());
            if list.path.is_ident("serde") || list.path.is_ident("schemars") {
                self.add_strings(list.tokens.clone());
            }
        }
    }

    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test_only(super::attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let is_skipped = match item {
            ImplItem::Const(item) => is_test_only(&item.attrs),
            ImplItem::Fn(item) => is_test_only(&item.attrs),
            ImplItem::Type(item) => is_test_only(&item.attrs),
            _ => false,
        };
        if !is_skipped {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        if !matches!(item, TraitItem::Fn(function) if is_test_only(&function.attrs)) {
            visit::visit_trait_item(self, item);
        }
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {
        // `pub(in crate::a)` uses nothing.
    }
}

fn segments(path: &Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

fn line_of(span: &Span) -> usize {
    span.start().line
}
