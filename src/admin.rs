//! The operator's own endpoints: `/livez` (the process responds), `/readyz` (it leads or stands by
//! to lead) and `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::metrics::OperatorMetrics;
use crate::metrics::exposition::Exposition;

/// State that the endpoints report.
#[derive(Clone)]
pub struct Admin {
    pub metrics: Arc<OperatorMetrics>,
    /// Readiness, not liveness: true while the operator leads, or has read the Lease and stands by
    /// to acquire it.
    pub ready: Arc<AtomicBool>,
}

/// Listens on `address`. The bound address is logged, so port 0 can be used.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "serving /livez, /readyz and /metrics");
    Ok(listener)
}

/// Serves until `stop` completes.
pub async fn serve(
    listener: TcpListener,
    admin: Admin,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(admin)).with_graceful_shutdown(stop).await
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(admin)
}

async fn readyz(State(admin): State<Admin>) -> Response {
    match admin.ready.load(Ordering::Relaxed) {
        true => "ok\n".into_response(),
        false => (
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: the operator has not read its Lease yet, or it is stopping\n",
        )
            .into_response(),
    }
}

async fn metrics(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    let ranges = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Exposition::accepted(&ranges.collect::<Vec<_>>().join(","));
    match admin.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, format.content_type())], format.of(text)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn metrics_are_served_in_the_requested_format() {
        let listener = listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let admin = Admin { metrics: Arc::default(), ready: Arc::default() };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(serve(listener, admin, async { stopped.await.unwrap_or_default() }));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        for (accept, content_type, last) in [
            (Some("application/openmetrics-text; version=1.0.0"), "application/openmetrics-text", "# EOF\n"),
            (Some("text/plain; version=0.0.4"), "text/plain; version=0.0.4", "\n"),
            (None, "text/plain; version=0.0.4", "\n"),
        ] {
            let mut request = client.get(format!("http://{address}/metrics"));
            if let Some(accept) = accept {
                request = request.header(header::ACCEPT, accept);
            }
            let response = request.send().await.unwrap();
            let got = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
            assert!(got.starts_with(content_type), "{accept:?}: {got}");
            let text = response.text().await.unwrap();
            assert!(text.contains("kinesisdemo_leader 0") && text.ends_with(last), "{accept:?}: {text}");
            assert_eq!(text.contains("# EOF"), last.contains("EOF"), "{accept:?}");
        }
        stop.send(()).unwrap();
        serving.await.unwrap().unwrap();
    }
}
