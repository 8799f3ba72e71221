//! Finds the API server's programs. In: environment, PATH, cache, network, a Go compiler, tried in
//! that order by `hack/envtest/envtest`, which defines the rules. Out: a folder with kube-apiserver
//! and etcd.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::error::LocalClusterError;
use crate::progress::{Progress, silent};

/// How much work is allowed to obtain the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Use only what is already on this machine.
    Cached,
    /// Also download the published archive.
    NoBuild,
    /// Also build from source, which takes several minutes.
    Build,
}

/// The script in the checkout that contains this program's executable, or in the one it was built
/// in. `KINESISDEMO_ENVTEST` overrides it.
fn script() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("KINESISDEMO_ENVTEST") {
        return Some(named.into());
    }
    let relative = Path::new("hack/envtest/envtest");
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf);
    let executable = std::env::current_exe().ok();
    let roots = executable.iter().flat_map(|path| path.ancestors().skip(1)).map(Path::to_path_buf);
    roots.chain(built_in).map(|root| root.join(relative)).find(|path| path.is_file())
}

/// Ends the script and all processes it started (curl, a Go build) when the caller stops waiting.
struct GroupGuard(Option<u32>);

impl Drop for GroupGuard {
    fn drop(&mut self) {
        if let Some(group) = self.0.and_then(|pid| i32::try_from(pid).ok()) {
            // The group may have just ended.
            let _ = nix::sys::signal::killpg(
                nix::unistd::Pid::from_raw(group),
                nix::sys::signal::Signal::SIGTERM,
            );
        }
    }
}

/// Returns the folder, or None if this effort finds none. In that case the script has written the
/// reason to `progress`.
pub async fn fetch_assets(effort: Effort, progress: &Progress) -> Result<Option<PathBuf>, LocalClusterError> {
    let Some(script) = script() else {
        // An installed plugin without a checkout still honours the variable that envtest defines.
        return Ok(std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from));
    };
    let failed = |source| LocalClusterError::Spawn {
        role: "the search for an API server".into(),
        program: script.display().to_string(),
        source,
    };
    let mut command = Command::new(&script);
    match effort {
        Effort::Cached => command.arg("--cached"),
        Effort::NoBuild => command.arg("--no-build"),
        Effort::Build => &mut command,
    };
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let mut whole_group = GroupGuard(child.id());
    let mut messages = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let mut lines = BufReader::new(stderr).lines();
        while let Some(line) = lines.next_line().await.map_err(failed)? {
            progress(&line);
            messages.push(line);
        }
    }
    let output = child.wait_with_output().await.map_err(failed)?;
    whole_group.0 = None;
    match output.status.code() {
        Some(0) => Ok(Some(printed_path(output.stdout))),
        Some(3) => Ok(None),
        _ => Err(LocalClusterError::NoAssets { reason: messages.join("; ") }),
    }
}

/// The path that a program printed. Only the final newline is removed, since a path may itself end
/// in white space.
fn printed_path(mut line: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    line.pop_if(|last| *last == b'\n');
    std::ffi::OsString::from_vec(line).into()
}

/// The programs that are already on this machine, for tests. Without them, prints a line and
/// returns None: a test that needs an API server then passes.
pub async fn cached_assets() -> Option<PathBuf> {
    let assets = fetch_assets(Effort::Cached, &silent()).await.ok().flatten();
    if assets.is_none() {
        println!("skipped: no kube-apiserver and etcd on this machine; `make assets` fetches or builds them");
    }
    assets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_path_is_read_unchanged() {
        for path in ["/a b", "/ends in a space ", "/two\nlines", "/caf\u{e9}"] {
            assert_eq!(printed_path(format!("{path}\n").into_bytes()), Path::new(path));
        }
    }

    /// The Kubernetes version is written in three files.
    #[test]
    fn script_checksums_and_go_module_agree_on_the_version() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hack/envtest");
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        let script = read("envtest");
        let version = script
            .lines()
            .find_map(|line| line.strip_prefix("VERSION="))
            .and_then(|rest| rest.split_whitespace().next())
            .unwrap();
        assert!(read("tools/go.mod").contains(&format!("k8s.io/kubernetes v{version} ")));
        let checksums = read("checksums.txt");
        for platform in ["linux-amd64", "linux-arm64", "darwin-amd64", "darwin-arm64"] {
            let name = format!("envtest-v{version}-{platform}.tar.gz");
            let line = checksums.lines().find(|line| line.ends_with(&name)).unwrap();
            let hash = line.split_whitespace().next().unwrap();
            assert!(hash.len() == 128 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
    }
}
