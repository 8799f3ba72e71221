//! The folder that a demo owns. In: the folder that `--state` names. Out: `<DIR>/demo` with our
//! marker file, or an error.
//!
//! Everything that a demo writes and deletes is below `<DIR>/demo`. `<DIR>` itself may belong to
//! anyone: nothing else in it is read or changed, not even its mode. A `<DIR>/demo` that is not
//! empty and has no marker file belongs to someone else and is not changed.

use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::LocalClusterError;

/// The name of our folder in `<DIR>`.
pub const FOLDER_NAME: &str = "demo";
/// The marker file that identifies a folder as ours.
pub const MARKER: &str = ".kubectl-kinesisdemo";
const MARKER_TEXT: &str = "\
`kubectl kinesisdemo demo` created this folder and deletes its content. Do not keep your own files here.
";
/// The folder contains keys, tokens and etcd's data.
const PRIVATE: u32 = 0o700;

/// Who owns the demo's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It does not exist.
    Nobody,
    /// An empty folder of this user, which we may claim.
    Empty,
    Ours,
    /// It belongs to someone else; the text says why we think so.
    Foreign(String),
}

/// The folder that `--state` names as an absolute path, so that a change of the working directory
/// does not matter.
pub fn absolute(dir: &Path) -> Result<PathBuf, LocalClusterError> {
    let refused =
        |_| LocalClusterError::StatePath { path: dir.to_path_buf(), why: "it is not a path".into() };
    std::path::absolute(dir).map_err(refused)
}

/// Where a demo with `--state <dir>` keeps its files. Pure.
#[must_use]
pub fn folder_in(dir: &Path) -> PathBuf {
    dir.join(FOLDER_NAME)
}

/// The sandbox's folder in a demo's folder, which contains its list of tasks. Pure.
#[must_use]
pub fn sandbox_state(state: &Path) -> PathBuf {
    state.join("sandbox")
}

/// Returns who owns the demo's folder in `dir`. Changes nothing.
pub fn owner(dir: &Path) -> Result<Owner, LocalClusterError> {
    let folder = folder_in(dir);
    let failed =
        |source| LocalClusterError::File { attempt: "read the metadata of", path: folder.clone(), source };
    let metadata = match std::fs::symlink_metadata(&folder) {
        Ok(metadata) => metadata,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Owner::Nobody);
        }
        Err(error) => return Err(failed(error)),
    };
    // We would write and delete in the link's target.
    if metadata.is_symlink() {
        return Ok(Owner::Foreign("it is a symbolic link".into()));
    }
    if !metadata.is_dir() {
        return Ok(Owner::Foreign("it is not a folder".into()));
    }
    // Another owner could read our keys, and could have copied the marker file.
    if metadata.uid() != nix::unistd::geteuid().as_raw() {
        return Ok(Owner::Foreign("it belongs to another user".into()));
    }
    if std::fs::symlink_metadata(folder.join(MARKER)).is_ok_and(|mark| mark.is_file()) {
        return Ok(Owner::Ours);
    }
    let mut entries = std::fs::read_dir(&folder).map_err(failed)?;
    match entries.next().transpose().map_err(failed)? {
        None => Ok(Owner::Empty),
        Some(entry) => {
            let name = entry.file_name();
            Ok(Owner::Foreign(format!("it contains {} but no marker file of a demo", name.display())))
        }
    }
}

/// Fails if the folder is no longer the demo's, because someone replaced it.
pub fn check_still_ours(folder: &Path) -> Result<(), LocalClusterError> {
    let why = match owner(folder.parent().unwrap_or(folder))? {
        Owner::Ours => return Ok(()),
        Owner::Nobody => "it does not exist".into(),
        Owner::Empty => "it is empty and has no marker file of a demo".into(),
        Owner::Foreign(why) => why,
    };
    Err(LocalClusterError::Replaced { path: folder.to_path_buf(), why })
}

/// Returns the demo's folder in `dir`. Creates it with its marker file if it does not exist yet.
pub fn claim(dir: &Path) -> Result<PathBuf, LocalClusterError> {
    let dir = usable(dir)?;
    let folder = folder_in(&dir);
    let failed =
        |source| LocalClusterError::File { attempt: "create the folder", path: folder.clone(), source };
    match std::fs::DirBuilder::new().mode(PRIVATE).create(&folder) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => match owner(&dir)? {
            Owner::Ours | Owner::Empty => {
                std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(PRIVATE))
                    .map_err(failed)?;
            }
            Owner::Foreign(why) => return Err(LocalClusterError::Foreign { path: folder, why }),
            Owner::Nobody => return Err(failed(error)),
        },
        Err(error) => return Err(failed(error)),
    }
    write_marker(&folder)?;
    Ok(folder)
}

