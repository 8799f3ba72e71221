//! What is refused before anybody looks at a request: names that the sandbox does not serve, and
//! browsers. In: a request's target and headers. Out: nothing, or the refusal. Pure but for the
//! middleware that applies it.
//!
//! A page of another origin can have its visitor's browser send requests to loopback, and by DNS
//! rebinding it can read the answers too. The browser betrays both: by the `Host` that the page was
//! loaded from, and by the headers that it adds to a page's requests. No AWS client sends those,
//! and no page is served here.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Response, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::IntoResponse;

/// Headers that browsers add to what pages ask for. `Sec-Fetch-Mode` is not among them: Node's own
/// `fetch` sends it too.
const OF_BROWSERS: [&str; 3] = ["origin", "sec-fetch-site", "sec-fetch-dest"];

/// The names under which the sandbox is served. Ports do not matter: a forwarded port is another
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    listening: IpAddr,
    names: BTreeSet<String>,
}

impl Hosts {
    /// Loopback's names, the address listened at, and `more`.
    pub fn new(listening: IpAddr, more: impl IntoIterator<Item = String>) -> Self {
        let names = more.into_iter().chain(["localhost".to_owned()]);
        Self { listening, names: names.map(|name| normalized(&name)).collect() }
    }

    /// Whether a `Host` header of this value means the sandbox.
    fn serve(&self, host: &str) -> bool {
        // The user information of a URL is never part of `Host`.
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

    /// Why a request is not served, if it is not.
    pub fn refusal(&self, uri: &Uri, headers: &HeaderMap) -> Option<(StatusCode, String)> {
        let mut named: Vec<&str> = headers
            .get_all(header::HOST)
            .iter()
            .map(|value| value.to_str().unwrap_or("a name that is no text"))
            .collect();
        // HTTP/2, or a request line with a whole URL, which counts before `Host`.
        named.extend(uri.authority().map(Authority::as_str));
        let foreign = named.iter().find(|host| !self.serve(host));
        match foreign {
            Some(host) => Some((
                StatusCode::MISDIRECTED_REQUEST,
                format!(
                    "The sandbox is not served as {host:?}. Address it as localhost, or start it with --allow-host NAME.\n"
                ),
            )),
            None if named.is_empty() => Some((
                StatusCode::MISDIRECTED_REQUEST,
                "The request names no host. Send a Host header, such as localhost.\n".to_owned(),
            )),
            None => browser(headers).map(|header| {
                (
                    StatusCode::FORBIDDEN,
                    format!(
                        "The header {header} says that a browser sends this for a page. The sandbox serves no pages; use an \
                         AWS client, or curl.\n"
                    ),
                )
            }),
        }
    }
}

/// The header by which a browser betrays itself.
fn browser(headers: &HeaderMap) -> Option<&'static str> {
    OF_BROWSERS.into_iter().find(|name| headers.contains_key(*name))
}

/// Lower case, and without the dot of a fully qualified name.
fn normalized(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    name.strip_suffix('.').unwrap_or(&name).to_owned()
}

/// The middleware before all routes.
pub async fn guard(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response<Body> {
    match hosts.refusal(request.uri(), request.headers()) {
        Some(refusal) => refusal.into_response(),
        None => next.run(request).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(hosts: &Hosts, uri: &'static str, pairs: &[(&'static str, &str)]) -> Option<u16> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        hosts.refusal(&Uri::from_static(uri), &headers).map(|(status, text)| {
            assert!(text.ends_with(".\n"), "{text}");
            status.as_u16()
        })
    }

    fn loopback(more: &[&str]) -> Hosts {
        Hosts::new([127, 0, 0, 1].into(), more.iter().map(|name| (*name).to_owned()))
    }

    #[test]
    fn loopback_and_the_listening_address_are_served_under_any_port() {
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
            assert_eq!(refusal(&hosts, "/", &[("host", host)]), None, "{host}");
        }
        let elsewhere = Hosts::new([10, 1, 2, 3].into(), []);
        assert_eq!(refusal(&elsewhere, "/", &[("host", "10.1.2.3:4566")]), None);
        assert_eq!(refusal(&elsewhere, "/", &[("host", "10.1.2.4:4566")]), Some(421));
    }

    #[test]
    fn every_other_name_is_misdirected() {
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
            assert_eq!(refusal(&hosts, "/", &[("host", host)]), Some(421), "{host}");
        }
        assert_eq!(refusal(&hosts, "/", &[]), Some(421));
    }

    #[test]
    fn all_that_name_a_host_have_to_name_ours() {
        let hosts = loopback(&[]);
        let both = [("host", "localhost"), ("host", "rebound.example")];
        assert_eq!(refusal(&hosts, "/", &both), Some(421));
        assert_eq!(refusal(&hosts, "http://rebound.example/", &both[..1]), Some(421));
        assert_eq!(refusal(&hosts, "http://localhost/", &both[1..]), Some(421));
        assert_eq!(refusal(&hosts, "http://localhost:1/", &both[..1]), None);
        // HTTP/2 has no Host.
        assert_eq!(refusal(&hosts, "http://localhost/", &[]), None);
    }

    #[test]
    fn listening_everywhere_serves_names_only_where_they_are_allowed() {
        let open = Hosts::new([0, 0, 0, 0].into(), ["Sandbox.demo.svc".to_owned(), "10.9.8.7".to_owned()]);
        for host in ["sandbox.demo.svc:4566", "SANDBOX.demo.svc", "10.9.8.7:4566", "localhost:4566"] {
            assert_eq!(refusal(&open, "/", &[("host", host)]), None, "{host}");
        }
        for host in ["0.0.0.0:4566", "sandbox.other.svc:4566", "10.9.8.6", "sandbox"] {
            assert_eq!(refusal(&open, "/", &[("host", host)]), Some(421), "{host}");
        }
    }

    #[test]
    fn what_a_page_sends_is_forbidden() {
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
                refusal(&hosts, "/", &[("host", "localhost"), (name, value)]),
                Some(403),
                "{name} {value}"
            );
        }
        assert_eq!(refusal(&hosts, "/", &[("host", "localhost"), ("sec-fetch-mode", "cors")]), None);
    }
}
