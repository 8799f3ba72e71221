//! Application Auto Scaling against the modelled ECS, time moved by hand.

use jiff::SignedDuration;

use super::*;
use crate::ecs::{EcsSettings, TaskRules};
use crate::logs::Logs;

const RESOURCE: &str = "service/demo/generators";

struct World {
    scaling: Arc<Scaling>,
    ecs: Arc<Ecs>,
    clock: ModelClock,
}

impl World {
    async fn with_service(desired: u32) -> Self {
        let clock = ModelClock::manual(10);
        let settings = EcsSettings {
            account: "000000000000".into(),
            clusters: vec!["demo".into()],
            seed: 1,
            vcpu_quota: 10,
            rules: TaskRules::default(),
        };
        let ecs = Ecs::new(clock.clone(), settings, Arc::new(Logs::new(clock.clone())));
        let world = Self { scaling: Scaling::new(clock.clone(), ecs.clone()), ecs, clock };
        let definition = json!({
            "family": "f", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
            "containerDefinitions": [{"name": "c", "image": "i"}],
        });
        world.send(world.ecs.as_ref(), "RegisterTaskDefinition", definition).await.unwrap();
        let service = json!({
            "cluster": "demo", "serviceName": "generators", "taskDefinition": "f", "desiredCount": desired, "launchType": "FARGATE",
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
        });
        world.send(world.ecs.as_ref(), "CreateService", service).await.unwrap();
        world
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
    let world = World::with_service(7).await;
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
    let world = World::with_service(0).await;
    let unbounded = world.call("RegisterScalableTarget", json!({})).await.unwrap_err();
    assert_eq!(unbounded.code, "ValidationException");
    let bounds = json!({"MinCapacity": 0, "MaxCapacity": 1, "ResourceId": "service/demo/none"});
    let missing = world.call("RegisterScalableTarget", bounds).await.unwrap_err();
    assert_eq!(missing.message, "ECS service doesn't exist: service/demo/none");
}

#[tokio::test]
async fn a_scheduled_action_stops_the_service_at_its_instant_on_the_callers_clock_and_only_once() {
    let world = World::with_service(4).await;
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
    let world = World::with_service(0).await;
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
    let world = World::with_service(0).await;
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
