//! Stored runs, played without a cluster. In: a file with one or more `KinesisDemoRun`s, a speed.
//! Out: the runs as they were at an instant. Reads the file.
//!
//! The file is untrusted: it may come from anyone. Whatever it has is bounded here and is text to
//! the page. All runs are moved so that their traffic begins together.

mod cut;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use kinesis_demo_api::run_record::{MOST_GAPS, MOST_MARKS, MOST_POINTS};
use kinesis_demo_api::{KinesisDemoRun, MicroTime};
use serde::Deserialize;

use super::view::{Choice, ListView, MOST_SHOWN, RunView, View};
use crate::error::CliError;
use crate::render::number::grouped;
use crate::runs::{is_run, objects_in, read_at_most};
use cut::{cut, span, starts_at};

/// The largest file.
const MOST_BYTES: u64 = 8 * 1024 * 1024;
/// The most runs in a file.
const MOST_RUNS: usize = 50;
/// The most phases of a run.
const MOST_PHASES: usize = 100;
/// How long before the traffic a replay begins.
const LEAD: Duration = Duration::from_secs(3);

/// A replay that has begun.
pub struct Replay {
    /// The runs as they were stored, moved in time.
    runs: Vec<KinesisDemoRun>,
    speed: u32,
    /// When it began, by the clock of this machine.
    began_at: Timestamp,
    /// What was then: shortly before the earliest run began.
    from: MicroTime,
    until: MicroTime,
}

impl Replay {
    /// Reads a file and begins to play it.
    pub fn open(path: &Path, speed: u32, now: Timestamp) -> Result<Self, CliError> {
        let refused = |reason: String| CliError::Manifest { path: path.to_path_buf(), reason };
        let failed = |source| CliError::File { path: PathBuf::from(path), source };
        let file = File::open(path).map_err(failed)?;
        let Some(text) = read_at_most(file, MOST_BYTES).map_err(failed)? else {
            let most = MOST_BYTES >> 20;
            return Err(refused(format!("the file has more than {most} MiB; a replay has at most that")));
        };
        Self::of(runs_in(&text).map_err(refused)?, speed, now).map_err(refused)
    }

    /// Begins to play these runs.
    fn of(runs: Vec<KinesisDemoRun>, speed: u32, now: Timestamp) -> Result<Self, String> {
        for run in &runs {
            check(run)?;
        }
        let runs = cut::together(runs);
        let from = runs.iter().map(|run| span(run).0).min().ok_or("the file has no run")?;
        let until = runs.iter().map(|run| span(run).1).max().unwrap_or(from);
        // Long waits before the traffic are skipped: what is worth seeing begins with it.
        let traffic = runs.iter().filter_map(starts_at).min().map(|at| at - LEAD);
        let from = traffic.map_or(from, |traffic| traffic.max(from));
        Ok(Self { runs, speed, began_at: now, from, until })
    }

    /// Where the replay is: it stays at the end of its last run.
    fn at(&self, now: Timestamp) -> MicroTime {
        let elapsed = MicroTime::from(now).since(MicroTime::from(self.began_at));
        (self.from + elapsed.saturating_mul(self.speed)).min(self.until)
    }

    /// What the page begins with.
    #[must_use]
    pub fn choices(&self) -> Vec<Choice> {
        match self.runs.len() {
            0..=MOST_SHOWN => (0..self.runs.len()).map(|index| Choice::Run(key(index))).collect(),
            _ => Vec::new(),
        }
    }

    /// The chosen runs as they were.
    #[must_use]
    pub fn view(&self, choices: &[Choice], now: Timestamp) -> View {
        let at = self.at(now);
        let runs = choices.iter().map(|choice| {
            let found = self.runs.iter().enumerate().find(|(index, run)| match choice {
                Choice::Run(name) => key(*index) == *name || run.metadata.name.as_deref() == Some(name),
                Choice::Demo(name) => run.spec.demo == *name,
            });
            match (found, choice) {
                (Some((_, run)), _) => {
                    RunView { name: run.spec.demo.clone(), run: Some(cut(run, at)), ..RunView::default() }
                }
                (None, Choice::Demo(name) | Choice::Run(name)) => RunView {
                    name: name.clone(),
                    message: Some("The file has no such run.".into()),
                    ..RunView::default()
                },
            }
        });
        View { now: at, speed: self.speed_at(at), messages: self.messages(), runs: runs.collect() }
    }

    /// All runs of the file.
    #[must_use]
    pub fn list(&self, now: Timestamp) -> ListView {
        let at = self.at(now);
        let named = self.runs.iter().enumerate().map(|(index, run)| {
            let mut run = cut(run, at);
            run.metadata.name = Some(key(index));
            run
        });
        ListView {
            now: at,
            speed: self.speed_at(at),
            messages: self.messages(),
            demos: None,
            runs: named.collect(),
        }
    }

    fn messages(&self) -> Vec<String> {
        vec![match self.speed {
            1 => "This is a replay of stored runs.".to_owned(),
            speed => format!("This is a replay of stored runs, {} times as fast.", grouped(speed.into())),
        }]
    }

    /// Zero once the replay has ended: then its clock does not move.
    fn speed_at(&self, at: MicroTime) -> u32 {
        if at >= self.until { 0 } else { self.speed }
    }
}

/// The address of a run: two of a file may have one name.
fn key(index: usize) -> String {
    format!("{}", index + 1)
}

/// The runs of a JSON or YAML text. It has nothing else.
fn runs_in(text: &str) -> Result<Vec<KinesisDemoRun>, String> {
    let mut runs = Vec::new();
    for object in objects_in(text)? {
        if !is_run(&object) {
            return Err("expected objects of kind KinesisDemoRun (`kubectl get kdr NAME -o yaml`)".into());
        }
        runs.push(
            KinesisDemoRun::deserialize(object).map_err(|error| format!("not a KinesisDemoRun: {error}"))?,
        );
    }
    match runs.len() {
        0 => Err("the file has no KinesisDemoRun".into()),
        found if found > MOST_RUNS => {
            Err(format!("the file has {found} runs; a replay has at most {MOST_RUNS}"))
        }
        _ => Ok(runs),
    }
}

/// The limits that the API server would have enforced.
fn check(run: &KinesisDemoRun) -> Result<(), String> {
    let name = run.metadata.name.as_deref().unwrap_or_default();
    let status = run.status.as_ref().ok_or_else(|| format!("the run {name} has no status"))?;
    let points = status.traffic.as_ref().map_or(0, |columns| columns.from_ms.len());
    for (found, most, what) in [
        (points, MOST_POINTS, "points"),
        (status.capacity.len(), MOST_POINTS, "steps"),
        (status.marks.len(), MOST_MARKS, "marks"),
        (status.gaps.len(), MOST_GAPS, "gaps"),
        (status.phases.len(), MOST_PHASES, "phases"),
    ] {
        if found > most {
            return Err(format!("the run {name} has {found} {what}; a run has at most {most}"));
        }
    }
    Ok(())
}
