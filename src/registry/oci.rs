//! Registries with the OCI distribution protocol, read anonymously. In: an image reference. Out:
//! the architectures of its manifest list, or of its configuration. Connects only to a registry
//! that the reference names.

use std::time::Duration;

use async_trait::async_trait;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::config::{Architecture, ConfigFile, Os};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::OciManifest;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};

use super::{ImageLookup, Registry};

/// The limit of all requests for one image together.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A client for all registries.
pub struct OciRegistry(Client);

impl OciRegistry {
    /// Connects by HTTPS.
    pub fn new() -> Self {
        Self::with_protocol(ClientProtocol::Https)
    }

    fn with_protocol(protocol: ClientProtocol) -> Self {
        let config = ClientConfig {
            protocol,
            connect_timeout: Some(TIMEOUT),
            read_timeout: Some(TIMEOUT),
            ..ClientConfig::default()
        };
        Self(Client::new(config))
    }

    async fn fetch(&self, reference: &Reference) -> Result<ImageLookup, OciDistributionError> {
        let Self(client) = self;
        let (manifest, _) = client.pull_manifest(reference, &RegistryAuth::Anonymous).await?;
        let platforms: Vec<(Os, Architecture)> = match manifest {
            OciManifest::ImageIndex(index) => {
                let platforms = index.manifests.into_iter().filter_map(|entry| entry.platform);
                platforms.map(|platform| (platform.os, platform.architecture)).collect()
            }
            // An image for one platform. Its configuration names the platform.
            OciManifest::Image(manifest) => {
                let mut text = Vec::new();
                client.pull_blob(reference, &manifest.config, &mut text).await?;
                let ConfigFile { architecture, os, .. } = serde_json::from_slice(&text)?;
                vec![(os, architecture)]
            }
        };
        let linux = platforms.into_iter().filter(|(os, _)| *os == Os::Linux);
        Ok(ImageLookup::For(linux.map(|(_, architecture)| architecture.to_string()).collect()))
    }
}

impl Default for OciRegistry {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Registry for OciRegistry {
    async fn fetch_image(&self, image: &str) -> ImageLookup {
        let Some(reference) = names_registry(image).then(|| image.parse::<Reference>().ok()).flatten() else {
            return ImageLookup::Unknown;
        };
        match tokio::time::timeout(TIMEOUT, self.fetch(&reference)).await {
            Ok(Ok(seen)) => seen,
            Ok(Err(error)) if is_missing(&error) => ImageLookup::Missing,
            Ok(Err(error)) => {
                tracing::info!(image, error = %error, "the image could not be looked up in its registry; a run will show whether it can be pulled");
                ImageLookup::Unknown
            }
            Err(_) => {
                tracing::info!(
                    image,
                    seconds = TIMEOUT.as_secs(),
                    "the registry did not respond in time; a run will show whether the image can be pulled"
                );
                ImageLookup::Unknown
            }
        }
    }
}

/// Whether a reference begins with a registry's host, by the rule that all container tools use.
/// Without a host, the registry depends on the puller's configuration.
fn names_registry(image: &str) -> bool {
    image.split_once('/').is_some_and(|(host, _)| host.contains(['.', ':']) || host == "localhost")
}

fn is_missing(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::ImageManifestNotFoundError(_) => true,
        OciDistributionError::RegistryError { envelope, .. } => envelope.errors.iter().any(|error| {
            matches!(
                error.code,
                OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound
            )
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::Router;
    use axum::http::{StatusCode, header};
    use axum::response::IntoResponse;
    use axum::routing::get;
    use serde_json::{Value, json};
    use sha2::{Digest, Sha256};

    use super::*;

    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

    fn digest(text: &str) -> String {
        let bytes = Sha256::digest(text);
        format!("sha256:{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    fn response(media_type: &'static str, body: &Value) -> axum::response::Response {
        let text = body.to_string();
        let headers = [
            (header::CONTENT_TYPE.as_str(), media_type.to_owned()),
            ("docker-content-digest", digest(&text)),
        ];
        (headers, text).into_response()
    }

    fn error_response(status: StatusCode, code: &str) -> axum::response::Response {
        let body = json!({"errors": [{"code": code, "message": "no", "detail": null}]});
        (status, body.to_string()).into_response()
    }

    fn index() -> Value {
        let entry = |os: &str, architecture: &str| {
            json!({"mediaType": MANIFEST, "digest": digest(architecture), "size": 2,
                "platform": {"os": os, "architecture": architecture}})
        };
        json!({"schemaVersion": 2, "mediaType": INDEX,
            "manifests": [entry("linux", "amd64"), entry("linux", "arm64"), entry("windows", "arm")]})
    }

    /// A registry on loopback, which ends with the test's runtime.
    async fn registry() -> (OciRegistry, SocketAddr) {
        let configuration = json!({"architecture": "arm64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}});
        let digest_of_configuration = digest(&configuration.to_string());
        let single = json!({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [], "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of_configuration,
            "size": configuration.to_string().len()}});
        let app = Router::new()
            .route("/v2/", get(|| async { "{}" }))
            .route("/v2/team/list/manifests/{tag}", get(|| async { response(INDEX, &index()) }))
            .route("/v2/team/single/manifests/{tag}", get(|| async move { response(MANIFEST, &single) }))
            .route(
                "/v2/team/single/blobs/{digest}",
                get(|| async move { response("application/octet-stream", &configuration) }),
            )
            .route(
                "/v2/team/none/manifests/{tag}",
                get(|| async { error_response(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN") }),
            )
            .route(
                "/v2/team/private/manifests/{tag}",
                get(|| async { error_response(StatusCode::UNAUTHORIZED, "UNAUTHORIZED") }),
            );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        (OciRegistry::with_protocol(ClientProtocol::Http), address)
    }

    #[tokio::test]
    async fn architectures_come_from_a_list_or_a_single_image() {
        let (registry, address) = registry().await;
        let list = registry.fetch_image(&format!("{address}/team/list:1")).await;
        assert_eq!(list, ImageLookup::For(vec!["amd64".into(), "arm64".into()]));
        let single = registry.fetch_image(&format!("{address}/team/single:1")).await;
        assert_eq!(single, ImageLookup::For(vec!["arm64".into()]));
    }

    #[tokio::test]
    async fn an_absent_image_is_missing_and_an_unreadable_one_unknown() {
        let (registry, address) = registry().await;
        assert_eq!(registry.fetch_image(&format!("{address}/team/none:1")).await, ImageLookup::Missing);
        assert_eq!(registry.fetch_image(&format!("{address}/team/private:1")).await, ImageLookup::Unknown);
        // Nothing listens on port 1.
        assert_eq!(registry.fetch_image("127.0.0.1:1/team/list:1").await, ImageLookup::Unknown);
    }

    #[test]
    fn only_references_with_a_registry_host_are_looked_up() {
        for named in ["registry.example.com/a:1", "localhost/a", "127.0.0.1:5000/a", "host:5000/a/b@sha256:0"]
        {
            assert!(names_registry(named), "{named}");
        }
        for unnamed in ["kinesis-demo-generator:0.1.0", "team/generator:1", "generator"] {
            assert!(!names_registry(unnamed), "{unnamed}");
        }
    }
}
