//! Access control: requests must carry the sandbox's access key id. In: an environment variable, a
//! file or a flag. Out: the key, and whether a request carries it. Reads or creates the key file.
//!
//! The access key id serves as the secret because every AWS client sends it with each request.
//! Checking the signature would cost a hash over each body. The id travels in the clear, but nobody
//! can eavesdrop on loopback or, normally, within a cluster's network.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use subtle::ConstantTimeEq as _;

/// The environment variable with the access key id. There is no command-line argument for it,
/// because other users can read arguments.
pub const ACCESS_KEY_VARIABLE: &str = "SANDBOX_ACCESS_KEY_ID";
/// The secret access key for clients. Signatures are not checked, so its value does not matter.
pub const SECRET_ACCESS_KEY: &str = "sandbox";
/// The access key id of tasks when any credentials are accepted.
const ANY_ACCESS_KEY_ID: &str = "sandbox";

/// Allowed lengths of an access key id (IAM API reference, AccessKey: `AccessKeyId`, pattern
/// `[\w]+`).
const SHORTEST: usize = 16;
const LONGEST: usize = 128;

/// Why no access key id could be determined.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error(
        "no access key id: set {ACCESS_KEY_VARIABLE}, name a file with --access-key-file (it is created if it does not exist), or \
         pass --any-credentials to serve every user of this machine"
    )]
    Missing,
    #[error("{first} and {second} cannot be used together; use one of them")]
    Contradiction { first: &'static str, second: &'static str },
    #[error("{0} is not an access key id: expected {SHORTEST} to {LONGEST} letters, digits or underscores")]
    Malformed(String),
    #[error("could not {attempt} the access key file {}", path.display())]
    File {
        attempt: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the access key file {path} can be read by other users (mode {mode:o}); run: chmod 600 {path}",
        path = path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
}

/// A secret text. It is compared in constant time and never printed.
#[derive(Clone)]
pub struct Secret(Arc<str>);

impl Secret {
    /// A new secret with 128 random bits, in letters and digits.
    pub fn random() -> Self {
        Self(random_hex().into())
    }

    /// A new access key id. Scanners for leaked AWS keys do not mistake it for a real one.
    pub fn random_access_key_id() -> Self {
        Self(format!("SANDBOX{}", random_hex().to_uppercase()).into())
    }

    /// An access key id from the user. `origin` says in errors where it came from.
    pub fn access_key_id(text: &str, origin: &str) -> Result<Self, AccessError> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if (SHORTEST..=LONGEST).contains(&text.len()) && text.chars().all(is_word) {
            Ok(Self(text.into()))
        } else {
            Err(AccessError::Malformed(origin.to_owned()))
        }
    }

    /// Whether `presented` equals the secret. The time it takes reveals at most the length.
    pub fn matches(&self, presented: &str) -> bool {
        self.0.as_bytes().ct_eq(presented.as_bytes()).into()
    }

    /// The text itself, for the clients that need it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// 32 hexadecimal digits.
fn random_hex() -> String {
    format!("{:032x}", rand::random::<u128>())
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// Which requests are served.
#[derive(Clone, Debug)]
pub enum Access {
    /// Requests with this access key id.
    AccessKey(Secret),
    /// Every request with any access key id. For loopback only.
    AnyCredentials,
}

impl Access {
    /// Whether a request with this access key id is served.
    pub fn admits(&self, presented: &str) -> bool {
        match self {
            Self::AccessKey(key) => key.matches(presented),
            Self::AnyCredentials => true,
        }
    }

    /// The access key id for tasks and other clients of the sandbox.
    pub fn access_key_id(&self) -> &str {
        match self {
            Self::AccessKey(key) => key.reveal(),
            Self::AnyCredentials => ANY_ACCESS_KEY_ID,
        }
    }

    /// Determines the access from environment and flags. Exactly one of the three must be set.
    pub fn configured(
        variable: Option<String>,
        file: Option<&Path>,
        any_credentials: bool,
    ) -> Result<Self, AccessError> {
        const FILE: &str = "--access-key-file";
        const ANY: &str = "--any-credentials";
        match (variable, file, any_credentials) {
            (None, None, false) => Err(AccessError::Missing),
            (None, None, true) => Ok(Self::AnyCredentials),
            (Some(text), None, false) => {
                Secret::access_key_id(&text, &format!("the value of {ACCESS_KEY_VARIABLE}"))
                    .map(Self::AccessKey)
            }
            (None, Some(path), false) => read_or_create(path).map(Self::AccessKey),
            (Some(_), Some(_), _) => {
                Err(AccessError::Contradiction { first: ACCESS_KEY_VARIABLE, second: FILE })
            }
            (Some(_), None, true) => {
                Err(AccessError::Contradiction { first: ACCESS_KEY_VARIABLE, second: ANY })
            }
            (None, Some(_), true) => Err(AccessError::Contradiction { first: FILE, second: ANY }),
        }
    }
}

/// The access key id in the file. If the file does not exist, creates it (mode 0600) with a random
/// one.
fn read_or_create(path: &Path) -> Result<Secret, AccessError> {
    let failed = |attempt| {
        let path = path.to_owned();
        move |source| AccessError::File { attempt, path, source }
    };
    let mut file = match std::fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return create(path).map_err(failed("create"));
        }
        opened => opened.map_err(failed("open"))?,
    };
    let mode = file.metadata().map_err(failed("read"))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(AccessError::Exposed { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed("read"))?;
    Secret::access_key_id(text.trim(), &format!("the content of {}", path.display()))
}

