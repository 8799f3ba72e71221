//! A fake AWS with one stack, for the tests of the commands. It records progress lines and
//! requests. A script defines what happens to the stack: each fetch of the stack by its ID executes
//! one step.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;

use super::context::{DesiredStack, Services, StackContext, Stacks, Update};
use super::error::FoundationResult;
use super::stack::{FOUNDATION_TAG, Stack, StackEvent, VALUES_OUTPUT};

pub const STACK_ID: &str = "arn:aws:cloudformation:us-east-1:111122223333:stack/kinesis-demo/1";

/// What happens between two fetches of the stack.
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
    changes: Vec<(String, DesiredStack)>,
    progress: Vec<String>,
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

    /// Adds a past event. Returns its ID.
    pub fn add_event(&self, event: StackEvent) -> String {
        self.0.lock().unwrap().record(event)
    }

    pub fn then(&self, steps: Vec<Step>) {
        self.0.lock().unwrap().script.extend(steps);
    }

    pub fn has_nothing_to_change(&self) {
        self.0.lock().unwrap().nothing_to_change = true;
    }

    /// Adds an error that CloudFormation's validation finds.
    pub fn is_invalid(&self, found: &str) {
        self.0.lock().unwrap().invalid.push(found.into());
    }

    /// Gives the stack a cluster with these active services and tasks.
    pub fn has_cluster(&self, live: &[&str]) {
        let mut state = self.0.lock().unwrap();
        state.has_cluster = true;
        state.live = live.iter().map(|&one| one.to_owned()).collect();
    }

    /// Every write, with the desired stack.
    pub fn changes(&self) -> Vec<(String, DesiredStack)> {
        self.0.lock().unwrap().changes.clone()
    }

    pub fn calls(&self, name: &str) -> usize {
        self.0.lock().unwrap().calls.iter().filter(|call| **call == name).count()
    }

    pub fn progress(&self) -> Vec<String> {
        self.0.lock().unwrap().progress.clone()
    }

    /// Calls `action` with a context for the stack kinesis-demo.
    pub async fn with_context<T>(&self, action: impl AsyncFnOnce(&StackContext<'_>) -> T) -> T {
        let progress = |line: &str| self.0.lock().unwrap().progress.push(line.to_owned());
        let context = StackContext {
            stacks: self,
            account: "111122223333".into(),
            region: "us-east-1".into(),
            stack_name: "kinesis-demo".into(),
            flags: String::new(),
            progress: &progress,
        };
        action(&context).await
    }
}

impl FakeStacks {
    fn record(&mut self, event: StackEvent) -> String {
        let id = format!("event-{}", self.events.len());
        self.events.push(StackEvent { id: id.clone(), ..event });
        id
    }

    fn advance(&mut self) {
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
        let mut state = self.0.lock().unwrap();
        state.calls.push("fetch");
        if name_or_id == STACK_ID {
            state.advance();
            return Ok(state.stack.clone());
        }
        // A deleted stack cannot be found by its name.
        let found = state.stack.clone().filter(|stack| stack.name == name_or_id);
        Ok(found.filter(|stack| stack.status != "DELETE_COMPLETE"))
    }

    async fn fetch_events(&self, stack_id: &str, after: Option<&str>) -> FoundationResult<Vec<StackEvent>> {
        assert_eq!(stack_id, STACK_ID);
        let state = self.0.lock().unwrap();
        let known = after.and_then(|id| state.events.iter().position(|event| event.id == id));
        Ok(state.events[known.map_or(0, |at| at + 1)..].to_vec())
    }

    async fn fetch_invalid(&self, stack_id: &str) -> FoundationResult<Vec<String>> {
        assert_eq!(stack_id, STACK_ID);
        Ok(self.0.lock().unwrap().invalid.clone())
    }

    async fn fetch_cluster(&self, _: &str) -> FoundationResult<Option<String>> {
        Ok(self.0.lock().unwrap().has_cluster.then(|| "kinesis-demo".into()))
    }

    async fn create(&self, name: &str, desired: &DesiredStack) -> FoundationResult<String> {
        let mut state = self.0.lock().unwrap();
        state.changes.push((format!("create {name}"), desired.clone()));
        state.stack = Some(stack("CREATE_IN_PROGRESS"));
        Ok(STACK_ID.into())
    }

    async fn update(&self, stack_id: &str, desired: &DesiredStack) -> FoundationResult<Update> {
        let mut state = self.0.lock().unwrap();
        state.changes.push((format!("update {stack_id}"), desired.clone()));
        Ok(if state.nothing_to_change { Update::NothingToChange } else { Update::Started })
    }

    async fn delete(&self, stack_id: &str) -> FoundationResult<()> {
        self.0.lock().unwrap().changes.push((format!("delete {stack_id}"), DesiredStack::default()));
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
