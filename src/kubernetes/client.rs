//! The client for the Kubernetes API server. In: the kubeconfig and the environment, or the Pod's
//! service account. Out: a client.

use anyhow::Context;
use kinesis_demo_api::kubeconfig::{self, ConnectionError};
use kube::config::{Kubeconfig, KubeconfigError};
use kube::{Client, Config};

const CONTEXT: &str = "connect to Kubernetes (KUBECONFIG, or in the cluster)";

/// Connects to the kubeconfig's server through the proxy that kubectl would use. Without a usable
/// kubeconfig it connects as a Pod, directly to the API server of its cluster.
pub async fn connect() -> anyhow::Result<Client> {
    let mut config = config(Kubeconfig::read(), |name| std::env::var(name).ok())?;
    config.apply_debug_overrides();
    Client::try_from(config).context(CONTEXT)
}

fn config(
    file: Result<Kubeconfig, KubeconfigError>,
    environment: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<Config> {
    let found = file
        .map_err(ConnectionError::from)
        .and_then(|kubeconfig| kubeconfig::config(&kubeconfig, None, environment));
    match found {
        Ok(config) => Ok(config),
        Err(ConnectionError::Kubeconfig(unusable)) => Config::incluster()
            .with_context(|| {
                format!("found no usable kubeconfig ({unusable}) and no service account of a Pod")
            })
            .context(CONTEXT),
        Err(error @ ConnectionError::Proxy(_)) => Err(error).context(CONTEXT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy_of(text: &str, environment: &[(&str, &str)]) -> Result<Option<String>, String> {
        let variable = |name: &str| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        config(Kubeconfig::from_yaml(text), variable)
            .map(|config| config.proxy_url.map(|proxy| proxy.to_string()))
            .map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_kubeconfigs_proxy_is_used_and_errors_name_the_setting() {
        let file = "{current-context: a, contexts: [{name: a, context: {cluster: a}}], \
                    clusters: [{name: a, cluster: {server: 'https://a.example'}}]}";
        let proxy = ("HTTPS_PROXY", "http://proxy.example:3128");
        assert_eq!(proxy_of(file, &[]), Ok(None));
        let other = [proxy, ("NO_PROXY", "localhost,127.0.0.1,")];
        assert_eq!(proxy_of(file, &other), Ok(Some("http://proxy.example:3128/".into())));
        assert_eq!(proxy_of(file, &[proxy, ("NO_PROXY", ",,a.example,")]), Ok(None));
        let error = proxy_of(file, &[("HTTPS_PROXY", "http://a b")]).unwrap_err();
        assert!(error.contains("HTTPS_PROXY is not the address of a proxy (it is not a URL)"), "{error}");
        // The tests run outside of a Pod, or in one whose service account has no token.
        let none = proxy_of("{}", &[]).unwrap_err();
        assert!(none.contains("failed to determine current context"), "{none}");
    }
}