fn create(path: &Path) -> io::Result<Secret> {
    let key = Secret::random_access_key_id();
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", key.reveal())?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "SANDBOX0123456789";

    fn configured(variable: Option<&str>, file: Option<&Path>, any: bool) -> Result<Access, AccessError> {
        Access::configured(variable.map(str::to_owned), file, any)
    }

    #[test]
    fn only_the_key_is_admitted_and_never_printed() {
        let access = configured(Some(KEY), None, false).unwrap();
        assert!(access.admits(KEY));
        for other in ["", "SANDBOX012345678", "SANDBOX01234567890", "sandbox0123456789", "any"] {
            assert!(!access.admits(other), "{other}");
        }
        assert!(!format!("{access:?}").contains(KEY));
    }

    #[test]
    fn any_credentials_are_admitted_only_with_the_flag() {
        assert!(configured(None, None, true).unwrap().admits("any"));
        assert!(matches!(configured(None, None, false), Err(AccessError::Missing)));
    }

    #[test]
    fn more_than_one_key_source_is_rejected() {
        let file = Path::new("/nowhere");
        for (variable, file, any) in
            [(Some(KEY), Some(file), false), (Some(KEY), None, true), (None, Some(file), true)]
        {
            let error = configured(variable, file, any).unwrap_err();
            assert!(matches!(error, AccessError::Contradiction { .. }), "{error}");
        }
    }

    #[test]
    fn invalid_access_key_ids_are_rejected_without_printing_them() {
        for text in ["", "short", "fifteen_letters", "with/slash/0123456789", "with space 0123456789"] {
            let error = configured(Some(text), None, false).unwrap_err().to_string();
            assert!(
                error.starts_with("the value of SANDBOX_ACCESS_KEY_ID is not an access key id"),
                "{error}"
            );
        }
        let error = configured(Some("secret/0123456789"), None, false).unwrap_err().to_string();
        assert!(!error.contains("secret/"), "{error}");
    }

    #[test]
    fn random_keys_are_valid_and_differ() {
        let (first, second) = (Secret::random_access_key_id(), Secret::random_access_key_id());
        assert!(!first.matches(second.reveal()));
        assert!(Secret::access_key_id(first.reveal(), "it").is_ok());
    }

    #[test]
    fn a_key_file_is_created_with_mode_0600_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access-key");
        let created = configured(None, Some(&path), false).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = configured(None, Some(&path), false).unwrap();
        assert!(read.admits(created.access_key_id()));
    }

    #[test]
    fn a_key_file_readable_by_others_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access-key");
        std::fs::write(&path, KEY).unwrap();
        for mode in [0o644, 0o640, 0o604, 0o620] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = configured(None, Some(&path), false).unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{mode:o}: {error}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(configured(None, Some(&path), false).unwrap().admits(KEY));
        std::fs::write(&path, "no key").unwrap();
        let error = configured(None, Some(&path), false).unwrap_err().to_string();
        assert!(error.contains("the content of"), "{error}");
    }
}
