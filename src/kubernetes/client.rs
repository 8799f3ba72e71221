//! The client for the Kubernetes API server. In: the kubeconfig and the environment, or the Pod's own account. Out: a client.

use anyhow::Context;
use kinesis_demo_api::kubeconfig::{self, ConnectionError};
use kube::config::{Kubeconfig, KubeconfigError};
use kube::{Client, Config};

const WHAT: &str = "connect to Kubernetes (KUBECONFIG, or in the cluster)";

/// Connects to the server that the kubeconfig names, through the proxy that kubectl would take. Without a kubeconfig this is a Pod, and
/// the API server of its cluster is asked directly.
pub async fn connect() -> anyhow::Result<Client> {
    let mut config = config(Kubeconfig::read(), |name| std::env::var(name).ok())?;
    config.apply_debug_overrides();
    Client::try_from(config).context(WHAT)
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
            .with_context(|| format!("there is no usable kubeconfig ({unusable}), and this is no Pod"))
            .context(WHAT),
        Err(wrong @ ConnectionError::Proxy(_)) => Err(wrong).context(WHAT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, environment: &[(&str, &str)]) -> Result<Option<String>, String> {
        let look = |name: &str| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        config(Kubeconfig::from_yaml(text), look)
            .map(|config| config.proxy_url.map(|proxy| proxy.to_string()))
            .map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_kubeconfigs_server_is_asked_through_the_proxy_and_what_is_wrong_is_told() {
        let file = "{current-context: a, contexts: [{name: a, context: {cluster: a}}], \
                    clusters: [{name: a, cluster: {server: 'https://a.example'}}]}";
        let proxy = ("HTTPS_PROXY", "http://proxy.example:3128");
        assert_eq!(told(file, &[]), Ok(None));
        let other = [proxy, ("NO_PROXY", "localhost,127.0.0.1,")];
        assert_eq!(told(file, &other), Ok(Some("http://proxy.example:3128/".into())));
        assert_eq!(told(file, &[proxy, ("NO_PROXY", ",,a.example,")]), Ok(None));
        let wrong = told(file, &[("HTTPS_PROXY", "http://a b")]).unwrap_err();
        assert!(wrong.contains("HTTPS_PROXY is not the address of a proxy (it is not a URL)"), "{wrong}");
        // The tests run in no Pod, or in one whose account has no token.
        let none = told("{}", &[]).unwrap_err();
        assert!(none.contains("failed to determine current context"), "{none}");
    }
}
