//! Which records are this task's to send, and when. In: control documents, the instants at which they were read, the time.
//! Out: how many records fell due since the last question, and what comes next. Pure. The generator obeys this gate, and so
//! does the operator's fake of it: what a scenario shows of a document holds for real tasks.
//!
//! The gate holds the version in force and those that follow it. It is open while that version's lease runs, the
//! last good read is younger than the read lease, and the deadline in the task's own settings has not passed. Whatever falls due while it is
//! closed, or while the task has no slot, belongs to nobody: it is not made up for.
//!
//! A reading vouches for the version read and for those before it only as far back as every version in between is known:
//! a task that holds version 5 and reads version 7 cannot tell whether version 6 counts already, so it obeys version 5 no
//! longer than the readings of 5 and 6 allow.

use std::sync::Arc;
use std::time::Duration;

use super::{ControlDocument, ControlState, Segment, TaskId};
use crate::MicroTime;
use crate::schedule::Share;
use crate::time::Now;

/// Records that fell due to this task within a stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueRecords {
    /// Epoch and version of the document that was in force.
    pub version: (u64, u64),
    /// What they are part of.
    pub segment: Segment,
    /// This task's share of it.
    pub share: Share,
    /// How many; never zero.
    pub count: u64,
    /// The first instant of the stretch.
    pub from: MicroTime,
    /// The first instant after it.
    pub until: MicroTime,
}

impl DueRecords {
    /// How many of the records fell due in [`from`, `until`).
    pub fn within(&self, from: MicroTime, until: MicroTime) -> u64 {
        let (from, until) = (from.max(self.from), until.min(self.until));
        if from >= until {
            return 0;
        }
        self.share.due(&self.segment.span, from, until, self.segment.cap_per_task)
    }
}

/// What a task was started with. No document changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskLimits {
    /// The run's number: another run's documents are not obeyed.
    pub run: u32,
    /// From here on nothing is sent, whatever a document says.
    pub deadline: MicroTime,
    /// The plan's highest rate, for all tasks together: a document that asks for more is not obeyed.
    pub max_records_per_second: u32,
    /// However long a document says that a good read allows sending: whoever forges one cannot make a task
    /// deaf to the next.
    pub longest_read_lease: Duration,
}

/// No operator asks for a longer read lease: three times the longest interval at which tasks read.
pub const LONGEST_READ_LEASE: Duration = Duration::from_secs(30);

/// No segment is part of a longer leg: the longest phase of a manifest lasts a day.
const LONGEST_SEGMENT: Duration = Duration::from_secs(30 * 86_400);

/// Why a document that parses is not obeyed: it asks for what this task's plan cannot ask for, so the plan's operator did
/// not write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeyondLimits {
    /// A segment's rate is above the plan's highest.
    #[error("it asks for {asked} records per second, the plan's highest rate is {allowed}")]
    Rate {
        /// The highest rate that it asks for.
        asked: u32,
        /// The plan's highest rate.
        allowed: u32,
    },
    /// Two segments ask for records at the same time: together they could exceed any rate.
    #[error("its segments are not in order: one begins at {begins}, the one before it ends at {ends}")]
    Overlap {
        /// When the one before ends.
        ends: MicroTime,
        /// When the next begins.
        begins: MicroTime,
    },
    /// A segment is part of a leg that no plan has.
    #[error("it has a segment of {asked:?}, no segment of a plan is longer than {LONGEST_SEGMENT:?}")]
    Length {
        /// How long the leg is.
        asked: Duration,
    },
}

impl TaskLimits {
    /// Whether every segment of `document` is one that the plan could have. What lies after the deadline is no reason to
    /// refuse: nothing is sent there anyhow.
    pub fn check(&self, document: &ControlDocument) -> Result<(), BeyondLimits> {
        let mut ends = None;
        for span in document.segments.iter().map(|segment| &segment.span) {
            let (asked, allowed) = (span.highest_rate(), self.max_records_per_second);
            if asked > allowed {
                return Err(BeyondLimits::Rate { asked, allowed });
            }
            if let Some(ends) = ends.filter(|ends| *ends > span.from) {
                return Err(BeyondLimits::Overlap { ends, begins: span.from });
            }
            let asked = span.whole_length().max(span.until.since(span.from));
            if asked > LONGEST_SEGMENT {
                return Err(BeyondLimits::Length { asked });
            }
            ends = Some(span.until.max(span.from));
        }
        Ok(())
    }
}

/// What a task does about a version that it has missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapRule {
    /// It obeys what it held no longer than the readings before the gap allow. The rule of every real task.
    Obey,
    /// It goes on with what it held. For tests that show what the rule prevents.
    Ignore,
}

