//! Which proxy stands before a Kubernetes API server. In: the server's address, what the kubeconfig names, the environment. Out: the
//! proxy's address, or none. Pure.
//!
//! As kubectl has it, by Go's golang.org/x/net/http/httpproxy: `proxy-url` in the kubeconfig counts whatever else is said; else
//! `HTTPS_PROXY` (`HTTP_PROXY` for a server without TLS), in capitals first, unless the server is on loopback or `NO_PROXY` names it.
//! In two things we differ. A variable that is no proxy's address is an error here, and Go goes on
//! without a proxy. Names in NO_PROXY that are not ASCII are compared as they are, and Go turns
//! them into Punycode.

use std::net::IpAddr;

use http::Uri;

/// Says who names what is no proxy's address. The address itself may hold a password and is not told.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{said_by} is not the address of a proxy ({why}); http, https and socks5 are known, as in http://proxy.example:3128"
)]
pub struct ProxyError {
    said_by: &'static str,
    why: &'static str,
}

const IN_KUBECONFIG: &str = "proxy-url in the kubeconfig";

impl ProxyError {
    /// What the user can do about it.
    #[must_use]
    pub fn next_step(&self) -> String {
        match self.said_by {
            IN_KUBECONFIG => "correct proxy-url in the kubeconfig's cluster, or remove it".into(),
            variable => format!("correct {variable}, or unset it; NO_PROXY lists servers to ask directly"),
        }
    }
}

/// The proxy's address, with its scheme and with user and password if it needs them.
pub fn proxy(
    server: &Uri,
    named: Option<&str>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<Uri>, ProxyError> {
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        return address(IN_KUBECONFIG, named).map(Some);
    }
    // Wherever the proxy is: one on this machine is not asked for it either.
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
    if first(["NO_PROXY", "no_proxy"]).is_some_and(|(_, list)| names_server(&list, server)) {
        return Ok(None);
    }
    address(name, &value).map(Some)
}

/// A proxy as users write it: the scheme may be missing.
fn address(said_by: &'static str, text: &str) -> Result<Uri, ProxyError> {
    let text = text.trim();
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    // Names are resolved by the proxy either way.
    let whole = whole.replacen("socks5h://", "socks5://", 1);
    let wrong = |why| ProxyError { said_by, why };
    let uri: Uri = whole.parse().map_err(|_| wrong("it is no URL"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https" | "socks5"), Some(host)) if !host.is_empty() => Ok(uri),
        (Some("http" | "https" | "socks5"), _) => Err(wrong("it names no host")),
        _ => Err(wrong("its scheme is another")),
    }
}

/// Whether NO_PROXY's list names the server. `*` names every server. An entry may be a network, an
/// address or a host; an address and a host may have a port. `example` names the host and all that
/// is below it; `.example` and `*.example` name only what is below it. Entries that are empty, or
/// that cannot be read, name none.
fn names_server(list: &str, server: &Uri) -> bool {
    let port = server.port_u16().unwrap_or(if server.scheme_str() == Some("http") { 80 } else { 443 });
    let host = bare(server.host().unwrap_or_default()).to_lowercase();
    let asked = Asked { address: address_of(&host), host, port: port.to_string() };
    list.split(',').map(|entry| entry.trim().to_lowercase()).any(|entry| asked.is_named_by(&entry))
}

/// The server as NO_PROXY's entries are compared with it.
struct Asked {
    host: String,
    address: Option<IpAddr>,
    port: String,
}

impl Asked {
    fn is_named_by(&self, entry: &str) -> bool {
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
            (None, None) => self.host_is_named_by(host),
        }
    }

    fn host_is_named_by(&self, name: &str) -> bool {
        let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
        if name.starts_with('.') {
            return self.host.ends_with(name);
        }
        !name.is_empty() && (self.host == name || self.host.ends_with(&format!(".{name}")))
    }
}

