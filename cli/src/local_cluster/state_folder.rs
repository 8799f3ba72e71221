//! The folder that a demo owns. In: the folder that `--state` names. Out: `<DIR>/demo`, which holds
//! our mark, or a refusal.
//!
//! Everything that a demo writes and deletes is below that one folder. `<DIR>` itself may be
//! anybody's: nothing else in it is read or changed, not even its mode. A `<DIR>/demo` that holds
//! things and no mark is somebody else's and is left alone.

use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::LocalClusterError;

/// The one entry of `<DIR>` that is ours.
pub const NAME: &str = "demo";
/// The file that tells our folder from everybody else's.
pub const MARK: &str = ".kubectl-kinesisdemo";
const MARK_TEXT: &str = "\
`kubectl kinesisdemo demo` made this folder and deletes what is in it. Keep nothing of your own here.
";
/// Keys, tokens and etcd's data live in it.
const PRIVATE: u32 = 0o700;

/// What stands at a path, as far as it concerns us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    Nobody,
    /// An empty folder of this user: it may become ours.
    Empty,
    Ours,
    /// Somebody else's, and why we think so.
    Foreign(String),
}

/// The folder that `--state` names, whatever the working folder becomes.
pub fn absolute(dir: &Path) -> Result<PathBuf, LocalClusterError> {
    let refused =
        |_| LocalClusterError::StatePath { path: dir.to_path_buf(), why: "it is not a path".into() };
    std::path::absolute(dir).map_err(refused)
}

/// Where a demo with `--state <dir>` keeps its files. Pure.
#[must_use]
pub fn folder_in(dir: &Path) -> PathBuf {
    dir.join(NAME)
}

/// Whose the folder of `dir` is. Changes nothing.
pub fn owner(dir: &Path) -> Result<Owner, LocalClusterError> {
    let folder = folder_in(dir);
    let failed = |source| LocalClusterError::File { attempt: "look at", path: folder.clone(), source };
    let metadata = match std::fs::symlink_metadata(&folder) {
        Ok(metadata) => metadata,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Owner::Nobody);
        }
        Err(error) => return Err(failed(error)),
    };
    // Through a link we would write and delete wherever it leads.
    if metadata.is_symlink() {
        return Ok(Owner::Foreign("it is a symbolic link".into()));
    }
    if !metadata.is_dir() {
        return Ok(Owner::Foreign("it is not a folder".into()));
    }
    // Its owner could read our keys, and a mark is easily copied.
    if metadata.uid() != nix::unistd::geteuid().as_raw() {
        return Ok(Owner::Foreign("it belongs to another user".into()));
    }
    if std::fs::symlink_metadata(folder.join(MARK)).is_ok_and(|mark| mark.is_file()) {
        return Ok(Owner::Ours);
    }
    let mut entries = std::fs::read_dir(&folder).map_err(failed)?;
    match entries.next().transpose().map_err(failed)? {
        None => Ok(Owner::Empty),
        Some(entry) => {
            let name = entry.file_name();
            Ok(Owner::Foreign(format!("it holds {} and has no mark of a demo", name.display())))
        }
    }
}

/// Refuses a folder that is not a demo's any more: somebody put another in its place.
pub fn still_ours(folder: &Path) -> Result<(), LocalClusterError> {
    let why = match owner(folder.parent().unwrap_or(folder))? {
        Owner::Ours => return Ok(()),
        Owner::Nobody => "it is gone".into(),
        Owner::Empty => "it is empty, and has no mark of a demo".into(),
        Owner::Foreign(why) => why,
    };
    Err(LocalClusterError::Replaced { path: folder.to_path_buf(), why })
}

/// The folder of `dir`, made and marked if it is not there yet.
pub fn claim(dir: &Path) -> Result<PathBuf, LocalClusterError> {
    let dir = usable(dir)?;
    let folder = folder_in(&dir);
    let failed =
        |source| LocalClusterError::File { attempt: "make the folder", path: folder.clone(), source };
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
    put_mark(&folder)?;
    Ok(folder)
}

/// The folder that `--state` names, as an absolute path that everybody who is told of it reads back
/// as it is.
fn usable(dir: &Path) -> Result<PathBuf, LocalClusterError> {
    let refused = |why: &str| LocalClusterError::StatePath { path: dir.to_path_buf(), why: why.to_owned() };
    let failed =
        |source| LocalClusterError::File { attempt: "make the folder", path: dir.to_path_buf(), source };
    let absolute = absolute(dir)?;
    match absolute.to_str() {
        None => return Err(refused("its name is not UTF-8")),
        // kubectl, and every other reader, takes KUBECONFIG for a list.
        Some(text) if text.contains(':') => {
            return Err(refused("KUBECONFIG separates paths by ':', so none of them may have one in it"));
        }
        Some(_) => {}
    }
    match std::fs::metadata(&absolute) {
        Ok(metadata) if !metadata.is_dir() => return Err(refused("it is not a folder")),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return Err(refused("a part of it is not a folder"));
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

fn put_mark(folder: &Path) -> Result<(), LocalClusterError> {
    use std::io::Write;
    let path = folder.join(MARK);
    let failed = |source| LocalClusterError::File { attempt: "write", path: path.clone(), source };
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(mut mark) => mark.write_all(MARK_TEXT.as_bytes()).map_err(failed),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_took_the_place_of_ours_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let folder = claim(dir.path()).unwrap();
        still_ours(&folder).unwrap();
        std::fs::rename(&folder, dir.path().join("moved")).unwrap();
        assert!(matches!(still_ours(&folder), Err(LocalClusterError::Replaced { .. })));
        std::fs::create_dir(&folder).unwrap();
        assert!(still_ours(&folder).is_err(), "an empty folder");
        std::fs::write(folder.join("report.json"), "mine").unwrap();
        let error = still_ours(&folder).unwrap_err().to_string();
        assert!(error.contains("report.json") && error.contains("its keys"), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
        std::os::unix::fs::symlink(dir.path().join("moved"), &folder).unwrap();
        assert!(still_ours(&folder).is_err(), "a link, even to our own");
    }

    fn mode(path: &Path) -> u32 {
        path.symlink_metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_folder_is_made_marked_private_and_ours_from_then_on() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let asked = dir.path().join("a b/it's 50%/x=y/\u{e9}t\u{e9} \"q\"");
        assert_eq!(owner(&asked).unwrap(), Owner::Nobody);
        let folder = claim(&asked).unwrap();
        assert_eq!(folder, asked.join("demo"));
        assert_eq!((mode(&folder), mode(&folder.join(MARK))), (0o700, 0o600));
        assert_eq!(owner(&asked).unwrap(), Owner::Ours);
        assert_eq!(claim(&asked).unwrap(), folder);
        assert_eq!(mode(dir.path()), 0o755, "only what is ours is made private");
        assert_ne!(mode(&asked), 0o700, "only what is ours is made private");
    }

    #[test]
    fn an_empty_folder_becomes_ours_and_one_with_things_in_it_does_not() {
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
        assert!(error.contains("it holds sandbox and has no mark"), "{error}");
        assert!(!folder_in(other.path()).join(MARK).exists());
    }

    #[test]
    fn links_files_and_marks_that_are_no_files_are_refused() {
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
        std::os::unix::fs::symlink(target.join(MARK), folder_in(dir.path()).join(MARK)).unwrap();
        assert!(claim(dir.path()).unwrap_err().to_string().contains("no mark"));
    }

    #[test]
    fn a_path_that_cannot_serve_is_refused_before_anything_is_made() {
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
