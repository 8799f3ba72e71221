//! Is an installed operator at work? In: the address of its endpoints, the namespace of its Lease. Out: nothing, or the first thing that
//! does not hold. Reads over HTTP and from the Kubernetes API; writes nothing. `helm test` runs it.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kinesis_demo_api::KinesisDemo;
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use kube::{Api, Client};
use tokio::time::Instant;

use crate::cli::CheckArgs;
use crate::lease;

const TIMEOUT: Duration = Duration::from_secs(5);
const TRY_EVERY: Duration = Duration::from_secs(2);

/// Checks until all holds, or the time is over.
pub async fn check(args: CheckArgs) -> anyhow::Result<()> {
    let client =
        Client::try_default().await.context("connect to Kubernetes (KUBECONFIG, or in the cluster)")?;
    let give_up_at = Instant::now() + Duration::from_secs(args.timeout.into());
    loop {
        match check_once(&client, &args).await {
            Ok(leader) => {
                println!("the operator's endpoints answer, its objects are served, and {leader} leads");
                return Ok(());
            }
            Err(error) if Instant::now() >= give_up_at => return Err(error),
            Err(error) => println!("not yet: {error:#}"),
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
}

async fn check_once(client: &Client, args: &CheckArgs) -> anyhow::Result<String> {
    let url = args.url.trim_end_matches('/');
    fetch(&format!("{url}/readyz")).await?;
    let metrics = fetch(&format!("{url}/metrics")).await?;
    ensure!(metrics.contains("kinesisdemo_leader "), "read {url}/metrics: it tells nothing of leadership");

    let demos: Api<DeserializeGuard<KinesisDemo>> = Api::all(client.clone());
    let one = ListParams::default().limit(1);
    let listed = tokio::time::timeout(TIMEOUT, demos.list(&one));
    let _ = listed
        .await
        .context("list KinesisDemo objects")?
        .context("list KinesisDemo objects (is the CustomResourceDefinition installed?)")?;

    // The instants in a Lease are its holder's clock: that it changes while we look says more.
    let (before, _) = fetch_lease(client, &args.lease_namespace).await?;
    tokio::time::sleep(lease::RENEW_EVERY * 2).await;
    let (after, holder) = fetch_lease(client, &args.lease_namespace).await?;
    ensure!(
        before != after,
        "lease {} in namespace {} is not renewed by {holder}",
        lease::NAME,
        args.lease_namespace
    );
    Ok(holder)
}

async fn fetch(url: &str) -> anyhow::Result<String> {
    let asked = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?.get(url).send().await;
    let answer = asked.with_context(|| format!("read {url}"))?;
    let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
    ensure!(status.is_success(), "read {url}: {status} {}", text.trim());
    Ok(text)
}

async fn fetch_lease(client: &Client, namespace: &str) -> anyhow::Result<(Option<String>, String)> {
    let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let what = || format!("read lease {} in namespace {namespace}", lease::NAME);
    let lease =
        tokio::time::timeout(TIMEOUT, api.get(lease::NAME)).await.with_context(what)?.with_context(what)?;
    let holder = lease.spec.and_then(|spec| spec.holder_identity).filter(|holder| !holder.is_empty());
    Ok((lease.metadata.resource_version, holder.with_context(|| format!("{}: nobody holds it", what()))?))
}
