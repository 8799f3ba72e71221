//! The layers of our crates: which modules must not use what. In: the crates. Out: the forbidden
//! uses. Pure.

use std::collections::BTreeSet;

use super::names::{Crate, Place};
use super::syntax::{Module, Reference};

/// What some modules must not use.
#[derive(Debug)]
pub struct Rule {
    /// The package, or `None` for all.
    pub package: Option<&'static str>,
    pub modules: Modules,
    /// Modules (`crate::a`), crates, or their parts; a final `*` matches the rest of a name.
    pub forbidden: &'static [&'static str],
    /// Completes "must not use this: ".
    pub reason: &'static str,
}

/// The modules to which a rule applies.
#[derive(Debug)]
pub enum Modules {
    /// This module and those below it.
    Below(&'static str),
    /// Those whose path does not contain this name.
    Outside(&'static str),
}

const OPERATOR: Option<&str> = Some("kinesis-demo-operator");
/// What performs I/O.
const INPUT_OUTPUT: &[&str] = &[
    "aws_*",
    "kube::Api",
    "kube::Client",
    "kube::api::Api",
    "kube::client",
    "kube::runtime",
    "oci_client",
    "reqwest",
    "tokio",
];

pub const RULES: &[Rule] = &[
    Rule {
        package: OPERATOR,
        modules: Modules::Below("kubernetes"),
        forbidden: &["crate::reconcile"],
        reason: "it isolates the Kubernetes API, and reconcile is above it",
    },
    Rule {
        package: OPERATOR,
        modules: Modules::Below("aws"),
        forbidden: &["crate::kubernetes", "crate::reconcile"],
        reason: "it isolates AWS, and the others are above or beside it",
    },
    Rule {
        package: OPERATOR,
        modules: Modules::Below("reconcile::stages"),
        forbidden: INPUT_OUTPUT,
        reason: "stages are pure: observe reads, act writes",
    },
    Rule {
        package: OPERATOR,
        modules: Modules::Below("reconcile::resources"),
        forbidden: INPUT_OUTPUT,
        reason: "resources are pure: observe reads, act writes",
    },
    Rule {
        package: Some("kinesis-demo-report"),
        // All of its modules: none has this name.
        modules: Modules::Outside("aws"),
        forbidden: INPUT_OUTPUT,
        reason: "reports are pure: the command line reads and writes",
    },
    Rule {
        package: None,
        modules: Modules::Outside("aws"),
        forbidden: &["aws_sdk_*"],
        reason: "only modules named aws know the SDK",
    },
];

/// The uses that the rules forbid, the first of each module and name.
pub fn violations(crates: &[Crate], rules: &[Rule]) -> Vec<String> {
    let mut found = Vec::new();
    for rule in rules {
        let mut applied = false;
        for one in crates.iter().filter(|one| rule.package.is_none_or(|package| package == one.name)) {
            let modules = one.modules.iter().enumerate().filter(|(_, module)| rule.modules.contain(module));
            for (index, module) in modules {
                applied = true;
                found.extend(of_module(one, index, module, rule));
            }
        }
        if !applied {
            let Rule { package, modules, .. } = rule;
            found.push(format!(
                "xtask/src/modules/rules.rs: a rule applies to no module: correct {modules:?} of {}",
                package.unwrap_or("all crates")
            ));
        }
    }
    found
}

fn of_module(one: &Crate, index: usize, module: &Module, rule: &Rule) -> Vec<String> {
    let mut reported = BTreeSet::new();
    let mut found = Vec::new();
    for Reference { path, line } in &module.references {
        let used = used(one, index, path);
        let forbidden = rule.forbidden.iter().find(|name| used.iter().any(|used| is_within(used, name)));
        if let Some(forbidden) = forbidden
            && reported.insert(forbidden)
        {
            let (file, name) = (module.file.display(), module.path.join("::"));
            let path = path.join("::");
            found.push(format!("{file}:{line}: {name} must not use {path}: {}", rule.reason));
        }
    }
    found
}

/// The full names of what a path in a module leads to.
fn used(one: &Crate, index: usize, path: &[String]) -> Vec<Vec<String>> {
    let Some(named) = one.resolve(index, path) else { return Vec::new() };
    let in_crate = |index: usize| {
        let path = one.modules.get(index).map(|module| module.path.clone()).unwrap_or_default();
        [vec!["crate".to_owned()], path].concat()
    };
    let target = match named.place {
        Place::Module(index) | Place::Item(index) => in_crate(index),
        Place::Elsewhere(path) => path,
    };
    named.passed_by.into_iter().map(in_crate).chain([target]).collect()
}

fn is_within(path: &[String], pattern: &str) -> bool {
    let mut names = path.iter();
    pattern.split("::").all(|part| {
        names.next().is_some_and(|name| match part.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == part,
        })
    })
}

impl Modules {
    fn contain(&self, module: &Module) -> bool {
        match self {
            Self::Below(path) => is_within(&module.path, path),
            Self::Outside(name) => !module.path.iter().any(|part| part == name),
        }
    }
}
