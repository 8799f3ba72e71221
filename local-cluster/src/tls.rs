//! The TLS implementation of this process.

/// Chooses the TLS implementation for the whole process. Dependencies may compile in both ring and
/// aws-lc, and rustls then has no default, so this must come before the first client. A second call
/// changes nothing.
pub fn install_crypto_provider() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
