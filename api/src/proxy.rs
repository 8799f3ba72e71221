//! Which proxy leads to a Kubernetes API server. In: the server's address, the kubeconfig's
//! `proxy-url`, the environment. Out: the proxy's address, or none. Pure.
//!
//! Follows kubectl, which uses Go's golang.org/x/net/http/httpproxy. `proxy-url` in the kubeconfig
//! has precedence over the environment. Otherwise `HTTPS_PROXY` applies (`HTTP_PROXY` for a server
//! without TLS; upper case before lower case), unless the server is on loopback or matches
//! `NO_PROXY`. There are two differences. A variable that is not a proxy address is an error here;
//! Go continues without a proxy. Names in `NO_PROXY` that are not ASCII are compared as they are;
//! Go converts them to Punycode.

use std::net::IpAddr;

use http::Uri;

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

/// Whether NO_PROXY's list matches the server. `*` matches every server. An entry is a network, an
/// address or a host; an address or a host may have a port. `example` matches the host and its
/// subdomains; `.example` and `*.example` match only subdomains. Empty and invalid entries match
/// none.
fn matches_server(list: &str, server: &Uri) -> bool {
    let port = server.port_u16().unwrap_or(if server.scheme_str() == Some("http") { 80 } else { 443 });
    let host = bare(server.host().unwrap_or_default()).to_lowercase();
    let server = Server { address: address_of(&host), host, port: port.to_string() };
    list.split(',').map(|entry| entry.trim().to_lowercase()).any(|entry| server.matches(&entry))
}

/// The server, in the form that NO_PROXY's entries are compared with.
struct Server {
    host: String,
    address: Option<IpAddr>,
    port: String,
}

impl Server {
    fn matches(&self, entry: &str) -> bool {
        if entry == "*" {
            return true;
        }
        if let Some(network) = Network::parse(entry) {
            return self.address.is_some_and(|address| network.contains(address));
        }
        let (host, port) = split_port(entry).unwrap_or((entry, ""));
        if !port.is_empty() && port != self.port {
            return false;
        }
        match (address_of(host), self.address) {
            (Some(named), address) => Some(named) == address,
            (None, Some(_)) => false,
            (None, None) => self.host_matches(host),
        }
    }

    fn host_matches(&self, name: &str) -> bool {
        let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
        if name.starts_with('.') {
            return self.host.ends_with(name);
        }
        !name.is_empty() && (self.host == name || self.host.ends_with(&format!(".{name}")))
    }
}

/// Parses an address. An IPv4 address equals its IPv4-mapped IPv6 form (`::ffff:10.1.2.3`).
fn address_of(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// A network in CIDR notation.
struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        // Rust would also parse `+8`.
        let is_number = prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix: u32 = prefix.parse().ok().filter(|length| is_number && *length <= longest)?;
        match address.to_canonical() {
            // In the IPv4-mapped form the first 96 bits are the IPv6 prefix.
            canonical if canonical != address && prefix >= 96 => {
                Some(Self { address: canonical, prefix: prefix - 96 })
            }
            _ => Some(Self { address, prefix }),
        }
    }

    /// Whether the network contains a canonical address: same family, same prefix.
    fn contains(&self, address: IpAddr) -> bool {
        let differs = match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(other)) => u128::from(ours.to_bits() ^ other.to_bits()) << 96,
            (IpAddr::V6(ours), IpAddr::V6(other)) => ours.to_bits() ^ other.to_bits(),
            _ => return false,
        };
        differs.leading_zeros() >= self.prefix
    }
}

