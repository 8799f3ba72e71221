//! Which proxy leads to a Kubernetes API server. In: the server's address, the kubeconfig's
//! `proxy-url`, the environment. Out: the proxy's address, or none. Pure.
//!
//! Follows kubectl, which uses Go's golang.org/x/net/http/httpproxy. `proxy-url` in the kubeconfig
//! has precedence over the environment. Otherwise `HTTPS_PROXY` applies (`HTTP_PROXY` for a server
//! without TLS; upper case before lower case), unless the server is on loopback or matches
//! `NO_PROXY`. One difference: a variable that is not a proxy address is an error here; Go
//! continues without a proxy.

use std::net::IpAddr;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

/// The error for a setting that is not a proxy address. The address may contain a password, so the
/// message names only the setting.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{setting} is not the address of a proxy ({why}); use http, https or socks5, as in http://proxy.example:3128"
)]
pub struct ProxyError {
    setting: &'static str,
    why: &'static str,
}

const IN_KUBECONFIG: &str = "proxy-url in the kubeconfig";

impl ProxyError {
    /// What the user can do about it.
    #[must_use]
    pub fn next_step(&self) -> String {
        match self.setting {
            IN_KUBECONFIG => "correct proxy-url in the kubeconfig's cluster, or remove it".into(),
            variable => format!(
                "correct {variable}, or unset it; NO_PROXY lists servers to connect to without a proxy"
            ),
        }
    }
}

/// The proxy's address, with its scheme and, if set, user and password.
pub fn proxy(
    server: &Uri,
    named: Option<&str>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<Uri>, ProxyError> {
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        return address(IN_KUBECONFIG, named).map(Some);
    }
    // A proxy on loopback is not used for a server on loopback either.
    if is_loopback(server) {
        return Ok(None);
    }
    let first = |names: [&'static str; 2]| {
        let set = |name| environment(name).filter(|value| !value.is_empty()).map(|value| (name, value));
        names.into_iter().find_map(set)
    };
    let names = if server.scheme_str() == Some("http") {
        ["HTTP_PROXY", "http_proxy"]
    } else {
        ["HTTPS_PROXY", "https_proxy"]
    };
    let Some((name, value)) = first(names) else { return Ok(None) };
    if first(["NO_PROXY", "no_proxy"]).is_some_and(|(_, list)| matches_server(&list, server)) {
        return Ok(None);
    }
    address(name, &value).map(Some)
}

