//! Which sandbox the page may ask for the load of shards. In: the flag, the environment. Out: an
//! address, or none, or why it is refused. Pure.
//!
//! The environment is that of `<state>/env`. It may as well be somebody's real AWS, which is never
//! asked: without the flag only an address on loopback is taken, and the key of a real account is
//! never sent.

use std::net::IpAddr;

use axum::http::Uri;
use kinesis_demo_local_cluster::sandbox::address::SandboxAddress;

use crate::error::CliError;

const ENDPOINT: &str = "AWS_ENDPOINT_URL";
const KEY: &str = "AWS_ACCESS_KEY_ID";
/// What the names of AWS's endpoints end with.
const AWS: [&str; 3] = ["amazonaws.com", "amazonaws.com.cn", "api.aws"];
/// What the access keys of AWS accounts begin with.
const REAL_KEYS: [&str; 2] = ["AKIA", "ASIA"];

/// The sandbox of the flag `--sandbox`, or of the environment.
pub fn sandbox(
    named: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<SandboxAddress>, CliError> {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let key = variable(KEY).filter(|key| !REAL_KEYS.iter().any(|real| key.starts_with(real)));
    match (named, key) {
        (Some(named), key) => {
            let refused = |why: &str| CliError::Refused(format!("--sandbox {named}: {why}"));
            let (endpoint, _) = endpoint(named).map_err(refused)?;
            let access_key_id = key.ok_or_else(|| {
                refused(&format!("{KEY} is not the access key of a sandbox; set it (. target/demo/env)"))
            })?;
            Ok(Some(SandboxAddress { endpoint, access_key_id }))
        }
        (None, Some(access_key_id)) => {
            let found = variable(ENDPOINT).and_then(|url| endpoint(&url).ok());
            let found = found.filter(|(_, is_loopback)| *is_loopback);
            Ok(found.map(|(endpoint, _)| SandboxAddress { endpoint, access_key_id }))
        }
        (None, None) => Ok(None),
    }
}

/// The address without a path, and whether it is on loopback.
fn endpoint(url: &str) -> Result<(String, bool), &'static str> {
    const FORM: &str = "it must be like http://127.0.0.1:4566";
    let uri: Uri = url.parse().map_err(|_| FORM)?;
    let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(FORM);
    };
    if authority.as_str().contains('@') || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(FORM);
    }
    let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
    if AWS.iter().any(|name| host == *name || host.ends_with(&format!(".{name}"))) {
        return Err("this is AWS, which has no figures of shards for nothing; name a sandbox");
    }
    let ip: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    let is_loopback = ip.map_or(host == "localhost", |ip| ip.is_loopback());
    Ok((format!("{scheme}://{authority}"), is_loopback))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(named: Option<&str>, url: &str, key: &str) -> Result<Option<String>, String> {
        let variable = |name: &str| match name {
            ENDPOINT => Some(url.to_owned()),
            KEY => Some(key.to_owned()),
            _ => None,
        };
        let found = sandbox(named, variable).map_err(|error| error.to_string())?;
        Ok(found.map(|found| format!("{} {}", found.endpoint, found.access_key_id)))
    }

    #[test]
    fn the_environment_is_taken_only_on_loopback() {
        let of = |url: &str| found(None, url, "SANDBOX1").unwrap();
        for (url, endpoint) in [
            ("http://127.0.0.1:4566", "http://127.0.0.1:4566"),
            ("http://localhost:4566/", "http://localhost:4566"),
            ("http://[::1]:80", "http://[::1]:80"),
        ] {
            assert_eq!(of(url), Some(format!("{endpoint} SANDBOX1")));
        }
        for url in [
            "",
            "https://kinesis.eu-west-1.amazonaws.com",
            "http://10.0.0.7:4566",
            "http://sandbox.demo:4566",
            "http://127.0.0.1.example.org",
            "http://localhost@example.org",
            "http://127.0.0.1:4566/path",
            "127.0.0.1:4566",
            "file:///etc/passwd",
        ] {
            assert_eq!(of(url), None, "{url}");
        }
    }

    #[test]
    fn the_key_of_an_account_is_never_sent() {
        let local = "http://127.0.0.1:4566";
        for key in ["AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE", ""] {
            assert_eq!(found(None, local, key), Ok(None), "{key}");
            let refused = found(Some(local), local, key).unwrap_err();
            assert!(refused.contains("is not the access key of a sandbox"), "{refused}");
        }
    }

    #[test]
    fn a_named_sandbox_may_be_elsewhere_but_not_aws() {
        let of = |named: &str| found(Some(named), "http://127.0.0.1:1", "SANDBOX1");
        assert_eq!(of("http://sandbox.demo:4566"), Ok(Some("http://sandbox.demo:4566 SANDBOX1".into())));
        for named in [
            "https://kinesis.eu-west-1.amazonaws.com",
            "https://KINESIS.cn-north-1.amazonaws.com.cn.",
            "https://kinesis.us-east-1.api.aws",
        ] {
            assert!(of(named).unwrap_err().contains("this is AWS"), "{named}");
        }
        assert!(of("sandbox").unwrap_err().contains("must be like"));
    }
}