/// An address; an IPv4 address is the same in IPv6's form (`::ffff:10.1.2.3`).
fn address_of(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// A network, as `address/prefix length`.
struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        // `+8` would be a number to Rust.
        let is_number = prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix: u32 = prefix.parse().ok().filter(|length| is_number && *length <= longest)?;
        match address.to_canonical() {
            // In IPv6's form the first 96 bits say that it is IPv4.
            canonical if canonical != address && prefix >= 96 => {
                Some(Self { address: canonical, prefix: prefix - 96 })
            }
            _ => Some(Self { address, prefix }),
        }
    }

    /// Whether a canonical address is in it: of the same family, and alike in the first bits.
    fn contains(&self, address: IpAddr) -> bool {
        let differs = match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(other)) => u128::from(ours.to_bits() ^ other.to_bits()) << 96,
            (IpAddr::V6(ours), IpAddr::V6(other)) => ours.to_bits() ^ other.to_bits(),
            _ => return false,
        };
        differs.leading_zeros() >= self.prefix
    }
}

/// `host:port` or `[host]:port` as both, whatever the port's text is. `None` for what has no port:
/// an IPv6 address, too. One in brackets and without a port is no address to Go.
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
        let look = |name: &str| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        proxy(&server.parse().unwrap(), named, look).map(|proxy| proxy.map(|uri| uri.to_string()))
    }

    #[test]
    fn the_kubeconfigs_proxy_counts_whatever_the_environment_says() {
        let environment = [("HTTPS_PROXY", "http://other.example:1"), ("NO_PROXY", "*")];
        for server in ["https://api.example:6443", "https://127.0.0.1:6443"] {
            let found = chosen(server, Some("socks5://proxy.example:1080"), &environment);
            assert_eq!(found, Ok(Some("socks5://proxy.example:1080/".into())), "{server}");
        }
        assert_eq!(chosen("https://api.example", Some(""), &[]), Ok(None));
    }

    #[test]
    fn the_environments_proxy_is_chosen_by_the_servers_scheme_and_capitals_go_first() {
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

    /// What Go 1.26's net/http/httpproxy, which kubectl has, answers to each: whether the proxy is asked.
    #[test]
    fn no_proxy_names_what_it_names_to_kubectl() {
        let gos_answers = [
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
        for (server, list, is_proxied) in gos_answers {
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
    fn loopback_is_asked_directly_wherever_the_environments_proxy_is() {
        let loopback = [
            "https://127.0.0.1:6443",
            "https://127.1.2.3",
            "https://localhost:6443",
            "https://[::1]:6443",
            "https://[::ffff:127.0.0.1]:6443",
        ];
        // A value that is no address is not looked at.
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
    fn what_is_no_proxy_is_refused_with_its_origin_and_without_its_password() {
        for (value, why) in [
            ("ftp://proxy:1", "its scheme is another"),
            ("http://", "it is no URL"),
            ("http://a b", "it is no URL"),
        ] {
            let error = chosen("https://api.example", None, &[("HTTPS_PROXY", value)]).unwrap_err();
            assert!(error.next_step().starts_with("correct HTTPS_PROXY, or unset it"), "{error:?}");
            let told = error.to_string();
            assert!(
                told.starts_with("HTTPS_PROXY is not the address of a proxy") && told.contains(why),
                "{told}"
            );
        }
        let error = chosen("https://api.example", Some("ftp://me:secret@proxy"), &[]).unwrap_err();
        let told = format!("{error} {error:?} {}", error.next_step());
        assert!(told.starts_with("proxy-url in the kubeconfig") && !told.contains("secret"), "{told}");
        assert!(told.contains("correct proxy-url in the kubeconfig's cluster"), "{told}");
        let exempt = [("HTTPS_PROXY", "ftp://proxy"), ("NO_PROXY", "api.example")];
        assert_eq!(chosen("https://api.example", None, &exempt), Ok(None));
    }
}
