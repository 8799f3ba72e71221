//! The module graph of each crate of the workspace. In: the sources. Out: circles between modules,
//! and uses that a layer forbids.
//!
//! ```text
//! workspace ─► syntax (files → modules and their paths) ─► names (what a path means)
//!                                                            └─► graph (circles), rules (layers)
//! ```

mod graph;
mod names;
mod rules;
mod syntax;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::workspace::{self, Package};
use graph::Graph;
use names::Crate;

/// The arguments of `modules`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Show the circles between files, too. They are not errors.
    #[arg(long)]
    files: bool,
}

/// Prints what is wrong, and fails if anything is.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let crates = workspace_crates()?;
    if arguments.files {
        for one in &crates {
            let circles = Graph::of_files(one).circles();
            println!("{}: {} circles between files", one.name, circles.len());
            circles.iter().for_each(|circle| print!("{circle}"));
        }
    }
    let found = findings(&crates);
    for finding in &found {
        println!("{finding}");
    }
    match found.len() {
        0 => Ok(()),
        count => bail!("{count} circles or forbidden uses between modules"),
    }
}

/// The circles between top-level modules, and the uses that the rules forbid.
fn findings(crates: &[Crate]) -> Vec<String> {
    let mut found: Vec<String> =
        crates.iter().flat_map(|one| Graph::of_top_level_modules(one).circles()).collect();
    found.extend(rules::violations(crates, rules::RULES));
    found
}

/// The crates of the workspace: the library of each package, or its program.
fn workspace_crates() -> anyhow::Result<Vec<Crate>> {
    let folder = workspace::root();
    let read = |path: &Path| {
        let file = folder.join(path);
        file.exists().then(|| fs::read_to_string(&file)).transpose()
    };
    let packages = workspace::metadata()?.packages;
    let mut crates = Vec::new();
    for package in &packages {
        if let Some(file) = root_file(package) {
            let file = file.strip_prefix(&folder).unwrap_or(&file);
            let modules = syntax::modules(file, &read).with_context(|| package.name.clone())?;
            crates.push(Crate { name: package.name.clone(), modules });
        }
    }
    Ok(crates)
}

fn root_file(package: &Package) -> Option<PathBuf> {
    let of_kind =
        |kind: &str| package.targets.iter().find(|target| target.kind.iter().any(|each| each == kind));
    of_kind("lib").or_else(|| of_kind("bin")).map(|target| target.src_path.clone())
}
