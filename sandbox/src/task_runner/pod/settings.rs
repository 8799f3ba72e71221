//! What running tasks as Pods needs to know. In: flags and the sandbox's own identity. Out: checked settings. Pure but for
//! [`PodSettings::connect`], which reads the service account that Kubernetes mounts.

use std::fmt;

use anyhow::{Context, Result, ensure};
use http::Uri;

/// Where and how Pods run tasks.
#[derive(Clone)]
pub struct PodSettings {
    /// The API server, as somebody who may do there what `docs/sandbox.md` lists.
    pub client: kube::Client,
    /// Where tasks reach the sandbox, without a slash at its end.
    pub endpoint: String,
    /// Where the Pods are made.
    pub namespace: String,
    /// What tells this sandbox's Pods from others': the value of the label `kinesisdemo.io/sandbox`, the same after a restart.
    pub instance: String,
    /// The ServiceAccount of the Pods, for what the cluster ties to it (image pull secrets); the namespace's default one if none.
    pub service_account: Option<String>,
    /// The Secret from which the Pods get their credentials; in the clear, from the launch, if
    /// none.
    pub secret: Option<String>,
    /// Whether the cluster chooses the Pods' user and group, whatever task definitions say, as
    /// OpenShift does.
    pub is_user_from_cluster: bool,
    /// The sandbox's own Pod, with which Kubernetes removes what the sandbox could not.
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

/// A client with the ServiceAccount of the Pod we run in. Never a person's own kubeconfig.
pub fn connect() -> Result<kube::Client> {
    let config = kube::Config::incluster()
        .context("could not find the API server: --tasks Pods is for a sandbox that itself runs in a Pod")?;
    kube::Client::try_from(config).context("could not make a client for the API server")
}

/// The sandbox's own Pod, if the environment names it and Pods in `namespace` can be owned by it.
pub fn owner(namespace: &str, variable: impl Fn(&str) -> Option<String>) -> Option<PodOwner> {
    let (name, uid) = (variable("POD_NAME")?, variable("POD_UID")?);
    // "Cross-namespace owner references are disallowed by design": such Pods would be collected at once.
    (variable("POD_NAMESPACE")? == namespace).then_some(PodOwner { name, uid })
}

/// The address tasks are given, without a slash at its end.
pub fn endpoint(url: &str) -> Result<String> {
    let uri: Uri = url.parse().with_context(|| format!("{url} is no URL"))?;
    let complete = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    ensure!(
        complete && matches!(uri.path(), "" | "/") && uri.query().is_none(),
        "{url} is not of the form http://HOST:PORT"
    );
    Ok(url.trim_end_matches('/').to_owned())
}

/// The host of an endpoint: a name under which tasks address the sandbox.
pub fn host(endpoint: &str) -> Option<String> {
    endpoint.parse::<Uri>().ok()?.host().map(str::to_owned)
}

/// The instance that follows from the address tasks are given: a Service's name and namespace, else host and port.
pub fn instance(endpoint: &str) -> Result<String> {
    let uri: Uri = endpoint.parse().with_context(|| format!("{endpoint} is no URL"))?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).replace(':', ".");
    let value = match (host.split_once(".svc"), uri.port_u16()) {
        (Some((service, _)), _) => service.to_owned(),
        (None, Some(port)) => format!("{host}-{port}"),
        (None, None) => host,
    };
    checked_instance(&value)
        .with_context(|| format!("{endpoint} gives no label value; name one with --task-instance"))
}

/// A label value that is not empty ("Labels and Selectors", syntax).
pub fn checked_instance(value: &str) -> Result<String> {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let valid = value.len() <= 63
        && edge(value.chars().next())
        && edge(value.chars().next_back())
        && value.chars().all(inner);
    ensure!(
        valid,
        "{value:?} is no label value: at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends"
    );
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_is_told_from_others_by_its_service_or_address() {
        assert_eq!(instance("http://kd-sandbox.demo.svc:4566").unwrap(), "kd-sandbox.demo");
        assert_eq!(instance("http://kd-sandbox.demo.svc.cluster.local:4566").unwrap(), "kd-sandbox.demo");
        assert_eq!(instance("http://10.245.0.1:4566").unwrap(), "10.245.0.1-4566");
        assert_eq!(instance("http://sandbox").unwrap(), "sandbox");
        let long = format!("http://{}.demo.svc:4566", "x".repeat(63));
        assert!(format!("{:#}", instance(&long).unwrap_err()).contains("--task-instance"));
    }

    #[test]
    fn endpoints_are_plain_addresses() {
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
