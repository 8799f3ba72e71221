//! Which records a task must send, and when. In: control documents, the instants at which they were
//! read, the time. Out: how many records became due since the last call, and what comes next. Pure.
//! The generator uses this gate, and so does the operator's fake generator, so test scenarios apply
//! to real tasks.
//!
//! The gate stores the version in force and those that follow it. It is open while three conditions
//! hold: that version's lease is valid, the last successful read is younger than the read lease,
//! and the deadline in the task's own settings has not passed. Records that become due while the
//! gate is closed, or while the task has no slot, are not sent later.
//!
//! Reading a version confirms that version. It confirms an earlier version only if every version in
//! between is known. A task that has version 5 and reads version 7 cannot know whether version 6 is
//! already in effect. So it obeys version 5 no longer than its reads of versions 5 and 6 allow.

use std::sync::Arc;
use std::time::Duration;

use super::{ControlDocument, ControlState, Segment, TaskId};
use crate::MicroTime;
use crate::schedule::Share;
use crate::time::Now;

/// Records that became due to this task in an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueRecords {
    /// Epoch and version of the document that was in force.
    pub version: (u64, u64),
    /// The segment that they belong to.
    pub segment: Segment,
    /// This task's share of it.
    pub share: Share,
    /// How many; never zero.
    pub count: u64,
    /// The first instant of the interval.
    pub from: MicroTime,
    /// The first instant after it.
    pub until: MicroTime,
}

impl DueRecords {
    /// How many of the records became due in [`from`, `until`).
    pub fn within(&self, from: MicroTime, until: MicroTime) -> u64 {
        let (from, until) = (from.max(self.from), until.min(self.until));
        if from >= until {
            return 0;
        }
        self.share.due(&self.segment.span, from, until, self.segment.cap_per_task)
    }
}

/// The limits that a task was started with. No document changes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskLimits {
    /// The run's number. Documents of another run are not obeyed.
    pub run: u32,
    /// Nothing is sent from here on, whatever a document says.
    pub deadline: MicroTime,
    /// The plan's highest rate, for all tasks together. A document with a higher rate is not
    /// obeyed.
    pub max_records_per_second: u32,
    /// The maximum read lease, whatever a document says. So a forged document cannot keep a task
    /// from reading the next one.
    pub longest_read_lease: Duration,
}

/// The longest read lease that operators set: three times the longest interval at which tasks read.
pub const LONGEST_READ_LEASE: Duration = Duration::from_secs(30);

/// The maximum length of a segment that is obeyed. No plan exceeds it: the longest phase of a
/// manifest lasts a day.
const LONGEST_SEGMENT: Duration = Duration::from_secs(30 * 86_400);

/// Why a valid document is not obeyed: it exceeds what this task's plan allows, so the plan's
/// operator did not write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeyondLimits {
    /// A segment's rate is above the plan's highest.
    #[error("it requests {requested} records per second, the plan's highest rate is {allowed}")]
    Rate {
        /// The highest rate in the document.
        requested: u32,
        /// The plan's highest rate.
        allowed: u32,
    },
    /// Two segments overlap. Together they could exceed any rate.
    #[error(
        "its segments overlap or are not in order: one begins at {begins}, the one before it ends at {ends}"
    )]
    Overlap {
        /// When the previous segment ends.
        ends: MicroTime,
        /// When the next segment begins.
        begins: MicroTime,
    },
    /// A segment is longer than any plan's.
    #[error("it has a segment of {requested:?}, no segment of a plan is longer than {LONGEST_SEGMENT:?}")]
    Length {
        /// The length of the segment.
        requested: Duration,
    },
}

impl TaskLimits {
    /// Checks that the plan could have every segment of `document`. Segments after the deadline are
    /// allowed: nothing is sent then anyway.
    pub fn check(&self, document: &ControlDocument) -> Result<(), BeyondLimits> {
        let mut ends = None;
        for span in document.segments.iter().map(|segment| &segment.span) {
            let (requested, allowed) = (span.highest_rate(), self.max_records_per_second);
            if requested > allowed {
                return Err(BeyondLimits::Rate { requested, allowed });
            }
            if let Some(ends) = ends.filter(|ends| *ends > span.from) {
                return Err(BeyondLimits::Overlap { ends, begins: span.from });
            }
            let requested = span.whole_length().max(span.until.since(span.from));
            if requested > LONGEST_SEGMENT {
                return Err(BeyondLimits::Length { requested });
            }
            ends = Some(span.until.max(span.from));
        }
        Ok(())
    }
}

