//! Tasks of the project's developers. In: the command line. Out: the generated files, or a report;
//! the exit code is 1 if something is wrong.
//!
//! `docs` links the programs; the other commands only read files. Without the feature `docs`, this
//! program builds the one with it, and starts it.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

#[cfg(feature = "docs")]
mod docs;
#[cfg(not(feature = "docs"))]
mod full_build;
mod images;
mod modules;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", about = "Tasks of the project's developers")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the generated files: crds/, the chart's copy, and the reference pages that come from
    /// Rust.
    Docs {
        /// Change nothing; print how the files differ, and fail if they do.
        #[arg(long)]
        check: bool,
    },
    /// Check the archives of container images, and print a table with their sizes.
    CheckImages(images::Arguments),
    /// Check that no top-level modules of a crate form a circle, and that the layers hold.
    Modules(modules::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        #[cfg(feature = "docs")]
        Command::Docs { check } => docs::run(check),
        #[cfg(not(feature = "docs"))]
        Command::Docs { check } => full_build::docs(check),
        Command::CheckImages(arguments) => images::run(&arguments),
        Command::Modules(arguments) => modules::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_definition_is_valid() {
        Arguments::command().debug_assert();
    }
}
