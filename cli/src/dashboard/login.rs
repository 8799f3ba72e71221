//! Who may see the page. In: a folder that only its user can read. Out: a file in it that leads to
//! the page, once for each token; the checks of cookie and key. Writes the file.
//!
//! The file has a token that is exchanged for a cookie. So the token is on no command line, in no
//! output and in no address that stays in view. Every exchange replaces the token, so that the file
//! can be opened again and a token seen later is worthless.
//!
//! Browsers send a cookie to every port of its host. So a server of another user on this machine
//! could get it. It cannot get the key, which scripts of the page alone can read and which every
//! request that changes something must have. Conversely, every update has the witness, without
//! which the page believes nothing: another program may listen at this address after ours.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kinesis_demo_local_cluster::LocalClusterError;
use kinesis_demo_local_cluster::private_files::{remove_if_present, write_private};
use maud::{DOCTYPE, html};
use subtle::ConstantTimeEq;

/// The file's name.
const FILE: &str = "dashboard.html";

/// A value that only the user's browser has: 244 random bits.
struct Secret(String);

impl Secret {
    fn new() -> Self {
        Self(format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple()))
    }

    /// Whether `text` is the secret. Takes the same time for every wrong one of its length.
    fn is(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }
}

/// The login of one server.
pub struct Login {
    file: PathBuf,
    /// Address and port of the page.
    host: String,
    token: Mutex<Secret>,
    session: Secret,
    key: Secret,
    witness: Secret,
}

impl Login {
    /// Writes the file that leads to the page at this address and port.
    pub fn open(folder: &Path, host: &str) -> Result<Self, LocalClusterError> {
        let login = Self {
            file: folder.join(FILE),
            host: host.to_owned(),
            token: Mutex::new(Secret::new()),
            session: Secret::new(),
            key: Secret::new(),
            witness: Secret::new(),
        };
        login.write(&login.token())?;
        Ok(login)
    }

    /// The file to open in a browser.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Whether this is the token of the file. If so, it is no longer, and the file gets another.
    pub fn exchange(&self, given: &str) -> bool {
        let mut token = self.token();
        if !token.is(given) {
            return false;
        }
        *token = Secret::new();
        if let Err(error) = self.write(&token) {
            // The page is open now. Only a second browser needs the file.
            tracing::debug!(%error, "the login file was not renewed");
        }
        true
    }

    /// Removes the file. Connections may still use the login for a moment.
    pub fn close(&self) {
        let _ = remove_if_present(&self.file);
    }

    /// The header that gives the cookie to the browser.
    #[must_use]
    pub fn set_cookie(&self) -> String {
        format!("{}={}; Path=/; HttpOnly; SameSite=Strict", self.cookie_name(), self.session.0)
    }

    /// Whether a `Cookie` header has our cookie.
    #[must_use]
    pub fn is_session(&self, header: &str) -> bool {
        let name = self.cookie_name();
        let values = header.split(';').filter_map(|cookie| cookie.trim().split_once('='));
        values.filter(|(key, _)| *key == name).any(|(_, value)| self.session.is(value))
    }

    /// The value that every request that changes something must have.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key.0
    }

    /// What every update has. Whoever does not know it is not this server.
    #[must_use]
    pub fn witness(&self) -> &str {
        &self.witness.0
    }

    /// Whether this is the key.
    #[must_use]
    pub fn is_key(&self, given: &str) -> bool {
        self.key.is(given)
    }

    /// With the port, since browsers keep one set of cookies for all ports.
    fn cookie_name(&self) -> String {
        format!("kinesisdemo-{}", self.host.rsplit(':').next().unwrap_or_default())
    }

    fn token(&self) -> MutexGuard<'_, Secret> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, token: &Secret) -> Result<(), LocalClusterError> {
        let address = format!("http://{}/login?token={}", self.host, token.0);
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="referrer" content="no-referrer";
                    meta http-equiv="refresh" content={ "0; url=" (address) };
                    title { "KinesisDemo" }
                }
                body { p { a href=(address) { "Open the page" } } }
            }
        };
        write_private(&self.file, page.into_string().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn token_in(file: &Path) -> String {
        let text = std::fs::read_to_string(file).unwrap();
        let (_, rest) = text.split_once("/login?token=").unwrap();
        rest.chars().take_while(char::is_ascii_alphanumeric).collect()
    }

    #[test]
    fn a_token_is_exchanged_once_and_the_file_gets_another() {
        let folder = tempfile::tempdir().unwrap();
        let login = Login::open(folder.path(), "127.0.0.1:1234").unwrap();
        let mode = login.file().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let token = token_in(login.file());
        assert_eq!(token.len(), 64);
        assert!(!login.exchange(""));
        assert!(!login.exchange(&token[1..]));
        assert!(login.exchange(&token));
        assert!(!login.exchange(&token), "a replayed token");
        let next = token_in(login.file());
        assert_ne!(next, token);
        assert_eq!(login.file().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(login.exchange(&next));
        let file = login.file().to_path_buf();
        login.close();
        assert!(!file.exists());
    }

    #[test]
    fn only_the_cookie_of_this_server_is_a_session() {
        let folder = tempfile::tempdir().unwrap();
        let login = Login::open(folder.path(), "127.0.0.1:1234").unwrap();
        let cookie = login.set_cookie();
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Strict");
        assert!(login.is_session(pair));
        assert!(login.is_session(&format!("a=b; {pair}; c=d")));
        let value = pair.split_once('=').unwrap().1;
        for other in ["", "kinesisdemo-1234=", &format!("kinesisdemo-1235={value}"), &pair[..pair.len() - 1]]
        {
            assert!(!login.is_session(other), "{other}");
        }
        assert!(login.is_key(login.key()) && !login.is_key(value) && !login.is_key(""));
    }
}
