//! The client for the Kubernetes API server. In: the kubeconfig and the environment, or the Pod's own account. Out: a client.

use anyhow::{Context, anyhow};
use kinesis_demo_api::proxy;
use kube::config::Kubeconfig;
use kube::{Client, Config};

/// Connects as kube does, through the proxy that kubectl would take. In a cluster the API server is asked directly.
pub async fn connect() -> anyhow::Result<Client> {
    let what = "connect to Kubernetes (KUBECONFIG, or in the cluster)";
    let mut config = Config::infer().await.context(what)?;
    let in_cluster = config.root_cert_file.is_some();
    if !in_cluster {
        // A server that kube found in no kubeconfig has no proxy of its own.
        let file = Kubeconfig::read().unwrap_or_default();
        let look = |name: &str| std::env::var(name).ok();
        let chosen = proxy::proxy(&config.cluster_url, proxy::named(&file, None), look);
        config.proxy_url = chosen.map_err(|reason| anyhow!(reason)).context(what)?;
    }
    Client::try_from(config).context(what)
}
