//! The ECS service that runs the generator tasks. It is created once with size zero; afterwards
//! only its size changes.

use kinesis_demo_api::plan::Plan;

use super::names::Names;
use crate::aws::{NewService, Tags};

/// The service.
pub fn new_service(names: &Names, plan: &Plan, assign_public_ip: bool, tags: Tags) -> NewService {
    NewService {
        cluster: names.cluster.clone(),
        name: names.service.clone(),
        task_definition: names.family.clone(),
        client_token: names.service_token(),
        subnets: plan.fargate.subnets.clone(),
        security_groups: plan.fargate.security_groups.clone(),
        assign_public_ip,
        tags,
    }
}
