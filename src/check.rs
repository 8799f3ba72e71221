//! Checks that an installed operator works; `helm test` runs it. In: the URL of its replicas'
//! endpoints. Out: nothing, or the first check that failed. Reads over HTTP and writes nothing.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use reqwest::Url;
use tokio::time::Instant;

use crate::cli::CheckArgs;

/// The endpoints respond within milliseconds or not at all.
const TIMEOUT: Duration = Duration::from_secs(5);
const TRY_EVERY: Duration = Duration::from_secs(2);

/// The line of `/metrics` that shows whether a replica leads.
const LEADER: &str = "kinesisdemo_leader ";

/// Repeats the checks until all succeed or the timeout expires.
pub async fn check(args: CheckArgs) -> anyhow::Result<()> {
    let url = Url::parse(&args.url).with_context(|| format!("read --url {}", args.url))?;
    let give_up_at = Instant::now() + args.timeout.value();
    loop {
        match check_once(&url).await {
            Ok(replicas) => {
                println!("{replicas} replicas are ready, and one of them leads");
                return Ok(());
            }
            Err(error) if Instant::now() >= give_up_at => return Err(error),
            Err(error) => println!("waiting: {error:#}"),
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
}

async fn check_once(url: &Url) -> anyhow::Result<usize> {
    let host = url.host_str().with_context(|| format!("{url} has no host"))?;
    let port = url.port_or_known_default().with_context(|| format!("{url} has no port"))?;
    let found = tokio::net::lookup_host((host, port))
        .await
        .with_context(|| format!("find the replicas behind {host}"))?;
    let replicas: Vec<SocketAddr> = found.collect();
    let mut leaders = 0;
    for replica in &replicas {
        fetch(url, host, *replica, "/readyz").await?;
        leaders += leadership(&fetch(url, host, *replica, "/metrics").await?)
            .with_context(|| format!("read /metrics of {replica}: it has no metric kinesisdemo_leader"))?;
    }
    match leaders {
        _ if replicas.is_empty() => bail!("find the replicas behind {host}: there are none"),
        1 => Ok(replicas.len()),
        0 => bail!("none of {} replicas leads", replicas.len()),
        _ => bail!("{leaders} of {} replicas report that they lead", replicas.len()),
    }
}

/// Reads the leader metric: 1 if the process leads, 0 if not. `None` if the page lacks the metric.
fn leadership(metrics: &str) -> Option<u32> {
    metrics.lines().find_map(|line| line.strip_prefix(LEADER)).and_then(|value| value.trim().parse().ok())
}

/// Fetches one page from one replica.
async fn fetch(url: &Url, host: &str, replica: SocketAddr, path: &str) -> anyhow::Result<String> {
    let what = || format!("read {path} of {replica}");
    let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).resolve(host, replica).build()?;
    let response = client.get(url.join(path)?).send().await.with_context(what)?;
    let (status, text) = (response.status(), response.text().await.with_context(what)?);
    ensure!(status.is_success(), "{}: {status}, {}", what(), text.trim());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::OperatorMetrics;

    #[test]
    fn leadership_is_read_from_the_operators_metrics() {
        let metrics = OperatorMetrics::default();
        assert_eq!(leadership(&metrics.text().unwrap()), Some(0));
        metrics.leads(true);
        assert_eq!(leadership(&metrics.text().unwrap()), Some(1));
        assert_eq!(leadership("# EOF\n"), None);
    }

    #[tokio::test]
    async fn an_unreachable_replica_is_named_in_the_error() {
        // Binds a port and releases it, so that nothing listens on it.
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let url = Url::parse(&format!("http://{free}")).unwrap();
        let error = check_once(&url).await.unwrap_err();
        assert!(format!("{error:#}").contains(&format!("read /readyz of {free}")), "{error:#}");
    }
}
