//! Files that others wait for, or read at any time. In: a path and contents. Out: the file, whole
//! or not at all.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use uuid::Uuid;

/// Writes a file whole or not at all: whoever waits for it reads it the moment it appears. What
/// lies at the path is replaced; a link there is not followed.
pub fn publish(path: &Path, contents: &[u8]) -> io::Result<()> {
    // Nobody can lay a link under a name that they cannot guess, and none is followed where the
    // file must be new.
    let draft = path.with_file_name(format!(".{}.tmp", Uuid::new_v4().simple()));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&draft)?;
    let published = file.write_all(contents).and_then(|()| std::fs::rename(&draft, path));
    if published.is_err() {
        // What it failed of is told; a draft that cannot be removed either is only in the way.
        let _ = std::fs::remove_file(&draft);
    }
    published
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_appears_whole_and_leaves_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        for name in [OsStr::new("ca.pem"), OsStr::from_bytes(b"\xff.pem")] {
            let path = folder.path().join(name);
            publish(&path, b"one").unwrap();
            publish(&path, b"two").unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"two");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(publish(&folder.path().join("none/ca.pem"), b"").is_err());
        let taken = folder.path().join("folder");
        std::fs::create_dir(&taken).unwrap();
        assert!(publish(&taken, b"").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "no draft is left of a failure");
    }

    #[test]
    fn links_that_others_laid_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, precious) = (folder.path().join("ca.pem"), folder.path().join("precious"));
        std::fs::write(&precious, "kept").unwrap();
        // Where the file goes, and the name that a draft once had.
        for link in [path.clone(), path.with_extension(format!("{}.tmp", std::process::id()))] {
            symlink(&precious, link).unwrap();
        }
        publish(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&precious).unwrap(), b"kept");
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert!(!path.is_symlink());
    }
}
