//! A small AWS with one stack, for the verbs' tests. It keeps what it was told and what was asked of it; what happens to the stack is a script,
//! of which one step passes whenever the stack is looked at by its ID.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;

use super::stack::{FOUNDATION_TAG, Stack, StackEvent, VALUES_OUTPUT};
use super::{FoundationResult, Services, Site, Stacks, Update, Wanted};

pub const STACK_ID: &str = "arn:aws:cloudformation:us-east-1:111122223333:stack/kinesis-demo/1";

/// What happens between two looks.
pub struct Step {
    status: Option<&'static str>,
    events: Vec<StackEvent>,
}

impl Step {
    pub fn quiet() -> Self {
        Self::of(Vec::new())
    }

    pub fn of(events: Vec<StackEvent>) -> Self {
        Self { status: None, events }
    }

    pub fn to(status: &'static str, events: Vec<StackEvent>) -> Self {
        Self { status: Some(status), events }
    }
}

#[derive(Default)]
struct FakeStacks {
    stack: Option<Stack>,
    events: Vec<StackEvent>,
    script: VecDeque<Step>,
    nothing_to_change: bool,
    invalid: Vec<String>,
    has_cluster: bool,
    live: Vec<String>,
    calls: Vec<&'static str>,
    changes: Vec<(String, Wanted)>,
    told: Vec<String>,
}

#[derive(Default)]
pub struct Cloud(Mutex<FakeStacks>);

impl Cloud {
    pub fn with_stack(status: &str) -> Self {
        let cloud = Self::default();
        cloud.0.lock().unwrap().stack = Some(stack(status));
        cloud
    }

    pub fn edit(&self, change: impl FnOnce(&mut Stack)) {
        change(self.0.lock().unwrap().stack.as_mut().unwrap());
    }

    /// An event of the past. Returns its ID.
    pub fn happened(&self, event: StackEvent) -> String {
        self.0.lock().unwrap().record(event)
    }

    pub fn will(&self, steps: Vec<Step>) {
        self.0.lock().unwrap().script.extend(steps);
    }

    pub fn has_nothing_to_change(&self) {
        self.0.lock().unwrap().nothing_to_change = true;
    }

    /// What CloudFormation's validation finds wrong.
    pub fn is_invalid(&self, found: &str) {
        self.0.lock().unwrap().invalid.push(found.into());
    }

    /// The stack's cluster, and what lives in it.
    pub fn has_cluster(&self, live: &[&str]) {
        let mut world = self.0.lock().unwrap();
        world.has_cluster = true;
        world.live = live.iter().map(|&one| one.to_owned()).collect();
    }

    /// Every write, with what was wanted.
    pub fn changes(&self) -> Vec<(String, Wanted)> {
        self.0.lock().unwrap().changes.clone()
    }

    pub fn calls(&self, name: &str) -> usize {
        self.0.lock().unwrap().calls.iter().filter(|call| **call == name).count()
    }

    pub fn told(&self) -> Vec<String> {
        self.0.lock().unwrap().told.clone()
    }

    /// Does something about the stack kinesis-demo.
    pub async fn visit<T>(&self, what: impl AsyncFnOnce(&Site<'_>) -> T) -> T {
        let tell = |line: &str| self.0.lock().unwrap().told.push(line.to_owned());
        let site = Site {
            stacks: self,
            account: "111122223333".into(),
            region: "us-east-1".into(),
            stack_name: "kinesis-demo".into(),
            flags: String::new(),
            tell: &tell,
        };
        what(&site).await
    }
}

impl FakeStacks {
    fn record(&mut self, event: StackEvent) -> String {
        let id = format!("event-{}", self.events.len());
        self.events.push(StackEvent { id: id.clone(), ..event });
        id
    }

    fn pass(&mut self) {
        let Some(Step { status, events }) = self.script.pop_front() else { return };
        for event in events {
            self.record(event);
        }
        if let (Some(status), Some(stack)) = (status, &mut self.stack) {
            stack.status = status.into();
        }
    }
}

#[async_trait]
impl Stacks for Cloud {
    async fn fetch(&self, name_or_id: &str) -> FoundationResult<Option<Stack>> {
        let mut world = self.0.lock().unwrap();
        world.calls.push("fetch");
        if name_or_id == STACK_ID {
            world.pass();
            return Ok(world.stack.clone());
        }
        // By its name, a stack that is gone is not found.
        let found = world.stack.clone().filter(|stack| stack.name == name_or_id);
        Ok(found.filter(|stack| stack.status != "DELETE_COMPLETE"))
    }

    async fn fetch_events(&self, stack_id: &str, after: Option<&str>) -> FoundationResult<Vec<StackEvent>> {
        assert_eq!(stack_id, STACK_ID);
        let world = self.0.lock().unwrap();
        let known = after.and_then(|id| world.events.iter().position(|event| event.id == id));
        Ok(world.events[known.map_or(0, |at| at + 1)..].to_vec())
    }

    async fn fetch_invalid(&self, stack_id: &str) -> FoundationResult<Vec<String>> {
        assert_eq!(stack_id, STACK_ID);
        Ok(self.0.lock().unwrap().invalid.clone())
    }

    async fn fetch_cluster(&self, _: &str) -> FoundationResult<Option<String>> {
        Ok(self.0.lock().unwrap().has_cluster.then(|| "kinesis-demo".into()))
    }

    async fn create(&self, name: &str, wanted: &Wanted) -> FoundationResult<String> {
        let mut world = self.0.lock().unwrap();
        world.changes.push((format!("create {name}"), wanted.clone()));
        world.stack = Some(stack("CREATE_IN_PROGRESS"));
        Ok(STACK_ID.into())
    }

    async fn update(&self, stack_id: &str, wanted: &Wanted) -> FoundationResult<Update> {
        let mut world = self.0.lock().unwrap();
        world.changes.push((format!("update {stack_id}"), wanted.clone()));
        Ok(if world.nothing_to_change { Update::NothingToChange } else { Update::Begun })
    }

    async fn delete(&self, stack_id: &str) -> FoundationResult<()> {
        self.0.lock().unwrap().changes.push((format!("delete {stack_id}"), Wanted::default()));
        Ok(())
    }
}

#[async_trait]
impl Services for Cloud {
    async fn fetch_live(&self, cluster: &str) -> FoundationResult<Vec<String>> {
        assert_eq!(cluster, "kinesis-demo");
        Ok(self.0.lock().unwrap().live.clone())
    }
}

fn stack(status: &str) -> Stack {
    Stack {
        name: "kinesis-demo".into(),
        id: STACK_ID.into(),
        status: status.into(),
        tags: [(FOUNDATION_TAG.to_owned(), "kinesis-demo".to_owned())].into(),
        outputs: [(VALUES_OUTPUT.to_owned(), "image: {}\n".to_owned())].into(),
        ..Stack::default()
    }
}

pub fn event(logical_id: &str, type_: &str, status: &str, reason: Option<&str>) -> StackEvent {
    StackEvent {
        id: "unrecorded".into(),
        at: "2026-11-23T10:00:00Z".parse().unwrap(),
        logical_id: logical_id.into(),
        physical_id: Some(format!("the-{logical_id}")),
        type_: type_.into(),
        status: status.into(),
        reason: reason.map(Into::into),
    }
}

/// An event of the stack as a whole.
pub fn stack_event(status: &str, reason: Option<&str>) -> StackEvent {
    let event = event("kinesis-demo", "AWS::CloudFormation::Stack", status, reason);
    StackEvent { physical_id: Some(STACK_ID.into()), ..event }
}
