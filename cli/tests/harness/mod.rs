//! Setup shared by the tests with a real API server.

use kubectl_kinesisdemo::local_cluster::{ApiServerOptions, assets};

/// Options for an API server; `None`, with a printed line, if its programs are not on this machine.
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
