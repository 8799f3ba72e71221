//! `--state` on folders of other owners: their content and modes must stay the same.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use kinesis_demo_local_cluster::state::folder::{MARKER, claim, folder_in};

/// Every path below `folder`, and the folder itself, with mode and content. Links are not followed.
fn tree(folder: &Path) -> BTreeMap<PathBuf, (u32, String)> {
    let mut found = BTreeMap::new();
    let mut pending = vec![folder.to_path_buf()];
    while let Some(path) = pending.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let content = if metadata.is_symlink() {
            path.read_link().unwrap().display().to_string()
        } else if metadata.is_dir() {
            pending.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            "a folder".to_owned()
        } else {
            std::fs::read_to_string(&path).unwrap()
        };
        found.insert(path, (metadata.permissions().mode(), content));
    }
    found
}

/// Fills a folder with files that a demo would create, and delete, in its own folder.
fn fill(folder: &Path) {
    for name in ["kubernetes", "sandbox/src", "kubectl-cache", "logs"] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
    }
    for name in
        ["env", "admin.kubeconfig", "operator.kubeconfig", "report.json", "lock", "sandbox/src/main.rs"]
    {
        std::fs::write(folder.join(name), "mine").unwrap();
    }
    // A demo that trusted these would end processes and a cluster of another owner.
    std::fs::write(folder.join("kind-cluster"), "my-cluster").unwrap();
    std::fs::write(folder.join("processes.json"), "[]").unwrap();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs the program with companion programs that exit at once, so that a demo fails as soon as it
/// starts.
fn run(verb: &str, state: &Path) -> Output {
    let programs = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let program = programs.path().join("kubectl-kinesisdemo");
    std::fs::hard_link(env!("CARGO_BIN_EXE_kubectl-kinesisdemo"), &program).unwrap();
    for name in
        ["kinesis-demo-operator", "kinesis-demo-sandbox", "kinesis-demo-generator", "kube-apiserver", "etcd"]
    {
        // Written by another process: a fork of this process at the wrong moment would inherit the
        // file open for writing.
        let write = "printf '#!/bin/sh\\nexit 7\\n' > \"$0\" && chmod 755 \"$0\"";
        assert!(
            Command::new("sh")
                .args(["-c", write])
                .arg(programs.path().join(name))
                .status()
                .unwrap()
                .success()
        );
    }
    Command::new(program)
        .arg(verb)
        .arg("--state")
        .arg(state)
        .env("KUBEBUILDER_ASSETS", programs.path())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The tree without the demo's own folder.
fn tree_without_ours(dir: &Path) -> BTreeMap<PathBuf, (u32, String)> {
    let ours = folder_in(dir);
    tree(dir).into_iter().filter(|(path, _)| !path.starts_with(&ours)).collect()
}

#[test]
fn a_failed_demo_changes_only_its_own_folder() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let before = tree(dir.path());
    let failed = run("demo", dir.path());
    assert_eq!(failed.status.code(), Some(1), "{}", printed(&failed));
    assert!(printed(&failed).contains("etcd exited unexpectedly"), "{}", printed(&failed));
    assert_eq!(tree_without_ours(dir.path()), before);
    assert!(folder_in(dir.path()).join("logs/etcd.log").exists(), "its logs are in its own folder");
    let down = run("demo-down", dir.path());
    assert_eq!(down.status.code(), Some(0), "{}", printed(&down));
    assert_eq!(tree_without_ours(dir.path()), before);
}

#[test]
fn demo_down_changes_nothing_where_no_demo_has_run() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let file = dir.path().join("env");
    let absent = dir.path().join("absent");
    let before = tree(dir.path());
    for state in [dir.path(), &file, &absent] {
        let down = run("demo-down", state);
        assert_eq!(down.status.code(), Some(0), "{}", printed(&down));
        assert!(printed(&down).contains("no demo has run in"), "{}", printed(&down));
        assert!(printed(&down).contains("nothing was changed"), "{}", printed(&down));
        assert_eq!(tree(dir.path()), before, "{}", state.display());
    }
    let down = run("demo-down", Path::new("/"));
    assert!(printed(&down).contains("no demo has run in /"), "{}", printed(&down));
}

#[test]
fn both_commands_refuse_an_unmarked_demo_folder() {
    let dir = tempfile::tempdir().unwrap();
    let namesake = folder_in(dir.path());
    std::fs::create_dir(&namesake).unwrap();
    fill(&namesake);
    let before = tree(dir.path());
    let refused = run("demo", dir.path());
    assert_eq!(refused.status.code(), Some(1));
    assert!(printed(&refused).contains("was not created by a demo: it contains"), "{}", printed(&refused));
    assert_eq!(tree(dir.path()), before);
    let down = run("demo-down", dir.path());
    assert_eq!(down.status.code(), Some(0));
    assert!(printed(&down).contains("was not created by a demo: it contains"), "{}", printed(&down));
    assert_eq!(tree(dir.path()), before);
}

#[test]
fn only_the_state_folder_itself_may_be_a_link() {
    let real = tempfile::tempdir().unwrap();
    fill(real.path());
    let links = tempfile::tempdir().unwrap();

    // A link in place of our folder is refused, even if its target was created by a demo.
    let other = tempfile::tempdir().unwrap();
    let marked = claim(other.path()).unwrap();
    fill(&marked);
    symlink(&marked, folder_in(links.path())).unwrap();
    let before = (tree(&marked), tree(links.path()));
    for (verb, code) in [("demo", 1), ("demo-down", 0)] {
        let ended = run(verb, links.path());
        assert_eq!(ended.status.code(), Some(code), "{}", printed(&ended));
        assert!(printed(&ended).contains("it is a symbolic link"), "{}", printed(&ended));
        assert_eq!((tree(&marked), tree(links.path())), before);
    }

    // A link given as `--state` is used like its target.
    let link = links.path().join("link");
    symlink(real.path(), &link).unwrap();
    let before = tree(real.path());
    assert_eq!(run("demo", &link).status.code(), Some(1));
    assert_eq!(tree_without_ours(real.path()), before);
    assert!(folder_in(real.path()).join(MARKER).is_file());
}

#[test]
fn an_unusable_state_path_is_refused_without_changes() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let before = tree(dir.path());
    for state in [dir.path().join("env"), dir.path().join("env/below"), dir.path().join("a:b"), "/".into()] {
        let refused = run("demo", &state);
        assert_eq!(refused.status.code(), Some(1), "{}", printed(&refused));
        assert!(printed(&refused).contains("choose another folder with --state"), "{}", printed(&refused));
        assert_eq!(tree(dir.path()), before);
    }
    assert!(!Path::new("/demo").join(MARKER).exists());
}

/// In the folder of an earlier demo, `demo-down` removes useless files and keeps logs and the
/// report.
#[test]
fn in_our_folder_only_the_demos_files_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let ours = claim(dir.path()).unwrap();
    std::fs::create_dir_all(ours.join("kubernetes/etcd")).unwrap();
    for name in ["report.json", "env", "notes.txt"] {
        std::fs::write(ours.join(name), "as it was").unwrap();
    }
    assert_eq!(run("demo-down", dir.path()).status.code(), Some(0));
    for (name, stays) in [("kubernetes", false), ("env", false), ("report.json", true), ("notes.txt", true)] {
        assert_eq!(ours.join(name).exists(), stays, "{name}");
    }
}
