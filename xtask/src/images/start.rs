//! Starts a program with `--version`, in an emulator if it is for another architecture. In: its
//! bytes. Out: what it prints. The program is written to a temporary folder.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

/// How long a program may take, in an emulator too.
const PATIENCE: Duration = Duration::from_secs(60);

/// What happened to a program that was to be started.
#[derive(Debug, PartialEq)]
pub enum Started {
    /// It printed this.
    Printed(String),
    /// The emulator that it needs is not installed.
    NoEmulator(&'static str),
}

/// Starts the program `name` for `architecture` with `--version`.
pub fn version_of(bytes: &[u8], name: &str, architecture: &str) -> anyhow::Result<Started> {
    let here = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let emulator = match architecture {
        _ if architecture == here => return run(None, bytes, name).map(Started::Printed),
        "amd64" => "qemu-x86_64-static",
        "arm64" => "qemu-aarch64-static",
        other => bail!("no emulator is known for {other}"),
    };
    match on_path(emulator) {
        Some(emulator) => run(Some(&emulator), bytes, name).map(Started::Printed),
        None => Ok(Started::NoEmulator(emulator)),
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// What the program prints, without an environment.
fn run(emulator: Option<&Path>, bytes: &[u8], name: &str) -> anyhow::Result<String> {
    let folder = tempfile::tempdir().context("create a folder for the program")?;
    let file = folder.path().join(name);
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o755).open(&file);
    opened.and_then(|mut opened| opened.write_all(bytes)).context("write the program")?;
    let mut command = match emulator {
        Some(emulator) => Command::new(emulator),
        None => Command::new(&file),
    };
    if emulator.is_some() {
        command.arg(&file);
    }
    let (output, errors) = (folder.path().join("stdout"), folder.path().join("stderr"));
    let target = |path: &Path| fs::File::create(path).context("create a file for the program's output");
    command.arg("--version").env_clear().stdin(Stdio::null());
    command.stdout(target(&output)?).stderr(target(&errors)?);
    let mut child = command.spawn().with_context(|| format!("start {name}"))?;
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().context("wait for the program")? {
            break status;
        }
        if Instant::now() >= deadline {
            // It may have ended since.
            let _ = child.kill();
            child.wait().context("wait for the program")?;
            bail!("{name} --version did not end within {} seconds", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let read = |path: &Path| fs::read_to_string(path).context("read the program's output");
    let (output, errors) = (read(&output)?, read(&errors)?);
    ensure!(status.success(), "{name} --version failed ({status}): {output}{errors}");
    Ok(output.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_shell(script: &str) -> anyhow::Result<String> {
        run(on_path("sh").as_deref(), script.as_bytes(), "tool")
    }

    #[test]
    fn a_program_is_started_with_version_and_no_environment() {
        assert_eq!(in_shell("echo \"tool $1 ${HOME:-homeless}\"").unwrap(), "tool --version homeless");
    }

    #[test]
    fn a_program_that_fails_is_reported_with_its_output() {
        let error = in_shell("echo out; echo no >&2; exit 3").unwrap_err().to_string();
        assert_eq!(error, "tool --version failed (exit status: 3): out\nno\n");
    }

    #[test]
    fn a_program_of_a_foreign_architecture_needs_an_emulator() {
        let error = version_of(b"", "tool", "riscv64").unwrap_err().to_string();
        assert_eq!(error, "no emulator is known for riscv64");
        assert_eq!(on_path("no-such-program"), None);
    }
}
