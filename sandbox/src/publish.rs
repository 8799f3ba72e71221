//! Atomically written files, for readers that wait for a file or read it at any time. In: a path
//! and contents. Out: the complete file, or no change.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

/// Writes a file atomically, because readers may read it as soon as it appears. Replaces an
/// existing file; does not follow a symbolic link at the path.
pub fn publish(path: &Path, contents: &[u8]) -> io::Result<()> {
    // The random name prevents others from placing a link there in advance, and `create_new` does
    // not follow one.
    let temporary = path.with_file_name(format!(".{:032x}.tmp", rand::random::<u128>()));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
    let published = file.write_all(contents).and_then(|()| std::fs::rename(&temporary, path));
    if published.is_err() {
        // The write error is returned; failing to remove the temporary file as well does no harm.
        let _ = std::fs::remove_file(&temporary);
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
    fn files_are_written_atomically_and_no_others_remain() {
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
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            3,
            "a failed write must leave no temporary file"
        );
    }

    #[test]
    fn existing_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, precious) = (folder.path().join("ca.pem"), folder.path().join("precious"));
        std::fs::write(&precious, "kept").unwrap();
        // The target path, and a predictable temporary name.
        for link in [path.clone(), path.with_extension(format!("{}.tmp", std::process::id()))] {
            symlink(&precious, link).unwrap();
        }
        publish(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&precious).unwrap(), b"kept");
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert!(!path.is_symlink());
    }
}
