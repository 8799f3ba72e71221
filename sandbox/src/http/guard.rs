//! Rejects requests before anything else reads them: requests for other host names, and requests of
//! browsers. In: a request's target and headers. Out: nothing, or an error response. Pure except
//! for the middleware that applies it.
//!
//! A page of another origin can make its visitor's browser send requests to loopback, and with DNS
//! rebinding it can read the responses. Both are recognizable: by the `Host` that the page was
//! loaded from, and by the headers that browsers add to a page's requests. AWS clients do not send
//! these headers, and the sandbox serves no pages.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Response, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::IntoResponse;

/// Headers that browsers add to the requests of pages. `Sec-Fetch-Mode` is not included, because
/// Node's `fetch` sends it too.
const BROWSER_HEADERS: [&str; 3] = ["origin", "sec-fetch-site", "sec-fetch-dest"];

/// The host names of the sandbox. Ports are ignored, because a forwarded port differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    listening: IpAddr,
    names: BTreeSet<String>,
}

impl Hosts {
    /// The names of loopback, the listen address, and `more`.
    pub fn new(listening: IpAddr, more: impl IntoIterator<Item = String>) -> Self {
        let names = more.into_iter().chain(["localhost".to_owned()]);
        Self { listening, names: names.map(|name| normalized(&name)).collect() }
    }

    /// Whether a `Host` header with this value names the sandbox.
    fn serve(&self, host: &str) -> bool {
        // User information of a URL is never part of `Host`.
        if host.contains('@') {
            return false;
        }
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let name = normalized(authority.host());
        match name.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => {
                let address = address.to_canonical();
                address.is_loopback()
                    || (address == self.listening && !address.is_unspecified())
                    || self.names.contains(&name)
            }
            Err(_) => self.names.contains(&name),
        }
    }

    /// Why a request is rejected, or `None`.
    pub fn rejection(&self, uri: &Uri, headers: &HeaderMap) -> Option<(StatusCode, String)> {
        let mut hosts_named: Vec<&str> = headers
            .get_all(header::HOST)
            .iter()
            .map(|value| value.to_str().unwrap_or("(invalid text)"))
            .collect();
        // HTTP/2, or a request line with an absolute URL, which takes precedence over `Host`.
        hosts_named.extend(uri.authority().map(Authority::as_str));
        let foreign = hosts_named.iter().find(|host| !self.serve(host));
        match foreign {
            Some(host) => Some((
                StatusCode::MISDIRECTED_REQUEST,
                format!(
                    "The sandbox does not serve the host name {host:?}. Use localhost, or start the sandbox with --allow-host NAME.\n"
                ),
            )),
            None if hosts_named.is_empty() => Some((
                StatusCode::MISDIRECTED_REQUEST,
                "The request has no host name. Send a Host header, such as `Host: localhost`.\n".to_owned(),
            )),
            None => browser(headers).map(|header| {
                (
                    StatusCode::FORBIDDEN,
                    format!(
                        "The header {header} shows that a browser sent this request for a web page. The sandbox rejects browsers; \
                         use an AWS client, or curl.\n"
                    ),
                )
            }),
        }
    }
}

/// The first header that only browsers send.
fn browser(headers: &HeaderMap) -> Option<&'static str> {
    BROWSER_HEADERS.into_iter().find(|name| headers.contains_key(*name))
}

/// In lower case, and without the trailing dot of a fully qualified name.
fn normalized(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    name.strip_suffix('.').unwrap_or(&name).to_owned()
}

/// The middleware in front of all routes.
pub async fn guard(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response<Body> {
    match hosts.rejection(request.uri(), request.headers()) {
        Some(rejection) => rejection.into_response(),
        None => next.run(request).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(hosts: &Hosts, uri: &'static str, pairs: &[(&'static str, &str)]) -> Option<u16> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        hosts.rejection(&Uri::from_static(uri), &headers).map(|(status, text)| {
            assert!(text.ends_with(".\n"), "{text}");
            status.as_u16()
        })
    }

    fn loopback(more: &[&str]) -> Hosts {
        Hosts::new([127, 0, 0, 1].into(), more.iter().map(|name| (*name).to_owned()))
    }

    #[test]
    fn loopback_and_the_listen_address_are_served_on_any_port() {
        let hosts = loopback(&[]);
        for host in [
            "localhost",
            "LocalHost:4566",
            "localhost.:80",
            "127.0.0.1",
            "127.0.0.1:4566",
            "127.1.2.3:1",
            "[::1]:4566",
            "[::ffff:127.0.0.1]",
        ] {
            assert_eq!(rejection(&hosts, "/", &[("host", host)]), None, "{host}");
        }
        let elsewhere = Hosts::new([10, 1, 2, 3].into(), []);
        assert_eq!(rejection(&elsewhere, "/", &[("host", "10.1.2.3:4566")]), None);
        assert_eq!(rejection(&elsewhere, "/", &[("host", "10.1.2.4:4566")]), Some(421));
    }

    #[test]
    fn other_host_names_get_421() {
        let hosts = loopback(&[]);
        for host in [
            "rebound.example",
            "rebound.example:4566",
            "localhost.rebound.example",
            "127.0.0.1.rebound.example",
            "notlocalhost",
            "evil.localhost",
            "192.168.0.7",
            "0.0.0.0:4566",
            "[::]:4566",
            "0177.0.0.1",
            "2130706433",
            "rebound.example@localhost",
            "localhost@rebound.example",
            "localhost rebound.example",
            "",
        ] {
            assert_eq!(rejection(&hosts, "/", &[("host", host)]), Some(421), "{host}");
        }
        assert_eq!(rejection(&hosts, "/", &[]), Some(421));
    }

    #[test]
    fn host_header_and_request_line_must_both_match() {
        let hosts = loopback(&[]);
        let both = [("host", "localhost"), ("host", "rebound.example")];
        assert_eq!(rejection(&hosts, "/", &both), Some(421));
        assert_eq!(rejection(&hosts, "http://rebound.example/", &both[..1]), Some(421));
        assert_eq!(rejection(&hosts, "http://localhost/", &both[1..]), Some(421));
        assert_eq!(rejection(&hosts, "http://localhost:1/", &both[..1]), None);
        // HTTP/2 has no `Host` header.
        assert_eq!(rejection(&hosts, "http://localhost/", &[]), None);
    }

    #[test]
    fn a_wildcard_listen_address_serves_only_allowed_names() {
        let open = Hosts::new([0, 0, 0, 0].into(), ["Sandbox.demo.svc".to_owned(), "10.9.8.7".to_owned()]);
        for host in ["sandbox.demo.svc:4566", "SANDBOX.demo.svc", "10.9.8.7:4566", "localhost:4566"] {
            assert_eq!(rejection(&open, "/", &[("host", host)]), None, "{host}");
        }
        for host in ["0.0.0.0:4566", "sandbox.other.svc:4566", "10.9.8.6", "sandbox"] {
            assert_eq!(rejection(&open, "/", &[("host", host)]), Some(421), "{host}");
        }
    }

    #[test]
    fn requests_of_web_pages_are_forbidden() {
        let hosts = loopback(&[]);
        for (name, value) in [
            ("origin", "http://rebound.example"),
            ("origin", "null"),
            ("origin", "http://localhost:3000"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-dest", "image"),
        ] {
            assert_eq!(
                rejection(&hosts, "/", &[("host", "localhost"), (name, value)]),
                Some(403),
                "{name} {value}"
            );
        }
        assert_eq!(rejection(&hosts, "/", &[("host", "localhost"), ("sec-fetch-mode", "cors")]), None);
    }
}