/// Parses a proxy address. Users may omit the scheme.
fn address(setting: &'static str, text: &str) -> Result<Uri, ProxyError> {
    let text = text.trim();
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    // The proxy resolves names with either scheme.
    let whole = whole.replacen("socks5h://", "socks5://", 1);
    let wrong = |why| ProxyError { setting, why };
    let uri: Uri = whole.parse().map_err(|_| wrong("it is not a URL"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https" | "socks5"), Some(host)) if !host.is_empty() => Ok(uri),
        (Some("http" | "https" | "socks5"), _) => Err(wrong("it has no host")),
        _ => Err(wrong("its scheme is not supported")),
    }
}

/// Whether NO_PROXY's list matches the server: by name, domain, address or network, each optionally
/// with a port. `*` matches every server. Empty and invalid entries match none.
fn matches_server(list: &str, server: &Uri) -> bool {
    let port = server.port_u16().unwrap_or(if server.scheme_str() == Some("http") { 80 } else { 443 });
    let host = server.host().unwrap_or_default();
    let entries: Vec<&str> = list
        .split(',')
        .filter_map(|entry| {
            let (host, only) = split_port(entry.trim());
            only.is_none_or(|only| only == port).then_some(host)
        })
        .map(|entry| entry.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(entry))
        // `.example` matches subdomains of that domain, not the domain itself.
        .filter(|entry| entry.strip_prefix('.').is_none_or(|domain| !domain.eq_ignore_ascii_case(host)))
        .filter(|entry| !entry.is_empty())
        .collect();
    let all = "http://proxy";
    Matcher::builder().http(all).https(all).no(entries.join(",")).build().intercept(server).is_none()
}

/// Splits `host:port`. An entry without a port, for example an IPv6 address, is returned whole.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    if let Some((host, port)) = entry.rsplit_once(':')
        && (!host.contains(':') || host.ends_with(']'))
        && let Ok(port) = port.parse()
    {
        return (bare(host), Some(port));
    }
    (bare(entry), None)
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn is_loopback(uri: &Uri) -> bool {
    let host = bare(uri.host().unwrap_or_default());
    host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(
        server: &str,
        named: Option<&str>,
        environment: &[(&str, &str)],
    ) -> Result<Option<String>, ProxyError> {
        let lookup = |name: &str| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        proxy(&server.parse().unwrap(), named, lookup).map(|proxy| proxy.map(|uri| uri.to_string()))
    }

    #[test]
    fn the_kubeconfigs_proxy_overrides_the_environment() {
        let environment = [("HTTPS_PROXY", "http://other.example:1"), ("NO_PROXY", "*")];
        for server in ["https://api.example:6443", "https://127.0.0.1:6443"] {
            let found = chosen(server, Some("socks5://proxy.example:1080"), &environment);
            assert_eq!(found, Ok(Some("socks5://proxy.example:1080/".into())), "{server}");
        }
        assert_eq!(chosen("https://api.example", Some(""), &[]), Ok(None));
    }

    #[test]
    fn the_variable_depends_on_the_scheme_and_upper_case_wins() {
        let environment =
            [("https_proxy", "low:1"), ("HTTPS_PROXY", "me:pass@high.example:2"), ("http_proxy", "plain:3")];
        assert_eq!(
            chosen("https://api.example", None, &environment),
            Ok(Some("http://me:pass@high.example:2/".into()))
        );
        assert_eq!(chosen("http://api.example", None, &environment), Ok(Some("http://plain:3/".into())));
        assert_eq!(
            chosen("https://api.example", None, &[("https_proxy", "socks5h://low:1")]),
            Ok(Some("socks5://low:1/".into()))
        );
        assert_eq!(
            chosen("https://api.example", None, &[("HTTPS_PROXY", ""), ("http_proxy", "a:1")]),
            Ok(None)
        );
    }

    #[test]
    fn no_proxy_is_matched_against_the_server_not_the_proxy() {
        let proxied = |server: &str, list: &str| {
            let environment = [("HTTPS_PROXY", "http://proxy.example:3128"), ("NO_PROXY", list)];
            chosen(server, None, &environment).unwrap().is_some()
        };
        for (server, list) in [
            ("https://api.example:6443", "api.example"),
            ("https://api.example:6443", "localhost, .example ,"),
            ("https://api.example:6443", ",, ,API.Example"),
            ("https://api.example:6443", "*.example"),
            ("https://api.example:6443", "example"),
            ("https://api.example:6443", "api.example:6443"),
            ("https://api.example", "api.example:443"),
            ("https://10.1.2.3:6443", "10.0.0.0/8"),
            ("https://10.1.2.3:6443", "10.1.2.3"),
            ("https://10.1.2.3:6443", "10.1.2.3:6443"),
            ("https://[fd00::1]:6443", "fd00::/8"),
            ("https://[fd00::1]:6443", "[fd00::1]:6443"),
            ("https://api.example:6443", "*"),
        ] {
            assert!(!proxied(server, list), "{server} with NO_PROXY={list}");
        }
        for (server, list) in [
            ("https://api.example:6443", "proxy.example"),
            ("https://api.example:6443", "api.example:443"),
            ("https://notexample:6443", "example"),
            ("https://10.1.3.3:6443", "10.1.2.0/25,192.168.0.0/16,10.1.3"),
            ("https://10.1.2.200:6443", "10.1.2.0/25"),
            ("https://api.example:6443", ",,"),
            ("https://api.example:6443", "localhost,127.0.0.1,"),
            ("https://api.example:6443", ".api.example"),
            ("https://api.example:6443", "*.api.example"),
            ("https://api.example:6443", "other api.example"),
            ("https://api.example:6443", ":6443"),
        ] {
            assert!(proxied(server, list), "{server} with NO_PROXY={list}");
        }
    }

    #[test]
    fn a_loopback_server_is_reached_without_the_environments_proxy() {
        let loopback = [
            "https://127.0.0.1:6443",
            "https://127.1.2.3",
            "https://localhost:6443",
            "https://[::1]:6443",
            "https://[::ffff:127.0.0.1]:6443",
        ];
        // An invalid proxy address is ignored for loopback.
        for proxy in
            ["http://proxy.example:3128", "http://127.0.0.1:3128", "socks5://localhost:1080", "ftp://a b"]
        {
            for server in loopback {
                assert_eq!(chosen(server, None, &[("HTTPS_PROXY", proxy)]), Ok(None), "{server} by {proxy}");
            }
        }
        assert_eq!(
            chosen("http://localhost:8001", None, &[("HTTP_PROXY", "http://127.0.0.1:3128")]),
            Ok(None)
        );
        let named = Some("http://127.0.0.1:3128");
        assert_eq!(chosen(loopback[0], named, &[]), Ok(Some("http://127.0.0.1:3128/".into())));
        for server in ["https://localhost.example:6443", "https://128.0.0.1:6443", "https://[::2]:6443"] {
            let found = chosen(server, None, &[("HTTPS_PROXY", "http://127.0.0.1:3128")]);
            assert_eq!(found, Ok(Some("http://127.0.0.1:3128/".into())), "{server}");
        }
    }

    #[test]
    fn an_invalid_proxy_error_names_the_setting_not_the_password() {
        for (value, why) in [
            ("ftp://proxy:1", "its scheme is not supported"),
            ("http://", "it is not a URL"),
            ("http://a b", "it is not a URL"),
        ] {
            let error = chosen("https://api.example", None, &[("HTTPS_PROXY", value)]).unwrap_err();
            assert!(error.next_step().starts_with("correct HTTPS_PROXY, or unset it"), "{error:?}");
            let message = error.to_string();
            assert!(
                message.starts_with("HTTPS_PROXY is not the address of a proxy") && message.contains(why),
                "{message}"
            );
        }
        let error = chosen("https://api.example", Some("ftp://me:secret@proxy"), &[]).unwrap_err();
        let message = format!("{error} {error:?} {}", error.next_step());
        assert!(
            message.starts_with("proxy-url in the kubeconfig") && !message.contains("secret"),
            "{message}"
        );
        assert!(message.contains("correct proxy-url in the kubeconfig's cluster"), "{message}");
        let exempt = [("HTTPS_PROXY", "ftp://proxy"), ("NO_PROXY", "api.example")];
        assert_eq!(chosen("https://api.example", None, &exempt), Ok(None));
    }
}
