//! What the tests with a real API server begin with.

use kubectl_kinesisdemo::local_cluster::{ApiServerOptions, assets};

/// How an API server is started here; `None` if there is none on this machine, and a line says so.
pub async fn api_server_options() -> Option<ApiServerOptions> {
    kubectl_kinesisdemo::install_crypto();
    let assets = assets::cached_assets().await;
    if assets.is_none() {
        println!(
            "skipped: no kube-apiserver and etcd on this machine; hack/envtest/envtest fetches or builds them"
        );
    }
    assets.map(ApiServerOptions::new)
}
