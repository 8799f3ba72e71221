//! What one service does for another, as AWS's service integrations do. Each is a trait that one
//! service implements and another uses, so that no service depends on another's code. Interface
//! only, no I/O.
//!
//! ECS also writes the output of containers to CloudWatch Logs; as task runners do so too, that
//! interface is `task_runner::ContainerLogs`.

use jiff::SignedDuration;

/// ECS, as Application Auto Scaling uses it: services whose desired count it sets. Services are
/// identified by region, cluster and name.
pub trait ScalableServices: Send + Sync {
    /// Whether other AWS services see the service yet. Their view of ECS lags behind its writes.
    fn is_visible_to_services(&self, region: &str, cluster: &str, service: &str) -> bool;

    /// The desired count of an active service.
    fn desired_count(&self, region: &str, cluster: &str, service: &str) -> Option<u32>;

    /// Sets the desired count, as UpdateService does. Returns false if there is no such active
    /// service.
    fn set_desired_count(&self, region: &str, cluster: &str, service: &str, desired: u32) -> bool;

    /// Draws a read-after-write lag, in real time.
    fn draw_read_lag(&self) -> SignedDuration;
}
