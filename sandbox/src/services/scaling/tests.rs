//! Application Auto Scaling with the modelled ECS and a manual clock.

use jiff::SignedDuration;
use serde_json::json;

use super::errors::{INVALID_REQUEST, target_not_found};
use super::state::DIMENSION;
use super::*;
use crate::call::Caller;
use crate::services::ecs::{Ecs, EcsSettings, TaskRules};
use crate::services::logs::Logs;

const RESOURCE: &str = "service/demo/generators";

struct Harness {
    scaling: Arc<Scaling>,
    ecs: Arc<Ecs>,
    clock: ModelClock,
}

impl Harness {
    /// A service that was created a second ago.
    async fn with_service(desired: u32) -> Self {
        let harness = Self::new(false);
        harness.create_service(desired).await.unwrap();
        harness.advance_millis(1_000);
        harness
    }

    fn new(is_fresh_account: bool) -> Self {
        let clock = ModelClock::manual(10);
        let settings = EcsSettings {
            account: "000000000000".into(),
            clusters: vec!["demo".into()],
            seed: 1,
            vcpu_quota: 10,
            is_fresh_account,
            rules: TaskRules::default(),
        };
        let ecs = Ecs::new(clock.clone(), settings, Arc::new(Logs::new(clock.clone())));
        let scaling = Scaling::new(clock.clone(), ecs.clone(), is_fresh_account);
        Self { scaling, ecs, clock }
    }

    /// Advances the callers' clock.
    fn advance_millis(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
    }

    async fn create_service(&self, desired: u32) -> Result<Value, AwsError> {
        let definition = json!({
            "family": "f", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
            "containerDefinitions": [{"name": "c", "image": "i"}],
        });
        self.send(self.ecs.as_ref(), "RegisterTaskDefinition", definition).await?;
        let service = json!({
            "cluster": "demo", "serviceName": "generators", "taskDefinition": "f", "desiredCount": desired, "launchType": "FARGATE",
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
        });
        self.send(self.ecs.as_ref(), "CreateService", service).await
    }

    async fn register(&self) -> Result<Value, AwsError> {
        self.call("RegisterScalableTarget", json!({"MinCapacity": 0, "MaxCapacity": 5})).await
    }

    async fn put_action(&self) -> Result<Value, AwsError> {
        let (schedule, _) = self.at(600);
        let change = json!({"MaxCapacity": 0});
        let action =
            json!({"ScheduledActionName": "a", "Schedule": schedule, "ScalableTargetAction": change});
        self.call("PutScheduledAction", action).await
    }

    async fn send(&self, service: &dyn Service, operation: &str, input: Value) -> Result<Value, AwsError> {
        let caller = Caller { account: "000000000000".into(), region: "us-east-1".into() };
        service.call(Call { operation, input: &input, caller: &caller, now: self.clock.now() }).await
    }

    async fn call(&self, operation: &str, members: Value) -> Result<Value, AwsError> {
        let mut input =
            json!({"ServiceNamespace": "ecs", "ResourceId": RESOURCE, "ScalableDimension": DIMENSION});
        for (name, value) in members.as_object().unwrap() {
            input[name] = value.clone();
        }
        self.send(self.scaling.as_ref(), operation, input).await
    }

    fn desired(&self) -> u32 {
        self.ecs.desired_count("us-east-1", "demo", "generators").unwrap()
    }

    /// `at(…)` for an instant `seconds` ahead on the callers' clock, and that instant.
    fn at(&self, seconds: i64) -> (String, Timestamp) {
        let due = self.clock.moment().wall + SignedDuration::from_secs(seconds);
        let due = Timestamp::from_second(due.as_second()).unwrap();
        (format!("at({})", due.strftime("%Y-%m-%dT%H:%M:%S")), due)
    }
}

#[tokio::test]
async fn registering_enforces_the_bounds_on_the_desired_count() {
    let harness = Harness::with_service(7).await;
    harness.call("RegisterScalableTarget", json!({"MinCapacity": 0, "MaxCapacity": 5})).await.unwrap();
    assert_eq!(harness.desired(), 5);
    harness.call("RegisterScalableTarget", json!({"MinCapacity": 2, "MaxCapacity": 9})).await.unwrap();
    assert_eq!(harness.desired(), 5);
    let described = harness
        .send(harness.scaling.as_ref(), "DescribeScalableTargets", json!({"ServiceNamespace": "ecs"}))
        .await
        .unwrap();
    let target = &described["ScalableTargets"][0];
    assert_eq!((&target["MinCapacity"], &target["MaxCapacity"]), (&json!(2), &json!(9)));
    let activities = harness.call("DescribeScalingActivities", json!({})).await.unwrap();
    assert_eq!(activities["ScalingActivities"][0]["Description"], "Setting desired count to 5.");
}

