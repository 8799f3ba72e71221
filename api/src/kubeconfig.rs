//! How to reach the API server of a kubeconfig's context. In: a kubeconfig. Out: kube's
//! configuration. Reads the files that the kubeconfig names.
//!
//! kube's own loader also reads HTTPS_PROXY and NO_PROXY, and fails on `NO_PROXY=localhost,`, which
//! kubectl accepts. Here only [`crate::proxy`] reads the environment.

use kube::Config;
use kube::config::{AuthInfo, Cluster, Context, ExecAuthCluster, Kubeconfig, KubeconfigError};

use crate::proxy::{ProxyError, proxy};

#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}

/// The context's API server (the current context's if `context` is `None`), through the proxy that
/// kubectl would use.
pub fn config(
    kubeconfig: &Kubeconfig,
    context: Option<&str>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Config, ConnectionError> {
    let mut config = direct_config(kubeconfig, context)?;
    let named = find(kubeconfig, context)?.1.proxy_url.as_deref();
    config.proxy_url = proxy(&config.cluster_url, named, environment)?;
    Ok(config)
}

/// The same without a proxy. Ignores the kubeconfig's `proxy-url` and the environment.
pub fn direct_config(kubeconfig: &Kubeconfig, context: Option<&str>) -> Result<Config, KubeconfigError> {
    let (context, cluster) = find(kubeconfig, context)?;
    // Loads the certificates as bytes, whether they are inline or in files.
    let loaded = ExecAuthCluster::try_from(cluster)?;
    let server = cluster.server.as_deref().ok_or(KubeconfigError::MissingClusterUrl)?;
    let mut config = Config::new(server.parse().map_err(KubeconfigError::ParseClusterUrl)?);
    if let Some(namespace) = context.namespace.as_ref().filter(|namespace| !namespace.is_empty()) {
        config.default_namespace.clone_from(namespace);
    }
    if let Some(authority) = &loaded.certificate_authority_data {
        let blocks = pem::parse_many(authority).map_err(KubeconfigError::ParseCertificates)?;
        let certificates = blocks.into_iter().filter(|block| block.tag() == "CERTIFICATE");
        config.root_cert = Some(certificates.map(pem::Pem::into_contents).collect());
    }
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or_default();
    config.disable_compression = cluster.disable_compression.unwrap_or_default();
    config.tls_server_name.clone_from(&cluster.tls_server_name);
    config.auth_info = user(kubeconfig, context);
    if let Some(exec) = config.auth_info.exec.as_mut().filter(|exec| exec.provide_cluster_info) {
        exec.cluster = Some(loaded);
    }
    Ok(config)
}

fn find<'a>(
    kubeconfig: &'a Kubeconfig,
    context: Option<&str>,
) -> Result<(&'a Context, &'a Cluster), KubeconfigError> {
    let current = kubeconfig.current_context.as_deref();
    let name = context.or(current).ok_or(KubeconfigError::CurrentContextNotSet)?;
    let context = kubeconfig.contexts.iter().find(|named| named.name == name);
    let context = context
        .and_then(|named| named.context.as_ref())
        .ok_or_else(|| KubeconfigError::LoadContext(name.into()))?;
    let cluster = kubeconfig.clusters.iter().find(|named| named.name == context.cluster);
    let cluster = cluster
        .and_then(|named| named.cluster.as_ref())
        .ok_or_else(|| KubeconfigError::LoadClusterOfContext(context.cluster.clone()))?;
    Ok((context, cluster))
}

