//! Kubeconfig files for one user of one API server. In: address, authority, credentials. Out: YAML,
//! or a file with mode 0600.

use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD};
use kinesis_demo_api::kubeconfig::direct_config;
use kube::config::Kubeconfig;
use serde_json::json;

use super::certificates::ClientCertificate;
use crate::error::LocalClusterError;
use crate::private_files::write_private;
use crate::tls::install_crypto_provider;

/// How a user authenticates.
#[derive(Clone, Debug)]
pub enum Credentials {
    Certificate(ClientCertificate),
    Token(String),
}

/// The API server's address and its certificate authority.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub server: String,
    pub authority: String,
}

/// The kubeconfig's text. It is self-contained, so the file may be copied.
#[must_use]
pub fn kubeconfig(endpoint: &Endpoint, user: &str, namespace: &str, credentials: &Credentials) -> String {
    let credentials = match credentials {
        Credentials::Certificate(identity) => json!({
            "client-certificate-data": STANDARD.encode(&identity.certificate),
            "client-key-data": STANDARD.encode(&identity.key),
        }),
        Credentials::Token(token) => json!({ "token": token }),
    };
    let document = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CLUSTER, "cluster": {
            "server": endpoint.server,
            "certificate-authority-data": STANDARD.encode(&endpoint.authority),
        }}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": CLUSTER, "context": {"cluster": CLUSTER, "user": user, "namespace": namespace}}],
        "current-context": CLUSTER,
    });
    // JSON is valid YAML, and every reader of kubeconfigs accepts it.
    format!("{document:#}\n")
}

const CLUSTER: &str = "kinesis-demo-local";

/// Writes the text to a file with mode 0600.
pub fn write_kubeconfig(path: &Path, text: &str) -> Result<(), LocalClusterError> {
    write_private(path, text.as_bytes())
}

/// Creates a client from a kubeconfig file that we or kind wrote, never from the user's own file.
/// The file contains everything needed. Environment variables are ignored, so that a proxy setting
/// of the user does not affect loopback connections.
pub async fn client_from(path: &Path) -> Result<kube::Client, LocalClusterError> {
    install_crypto_provider();
    let attempt = || format!("read the kubeconfig {}", path.display());
    let kubeconfig =
        Kubeconfig::read_from(path).map_err(|error| LocalClusterError::kubernetes(attempt(), error))?;
    let config =
        direct_config(&kubeconfig, None).map_err(|error| LocalClusterError::kubernetes(attempt(), error))?;
    kube::Client::try_from(config).map_err(|error| LocalClusterError::kubernetes(attempt(), error))
}

/// Reads the API server's address and authority from a kubeconfig that another program (kind)
/// wrote.
pub fn read_endpoint(path: &Path) -> Result<Endpoint, LocalClusterError> {
    let attempt = || format!("read the kubeconfig {}", path.display());
    let kubeconfig =
        Kubeconfig::read_from(path).map_err(|error| LocalClusterError::kubernetes(attempt(), error))?;
    let missing = || {
        let text = "it has no cluster with a server and a certificate authority";
        LocalClusterError::kubernetes(attempt(), std::io::Error::other(text))
    };
    let cluster = kubeconfig.clusters.into_iter().find_map(|named| named.cluster).ok_or_else(missing)?;
    let (Some(server), Some(data)) = (cluster.server, cluster.certificate_authority_data) else {
        return Err(missing());
    };
    let authority = STANDARD
        .decode(data.trim())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(missing)?;
    Ok(Endpoint { server, authority })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint {
            server: "https://127.0.0.1:40123".into(),
            authority: "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".into(),
        }
    }

    #[test]
    fn kube_reads_server_user_and_namespace_from_our_kubeconfig() {
        let text =
            kubeconfig(&endpoint(), "operator", "kinesis-demo-system", &Credentials::Token("abc".into()));
        let read = Kubeconfig::from_yaml(&text).unwrap();
        let cluster = read.clusters[0].cluster.clone().unwrap();
        assert_eq!(cluster.server.as_deref(), Some("https://127.0.0.1:40123"));
        let context = read.contexts[0].context.clone().unwrap();
        assert_eq!(context.user.as_deref(), Some("operator"));
        assert_eq!(context.namespace.as_deref(), Some("kinesis-demo-system"));
        assert_eq!(read.current_context, Some(read.contexts[0].name.clone()));
    }

    #[test]
    fn a_file_is_private_and_its_endpoint_is_read_back() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.kubeconfig");
        let text = kubeconfig(&endpoint(), "admin", "default", &Credentials::Token("abc".into()));
        write_kubeconfig(&path, &text).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let read = read_endpoint(&path).unwrap();
        assert_eq!(read.server, endpoint().server);
        assert_eq!(read.authority, endpoint().authority);
    }
}
