//! Folders and files that only their owner can read: they contain keys and tokens. In: a path, a
//! text. Out: a folder, or a file that is replaced atomically. Writes to the disk.

use std::path::Path;

use crate::error::LocalClusterError;

/// Creates a folder inside the state folder with mode 0700. An existing folder is accepted; a
/// symbolic link is an error.
pub fn make_private_folder(path: &Path) -> Result<(), LocalClusterError> {
    use std::os::unix::fs::DirBuilderExt;
    let failed =
        |source| LocalClusterError::File { attempt: "create the folder", path: path.to_path_buf(), source };
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let is_folder = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
            if is_folder { Ok(()) } else { Err(failed(error)) }
        }
        result => result.map_err(failed),
    }
}

/// Replaces a file atomically, with mode 0600. A reader sees either the old or the new content, and
/// other users cannot read the keys.
pub fn write_private(path: &Path, text: &[u8]) -> Result<(), LocalClusterError> {
    use std::io::Write;
    let failed = |source| LocalClusterError::File { attempt: "write", path: path.to_path_buf(), source };
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    // `NamedTempFile` creates the file with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(text).map_err(failed)?;
    file.persist(path).map(drop).map_err(|error| failed(error.error))
}

/// Removes a file. One that does not exist is not an error.
pub fn remove_if_present(path: &Path) -> Result<(), LocalClusterError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(LocalClusterError::File { attempt: "remove", path: path.to_path_buf(), source })
        }
        _ => Ok(()),
    }
}
