//! A task definition as `DescribeTaskDefinition` and related operations return it. In: the
//! definition and the request. Out: JSON. Pure.

use serde_json::Value;

use crate::services::ecs::request::Request;
use crate::services::ecs::state::{Definition, DefinitionStatus};

/// `TaskDefinition`.
pub fn task_definition(request: Request<'_>, definition: &Definition) -> Value {
    let body = &definition.body;
    let mut view = body.echo.clone();
    view.insert(
        "status".to_owned(),
        Value::from(match definition.status {
            DefinitionStatus::Active => "ACTIVE",
            DefinitionStatus::Inactive => "INACTIVE",
            DefinitionStatus::DeleteInProgress => "DELETE_IN_PROGRESS",
        }),
    );
    view.insert("registeredAt".to_owned(), request.time(definition.registered_at));
    for (member, at) in [
        ("deregisteredAt", definition.deregistered_at),
        ("deleteRequestedAt", definition.delete_requested_at),
    ] {
        if let Some(at) = at {
            view.insert(member.to_owned(), request.time(at));
        }
    }
    Value::Object(view)
}
