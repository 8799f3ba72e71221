//! Creates all components and connects them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tracing::info;

use crate::args::Args;
use crate::aws::{CloudWatchMetrics, KinesisSender, ParameterSource, Session};
use crate::clock::{Clock, SystemClock};
use crate::dispatcher::{DispatchLimits, Dispatcher};
use crate::ledger_writer::StdoutLedgerWriter;
use crate::metadata::fetch_task_id;
use crate::metrics::Publisher;
use crate::pacer::Pacer;
use crate::payload::Posts;
use crate::reader::poll_control;
use crate::recorder::Recorder;
use crate::worker::Worker;

/// How long shutdown waits for the last metrics.
const LAST_METRICS_TIMEOUT: Duration = Duration::from_secs(3);

/// Runs the task until it receives a shutdown signal or its deadline passes.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate()).context("listen for SIGTERM")?,
        signal(SignalKind::interrupt()).context("listen for SIGINT")?,
    );
    let (stop, mut stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _ = stop.send(true);
    });

    let clock: Arc<dyn Clock> = Arc::new(SystemClock::starting_now());
    let task = tokio::select! {
        task = fetch_task_id(&args.metadata_uri) => task,
        _ = stopped.wait_for(|stop| *stop) => return Ok(()),
        () = tokio::time::sleep(args.deadline.since(clock.now().wall)) => return Ok(()),
    };
    info!(%task, run = args.run, name = args.run_name, stream = args.stream, "generator started");

    let limits = DispatchLimits::default();
    let session = Session::open(&args.region, limits.requests).await;
    let recorder = Arc::new(Recorder::default());
    let sender = Arc::new(KinesisSender::new(session.kinesis(), &args.stream));
    let dispatcher = Dispatcher::new(sender, Arc::clone(&recorder), Arc::clone(&clock), limits);
    let posts = Posts::new(args.seed, &args.run_name, &task, args.record_size);
    let pacer = Pacer::new(posts, Arc::clone(&dispatcher), Arc::clone(&recorder));

    let (send_reads, reads) = mpsc::channel(1);
    let source = Arc::new(ParameterSource::new(session.ssm(), args.control_parameter.clone()));
    tokio::spawn(poll_control(source, Arc::clone(&clock), send_reads));

    let (end_metrics, metrics_ended) = watch::channel(false);
    let publisher = Publisher {
        sink: Arc::new(CloudWatchMetrics::new(
            session.cloudwatch(),
            args.metrics_namespace.clone(),
            args.run_name.clone(),
        )),
        recorder: Arc::clone(&recorder),
        clock: Arc::clone(&clock),
        length: args.metrics_every(),
    };
    let publishing = tokio::spawn(publisher.publish_until(metrics_ended));

    let (ledger_writer, ledger_end) = StdoutLedgerWriter::start().context("start the ledger writer")?;
    let worker = Worker {
        task,
        limits: args.limits(),
        ledger_every: args.ledger_every(),
        clock,
        recorder,
        dispatcher,
        pacer,
        ledger_writer: Box::new(ledger_writer),
    };
    let stop = async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    worker.work(reads, stop).await;
    let _ = end_metrics.send(true);
    ledger_end.flush().await;
    let _ = tokio::time::timeout(LAST_METRICS_TIMEOUT, publishing).await;
    info!("generator stopped");
    Ok(())
}