/// What a task does when it has missed a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapRule {
    /// It obeys the earlier version only as long as the reads before the gap allow. Every real task
    /// uses this.
    Obey,
    /// It continues with the earlier version. For tests that show what the rule prevents.
    Ignore,
}

/// The effect of a read document on the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A new version.
    NewVersion,
    /// The newest known version with an extended lease.
    Renewal,
    /// The newest known document, unchanged. It only renews the read lease.
    Unchanged,
    /// An older document than the newest known one. Ignored.
    Stale,
    /// A document of another run. Ignored.
    ForeignRun,
    /// The newest known version with different content. Ignored.
    Contradiction,
    /// A document that exceeds the plan. Ignored.
    BeyondLimits(BeyondLimits),
}

/// What the known documents mean from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendState {
    /// Records of this phase are due to this task now.
    Sends {
        /// The phase.
        phase: String,
    },
    /// Nothing is due now. Something will be at this instant.
    Waits {
        /// When to check again.
        until: MicroTime,
    },
    /// Records would be due, but the operator's lease or the read lease has expired.
    Lapsed,
    /// No known document will make this task send again.
    Finished,
}

/// A known document and the state of its reads.
#[derive(Debug)]
struct KnownVersion {
    document: Arc<ControlDocument>,
    /// When the last read that confirms the version began.
    confirmed_at: Duration,
    /// Whether no version is missing between this one and the previous known one.
    is_contiguous: bool,
}

impl KnownVersion {
    /// When the read lease of this version ends, by the wall clock.
    fn read_lease_ends_at(&self, longest: Duration, now: Now) -> MicroTime {
        let ends = self.confirmed_at + self.document.read_lease().min(longest);
        if ends >= now.running { now.wall + (ends - now.running) } else { now.wall - (now.running - ends) }
    }

    /// Whether no version can lie between this one and `document`. Version numbers increase through
    /// the whole run, across leaders.
    fn is_directly_followed_by(&self, document: &ControlDocument) -> bool {
        (self.document.version..=self.document.version.saturating_add(1)).contains(&document.version)
    }
}

/// Decides which records are due to one task. See the module's description.
#[derive(Debug)]
pub struct Gate {
    task: TaskId,
    limits: TaskLimits,
    gap_rule: GapRule,
    /// In order. Versions before the last effective one have been dropped.
    versions: Vec<KnownVersion>,
    /// Up to here every record was released or skipped.
    settled_until: MicroTime,
    /// Returned by the next [`Gate::release`].
    collected: Vec<DueRecords>,
}

impl Gate {
    /// Creates a gate without a document. It is closed.
    pub fn new(task: TaskId, limits: TaskLimits, now: Now) -> Self {
        Self::with_gap_rule(task, limits, GapRule::Obey, now)
    }

    /// Creates a gate without a document that handles missed versions by `gap_rule`.
    pub fn with_gap_rule(task: TaskId, limits: TaskLimits, gap_rule: GapRule, now: Now) -> Self {
        let settled_until = now.wall;
        Self { task, limits, gap_rule, versions: Vec::new(), settled_until, collected: Vec::new() }
    }

    /// Adds a document. `read_at` is when its read began, by the monotonic clock: the document is
    /// at least as new as that.
    pub fn take(
        &mut self,
        document: impl Into<Arc<ControlDocument>>,
        read_at: Duration,
        now: Now,
    ) -> Reading {
        let document = document.into();
        // Records due before the read are decided by the versions known before it.
        self.collect(now);
        if document.run != self.limits.run {
            return Reading::ForeignRun;
        }
        if let Err(beyond) = self.limits.check(&document) {
            return Reading::BeyondLimits(beyond);
        }
        let Some(newest) = self.versions.last() else {
            self.versions.push(KnownVersion { document, confirmed_at: read_at, is_contiguous: false });
            return Reading::NewVersion;
        };
        if document.order() < newest.document.order() {
            return Reading::Stale;
        }
        if document.is_renewal_of(&newest.document) && !document.agrees_with(&newest.document) {
            return Reading::Contradiction;
        }
        if document.order() == newest.document.order() {
            self.confirm(read_at);
            return Reading::Unchanged;
        }
        let is_renewal = document.is_renewal_of(&newest.document);
        let mut is_contiguous = self.gap_rule == GapRule::Ignore || newest.is_directly_followed_by(&document);
        // `Stop` applies as soon as it is read: it replaces every earlier version, whenever it
        // becomes effective. A version that would become effective no earlier than a newer one
        // never applies.
        let never_applies = |known: &KnownVersion| {
            document.state == ControlState::Stop || known.document.effective_at >= document.effective_at
        };
        for superseded in self.versions.extract_if(.., |known| {
            never_applies(known) || (is_renewal && document.is_renewal_of(&known.document))
        }) {
            is_contiguous &= superseded.is_contiguous;
        }
        self.versions.push(KnownVersion { document, confirmed_at: read_at, is_contiguous });
        self.confirm(read_at);
        if is_renewal { Reading::Renewal } else { Reading::NewVersion }
    }

