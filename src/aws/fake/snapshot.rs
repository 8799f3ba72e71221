//! What exists in the fake. In: its regions. Out: names, by kind. Pure.

use super::fleet::Task;
use super::world::Region;
use crate::aws::ServiceState;

/// Everything that exists: names, each with its region in front; dashboards have none. What is being deleted still exists; an INACTIVE service does
/// not, an INACTIVE task definition does (it can be deleted), a STOPPED task does not.
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
        // Destructured without `..`: a kind that is forgotten here would not count as left behind. What is no thing of its
        // own is named and left out.
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
    /// How many of each kind exist; revisions of task definitions count one by one.
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
