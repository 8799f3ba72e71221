//! The settings for running tasks as Pods. In: flags and the sandbox's own identity. Out: checked
//! settings. Pure except for [`connect`], which reads the service account that Kubernetes mounts.

use std::fmt;

use anyhow::{Context, Result, ensure};
use http::Uri;

/// Where and how Pods run tasks.
#[derive(Clone)]
pub struct PodSettings {
    /// The client for the API server. Its account needs the permissions listed in
    /// `docs/sandbox.md`.
    pub client: kube::Client,
    /// The sandbox's address for tasks, without a trailing slash.
    pub endpoint: String,
    /// The namespace of the Pods.
    pub namespace: String,
    /// Identifies this sandbox's Pods: the value of the label `kinesisdemo.io/sandbox`, which is
    /// the same after a restart.
    pub instance: String,
    /// The ServiceAccount of the Pods, for what the cluster ties to it (image pull secrets). If
    /// unset, the namespace's default one.
    pub service_account: Option<String>,
    /// The Secret with the Pods' credentials. If unset, the Pods have the launch's credentials in
    /// plain text.
    pub secret: Option<String>,
    /// Whether the cluster chooses the user and group of Pods whatever task definitions say, as
    /// OpenShift does.
    pub is_user_from_cluster: bool,
    /// The sandbox's own Pod. Kubernetes deletes with it what the sandbox could not.
    pub owner: Option<PodOwner>,
}

impl fmt::Debug for PodSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            client: _,
            endpoint,
            namespace,
            instance,
            service_account,
            secret,
            is_user_from_cluster,
            owner,
        } = self;
        formatter
            .debug_struct("PodSettings")
            .field("endpoint", endpoint)
            .field("namespace", namespace)
            .field("instance", instance)
            .field("service_account", service_account)
            .field("secret", secret)
            .field("is_user_from_cluster", is_user_from_cluster)
            .field("owner", owner)
            .finish_non_exhaustive()
    }
}

/// The sandbox's own Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodOwner {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// Creates a client with the ServiceAccount of the sandbox's own Pod. It never uses a kubeconfig.
pub fn connect() -> Result<kube::Client> {
    let config = kube::Config::incluster()
        .context("could not find the API server: with --tasks Pods the sandbox itself must run in a Pod")?;
    kube::Client::try_from(config).context("could not create a client for the API server")
}

/// The sandbox's own Pod, if the environment names it and it can own Pods in `namespace`.
pub fn owner(namespace: &str, variable: impl Fn(&str) -> Option<String>) -> Option<PodOwner> {
    let (name, uid) = (variable("POD_NAME")?, variable("POD_UID")?);
    // "Cross-namespace owner references are disallowed by design": such Pods would be
    // garbage-collected at once.
    (variable("POD_NAMESPACE")? == namespace).then_some(PodOwner { name, uid })
}

/// Checks the sandbox's address for tasks, and removes a trailing slash.
pub fn endpoint(url: &str) -> Result<String> {
    let uri: Uri = url.parse().with_context(|| format!("{url} is not a URL"))?;
    let complete = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    ensure!(
        complete && matches!(uri.path(), "" | "/") && uri.query().is_none(),
        "{url} is not of the form http://HOST:PORT"
    );
    Ok(url.trim_end_matches('/').to_owned())
}

/// The host of an endpoint: a name by which tasks reach the sandbox.
pub fn host(endpoint: &str) -> Option<String> {
    endpoint.parse::<Uri>().ok()?.host().map(str::to_owned)
}

/// Derives the instance from the address for tasks: a Service's name and namespace, else host and
/// port.
pub fn instance(endpoint: &str) -> Result<String> {
    let uri: Uri = endpoint.parse().with_context(|| format!("{endpoint} is not a URL"))?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).replace(':', ".");
    let value = match (host.split_once(".svc"), uri.port_u16()) {
        (Some((service, _)), _) => service.to_owned(),
        (None, Some(port)) => format!("{host}-{port}"),
        (None, None) => host,
    };
    checked_instance(&value)
        .with_context(|| format!("{endpoint} does not yield a label value; set one with --task-instance"))
}

/// Checks that a label value is valid and not empty ("Labels and Selectors", syntax).
pub fn checked_instance(value: &str) -> Result<String> {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let valid = value.len() <= 63
        && edge(value.chars().next())
        && edge(value.chars().next_back())
        && value.chars().all(inner);
    ensure!(
        valid,
        "{value:?} is not a label value: at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends"
    );
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instance_comes_from_the_service_or_address() {
        assert_eq!(instance("http://kd-sandbox.demo.svc:4566").unwrap(), "kd-sandbox.demo");
        assert_eq!(instance("http://kd-sandbox.demo.svc.cluster.local:4566").unwrap(), "kd-sandbox.demo");
        assert_eq!(instance("http://10.245.0.1:4566").unwrap(), "10.245.0.1-4566");
        assert_eq!(instance("http://sandbox").unwrap(), "sandbox");
        let long = format!("http://{}.demo.svc:4566", "x".repeat(63));
        assert!(format!("{:#}", instance(&long).unwrap_err()).contains("--task-instance"));
    }

    #[test]
    fn endpoints_have_only_scheme_host_and_port() {
        assert_eq!(endpoint("http://s.ns.svc:4566/").unwrap(), "http://s.ns.svc:4566");
        for wrong in ["s.ns.svc:4566", "ftp://s", "http://s/path", "http://s?query", "http://", ""] {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pods_are_owned_only_within_one_namespace() {
        let variables = |namespace: &'static str| {
            move |name: &str| match name {
                "POD_NAME" => Some("sandbox-0".to_owned()),
                "POD_UID" => Some("u1".to_owned()),
                "POD_NAMESPACE" => Some(namespace.to_owned()),
                _ => None,
            }
        };
        let expected = PodOwner { name: "sandbox-0".into(), uid: "u1".into() };
        assert_eq!(owner("demo", variables("demo")), Some(expected));
        assert_eq!(owner("demo", variables("other")), None);
        assert_eq!(owner("demo", |_| None), None);
    }
}
