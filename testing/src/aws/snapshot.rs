//! What exists in the fake. In: its regions. Out: names by kind. Pure.

use super::state::Region;
use super::tasks::Task;
use kinesis_demo_operator::aws::ServiceState;

/// The names of everything that exists, each with its region as a prefix; dashboards have none. A
/// resource that is being deleted still exists. An INACTIVE service and a STOPPED task do not. An
/// INACTIVE task definition does, because it can be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub streams: Vec<String>,
    pub task_definitions: Vec<String>,
    pub services: Vec<String>,
    pub tasks: Vec<String>,
    pub scalable_targets: Vec<String>,
    pub scheduled_actions: Vec<String>,
    pub parameters: Vec<String>,
    pub log_groups: Vec<String>,
    pub dashboards: Vec<String>,
}

impl Snapshot {
    /// Whether nothing exists.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn add(&mut self, region_name: &str, region: &Region) {
        let here = |name: &str| format!("{region_name}/{name}");
        let both = |(cluster, service): &(String, String)| format!("{region_name}/{cluster}/{service}");
        // Destructured without `..`: a forgotten kind would never count as left behind. Fields that
        // are not resources are named and ignored.
        let Region {
            streams,
            families,
            services,
            tasks,
            targets,
            parameters,
            log_groups,
            stored: _,
            parameter_writes: _,
        } = region;
        self.streams.extend(streams.keys().map(|name| here(name)));
        self.task_definitions.extend(families.values().flat_map(|family| family.arns()).map(here));
        let existing = services.iter().filter(|(_, service)| service.state != ServiceState::Inactive);
        self.services.extend(existing.map(|(key, _)| both(key)));
        self.tasks.extend(tasks.iter().filter(|task| !task.is_stopped()).map(|task| here(task.id.as_str())));
        self.scalable_targets.extend(targets.keys().map(both));
        let scheduled = targets.iter().filter(|(_, target)| target.action_at.is_some());
        self.scheduled_actions.extend(scheduled.map(|(key, _)| both(key)));
        self.parameters.extend(parameters.keys().map(|name| here(name)));
        self.log_groups.extend(log_groups.keys().map(|name| here(name)));
    }
}

impl Region {
    /// The number of resources of each kind. Each revision of a task definition counts.
    pub(super) fn counts(&self) -> [(&'static str, usize); 7] {
        let services =
            self.services.values().filter(|service| service.state != ServiceState::Inactive).count();
        [
            ("streams", self.streams.len()),
            ("task definitions", self.families.values().map(|family| family.arns().count()).sum()),
            ("services", services),
            ("tasks", self.tasks.iter().filter(|task| !Task::is_stopped(task)).count()),
            ("scalable targets", self.targets.len()),
            ("parameters", self.parameters.len()),
            ("log groups", self.log_groups.len()),
        ]
    }
}