/// What a document that was read did to the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A version that was not known.
    NewVersion,
    /// The newest version known, with a later end of its lease.
    Renewal,
    /// The document that is held already: a sign of life, nothing else.
    Unchanged,
    /// Older than the one held: as if it had not been read.
    Stale,
    /// Another run's: as if it had not been read.
    ForeignRun,
    /// It has the number of the version held, and says something else: as if it had not been read.
    Contradiction,
    /// It asks for more than the plan allows: as if it had not been read.
    BeyondLimits(BeyondLimits),
}

/// What the documents held mean for the time to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendState {
    /// Records of this phase are due to this task now.
    Sends {
        /// The phase.
        phase: String,
    },
    /// Nothing is due now; something will be, at this instant.
    Waits {
        /// When to look again.
        until: MicroTime,
    },
    /// Something would be due if the operator's lease or the last good read were younger.
    Lapsed,
    /// No document held will ever make this task send (again).
    Finished,
}

/// A document and what is known about it.
#[derive(Debug)]
struct HeldDocument {
    document: Arc<ControlDocument>,
    /// When the last reading began that vouches for the version.
    vouched_at: Duration,
    /// No version is missing between this one and the one held before it.
    unbroken: bool,
}

impl HeldDocument {
    /// Until when the version may be obeyed, as far as its readings go.
    fn read_lease_ends_at(&self, longest: Duration, now: Now) -> MicroTime {
        let ends = self.vouched_at + self.document.read_lease().min(longest);
        if ends >= now.running { now.wall + (ends - now.running) } else { now.wall - (now.running - ends) }
    }

    /// True if no version can lie between this one and `document`. Versions are counted through a run, whoever leads.
    fn is_followed_at_once_by(&self, document: &ControlDocument) -> bool {
        (self.document.version..=self.document.version.saturating_add(1)).contains(&document.version)
    }
}

/// Decides what is due to one task. See the module's description.
#[derive(Debug)]
pub struct Gate {
    task: TaskId,
    limits: TaskLimits,
    gap_rule: GapRule,
    /// In order; those before the last one that is effective are gone.
    versions: Vec<HeldDocument>,
    /// Up to here every record was handed out or let go.
    settled_until: MicroTime,
    /// Handed out by the next [`Gate::release`].
    collected: Vec<DueRecords>,
}

impl Gate {
    /// A gate without a document: closed.
    pub fn new(task: TaskId, limits: TaskLimits, now: Now) -> Self {
        Self::with_gap_rule(task, limits, GapRule::Obey, now)
    }

    /// A gate without a document that treats gaps between versions as `gap_rule` says.
    pub fn with_gap_rule(task: TaskId, limits: TaskLimits, gap_rule: GapRule, now: Now) -> Self {
        let settled_until = now.wall;
        Self { task, limits, gap_rule, versions: Vec::new(), settled_until, collected: Vec::new() }
    }

    /// Takes in a document. `read_at` is when its reading began (by the clock that never jumps): what was read cannot be
    /// younger than that.
    pub fn take(
        &mut self,
        document: impl Into<Arc<ControlDocument>>,
        read_at: Duration,
        now: Now,
    ) -> Reading {
        let document = document.into();
        // What fell due before the reading goes by what was known before it.
        self.collect(now);
        if document.run != self.limits.run {
            return Reading::ForeignRun;
        }
        if let Err(beyond) = self.limits.check(&document) {
            return Reading::BeyondLimits(beyond);
        }
        let Some(newest) = self.versions.last() else {
            self.versions.push(HeldDocument { document, vouched_at: read_at, unbroken: false });
            return Reading::NewVersion;
        };
        if document.order() < newest.document.order() {
            return Reading::Stale;
        }
        if document.is_renewal_of(&newest.document) && !document.agrees_with(&newest.document) {
            return Reading::Contradiction;
        }
        if document.order() == newest.document.order() {
            self.vouch(read_at);
            return Reading::Unchanged;
        }
        let is_renewal = document.is_renewal_of(&newest.document);
        let mut unbroken = self.gap_rule == GapRule::Ignore || newest.is_followed_at_once_by(&document);
        // `Stop` applies on reading: no earlier version counts any more, whenever this one becomes effective. A version
        // that would become effective only after a newer one never counts.
        let never_counts = |held: &HeldDocument| {
            document.state == ControlState::Stop || held.document.effective_at >= document.effective_at
        };
        for gone in self.versions.extract_if(.., |held| {
            never_counts(held) || (is_renewal && document.is_renewal_of(&held.document))
        }) {
            unbroken &= gone.unbroken;
        }
        self.versions.push(HeldDocument { document, vouched_at: read_at, unbroken });
        self.vouch(read_at);
        if is_renewal { Reading::Renewal } else { Reading::NewVersion }
    }