/// The folder that `--state` names, as an absolute path that every program reads unchanged (UTF-8,
/// no `:`).
fn usable(dir: &Path) -> Result<PathBuf, LocalClusterError> {
    let refused = |why: &str| LocalClusterError::StatePath { path: dir.to_path_buf(), why: why.to_owned() };
    let failed =
        |source| LocalClusterError::File { attempt: "create the folder", path: dir.to_path_buf(), source };
    let absolute = absolute(dir)?;
    match absolute.to_str() {
        None => return Err(refused("its name is not UTF-8")),
        // kubectl and every other reader treat KUBECONFIG as a list separated by `:`.
        Some(text) if text.contains(':') => {
            return Err(refused("KUBECONFIG separates paths with ':', so the path must not contain one"));
        }
        Some(_) => {}
    }
    match std::fs::metadata(&absolute) {
        Ok(metadata) if !metadata.is_dir() => return Err(refused("it is not a folder")),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return Err(refused("one of its parents is not a folder"));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            std::fs::create_dir_all(&absolute).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
    }
    if std::fs::canonicalize(&absolute).map_err(failed)? == Path::new("/") {
        return Err(refused("it is the root of the file system"));
    }
    Ok(absolute)
}

fn write_marker(folder: &Path) -> Result<(), LocalClusterError> {
    use std::io::Write;
    let path = folder.join(MARKER);
    let failed = |source| LocalClusterError::File { attempt: "write", path: path.clone(), source };
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(mut marker) => marker.write_all(MARKER_TEXT.as_bytes()).map_err(failed),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_replaced_ours_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let folder = claim(dir.path()).unwrap();
        check_still_ours(&folder).unwrap();
        std::fs::rename(&folder, dir.path().join("moved")).unwrap();
        assert!(matches!(check_still_ours(&folder), Err(LocalClusterError::Replaced { .. })));
        std::fs::create_dir(&folder).unwrap();
        assert!(check_still_ours(&folder).is_err(), "an empty folder is not ours");
        std::fs::write(folder.join("report.json"), "mine").unwrap();
        let error = check_still_ours(&folder).unwrap_err().to_string();
        assert!(error.contains("report.json") && error.contains("the demo's keys"), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
        std::os::unix::fs::symlink(dir.path().join("moved"), &folder).unwrap();
        assert!(check_still_ours(&folder).is_err(), "a symbolic link is refused, even to our own folder");
    }

    fn mode(path: &Path) -> u32 {
        path.symlink_metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn claim_creates_a_private_folder_with_a_marker_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let requested = dir.path().join("a b/it's 50%/x=y/\u{e9}t\u{e9} \"q\"");
        assert_eq!(owner(&requested).unwrap(), Owner::Nobody);
        let folder = claim(&requested).unwrap();
        assert_eq!(folder, requested.join("demo"));
        assert_eq!((mode(&folder), mode(&folder.join(MARKER))), (0o700, 0o600));
        assert_eq!(owner(&requested).unwrap(), Owner::Ours);
        assert_eq!(claim(&requested).unwrap(), folder);
        assert_eq!(mode(dir.path()), 0o755, "only our own folder becomes private");
        assert_ne!(mode(&requested), 0o700, "only our own folder becomes private");
    }

    #[test]
    fn claim_accepts_an_empty_folder_and_refuses_any_other() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder_in(dir.path());
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(owner(dir.path()).unwrap(), Owner::Empty);
        assert_eq!(claim(dir.path()).unwrap(), folder);
        assert_eq!(mode(&folder), 0o700);

        let other = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder_in(other.path()).join("sandbox")).unwrap();
        let error = claim(other.path()).unwrap_err().to_string();
        assert!(error.contains("it contains sandbox but no marker file"), "{error}");
        assert!(!folder_in(other.path()).join(MARKER).exists());
    }

    #[test]
    fn claim_refuses_links_files_and_marker_links() {
        let dir = tempfile::tempdir().unwrap();
        let ours = tempfile::tempdir().unwrap();
        let target = claim(ours.path()).unwrap();
        std::os::unix::fs::symlink(&target, folder_in(dir.path())).unwrap();
        assert!(claim(dir.path()).unwrap_err().to_string().contains("symbolic link"));

        let dir = tempfile::tempdir().unwrap();
        std::fs::write(folder_in(dir.path()), "mine").unwrap();
        assert!(claim(dir.path()).unwrap_err().to_string().contains("not a folder"));

        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder_in(dir.path())).unwrap();
        std::os::unix::fs::symlink(target.join(MARKER), folder_in(dir.path()).join(MARKER)).unwrap();
        assert!(claim(dir.path()).unwrap_err().to_string().contains("no marker file"));
    }

    #[test]
    fn an_unusable_path_is_refused_before_anything_is_created() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "mine").unwrap();
        let bytes = std::ffi::OsStr::from_bytes(b"\xff");
        for (path, why) in [
            (PathBuf::from("/"), "root of the file system"),
            (PathBuf::from("/tmp/.."), "root of the file system"),
            (PathBuf::new(), "not a path"),
            (file.clone(), "it is not a folder"),
            (file.join("below"), "is not a folder"),
            (dir.path().join("a:b"), "KUBECONFIG"),
            (dir.path().join(bytes), "UTF-8"),
        ] {
            let error = claim(&path).unwrap_err().to_string();
            assert!(error.contains(why), "{}: {error}", path.display());
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
