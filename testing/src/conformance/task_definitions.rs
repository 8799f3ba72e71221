//! ECS: task definitions and their revisions.

use std::time::Duration;

use kinesis_demo_operator::aws::{
    AwsErrorClass, NewTaskDefinition, TaskDefinitionDescription, TaskDefinitions,
};

use super::Arm;
use super::fixtures::{FAMILY, a_definition, arn, assert_refused, aws, refusal, tags};
use super::waiting::wait_until;

fn revision_arn(revision: u32) -> String {
    arn("ecs", &format!("task-definition/{FAMILY}:{revision}"))
}

async fn described(definitions: &dyn TaskDefinitions) -> Option<TaskDefinitionDescription> {
    definitions.fetch_task_definition(FAMILY).await.unwrap()
}

fn revision(number: u32, owner: &str) -> Option<TaskDefinitionDescription> {
    Some(TaskDefinitionDescription { arn: revision_arn(number), tags: tags(owner) })
}

pub(super) async fn the_latest_active_revision_is_described(arm: &dyn Arm) {
    let definitions = aws(arm).task_definitions;
    let definitions = definitions.as_ref();
    assert_eq!(described(definitions).await, None);
    let definition = a_definition(arm.now());
    definitions.register_task_definition(&definition).await.unwrap();
    let second = NewTaskDefinition { tags: tags("ns/other"), ..definition.clone() };
    definitions.register_task_definition(&second).await.unwrap();
    // A family whose name begins like the other's.
    let other = NewTaskDefinition { family: format!("{FAMILY}-2"), ..definition };
    definitions.register_task_definition(&other).await.unwrap();

    assert_eq!(described(definitions).await, revision(2, "ns/other"));
    definitions.deregister_task_definition(&revision_arn(2)).await.unwrap();
    assert_eq!(described(definitions).await, revision(1, "ns/demo"));
    definitions.deregister_task_definition(&revision_arn(1)).await.unwrap();
    assert_eq!(described(definitions).await, None);
    let inactive = definitions.fetch_inactive_task_definitions(FAMILY).await.unwrap();
    assert_eq!(inactive, [revision_arn(1), revision_arn(2)]);
}

pub(super) async fn deregistering_twice_is_accepted(arm: &dyn Arm) {
    let definitions = aws(arm).task_definitions;
    definitions.register_task_definition(&a_definition(arm.now())).await.unwrap();
    definitions.deregister_task_definition(&revision_arn(1)).await.unwrap();
    definitions.deregister_task_definition(&revision_arn(1)).await.unwrap();
    assert_eq!(definitions.fetch_inactive_task_definitions(FAMILY).await.unwrap(), [revision_arn(1)]);
}

pub(super) async fn only_a_deregistered_revision_can_be_deleted(arm: &dyn Arm) {
    let definitions = aws(arm).task_definitions;
    definitions.register_task_definition(&a_definition(arm.now())).await.unwrap();
    let message = "The specified task definition is still in ACTIVE status. Please deregister the target and try again.";
    assert_refused(
        definitions.delete_task_definition(&revision_arn(1)).await,
        refusal(
            AwsErrorClass::Invalid,
            "DeleteTaskDefinitions",
            &revision_arn(1),
            "ClientException",
            message,
        ),
    );
    assert_eq!(described(definitions.as_ref()).await, revision(1, "ns/demo"));
    definitions.deregister_task_definition(&revision_arn(1)).await.unwrap();
    definitions.delete_task_definition(&revision_arn(1)).await.unwrap();
    assert_eq!(definitions.fetch_inactive_task_definitions(FAMILY).await.unwrap(), [""; 0]);
}

pub(super) async fn revision_numbers_are_not_used_again(arm: &dyn Arm) {
    let definitions = aws(arm).task_definitions;
    definitions.register_task_definition(&a_definition(arm.now())).await.unwrap();
    definitions.deregister_task_definition(&revision_arn(1)).await.unwrap();
    definitions.delete_task_definition(&revision_arn(1)).await.unwrap();
    definitions.register_task_definition(&a_definition(arm.now())).await.unwrap();
    assert_eq!(described(definitions.as_ref()).await, revision(2, "ns/demo"));
}

