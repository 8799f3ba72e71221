//! A client of the sandbox's admin API. In: its address and key. Out: its state, and what arrived
//! in a stream. Uses HTTP on loopback.

use std::time::Duration;

use jiff::Timestamp;
use kinesis_demo_api::error_chain::error_chain;
use serde::Deserialize;
use serde_json::Value;

use super::address::SandboxAddress;
use super::boundaries::IngestStatistics;
use super::shards::ShardsReport;
use crate::error::LocalClusterError;

/// More than the figures of ten minutes of a thousand shards.
const MOST_BYTES: usize = 32 << 20;

/// A client of the sandbox's admin API, which is not part of AWS.
#[derive(Clone)]
pub struct SandboxClient {
    address: SandboxAddress,
    http: reqwest::Client,
}

#[derive(Deserialize)]
struct Streams {
    streams: Vec<Stream>,
}

/// What one stream accepted since it was created.
#[derive(Deserialize)]
struct Stream {
    arn: String,
    totals: Totals,
    #[serde(flatten)]
    ingest_statistics: IngestStatistics,
}

#[derive(Deserialize)]
struct Totals {
    records: u64,
}

impl SandboxClient {
    pub fn at(address: SandboxAddress) -> Result<Self, LocalClusterError> {
        let failed = |error: reqwest::Error| LocalClusterError::Sandbox {
            attempt: "prepare an HTTP client".into(),
            reason: error_chain(&error),
        };
        // Loopback requests must not go through the user's proxy. Nothing else is ever asked.
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let http = http.timeout(Duration::from_secs(10)).build().map_err(failed)?;
        Ok(Self { address, http })
    }

    #[must_use]
    pub fn address(&self) -> &SandboxAddress {
        &self.address
    }

    /// Adds a fault to the sandbox's responses to AWS API calls (`docs/sandbox.md`, Faults).
    pub async fn add_fault(&self, fault: &Value) -> Result<(), LocalClusterError> {
        const PATH: &str = "/_sandbox/faults";
        let failed = |error: reqwest::Error| LocalClusterError::Sandbox {
            attempt: format!("add a fault at {PATH} of the sandbox"),
            reason: error_chain(&error),
        };
        let SandboxAddress { endpoint, access_key_id } = &self.address;
        let request = self.http.post(format!("{endpoint}{PATH}")).bearer_auth(access_key_id).json(fault);
        request.send().await.and_then(reqwest::Response::error_for_status).map(drop).map_err(failed)
    }

    /// The faults that have not been used up yet.
    pub async fn fetch_faults(&self) -> Result<Value, LocalClusterError> {
        self.fetch("/_sandbox/faults", &[]).await
    }

    /// The sandbox's whole state.
    pub async fn fetch_state(&self) -> Result<Value, LocalClusterError> {
        self.fetch("/_sandbox/state", &[]).await
    }

    /// How many records the stream with that ARN accepted, and when. None if there was no such
    /// stream.
    pub async fn fetch_ingest_statistics(
        &self,
        arn: &str,
    ) -> Result<Option<(u64, IngestStatistics)>, LocalClusterError> {
        let Streams { streams } = self.fetch("/_sandbox/ingest", &[("stream", arn)]).await?;
        let stream = streams.into_iter().find(|stream| stream.arn == arn);
        Ok(stream.map(|stream| (stream.totals.records, stream.ingest_statistics)))
    }

    /// What reached each shard of the streams of that name per second, in windows that begin at
    /// `since` or later. A response of more than [`MOST_BYTES`] is an error.
    pub async fn fetch_shards(
        &self,
        stream: &str,
        since: Option<Timestamp>,
    ) -> Result<ShardsReport, LocalClusterError> {
        const PATH: &str = "/_sandbox/shards";
        let failed = |reason: String| LocalClusterError::Sandbox {
            attempt: format!("read {PATH} of the sandbox"),
            reason,
        };
        let since = since.map(|since| since.to_string());
        let mut query = vec![("stream", stream)];
        query.extend(since.as_deref().map(|since| ("since", since)));
        let mut response = self.get(PATH, &query).await?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(error_chain(&error)))? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST_BYTES {
                return Err(failed(format!("the response has more than {MOST_BYTES} bytes")));
            }
        }
        serde_json::from_slice(&body)
            .map_err(|error| failed(format!("the response is not of a sandbox: {error}")))
    }

    async fn fetch<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, LocalClusterError> {
        let failed = |error: reqwest::Error| LocalClusterError::Sandbox {
            attempt: format!("read {path} of the sandbox"),
            reason: error_chain(&error),
        };
        self.get(path, query).await?.json().await.map_err(failed)
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<reqwest::Response, LocalClusterError> {
        let failed = |error: reqwest::Error| LocalClusterError::Sandbox {
            attempt: format!("read {path} of the sandbox"),
            reason: error_chain(&error),
        };
        let SandboxAddress { endpoint, access_key_id } = &self.address;
        let mut url = reqwest::Url::parse(&format!("{endpoint}{path}")).map_err(|error| {
            LocalClusterError::Sandbox {
                attempt: format!("read {path} of the sandbox"),
                reason: error.to_string(),
            }
        })?;
        url.query_pairs_mut().extend_pairs(query);
        let request = self.http.get(url).bearer_auth(access_key_id);
        let response = request.send().await.and_then(reqwest::Response::error_for_status).map_err(failed)?;
        // A redirect is not followed, and is no error to reqwest.
        if response.status().is_redirection() {
            let reason = format!("the response is {}", response.status());
            return Err(LocalClusterError::Sandbox {
                attempt: format!("read {path} of the sandbox"),
                reason,
            });
        }
        Ok(response)
    }
}
