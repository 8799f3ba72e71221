//! Constructs and connects all parts of the operator.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin};
use crate::aws::session::SdkRegions;
use crate::cli::RunArgs;
use crate::clock::SystemClock;
use crate::controller::{self, ControllerContext};
use crate::kubernetes::lease::{self, LeaseError};
use crate::kubernetes::writer::KubeCluster;
use crate::metrics::OperatorMetrics;
use crate::reconcile::Context;
use crate::registry::oci::OciRegistry;

/// Runs the operator until SIGTERM, SIGINT or loss of leadership. A lost leadership is an error and
/// ends the process, so that nothing can write afterwards.
pub async fn run(args: RunArgs) -> anyhow::Result<()> {
    let settings = args.settings().map_err(anyhow::Error::msg)?;
    let identity = args.identity.clone().unwrap_or_else(host_name);
    let metrics = Arc::new(OperatorMetrics::default());
    let ready = Arc::new(AtomicBool::new(false));
    let stop = stop_on_signal()?;

    let listener = admin::listen(args.admin_address)
        .await
        .with_context(|| format!("listen on {}", args.admin_address))?;
    let endpoints = Admin { metrics: Arc::clone(&metrics), ready: Arc::clone(&ready) };
    let admin = tokio::spawn(admin::serve(listener, endpoints, stop.clone().cancelled_owned()));

    let client = crate::kubernetes::client::connect().await?;
    let highest_epoch = async || controller::highest_epoch(&client, &args.namespaces).await;
    let mut leadership = tokio::select! {
        leadership = lease::acquire(client.clone(), &args.lease_namespace, &identity, &ready, highest_epoch) => leadership.context("gain leadership")?,
        () = stop.cancelled() => return Ok(()),
    };
    metrics.leads(true);
    let write_fence = leadership.write_fence.clone();
    let regions =
        SdkRegions::connect(&settings.defaults.region, Arc::clone(&metrics) as _, write_fence.clone()).await;
    let context = Context::new(
        settings,
        Arc::new(regions),
        Arc::new(KubeCluster::new(client.clone(), identity, args.lease_namespace.clone(), write_fence)),
        Arc::new(SystemClock),
        Arc::new(AtomicU64::new(leadership.epoch)),
        Arc::clone(&metrics.runs) as _,
        Arc::new(OciRegistry::new()),
    );
    let work = Arc::new(ControllerContext::new(
        context,
        Arc::clone(&metrics),
        client.clone(),
        args.concurrency,
        stop.clone(),
    ));

    let reconciles = controller::run(&client, &args.namespaces, work);
    tokio::pin!(reconciles);
    let lost = tokio::select! {
        () = &mut reconciles => None,
        lost = leadership.hold() => Some(lost),
    };
    ready.store(false, Ordering::Relaxed);
    metrics.leads(false);
    if let Some(lost) = lost {
        return Err(lost).context("keep leadership");
    }
    leadership.release().await;
    admin.await.context("serve the admin endpoints")?.context("serve the admin endpoints")?;
    tracing::info!("stopped");
    Ok(())
}

/// Whether [`run`] ended because another operator leads, or may lead by now.
#[must_use]
pub fn has_lost_leadership(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(LeaseError::Expired | LeaseError::Taken(_)))
}

/// Cancelled on the first SIGTERM or SIGINT.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("handle SIGINT")?;
    let on_signal = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping after the reconciles in progress have finished");
        on_signal.cancel();
    });
    Ok(stop)
}

fn host_name() -> String {
    std::fs::read_to_string("/etc/hostname")
        .map(|name| name.trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "kinesis-demo-operator".into())
}