    /// Applies a successful read to every version that it confirms.
    fn confirm(&mut self, read_at: Duration) {
        for known in self.versions.iter_mut().rev() {
            known.confirmed_at = known.confirmed_at.max(read_at);
            if !known.is_contiguous {
                break;
            }
        }
    }

    /// The records that became due to this task since the last call.
    pub fn release(&mut self, now: Now) -> Vec<DueRecords> {
        self.collect(now);
        std::mem::take(&mut self.collected)
    }

    /// What the known documents mean from `now` on.
    pub fn send_state(&self, now: Now) -> SendState {
        let mut next: Option<(MicroTime, &str, &KnownVersion)> = None;
        for (known, applies_until) in self.versions_until() {
            let document = &known.document;
            if document.state == ControlState::Stop || document.share_of(&self.task).is_none() {
                continue;
            }
            let from = document.effective_at.max(now.wall);
            let until = applies_until.min(document.ends_by).min(self.limits.deadline);
            for segment in document.segments.iter().filter(|segment| segment.span.highest_rate() > 0) {
                let starts_at = segment.span.from.max(from);
                if starts_at < segment.span.until.min(until) && next.is_none_or(|(at, ..)| starts_at < at) {
                    next = Some((starts_at, &segment.phase, known));
                }
            }
        }
        match next {
            None => SendState::Finished,
            Some((.., known)) if self.open_until(known, now) <= now.wall => SendState::Lapsed,
            Some((at, phase, _)) if at <= now.wall => SendState::Sends { phase: phase.to_owned() },
            Some((until, ..)) => SendState::Waits { until },
        }
    }

    /// This task's share if the document in force gives it a slot, whether or not anything is due.
    pub fn share(&self, now: Now) -> Option<Share> {
        self.versions_until()
            .find(|(known, until)| known.document.effective_at <= now.wall && now.wall < *until)
            .and_then(|(known, _)| known.document.share_of(&self.task))
    }

    /// The newest known document.
    pub fn newest(&self) -> Option<&ControlDocument> {
        self.versions.last().map(|known| &*known.document)
    }

    /// The known versions, each with the instant at which the next one takes effect.
    fn versions_until(&self) -> impl Iterator<Item = (&KnownVersion, MicroTime)> {
        let never = MicroTime::from_micros(i64::MAX);
        let successors = self.versions.iter().skip(1).map(|later| later.document.effective_at).chain([never]);
        self.versions.iter().zip(successors)
    }

    /// When the gate closes for a version, as known now. Each version has its own validity. If a
    /// later version extended it, an expired version would send again until the later one takes
    /// effect, and the operator's accounting, which has no records for that time, would be wrong.
    fn open_until(&self, known: &KnownVersion, now: Now) -> MicroTime {
        let read_lease_ends_at = known.read_lease_ends_at(self.limits.longest_read_lease, now);
        read_lease_ends_at.min(known.document.valid_until).min(self.limits.deadline)
    }

    /// Collects the records due up to `now`, and drops the versions that no longer apply.
    fn collect(&mut self, now: Now) {
        let since = self.settled_until;
        if now.wall <= since {
            // The wall clock was set back. This interval is already settled.
            return;
        }
        self.settled_until = now.wall;
        let mut due = Vec::new();
        for (known, applies_until) in self.versions_until() {
            let document = &known.document;
            let Some(share) = document.share_of(&self.task) else { continue };
            let from = since.max(document.effective_at);
            let until = now.wall.min(self.open_until(known, now)).min(applies_until).min(document.ends_by);
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
        let in_force = self.versions.iter().rposition(|known| known.document.effective_at <= now.wall);
        self.versions.drain(..in_force.unwrap_or(0));
    }
}

#[cfg(test)]
#[path = "gate_properties.rs"]
mod properties;
#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
