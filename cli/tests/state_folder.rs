//! `--state` on folders that are somebody's: whatever is done there, what was there before is there
//! after, to the byte and the mode.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use kubectl_kinesisdemo::local_cluster::state_folder::{MARK, claim, folder_in};

/// Every path below `folder`, and itself, with its mode and what it holds. Links are not followed.
fn tree(folder: &Path) -> BTreeMap<PathBuf, (u32, String)> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(path) = waiting.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let holds = if metadata.is_symlink() {
            path.read_link().unwrap().display().to_string()
        } else if metadata.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            "a folder".to_owned()
        } else {
            std::fs::read_to_string(&path).unwrap()
        };
        found.insert(path, (metadata.permissions().mode(), holds));
    }
    found
}

/// A folder with what a demo would make, and delete, in its own.
fn furnish(folder: &Path) {
    for name in ["kubernetes", "sandbox/src", "logs"] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
    }
    for name in
        ["env", "admin.kubeconfig", "operator.kubeconfig", "report.json", "lock", "sandbox/src/main.rs"]
    {
        std::fs::write(folder.join(name), "mine").unwrap();
    }
    // Whoever believed these would end processes and a cluster of somebody else's.
    std::fs::write(folder.join("kind-cluster"), "my-cluster").unwrap();
    std::fs::write(folder.join("processes.json"), "[]").unwrap();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs the program with programs beside it that end at once, so that a demo fails as soon as it
/// begins.
fn run(verb: &str, state: &Path) -> Output {
    let programs = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let program = programs.path().join("kubectl-kinesisdemo");
    std::fs::hard_link(env!("CARGO_BIN_EXE_kubectl-kinesisdemo"), &program).unwrap();
    for name in
        ["kinesis-demo-operator", "kinesis-demo-sandbox", "kinesis-demo-generator", "kube-apiserver", "etcd"]
    {
        // Written by another process: a fork of ours at the wrong moment would hold it open for
        // writing.
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

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Without what is below the demo's own folder.
fn besides_ours(dir: &Path) -> BTreeMap<PathBuf, (u32, String)> {
    let ours = folder_in(dir);
    tree(dir).into_iter().filter(|(path, _)| !path.starts_with(&ours)).collect()
}

#[test]
fn a_demo_that_fails_in_somebodys_folder_changes_its_own_entry_only() {
    let dir = tempfile::tempdir().unwrap();
    furnish(dir.path());
    let before = tree(dir.path());
    let failed = run("demo", dir.path());
    assert_eq!(failed.status.code(), Some(1), "{}", told(&failed));
    assert!(told(&failed).contains("etcd exited unexpectedly"), "{}", told(&failed));
    assert_eq!(besides_ours(dir.path()), before);
    assert!(folder_in(dir.path()).join("logs/etcd.log").exists(), "its logs are in its own folder");
    let down = run("demo-down", dir.path());
    assert_eq!(down.status.code(), Some(0), "{}", told(&down));
    assert_eq!(besides_ours(dir.path()), before);
}

#[test]
fn where_no_demo_has_run_the_end_of_one_changes_nothing_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    furnish(dir.path());
    let file = dir.path().join("env");
    let absent = dir.path().join("absent");
    let before = tree(dir.path());
    for state in [dir.path(), &file, &absent] {
        let down = run("demo-down", state);
        assert_eq!(down.status.code(), Some(0), "{}", told(&down));
        assert!(told(&down).contains("no demo has run in"), "{}", told(&down));
        assert!(told(&down).contains("nothing was changed"), "{}", told(&down));
        assert_eq!(tree(dir.path()), before, "{}", state.display());
    }
    let down = run("demo-down", Path::new("/"));
    assert!(told(&down).contains("no demo has run in /"), "{}", told(&down));
}

#[test]
fn a_folder_that_only_has_the_name_of_ours_is_refused_by_both_commands() {
    let dir = tempfile::tempdir().unwrap();
    let namesake = folder_in(dir.path());
    std::fs::create_dir(&namesake).unwrap();
    furnish(&namesake);
    let before = tree(dir.path());
    let refused = run("demo", dir.path());
    assert_eq!(refused.status.code(), Some(1));
    assert!(told(&refused).contains("was not created by a demo: it contains"), "{}", told(&refused));
    assert_eq!(tree(dir.path()), before);
    let down = run("demo-down", dir.path());
    assert_eq!(down.status.code(), Some(0));
    assert!(told(&down).contains("was not created by a demo: it contains"), "{}", told(&down));
    assert_eq!(tree(dir.path()), before);
}

#[test]
fn links_are_followed_to_the_named_folder_and_never_to_ours() {
    let real = tempfile::tempdir().unwrap();
    furnish(real.path());
    let links = tempfile::tempdir().unwrap();

    // In the place of our folder: even where it leads to a folder that a demo made.
    let other = tempfile::tempdir().unwrap();
    let marked = claim(other.path()).unwrap();
    furnish(&marked);
    symlink(&marked, folder_in(links.path())).unwrap();
    let before = (tree(&marked), tree(links.path()));
    for (verb, code) in [("demo", 1), ("demo-down", 0)] {
        let ended = run(verb, links.path());
        assert_eq!(ended.status.code(), Some(code), "{}", told(&ended));
        assert!(told(&ended).contains("it is a symbolic link"), "{}", told(&ended));
        assert_eq!((tree(&marked), tree(links.path())), before);
    }

    // As the folder that is named: its target is used as if it had been named itself.
    let link = links.path().join("link");
    symlink(real.path(), &link).unwrap();
    let before = tree(real.path());
    assert_eq!(run("demo", &link).status.code(), Some(1));
    assert_eq!(besides_ours(real.path()), before);
    assert!(folder_in(real.path()).join(MARK).is_file());
}

#[test]
fn what_cannot_hold_a_demo_is_refused_with_nothing_made() {
    let dir = tempfile::tempdir().unwrap();
    furnish(dir.path());
    let before = tree(dir.path());
    for state in [dir.path().join("env"), dir.path().join("env/below"), dir.path().join("a:b"), "/".into()] {
        let refused = run("demo", &state);
        assert_eq!(refused.status.code(), Some(1), "{}", told(&refused));
        assert!(told(&refused).contains("choose another folder with --state"), "{}", told(&refused));
        assert_eq!(tree(dir.path()), before);
    }
    assert!(!Path::new("/demo").join(MARK).exists());
}

/// Its own folder of an earlier demo: what is of no use goes, logs and report stay.
#[test]
fn in_a_folder_of_ours_only_what_a_demo_makes_is_removed() {
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
