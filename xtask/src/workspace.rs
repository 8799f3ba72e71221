//! The workspace: its folder, and its packages as Cargo knows them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;

/// The folder of the repository.
pub fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// What Cargo reports about the workspace, without dependencies.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    /// The members of the workspace.
    pub packages: Vec<Package>,
}

/// A member of the workspace.
#[derive(Debug, Deserialize)]
pub struct Package {
    pub name: String,
    pub targets: Vec<Target>,
}

/// A library, program, test or benchmark of a package.
#[derive(Debug, Deserialize)]
pub struct Target {
    pub kind: Vec<String>,
    /// The file of its root module.
    pub src_path: PathBuf,
}

/// The Cargo that runs this program, or the one on the path.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Asks Cargo about the workspace.
pub fn metadata() -> anyhow::Result<Metadata> {
    let arguments = ["metadata", "--no-deps", "--format-version", "1"];
    let ran = cargo().args(arguments).current_dir(root()).output().context("run cargo metadata")?;
    ensure!(ran.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).context("read the output of cargo metadata")
}
