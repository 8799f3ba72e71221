//! Circles in the module graph of a crate. In: its modules. Out: each circle, with the place of
//! each of its uses. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::names::{Crate, Place};
use super::syntax::Reference;

/// Which modules, or files, use which others.
#[derive(Debug)]
pub struct Graph {
    /// The crate.
    name: String,
    /// What the nodes are, in the plural.
    nodes: &'static str,
    edges: BTreeMap<String, BTreeMap<String, Use>>,
}

/// The first use of a module by another.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    file: String,
    line: usize,
    path: String,
}

impl Graph {
    /// The modules directly below the crate's root, each with all that is below it. The root is
    /// left out, since it declares all of them. A use of what a module passes on (`pub use`) is a
    /// use of both modules.
    pub fn of_top_level_modules(one: &Crate) -> Self {
        let node = |index: usize| one.modules.get(index)?.path.first().cloned();
        Self::new(one, "modules", node, true)
    }

    /// The files. A use counts where the used item is defined.
    pub fn of_files(one: &Crate) -> Self {
        let node = |index: usize| Some(one.file(index).display().to_string());
        Self::new(one, "files", node, false)
    }

    fn new(
        one: &Crate,
        nodes: &'static str,
        node: impl Fn(usize) -> Option<String>,
        with_passed: bool,
    ) -> Self {
        let mut edges: BTreeMap<String, BTreeMap<String, Use>> = BTreeMap::new();
        for (index, module) in one.modules.iter().enumerate() {
            let Some(from) = node(index) else { continue };
            for Reference { path, line } in &module.references {
                let Some(named) = one.resolve(index, path) else { continue };
                let defined_in = match named.place {
                    Place::Module(index) | Place::Item(index) => Some(index),
                    Place::Elsewhere(_) => None,
                };
                let passed = named.passed_by.into_iter().filter(|_| with_passed);
                for to in passed.chain(defined_in).filter_map(&node).filter(|to| *to != from) {
                    let file = module.file.display().to_string();
                    let new = Use { file, line: *line, path: path.join("::") };
                    let known = edges.entry(from.clone()).or_default();
                    if known.get(&to).is_none_or(|first| new < *first) {
                        known.insert(to, new);
                    }
                }
            }
        }
        Self { name: one.name.clone(), nodes, edges }
    }

    /// A shortest circle for each group of nodes that all lead to each other.
    pub fn circles(&self) -> Vec<String> {
        let mut reported: BTreeSet<&str> = BTreeSet::new();
        let mut circles = Vec::new();
        for start in self.edges.keys() {
            if reported.contains(start.as_str()) {
                continue;
            }
            let Some(circle) = self.shortest_circle(start) else { continue };
            let from_start = self.reachable(start);
            let group: Vec<&str> =
                from_start.into_iter().filter(|node| self.reachable(node).contains(start.as_str())).collect();
            circles.push(self.shown(&circle, &group));
            reported.extend(group);
        }
        circles
    }

    fn next<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.edges.get(node).into_iter().flat_map(BTreeMap::keys).map(String::as_str)
    }

    fn reachable<'a>(&'a self, start: &str) -> BTreeSet<&'a str> {
        let (mut found, mut waiting) = (BTreeSet::new(), VecDeque::from_iter(self.next(start)));
        while let Some(node) = waiting.pop_front() {
            if found.insert(node) {
                waiting.extend(self.next(node));
            }
        }
        found
    }

    /// The nodes of a shortest circle, from `start` to `start`.
    fn shortest_circle<'a>(&'a self, start: &'a str) -> Option<Vec<&'a str>> {
        let mut paths = VecDeque::from([vec![start]]);
        let mut seen = BTreeSet::new();
        while let Some(path) = paths.pop_front() {
            for node in self.next(path.last()?) {
                let longer = [&path[..], &[node]].concat();
                if node == start {
                    return Some(longer);
                }
                if seen.insert(node) {
                    paths.push_back(longer);
                }
            }
        }
        None
    }

    fn shown(&self, circle: &[&str], group: &[&str]) -> String {
        let Self { name, nodes, .. } = self;
        let mut text = format!("{name}: these {nodes} form a circle: {}\n", circle.join(" → "));
        if group.len() + 1 > circle.len() {
            text = format!(
                "{name}: {} {nodes} form circles ({}), for example {}\n",
                group.len(),
                group.join(", "),
                circle.join(" → ")
            );
        }
        for (from, to) in circle.iter().zip(circle.iter().skip(1)) {
            if let Some(Use { file, line, path }) = self.edges.get(*from).and_then(|edges| edges.get(*to)) {
                text.push_str(&format!("  {file}:{line}: {from} uses {to} ({path})\n"));
            }
        }
        text
    }
}
