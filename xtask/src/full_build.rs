//! Starts this program again with the feature `docs`. In: the arguments of `docs`.

use std::process::Command;

use anyhow::{Context, ensure};

use crate::workspace::{cargo, root};

/// Cargo selects the features of dependencies for all packages together, and with a test among the
/// targets, those that tests need. So this build shares its dependencies with `make test`; for
/// xtask alone, Cargo would compile the AWS crates again.
const BUILD: [&str; 7] = ["build", "--locked", "--workspace", "--bin", "xtask", "--test", "schema"];

/// Set for the program that was built, which must not build again.
const BUILT: &str = "XTASK_DOCS_BUILT";

/// Builds the whole program, and runs `docs` in it.
pub fn docs(check: bool) -> anyhow::Result<()> {
    // The build replaces this file.
    let program = std::env::current_exe().context("find this program's own file")?;
    ensure!(
        std::env::var_os(BUILT).is_none(),
        "{} lacks the feature docs although it was just built: Cargo built into another folder; use the profile dev, and an absolute CARGO_TARGET_DIR",
        program.display()
    );
    let built = cargo().args(BUILD).current_dir(root()).status().context("build xtask with Cargo")?;
    ensure!(built.success(), "the programs do not compile: correct the errors above");
    let mut command = Command::new(&program);
    command.arg("docs").args(check.then_some("--check")).env(BUILT, "1");
    let ended = command.status().with_context(|| format!("start {}", program.display()))?;
    std::process::exit(ended.code().unwrap_or(1));
}