#[tokio::test]
async fn the_first_registration_requires_bounds_and_a_service() {
    let harness = Harness::with_service(0).await;
    let unbounded = harness.call("RegisterScalableTarget", json!({})).await.unwrap_err();
    assert_eq!(unbounded.code, "ValidationException");
    let bounds = json!({"MinCapacity": 0, "MaxCapacity": 1, "ResourceId": "service/demo/none"});
    let missing = harness.call("RegisterScalableTarget", bounds).await.unwrap_err();
    assert_eq!(missing.message, "ECS service doesn't exist: service/demo/none");
}

#[tokio::test]
async fn a_scheduled_action_fires_once_when_due_in_real_time() {
    let harness = Harness::with_service(4).await;
    harness.call("RegisterScalableTarget", json!({"MinCapacity": 0, "MaxCapacity": 50})).await.unwrap();
    let (schedule, due) = harness.at(600);
    let action = json!({"ScheduledActionName": "scale-to-zero", "Schedule": schedule, "ScalableTargetAction": {"MinCapacity": 0, "MaxCapacity": 0}});
    harness.call("PutScheduledAction", action).await.unwrap();
    harness.scaling.fire_due(due - SignedDuration::from_millis(1));
    assert_eq!(harness.desired(), 4);
    harness.scaling.fire_due(due);
    assert_eq!(harness.desired(), 0);
    // A count raised by hand afterwards stays, because the action fires only once.
    harness.ecs.set_desired_count("us-east-1", "demo", "generators", 3);
    harness.scaling.fire_due(due + SignedDuration::from_secs(60));
    assert_eq!(harness.desired(), 3);
}

#[tokio::test]
async fn invalid_scheduled_actions_are_rejected() {
    let harness = Harness::with_service(0).await;
    let (schedule, _) = harness.at(600);
    let action =
        json!({"ScheduledActionName": "a", "Schedule": schedule, "ScalableTargetAction": {"MaxCapacity": 0}});
    let early = harness.call("PutScheduledAction", action.clone()).await.unwrap_err();
    assert_eq!(early.code, "ObjectNotFoundException");
    harness.call("RegisterScalableTarget", json!({"MinCapacity": 0, "MaxCapacity": 5})).await.unwrap();
    harness.call("PutScheduledAction", action.clone()).await.unwrap();
    for (member, value) in
        [("Schedule", json!("at(2020-01-01T00:00:00)")), ("ScheduledActionName", json!("a:b"))]
    {
        let mut bad = action.clone();
        bad[member] = value;
        assert_eq!(harness.call("PutScheduledAction", bad).await.unwrap_err().code, "ValidationException");
    }
}

#[tokio::test]
async fn deregistering_a_target_deletes_its_actions() {
    let harness = Harness::with_service(0).await;
    harness.call("RegisterScalableTarget", json!({"MinCapacity": 0, "MaxCapacity": 5})).await.unwrap();
    let (schedule, _) = harness.at(600);
    let action =
        json!({"ScheduledActionName": "a", "Schedule": schedule, "ScalableTargetAction": {"MaxCapacity": 0}});
    harness.call("PutScheduledAction", action).await.unwrap();
    harness.call("DeregisterScalableTarget", json!({})).await.unwrap();
    let actions = harness.call("DescribeScheduledActions", json!({})).await.unwrap();
    assert_eq!(actions, json!({"ScheduledActions": []}));
    let again = harness.call("DeregisterScalableTarget", json!({})).await.unwrap_err();
    assert_eq!(again.code, "ObjectNotFoundException");
    let missing_action =
        harness.call("DeleteScheduledAction", json!({"ScheduledActionName": "a"})).await.unwrap_err();
    assert_eq!(missing_action.code, "ObjectNotFoundException");
}

/// The time in milliseconds on the callers' clock after which `call` succeeds. Until then it must
/// return `expected`.
async fn succeeds_after(
    harness: &Harness,
    expected: AwsError,
    call: impl AsyncFn(&Harness) -> Result<Value, AwsError>,
) -> u64 {
    for step in 0.. {
        match call(harness).await {
            Ok(_) => return step * 25,
            Err(error) => assert_eq!(error, expected),
        }
        harness.advance_millis(25);
    }
    unreachable!("the loop ends only with a success")
}

#[tokio::test]
async fn scaling_sees_a_new_service_after_a_real_time_lag() {
    let mut lags = Vec::new();
    for _ in 0..2 {
        let harness = Harness::new(false);
        harness.create_service(1).await.unwrap();
        let expected = AwsError::client(INVALID_REQUEST, format!("ECS service doesn't exist: {RESOURCE}"));
        let lag = succeeds_after(&harness, expected, Harness::register).await;
        assert!((100..=925).contains(&lag), "{lag}");
        lags.push(lag);
        harness.put_action().await.unwrap();
    }
    assert_eq!(lags[0], lags[1], "the same seed gives the same lag");
}