pub(super) async fn a_missing_revision_is_not_found(arm: &dyn Arm) {
    let definitions = aws(arm).task_definitions;
    let missing = || {
        refusal(
            AwsErrorClass::NotFound,
            "DeleteTaskDefinitions",
            &revision_arn(1),
            "ResourceNotFoundException",
            "MISSING",
        )
    };
    assert_refused(definitions.delete_task_definition(&revision_arn(1)).await, missing());
    let message = "The specified task definition does not exist. Specify a valid account, family, revision and try again.";
    assert_refused(
        definitions.deregister_task_definition(&revision_arn(1)).await,
        refusal(
            AwsErrorClass::NotFound,
            "DeregisterTaskDefinition",
            &revision_arn(1),
            "ClientException",
            message,
        ),
    );
    assert_eq!(definitions.fetch_inactive_task_definitions(FAMILY).await.unwrap(), [""; 0]);

    definitions.register_task_definition(&a_definition(arm.now())).await.unwrap();
    definitions.deregister_task_definition(&revision_arn(1)).await.unwrap();
    definitions.delete_task_definition(&revision_arn(1)).await.unwrap();
    // ECS deletes it some time after the call.
    wait_until(arm, "the revision is deleted", async || {
        match definitions.delete_task_definition(&revision_arn(1)).await {
            Ok(()) => false,
            Err(error) => {
                assert_eq!(error, missing());
                true
            }
        }
    })
    .await;
}

pub(super) async fn sizes_timeouts_and_families_follow_the_rules(arm: &dyn Arm) {
    let definitions = aws(arm).task_definitions;
    let valid = a_definition(arm.now());
    let sized = |cpu, memory_mib| NewTaskDefinition { cpu, memory_mib, ..valid.clone() };
    let stopping_after =
        |seconds| NewTaskDefinition { stop_timeout: Duration::from_secs(seconds), ..valid.clone() };
    let named = |family: String| NewTaskDefinition { family, ..valid.clone() };
    let size = "No Fargate configuration exists for given values.";
    let timeout =
        "Invalid 'stopTimeout' setting for container 'generator': it must be between 0 and 120 seconds";
    let family = "Family should not be null or empty and can only contain up to 255 letters, numbers, hyphens, and underscores.";
    for (definition, message) in [
        (sized(256, 1_536), size),
        (sized(256, 4_096), size),
        (sized(300, 1_024), size),
        (sized(8_192, 17_408), size),
        (stopping_after(121), timeout),
        (named("a b".to_owned()), family),
        (named("a".repeat(256)), family),
    ] {
        let (class, operation) = (AwsErrorClass::Invalid, "RegisterTaskDefinition");
        let expected = refusal(class, operation, &definition.family, "ClientException", message);
        assert_refused(definitions.register_task_definition(&definition).await, expected);
    }
    // Both arms have a table of the sizes. The edges of every row hold them together.
    for (cpu, least, most) in [
        (256, 512, 2_048),
        (512, 1_024, 4_096),
        (1_024, 2_048, 8_192),
        (2_048, 4_096, 16_384),
        (4_096, 8_192, 30_720),
        (8_192, 16_384, 61_440),
        (16_384, 32_768, 122_880),
    ] {
        // AWS limits the calls per second.
        arm.let_time_pass(Duration::from_secs(60)).await;
        for memory_mib in [least, most] {
            definitions.register_task_definition(&sized(cpu, memory_mib)).await.unwrap();
        }
        for memory_mib in [least / 2, least + 256, most * 2] {
            let error = definitions.register_task_definition(&sized(cpu, memory_mib)).await.unwrap_err();
            let expected = refusal(
                AwsErrorClass::Invalid,
                "RegisterTaskDefinition",
                &valid.family,
                "ClientException",
                size,
            );
            assert_eq!(error, expected, "{cpu}, {memory_mib}");
        }
    }
    for definition in [sized(256, 2_048), sized(8_192, 20_480), stopping_after(120), named("a".repeat(255))] {
        definitions.register_task_definition(&definition).await.unwrap();
    }
}
