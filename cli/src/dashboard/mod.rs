//! `dashboard`: a page that shows runs while they go on, served on loopback with the user's own
//! Kubernetes credentials. In: a cluster and names, a sandbox if there is one, or a file of stored
//! runs. Out: a page in the user's browser, until Ctrl-C. Listens on 127.0.0.1, writes a file that
//! only its user can read.
//!
//! ```text
//! cluster ─► watching ─► live (record + statuses → run) ─┐
//! sandbox ─► shards (load of each) ──────────────────────┤
//! file ─► replay (run as of an instant) ─────────────────┴─► view ─► page ─► server ─► browser
//!                                                        guard, login ──────┘
//! ```

pub mod guard;
pub mod live;
pub mod login;
pub mod page;
pub mod replay;
pub mod server;
pub mod shards;
pub mod view;
pub mod watching;

use std::fs::Permissions;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use jiff::Timestamp;
use kinesis_demo_local_cluster::sandbox::client::SandboxClient;
use kinesis_demo_local_cluster::shell::quoted;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Dashboard;
use crate::cluster::Cluster;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use replay::Replay;
use server::{Serving, Source};
use watching::Watching;

/// Serves the page until Ctrl-C.
pub async fn run(arguments: Dashboard) -> Result<ExitStatus, CliError> {
    let Dashboard { names, connection, port, no_open, read_only, sandbox, replay, speed } = arguments;
    let source = match replay {
        Some(path) => Source::Replay(Replay::open(&path, speed, Timestamp::now())?),
        None => {
            let sandbox = shards::address::sandbox(sandbox.as_deref(), |name| std::env::var(name).ok())?;
            let sandbox = sandbox.map(SandboxClient::at).transpose()?;
            let cluster = Cluster::connect(&connection).await?;
            // The watches go on trying for ever. A cluster that cannot be reached is an error here.
            match names.first() {
                Some(name) => drop(cluster.fetch_if_present(name).await?),
                None => drop(cluster.fetch_all(false).await?),
            }
            Source::Cluster {
                watching: Watching::start(cluster, names, read_only, sandbox),
                is_read_only: read_only,
            }
        }
    };
    let mut signals = Vec::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        signals.push(signal(kind)?);
    }
    let own = Permissions::from_mode(0o700);
    let place = private_place();
    let folder = tempfile::Builder::new()
        .prefix("kinesisdemo-")
        .permissions(own)
        .tempdir_in(&place)
        .map_err(|source| CliError::WriteFile { path: place, source })?;
    let serving = Serving::start(folder.path(), port, source).await?;
    {
        let mut out = std::io::stdout().lock();
        for line in how_to_open(&serving) {
            writeln!(out, "{line}")?;
        }
        writeln!(out, "Ctrl-C ends it.")?;
    }
    if !no_open && std::io::stdout().is_terminal() && has_display() {
        open(serving.file());
    }
    futures::future::select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv()))).await;
    drop(serving);
    Ok(ExitStatus::Success)
}

/// What to tell the user of a page.
#[must_use]
pub fn how_to_open(serving: &Serving) -> [String; 2] {
    let file = quoted(&serving.file().display().to_string());
    [
        format!("The page: open {file} in a browser. It logs you in; only you can read it."),
        format!("Then its address is {}", serving.address()),
    ]
}

/// The user's own folder for files of running programs, or the folder for temporary ones.
fn private_place() -> PathBuf {
    let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    own.filter(|folder| folder.is_absolute() && folder.is_dir()).unwrap_or_else(std::env::temp_dir)
}

fn has_display() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(target_os = "macos") || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}

/// Opens the file in the user's browser. Failing to is no error: the path is printed.
fn open(file: &Path) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = tokio::process::Command::new(program);
    let null = Stdio::null;
    if let Err(error) = command.arg(file).stdin(null()).stdout(null()).stderr(null()).spawn() {
        tracing::debug!(%error, program, "the browser was not opened");
    }
}