#[tokio::test]
async fn a_service_being_deleted_cannot_be_registered() {
    let harness = Harness::with_service(0).await;
    let named = json!({"cluster": "demo", "service": "generators"});
    harness.send(harness.ecs.as_ref(), "DeleteService", named).await.unwrap();
    assert!(harness.register().await.unwrap_err().message.starts_with("ECS service doesn't exist"));
}

#[tokio::test]
async fn first_calls_in_a_new_account_create_roles_and_fail() {
    let harness = Harness::new(true);
    let rejected = harness.create_service(1).await.unwrap_err();
    let message =
        "Unable to assume the service linked role. Please verify that the ECS service linked role exists.";
    assert_eq!(rejected, AwsError::client("InvalidParameterException", message));
    harness.create_service(1).await.unwrap();
    // Application Auto Scaling has its own role, and checks ECS only once it exists.
    let message = "Unable to assume IAM role: arn:aws:iam::000000000000:role/aws-service-role/\
         ecs.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_ECSService";
    assert_eq!(harness.register().await.unwrap_err(), AwsError::client(INVALID_REQUEST, message));
    let missing = harness.register().await.unwrap_err();
    assert_eq!(missing.message, format!("ECS service doesn't exist: {RESOURCE}"));
    harness.advance_millis(1_000);
    harness.register().await.unwrap();
    let lag = succeeds_after(&harness, target_not_found(RESOURCE), Harness::put_action).await;
    assert!((100..=925).contains(&lag), "{lag}");
    // An existing target is found at once.
    harness.register().await.unwrap();
    harness.put_action().await.unwrap();
}

#[tokio::test]
async fn an_invalid_call_does_not_create_the_role() {
    let harness = Harness::new(true);
    let nameless = json!({"cluster": "demo", "serviceName": "a b"});
    let rejected = harness.send(harness.ecs.as_ref(), "CreateService", nameless).await.unwrap_err();
    assert!(rejected.message.starts_with("Service name"), "{rejected}");
    let named = json!({"clusterName": "another"});
    let rejected = harness.send(harness.ecs.as_ref(), "CreateCluster", named.clone()).await.unwrap_err();
    assert!(rejected.message.starts_with("Unable to assume the service linked role"), "{rejected}");
    harness.send(harness.ecs.as_ref(), "CreateCluster", named).await.unwrap();
    harness.create_service(1).await.unwrap();
}

#[tokio::test]
async fn filtering_by_dimension_requires_a_resource() {
    let harness = Harness::with_service(0).await;
    harness.register().await.unwrap();
    let describe = async |members: Value| {
        let mut input = json!({"ServiceNamespace": "ecs"});
        input.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let response = harness.send(harness.scaling.as_ref(), "DescribeScalableTargets", input).await?;
        Ok::<_, AwsError>(response["ScalableTargets"].as_array().unwrap().len())
    };
    assert_eq!(describe(json!({"ResourceIds": [RESOURCE], "ScalableDimension": DIMENSION})).await, Ok(1));
    assert!(describe(json!({"ScalableDimension": DIMENSION})).await.is_err());
    let other = json!({"ResourceIds": [RESOURCE], "ScalableDimension": "dynamodb:table:ReadCapacityUnits"});
    assert!(describe(other).await.is_err());
    for operation in ["DescribeScheduledActions", "DescribeScalingActivities"] {
        let input = json!({"ServiceNamespace": "ecs", "ScalableDimension": DIMENSION});
        let rejected = harness.send(harness.scaling.as_ref(), operation, input).await.unwrap_err();
        assert_eq!(rejected.code, INVALID_REQUEST, "{operation}");
        harness.call(operation, json!({})).await.unwrap();
    }
}

#[test]
fn a_failed_activity_does_not_say_that_it_succeeded() {
    let activity = |succeeded| state::Activity {
        id: "id".into(),
        resource: RESOURCE.into(),
        cause: "because".into(),
        at: Timestamp::UNIX_EPOCH,
        desired: 3,
        succeeded,
    };
    let shown = |succeeded| {
        let view = view::activity(&activity(succeeded));
        (view["StatusCode"].clone(), view["StatusMessage"].clone())
    };
    let success = "Successfully set desired count to 3. Change successfully fulfilled by ecs.";
    assert_eq!(shown(true), (json!("Successful"), json!(success)));
    let failure = "Failed to set desired count to 3. The ECS service is not active.";
    assert_eq!(shown(false), (json!("Failed"), json!(failure)));
}
