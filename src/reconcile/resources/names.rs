//! Names of a run's resources. They are derived from the object's uid and the run's number, so that
//! a repeated step finds what an earlier attempt created, and two runs never collide.

use kinesis_demo_api::status::Effective;
use sha2::{Digest, Sha256};

/// The names of one run's resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    pub cluster: String,
    pub stream: String,
    pub log_group: String,
    pub parameter: String,
    pub family: String,
    pub service: String,
    pub dashboard: String,
}

/// The longest part of the object's name in other names, for readability. The uid makes them
/// unique.
const READABLE: usize = 40;

/// The name that the resources of a run share: `kd-viral-event-5f3c2a1b-r1`.
pub fn base_name(object: &str, uid: &str, run: u32) -> String {
    let readable: String =
        object.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(READABLE).collect();
    let unique: String = uid.chars().filter(char::is_ascii_hexdigit).take(8).collect();
    format!("kd-{readable}-{unique}-r{run}")
}

impl Names {
    /// The names as pinned for a run.
    pub fn of(effective: &Effective) -> Self {
        Self::new(&effective.cluster, &effective.stream_name, &effective.base_name)
    }

    /// The names derived from `base`. Cluster and stream have names of their own.
    pub fn new(cluster: &str, stream: &str, base: &str) -> Self {
        Self {
            cluster: cluster.to_owned(),
            stream: stream.to_owned(),
            log_group: format!("/kinesisdemo/{base}"),
            parameter: format!("/kinesisdemo/{base}/control"),
            family: base.to_owned(),
            service: base.to_owned(),
            dashboard: format!("KinesisDemo-{base}"),
        }
    }

    /// A token that is the same for every attempt to create this run's service (CreateService
    /// accepts at most 36 characters).
    pub fn service_token(&self) -> String {
        let digest = Sha256::digest(format!("{}/{}", self.cluster, self.service));
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_identify_their_object_and_fit_aws_limits() {
        let uid = "5f3c2a1b-9d2e-4c7a-8f10-1234567890ab";
        assert_eq!(base_name("viral-event", uid, 3), "kd-viral-event-5f3c2a1b-r3");
        assert_eq!(base_name("a.b", uid, 1), "kd-a-b-5f3c2a1b-r1");
        assert!(base_name(&"x".repeat(63), uid, 4_000_000_000).len() <= 64);
    }
}