    /// Counts a good reading for every version that it vouches for.
    fn vouch(&mut self, read_at: Duration) {
        for held in self.versions.iter_mut().rev() {
            held.vouched_at = held.vouched_at.max(read_at);
            if !held.unbroken {
                break;
            }
        }
    }

    /// The records that fell due to this task since the last call.
    pub fn release(&mut self, now: Now) -> Vec<DueRecords> {
        self.collect(now);
        std::mem::take(&mut self.collected)
    }

    /// What the documents held mean from `now` on.
    pub fn send_state(&self, now: Now) -> SendState {
        let mut next: Option<(MicroTime, &str, &HeldDocument)> = None;
        for (held, counts_until) in self.held() {
            let document = &held.document;
            if document.state == ControlState::Stop || document.share_of(&self.task).is_none() {
                continue;
            }
            let from = document.effective_at.max(now.wall);
            let until = counts_until.min(document.ends_by).min(self.limits.deadline);
            for segment in document.segments.iter().filter(|segment| segment.span.highest_rate() > 0) {
                let starts_at = segment.span.from.max(from);
                if starts_at < segment.span.until.min(until) && next.is_none_or(|(at, ..)| starts_at < at) {
                    next = Some((starts_at, &segment.phase, held));
                }
            }
        }
        match next {
            None => SendState::Finished,
            Some((.., held)) if self.open_until(held, now) <= now.wall => SendState::Lapsed,
            Some((at, phase, _)) if at <= now.wall => SendState::Sends { phase: phase.to_owned() },
            Some((until, ..)) => SendState::Waits { until },
        }
    }

    /// This task's share while the document in force gives it a slot, whether or not anything is due.
    pub fn share(&self, now: Now) -> Option<Share> {
        self.held()
            .find(|(held, until)| held.document.effective_at <= now.wall && now.wall < *until)
            .and_then(|(held, _)| held.document.share_of(&self.task))
    }

    /// The newest document held.
    pub fn newest(&self) -> Option<&ControlDocument> {
        self.versions.last().map(|held| &*held.document)
    }

    /// The versions held, each with the instant at which the next one takes over.
    fn held(&self) -> impl Iterator<Item = (&HeldDocument, MicroTime)> {
        let never = MicroTime::from_micros(i64::MAX);
        let successors = self.versions.iter().skip(1).map(|later| later.document.effective_at).chain([never]);
        self.versions.iter().zip(successors)
    }

    /// Until when a version may be obeyed, as far as is known now. Its validity is its own: were it prolonged by a later
    /// version, one that has lapsed would send again until the later one counts, and the operator's books, which know that
    /// nothing was sent, would be wrong.
    fn open_until(&self, held: &HeldDocument, now: Now) -> MicroTime {
        let read_lease_ends_at = held.read_lease_ends_at(self.limits.longest_read_lease, now);
        read_lease_ends_at.min(held.document.valid_until).min(self.limits.deadline)
    }

    /// Hands out what fell due up to `now`, and lets go of the versions that no longer count.
    fn collect(&mut self, now: Now) {
        let since = self.settled_until;
        if now.wall <= since {
            // The wall clock was set back: what it shows again was settled already.
            return;
        }
        self.settled_until = now.wall;
        let mut due = Vec::new();
        for (held, counts_until) in self.held() {
            let document = &held.document;
            let Some(share) = document.share_of(&self.task) else { continue };
            let from = since.max(document.effective_at);
            let until = now.wall.min(self.open_until(held, now)).min(counts_until).min(document.ends_by);
            if document.state == ControlState::Stop || from >= until {
                continue;
            }
            for segment in &document.segments {
                let count = share.due(&segment.span, from, until, segment.cap_per_task);
                if count > 0 {
                    due.push(DueRecords {
                        version: (document.epoch, document.version),
                        segment: segment.clone(),
                        share,
                        count,
                        from: from.max(segment.span.from),
                        until: until.min(segment.span.until),
                    });
                }
            }
        }
        self.collected.append(&mut due);
        let in_force = self.versions.iter().rposition(|held| held.document.effective_at <= now.wall);
        self.versions.drain(..in_force.unwrap_or(0));
    }
}

#[cfg(test)]
#[path = "gate_properties.rs"]
mod properties;
#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
