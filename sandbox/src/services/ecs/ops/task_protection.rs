//! Task scale-in protection. In: the state and a request. Out: the response. No I/O.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::call::AwsError;
use crate::services::ecs::model::time::later;
use crate::services::ecs::request::Request;
use crate::services::ecs::state::{EcsState, Task, TaskStatus};
use crate::services::ecs::view::{self, failure};

/// "Up to 10 tasks", "1 to 2,880 minutes, by default 120" (UpdateTaskProtection reference).
const TASKS_PER_UPDATE: usize = 10;
/// "Up to 100 tasks" (GetTaskProtection reference).
const TASKS_PER_READ: usize = 100;
const MINUTES: std::ops::RangeInclusive<i64> = 1..=2_880;
const DEFAULT_MINUTES: i64 = 120;

/// Applies `change` to each named task that can be protected, and returns the response for all of
/// them.
fn change_protection(
    state: &mut EcsState,
    request: Request<'_>,
    references: &[&str],
    change: impl Fn(&mut Task),
) -> Result<Value, AwsError> {
    let region = state.region(&request.caller.region);
    let (cluster, _) = request.cluster(region)?;
    let (mut protected, mut failures) = (Vec::new(), Vec::new());
    for reference in references {
        let id = request.name_within(cluster, "task", reference)?;
        let arn = request.arn(&format!("task/{cluster}/{id}"));
        match region.tasks.get_mut(id).filter(|task| task.cluster == cluster) {
            None => failures.push(failure(arn, "MISSING")),
            // Only running tasks of a service can be protected.
            Some(task)
                if task.service.is_none() || task.status != TaskStatus::Running || !task.should_run() =>
            {
                failures.push(failure(arn, "TASK_NOT_VALID"));
            }
            Some(task) => {
                change(task);
                protected.push(view::protected_task(request, task));
            }
        }
    }
    Ok(json!({"protectedTasks": protected, "failures": failures}))
}

pub fn update_task_protection(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let references = input.texts("tasks")?;
    if references.is_empty() || references.len() > TASKS_PER_UPDATE {
        return Err(input.invalid("Number of tasks must be between 1 and 10."));
    }
    let enabled =
        input.flag("protectionEnabled")?.ok_or_else(|| input.invalid("protectionEnabled is required."))?;
    let minutes = input.integer("expiresInMinutes")?;
    if minutes.is_some_and(|minutes| !MINUTES.contains(&minutes)) {
        return Err(input.invalid("expiresInMinutes must be between 1 and 2880."));
    }
    // Protection expires in real time, so that a minute is a minute on the caller's clock.
    let duration = state.speed.model_time(SignedDuration::from_mins(minutes.unwrap_or(DEFAULT_MINUTES)));
    let until = enabled.then(|| later(request.now, duration));
    change_protection(state, request, &references, |task| task.protected_until = until)
}

pub fn get_task_protection(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let mut references = input.texts("tasks")?;
    if references.len() > TASKS_PER_READ {
        return Err(input.invalid("Number of tasks must be at most 100."));
    }
    let all: Vec<String>;
    if references.is_empty() {
        let region = state.region(&request.caller.region);
        let (cluster, _) = request.cluster(region)?;
        all = region
            .tasks
            .values()
            .filter(|task| task.cluster == cluster && task.service.is_some() && task.should_run())
            .filter(|task| task.status == TaskStatus::Running)
            .take(TASKS_PER_READ)
            .map(|task| task.id.clone())
            .collect();
        references = all.iter().map(String::as_str).collect();
    }
    change_protection(state, request, &references, |_| {})
}
