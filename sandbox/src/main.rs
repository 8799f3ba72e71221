//! `kinesis-demo-sandbox`: parses arguments, prints the URLs it listens on, and serves until
//! SIGTERM or SIGINT.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use kinesis_demo_sandbox::args::{Args, Command, Serve};
use kinesis_demo_sandbox::publish::publish;
use kinesis_demo_sandbox::{Options, Running, Sandbox};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let is_coloured =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(is_coloured)
        .init();
    let Command::Serve(arguments) = Args::parse().command;
    // The client for the API server uses the process's default provider. An error only means that
    // one is already installed.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match serve(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Serve) -> Result<()> {
    // Installed before anything starts, so that an early signal leaves no tasks behind.
    let mut terminated = signal(SignalKind::terminate()).context("could not listen for SIGTERM")?;
    let mut interrupted = signal(SignalKind::interrupt()).context("could not listen for SIGINT")?;
    let address_file = arguments.address_file.clone();
    // Starting waits until the Pods of an earlier sandbox are deleted. Stopping during the start is
    // safe: no task of this sandbox runs yet.
    let running = tokio::select! {
        started = start(arguments) => started?,
        _ = terminated.recv() => return Ok(()),
        _ = interrupted.recv() => return Ok(()),
    };
    println!("{}", running.endpoint_url());
    if let Some(url) = running.tls_endpoint_url() {
        println!("{url}");
    }
    let announced = match &address_file {
        Some(path) => write_address(path, &running),
        None => Ok(()),
    };
    if announced.is_ok() {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        tracing::info!("stopping");
    }
    running.stop().await;
    announced
}

async fn start(arguments: Serve) -> Result<Running> {
    Sandbox::start(Options::configured(arguments).await?).await
}

/// Writes the address file atomically, because readers read it as soon as it appears.
fn write_address(path: &Path, running: &Running) -> Result<()> {
    let mut contents = json!({ "address": running.address.to_string(), "pid": std::process::id() });
    if let Some((address, ca_file)) = &running.tls {
        contents["tlsAddress"] = json!(address.to_string());
        let ca_file = std::path::absolute(ca_file).unwrap_or_else(|_| ca_file.clone());
        let name = ca_file.to_str().with_context(|| {
            format!(
                "could not write the path {} to the address file: it is not valid UTF-8, which JSON requires",
                ca_file.display()
            )
        })?;
        contents["tlsCaFile"] = json!(name);
    }
    publish(path, contents.to_string().as_bytes())
        .with_context(|| format!("could not write {}", path.display()))
}