/// Splits `host:port` or `[host]:port`; the port may be any text. Returns `None` for an entry
/// without a port, for example an IPv6 address. Go does not accept brackets without a port.
fn split_port(entry: &str) -> Option<(&str, &str)> {
    let (host, port) = entry.rsplit_once(':')?;
    let inside = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    (![inside, port].iter().any(|part| part.contains(['[', ']']))).then_some((inside, port))
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

    /// Whether Go 1.26's httpproxy, which kubectl uses, takes the proxy.
    #[test]
    fn no_proxy_matches_as_kubectl_matches() {
        let cases = [
            ("https://api.example:6443", "", true),
            ("https://api.example:6443", "api.example", false),
            ("https://api.example:6443", "localhost, .example ,", false),
            ("https://api.example:6443", ",, ,API.Example", false),
            ("https://api.example:6443", "*.example", false),
            ("https://api.example:6443", "example", false),
            ("https://api.example:6443", "api.example:6443", false),
            ("https://api.example:6443", "api.example:", false),
            ("https://api.example:6443", "api.example:443", true),
            ("https://api.example:6443", "api.example:06443", true),
            ("https://api.example:6443", "api.example:https", true),
            ("https://api.example:6443", "*", false),
            ("https://api.example:6443", "*:6443", true),
            ("https://api.example:6443", "* ", false),
            ("https://api.example:6443", "proxy.example", true),
            ("https://api.example:6443", ",,", true),
            ("https://api.example:6443", "localhost,127.0.0.1,", true),
            ("https://api.example:6443", ".api.example", true),
            ("https://api.example:6443", "*.api.example", true),
            ("https://api.example:6443", "other api.example", true),
            ("https://api.example:6443", ":6443", true),
            ("https://api.example:6443", ".", true),
            ("https://api.example:6443", "*example", true),
            ("https://api.example:6443", "pi.example", true),
            ("https://api.example:6443", "api.*", true),
            ("https://api.example:6443", "[api.example]", true),
            ("https://api.example:6443", "[api.example]:6443", false),
            ("https://api.example:6443", "other,*", false),
            ("https://api.example:6443", "0.0.0.0/0", true),
            ("https://API.Example:6443", "api.example", false),
            ("https://API.Example:6443", ".EXAMPLE", false),
            ("https://api.example", "api.example:443", false),
            ("https://api.example", "api.example:6443", true),
            ("http://api.example", "api.example:80", false),
            ("http://api.example", "api.example:443", true),
            ("https://notexample:6443", "example", true),
            ("https://10.1.2.3:6443", "10.0.0.0/8", false),
            ("https://10.1.2.3:6443", "10.0.0.0/8:6443", true),
            ("https://10.1.2.3:6443", "10.1.2.3", false),
            ("https://10.1.2.3:6443", "10.1.2.3:", false),
            ("https://10.1.2.3:6443", "10.1.2.3:6443", false),
            ("https://10.1.2.3:6443", "10.1.2.3:443", true),
            ("https://10.1.2.3:6443", "[10.1.2.3]:6443", false),
            ("https://10.1.2.3:6443", "[10.1.2.3]", true),
            ("https://10.1.2.3:6443", "::ffff:10.1.2.3", false),
            ("https://10.1.2.3:6443", "[::ffff:10.1.2.3]:6443", false),
            ("https://10.1.2.3:6443", "::ffff:10.0.0.0/104", false),
            ("https://10.1.2.3:6443", "::ffff:10.0.0.0/95", true),
            ("https://10.1.2.3:6443", "::/0", true),
            ("https://10.1.2.3:6443", "0.0.0.0/0", false),
            ("https://10.1.2.3:6443", "10.1.2.3/32", false),
            ("https://10.1.2.3:6443", "10.1.2.3/33", true),
            ("https://10.1.2.3:6443", "10.1.2.3/", true),
            ("https://10.1.2.3:6443", "10.1.2.3/+8", true),
            ("https://10.1.2.3:6443", "10.1.2", true),
            ("https://10.1.2.3:6443", "10.1.2.", true),
            ("https://10.1.2.3:6443", "2.3", true),
            ("https://10.1.2.3:6443", ".3", true),
            ("https://10.1.2.3:6443", "*", false),
            ("https://10.1.2.3:6443", "010.1.2.3", true),
            ("https://10.1.3.3:6443", "10.1.2.0/25,192.168.0.0/16,10.1.3", true),
            ("https://10.1.2.200:6443", "10.1.2.0/25", true),
            ("https://10.1.2.200:6443", "10.1.2.0/24", false),
            ("https://[fd00::1]:6443", "fd00::/8", false),
            ("https://[fd00::1]:6443", "fd00::1", false),
            ("https://[fd00::1]:6443", "fd00::1:6443", true),
            ("https://[fd00::1]:6443", "[fd00::1]", true),
            ("https://[fd00::1]:6443", "[fd00::1]:6443", false),
            ("https://[fd00::1]:6443", "[fd00::1]:443", true),
            ("https://[fd00::1]:6443", "[fd00::1]:", false),
            ("https://[fd00::1]:6443", "FD00:0::1", false),
            ("https://[fd00::1]:6443", "::/0", false),
            ("https://[fd00::1]:6443", "0.0.0.0/0", true),
            ("https://[fd00::1]:6443", "fe80::/10", true),
            ("https://[fd00::1]:6443", "fd00::1/128", false),
            ("https://[::ffff:10.1.2.3]:6443", "10.0.0.0/8", false),
            ("https://[::ffff:10.1.2.3]:6443", "10.1.2.3", false),
            ("https://[::ffff:10.1.2.3]:6443", "::ffff:10.1.2.3", false),
            ("https://[::ffff:10.1.2.3]:6443", "::/0", true),
        ];
        for (server, list, is_proxied) in cases {
            let environment = [
                ("HTTPS_PROXY", "http://proxy.example:3128"),
                ("HTTP_PROXY", "http://proxy.example:3128"),
                ("NO_PROXY", list),
            ];
            let found = chosen(server, None, &environment).unwrap().is_some();
            assert_eq!(found, is_proxied, "{server} with NO_PROXY={list}");
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