/// The context's user. As with kubectl, a missing user is not an error.
fn user(kubeconfig: &Kubeconfig, context: &Context) -> AuthInfo {
    let users = kubeconfig.auth_infos.iter();
    let found = context.user.as_ref().and_then(|name| users.into_iter().find(|named| named.name == *name));
    found.and_then(|named| named.auth_info.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, engine::general_purpose::STANDARD};

    const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n\
        -----BEGIN CERTIFICATE-----\nAwQF\n-----END CERTIFICATE-----\n";

    fn text() -> String {
        format!(
            "{{apiVersion: v1, kind: Config, current-context: direct, contexts: [\
             {{name: direct, context: {{cluster: a, user: u}}}}, {{name: nobody, context: {{cluster: a}}}}, \
             {{name: behind, context: {{cluster: b, user: v, namespace: demos}}}}, \
             {{name: lost, context: {{cluster: c, user: u}}}}, {{name: nowhere, context: {{cluster: d, user: u}}}}, \
             {{name: bad, context: {{cluster: e, user: u}}}}], clusters: [\
             {{name: a, cluster: {{server: 'https://a.example:6443', certificate-authority-data: {data}}}}}, \
             {{name: b, cluster: {{server: 'https://b.example', proxy-url: 'http://proxy.example:3128', \
             tls-server-name: other.example, insecure-skip-tls-verify: true, disable-compression: true}}}}, \
             {{name: d, cluster: {{}}}}, \
             {{name: e, cluster: {{server: 'https://e.example', certificate-authority: /nonexistent/ca}}}}], users: [\
             {{name: u, user: {{token: abc}}}}, \
             {{name: v, user: {{exec: {{command: login, provideClusterInfo: true}}}}}}]}}",
            data = STANDARD.encode(AUTHORITY)
        )
    }

    fn parsed() -> Kubeconfig {
        Kubeconfig::from_yaml(&text()).unwrap()
    }

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn the_configuration_equals_what_kube_loads() {
        for context in ["direct", "nobody", "behind"] {
            let ours = config(&parsed(), Some(context), nothing).unwrap();
            let current = Kubeconfig { current_context: Some(context.into()), ..parsed() };
            let mut kubes = Config::try_from(current).unwrap();
            // The environment of the test may have a proxy.
            kubes.proxy_url.clone_from(&ours.proxy_url);
            assert_eq!(format!("{ours:?}"), format!("{kubes:?}"), "{context}");
        }
        let ours = config(&parsed(), None, nothing).unwrap();
        assert_eq!(ours.root_cert, Some(vec![vec![0, 1, 2], vec![3, 4, 5]]));
        assert_eq!(ours.cluster_url.host(), Some("a.example"));
        let exec = config(&parsed(), Some("behind"), nothing).unwrap().auth_info.exec.unwrap();
        assert_eq!(exec.cluster.unwrap().server.as_deref(), Some("https://b.example"));
    }

    #[test]
    fn the_proxy_is_the_clusters_or_the_environments() {
        let environment = |name: &str| match name {
            "HTTPS_PROXY" => Some("http://other.example:1".to_owned()),
            "NO_PROXY" => Some("localhost,127.0.0.1,".to_owned()),
            _ => None,
        };
        for (context, expected) in
            [(None, "http://other.example:1/"), (Some("behind"), "http://proxy.example:3128/")]
        {
            let proxy = config(&parsed(), context, environment).unwrap().proxy_url;
            assert_eq!(proxy.unwrap().to_string(), expected, "{context:?}");
            assert_eq!(direct_config(&parsed(), context).unwrap().proxy_url, None);
        }
        let wrong = |name: &str| (name == "HTTPS_PROXY").then(|| "http://a b".to_owned());
        assert!(matches!(config(&parsed(), None, wrong), Err(ConnectionError::Proxy(_))));
    }

    #[test]
    fn missing_entries_are_reported_with_kubes_messages() {
        let message = |context: &str| config(&parsed(), Some(context), nothing).unwrap_err().to_string();
        assert_eq!(message("x"), "failed to load current context: x");
        assert_eq!(message("lost"), "failed to load the cluster of context: c");
        assert_eq!(message("nowhere"), "cluster url is missing on selected cluster");
        assert!(message("bad").contains("/nonexistent/ca"), "{}", message("bad"));
        let none = Kubeconfig { current_context: None, ..parsed() };
        assert!(matches!(
            config(&none, None, nothing),
            Err(ConnectionError::Kubeconfig(KubeconfigError::CurrentContextNotSet))
        ));
    }
}
