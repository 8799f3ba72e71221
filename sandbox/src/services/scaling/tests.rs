//! Application Auto Scaling against the modelled ECS, time moved by hand.

use jiff::SignedDuration;

use super::*;
use crate::services::ecs::{EcsSettings, TaskRules};
use crate::services::logs::Logs;

const RESOURCE: &str = "service/demo/generators";

struct Harness {
    scaling: Arc<Scaling>,
    ecs: Arc<Ecs>,
    clock: ModelClock,
}

impl Harness {
    /// A service that has been there for a second.
    async fn with_service(desired: u32) -> Self {
        let world = Self::new(false);
        world.create_service(desired).await.unwrap();
        world.pass_millis(1_000);
        world
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

    /// Lets so much time pass on the callers' clock.
    fn pass_millis(&self, millis: u64) {
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

    /// `at(…)` so many seconds ahead on the callers' clock, and that instant.
    fn at(&self, seconds: i64) -> (String, Timestamp) {
        let due = self.clock.moment().wall + SignedDuration::from_secs(seconds);
        let due = Timestamp::from_second(due.as_second()).unwrap();
        (format!("at({})", due.strftime("%Y-%m-%dT%H:%M:%S")), due)
    }
}

#[tokio::test]
async fn registering_brings_the_desired_count_into_the_bounds() {
    let world = Harness::with_service(7).await;
    world.call("RegisterScalableTarget", json!({"MinCapacity": 0, "MaxCapacity": 5})).await.unwrap();
    assert_eq!(world.desired(), 5);
    world.call("RegisterScalableTarget", json!({"MinCapacity": 2, "MaxCapacity": 9})).await.unwrap();
    assert_eq!(world.desired(), 5);
    let described = world
        .send(world.scaling.as_ref(), "DescribeScalableTargets", json!({"ServiceNamespace": "ecs"}))
        .await
        .unwrap();
    let target = &described["ScalableTargets"][0];
    assert_eq!((&target["MinCapacity"], &target["MaxCapacity"]), (&json!(2), &json!(9)));
    let activities = world.call("DescribeScalingActivities", json!({})).await.unwrap();
    assert_eq!(activities["ScalingActivities"][0]["Description"], "Setting desired count to 5.");
}

#[tokio::test]
async fn the_first_registration_needs_bounds_and_a_service() {
    let world = Harness::with_service(0).await;
    let unbounded = world.call("RegisterScalableTarget", json!({})).await.unwrap_err();
    assert_eq!(unbounded.code, "ValidationException");
    let bounds = json!({"MinCapacity": 0, "MaxCapacity": 1, "ResourceId": "service/demo/none"});
    let missing = world.call("RegisterScalableTarget", bounds).await.unwrap_err();
    assert_eq!(missing.message, "ECS service doesn't exist: service/demo/none");
}

#[tokio::test]
async fn a_scheduled_action_stops_the_service_at_its_instant_on_the_callers_clock_and_only_once() {
    let world = Harness::with_service(4).await;
    world.call("RegisterScalableTarget", json!({"MinCapacity": 0, "MaxCapacity": 50})).await.unwrap();
    let (schedule, due) = world.at(600);
    let action = json!({"ScheduledActionName": "ceiling", "Schedule": schedule, "ScalableTargetAction": {"MinCapacity": 0, "MaxCapacity": 0}});
    world.call("PutScheduledAction", action).await.unwrap();
    world.scaling.fire_due(due - SignedDuration::from_millis(1));
    assert_eq!(world.desired(), 4);
    world.scaling.fire_due(due);
    assert_eq!(world.desired(), 0);
    // What is raised by hand afterwards stays: the action is over.
    world.ecs.set_desired_count("us-east-1", "demo", "generators", 3);
    world.scaling.fire_due(due + SignedDuration::from_secs(60));
    assert_eq!(world.desired(), 3);
}

#[tokio::test]
async fn scheduled_actions_need_a_target_a_future_and_a_change() {
    let world = Harness::with_service(0).await;
    let (schedule, _) = world.at(600);
    let action =
        json!({"ScheduledActionName": "a", "Schedule": schedule, "ScalableTargetAction": {"MaxCapacity": 0}});
    let early = world.call("PutScheduledAction", action.clone()).await.unwrap_err();
    assert_eq!(early.code, "ObjectNotFoundException");
    world.call("RegisterScalableTarget", json!({"MinCapacity": 0, "MaxCapacity": 5})).await.unwrap();
    world.call("PutScheduledAction", action.clone()).await.unwrap();
    for (member, value) in
        [("Schedule", json!("at(2020-01-01T00:00:00)")), ("ScheduledActionName", json!("a:b"))]
    {
        let mut bad = action.clone();
        bad[member] = value;
        assert_eq!(world.call("PutScheduledAction", bad).await.unwrap_err().code, "ValidationException");
    }
}

#[tokio::test]
async fn deregistering_takes_the_actions_along() {
    let world = Harness::with_service(0).await;
    world.call("RegisterScalableTarget", json!({"MinCapacity": 0, "MaxCapacity": 5})).await.unwrap();
    let (schedule, _) = world.at(600);
    let action =
        json!({"ScheduledActionName": "a", "Schedule": schedule, "ScalableTargetAction": {"MaxCapacity": 0}});
    world.call("PutScheduledAction", action).await.unwrap();
    world.call("DeregisterScalableTarget", json!({})).await.unwrap();
    let actions = world.call("DescribeScheduledActions", json!({})).await.unwrap();
    assert_eq!(actions, json!({"ScheduledActions": []}));
    let again = world.call("DeregisterScalableTarget", json!({})).await.unwrap_err();
    assert_eq!(again.code, "ObjectNotFoundException");
    let gone = world.call("DeleteScheduledAction", json!({"ScheduledActionName": "a"})).await.unwrap_err();
    assert_eq!(gone.code, "ObjectNotFoundException");
}

/// After how many milliseconds on the callers' clock `call` succeeds; until then it answers `refusal`.
async fn succeeds_after(
    world: &Harness,
    refusal: AwsError,
    call: impl AsyncFn(&Harness) -> Result<Value, AwsError>,
) -> u64 {
    for step in 0.. {
        match call(world).await {
            Ok(_) => return step * 25,
            Err(error) => assert_eq!(error, refusal),
        }
        world.pass_millis(25);
    }
    unreachable!("the steps end with a success")
}

#[tokio::test]
async fn scaling_sees_a_new_service_late_by_the_callers_clock() {
    let mut lags = Vec::new();
    for _ in 0..2 {
        let world = Harness::new(false);
        world.create_service(1).await.unwrap();
        let refusal = AwsError::client(REFUSAL, format!("ECS service doesn't exist: {RESOURCE}"));
        let lag = succeeds_after(&world, refusal, Harness::register).await;
        assert!((100..=925).contains(&lag), "{lag}");
        lags.push(lag);
        world.put_action().await.unwrap();
    }
    assert_eq!(lags[0], lags[1], "one seed, one lag");
}

#[tokio::test]
async fn a_service_that_is_being_deleted_is_not_seen() {
    let world = Harness::with_service(0).await;
    let named = json!({"cluster": "demo", "service": "generators"});
    world.send(world.ecs.as_ref(), "DeleteService", named).await.unwrap();
    assert!(world.register().await.unwrap_err().message.starts_with("ECS service doesn't exist"));
}

#[tokio::test]
async fn a_fresh_account_makes_its_roles_at_the_first_calls_that_need_them() {
    let world = Harness::new(true);
    let refused = world.create_service(1).await.unwrap_err();
    let words =
        "Unable to assume the service linked role. Please verify that the ECS service linked role exists.";
    assert_eq!(refused, AwsError::client("InvalidParameterException", words));
    world.create_service(1).await.unwrap();
    // Application Auto Scaling has a role of its own, and looks at ECS only with it.
    let words = "Unable to assume IAM role: arn:aws:iam::000000000000:role/aws-service-role/\
         ecs.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_ECSService";
    assert_eq!(world.register().await.unwrap_err(), AwsError::client(REFUSAL, words));
    let missing = world.register().await.unwrap_err();
    assert_eq!(missing.message, format!("ECS service doesn't exist: {RESOURCE}"));
    world.pass_millis(1_000);
    world.register().await.unwrap();
    let lag = succeeds_after(&world, no_target(RESOURCE), Harness::put_action).await;
    assert!((100..=925).contains(&lag), "{lag}");
    // What is there already is found at once.
    world.register().await.unwrap();
    world.put_action().await.unwrap();
}

#[tokio::test]
async fn a_call_that_is_refused_anyway_makes_no_role() {
    let world = Harness::new(true);
    let nameless = json!({"cluster": "demo", "serviceName": "a b"});
    let refused = world.send(world.ecs.as_ref(), "CreateService", nameless).await.unwrap_err();
    assert!(refused.message.starts_with("Service name"), "{refused}");
    let named = json!({"clusterName": "another"});
    let refused = world.send(world.ecs.as_ref(), "CreateCluster", named.clone()).await.unwrap_err();
    assert!(refused.message.starts_with("Unable to assume the service linked role"), "{refused}");
    world.send(world.ecs.as_ref(), "CreateCluster", named).await.unwrap();
    world.create_service(1).await.unwrap();
}

#[tokio::test]
async fn descriptions_are_restricted_to_a_dimension_only_with_a_resource() {
    let world = Harness::with_service(0).await;
    world.register().await.unwrap();
    let describe = async |members: Value| {
        let mut input = json!({"ServiceNamespace": "ecs"});
        input.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let answer = world.send(world.scaling.as_ref(), "DescribeScalableTargets", input).await?;
        Ok::<_, AwsError>(answer["ScalableTargets"].as_array().unwrap().len())
    };
    assert_eq!(describe(json!({"ResourceIds": [RESOURCE], "ScalableDimension": DIMENSION})).await, Ok(1));
    assert!(describe(json!({"ScalableDimension": DIMENSION})).await.is_err());
    let other = json!({"ResourceIds": [RESOURCE], "ScalableDimension": "dynamodb:table:ReadCapacityUnits"});
    assert!(describe(other).await.is_err());
    for operation in ["DescribeScheduledActions", "DescribeScalingActivities"] {
        let input = json!({"ServiceNamespace": "ecs", "ScalableDimension": DIMENSION});
        let refused = world.send(world.scaling.as_ref(), operation, input).await.unwrap_err();
        assert_eq!(refused.code, REFUSAL, "{operation}");
        world.call(operation, json!({})).await.unwrap();
    }
}
