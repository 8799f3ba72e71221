//! A stream's shards: which one receives a hash, and how they split and merge. Pure.
//!
//! Lineage is modelled as on AWS: a split closes one parent and opens two children; a merge closes
//! two neighbours and opens one child. Growing only splits and shrinking only merges (developer
//! guide, on-demand mode: the full shard is split).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::hash::{HashRange, equal_ranges, nearest_starts};
use super::shard::Shard;
use crate::clock::Moment;

/// All shards of a stream that have not expired.
#[derive(Default)]
pub struct Shards {
    /// By hash range, lowest first. Together they cover the whole space, unless there are none yet.
    open: Vec<Shard>,
    /// By number.
    closed: BTreeMap<u32, Shard>,
    /// When the first of the closed shards was closed, in model time.
    first_closing: Option<Timestamp>,
    /// The oldest instant whose records are retained. It never moves back: a longer retention
    /// period does not restore expired records.
    trim_horizon: Timestamp,
    next_index: u32,
}

impl Shards {
    /// A new stream's shards.
    pub fn create(count: u32, at: Moment) -> Self {
        let mut shards = Self { trim_horizon: Timestamp::MIN, ..Self::default() };
        for range in equal_ranges(count) {
            let shard = shards.begin(range, (None, None), at);
            shards.open.push(shard);
        }
        shards
    }

    fn begin(&mut self, range: HashRange, parents: (Option<u32>, Option<u32>), at: Moment) -> Shard {
        let index = self.next_index;
        self.next_index += 1;
        Shard::open(index, range, parents, at)
    }

    fn close(&mut self, mut shard: Shard, at: Moment) {
        shard.closed = Some(at);
        self.first_closing.get_or_insert(at.model);
        self.closed.insert(shard.index, shard);
    }

    /// The number of open shards.
    pub fn open_count(&self) -> u32 {
        u32::try_from(self.open.len()).unwrap_or(u32::MAX)
    }

    /// The open shards, by hash range.
    pub fn open(&self) -> &[Shard] {
        &self.open
    }

    /// The open shards, to read their loads.
    pub fn open_mut(&mut self) -> &mut [Shard] {
        &mut self.open
    }

    /// All shards, including closed ones, to read their loads.
    pub fn each_mut(&mut self) -> impl Iterator<Item = &mut Shard> {
        self.closed.values_mut().chain(&mut self.open)
    }

    /// Grows with each split and merge: every one opens a shard.
    pub fn generation(&self) -> u32 {
        self.next_index
    }

    /// All shards by number, including closed ones.
    pub fn all(&self) -> Vec<&Shard> {
        let mut all: Vec<&Shard> = self.closed.values().chain(&self.open).collect();
        all.sort_unstable_by_key(|shard| shard.index);
        all
    }

    /// A shard by number.
    pub fn shard(&self, index: u32) -> Option<&Shard> {
        self.closed.get(&index).or_else(|| self.open.iter().find(|shard| shard.index == index))
    }

    /// A shard by number, to read or trim it.
    pub fn shard_mut(&mut self, index: u32) -> Option<&mut Shard> {
        match self.closed.get_mut(&index) {
            Some(shard) => Some(shard),
            None => self.open.iter_mut().find(|shard| shard.index == index),
        }
    }

    /// The open shard for a hash.
    pub fn shard_for(&mut self, hash: u128) -> Option<&mut Shard> {
        let after = self.open.partition_point(|shard| shard.range.start <= hash);
        self.open.get_mut(after.checked_sub(1)?)
    }

    /// The open shard for round-robin position `turn`.
    pub fn in_turn(&mut self, turn: usize) -> Option<&mut Shard> {
        let count = self.open.len();
        self.open.get_mut(turn.checked_rem(count)?)
    }

    /// The children of a closed shard.
    pub fn children(&self, index: u32) -> impl Iterator<Item = &Shard> {
        let is_child =
            move |shard: &&Shard| shard.parent == Some(index) || shard.adjacent_parent == Some(index);
        self.closed.values().chain(&self.open).filter(is_child)
    }

    /// Splits these open shards in halves.
    pub fn split_in_halves(&mut self, indices: &[u32], at: Moment) {
        let chosen: BTreeSet<u32> = indices.iter().copied().collect();
        let mut open = Vec::with_capacity(self.open.len() + chosen.len());
        for shard in std::mem::take(&mut self.open) {
            let middle = shard.range.middle().filter(|_| chosen.contains(&shard.index));
            let Some((lower, upper)) = middle.and_then(|middle| shard.range.split(middle)) else {
                open.push(shard);
                continue;
            };
            let parents = (Some(shard.index), None);
            open.push(self.begin(lower, parents, at));
            open.push(self.begin(upper, parents, at));
            self.close(shard, at);
        }
        self.open = open;
    }

    /// Splits open shards in halves until there are `count`: the largest hash ranges first, and new
    /// shards only after all others. Never merges.
    pub fn grow(&mut self, count: u32, at: Moment) {
        while let Some(wanted) = count.checked_sub(self.open_count()).filter(|wanted| *wanted > 0) {
            let can_split = self.open.iter().filter(|shard| shard.range.middle().is_some());
            let mut widest: Vec<&Shard> = can_split.collect();
            widest.sort_by_key(|shard| Reverse(shard.range.end - shard.range.start));
            let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
            let chosen: Vec<u32> = widest.iter().take(wanted).map(|shard| shard.index).collect();
            if chosen.is_empty() {
                return;
            }
            self.split_in_halves(&chosen, at);
        }
    }

    /// Merges neighbours until there are `count` open shards (at least one), as equal as their
    /// boundaries allow. Never splits.
    pub fn shrink(&mut self, count: u32, at: Moment) {
        let starts: Vec<u128> = self.open.iter().map(|shard| shard.range.start).collect();
        let kept = nearest_starts(&starts, count);
        let mut open: Vec<Shard> = Vec::with_capacity(kept.len());
        for (position, shard) in std::mem::take(&mut self.open).into_iter().enumerate() {
            let stays = kept.binary_search(&position).is_ok();
            let shard = match open.pop() {
                None => shard,
                Some(lower) if stays => {
                    open.push(lower);
                    shard
                }
                Some(lower) => self.merge(lower, shard, at),
            };
            open.push(shard);
        }
        self.open = open;
    }

    /// Merges two neighbours into a new shard and closes them.
    fn merge(&mut self, lower: Shard, upper: Shard, at: Moment) -> Shard {
        let range = HashRange { start: lower.range.start, end: upper.range.end };
        let child = self.begin(range, (Some(lower.index), Some(upper.index)), at);
        self.close(lower, at);
        self.close(upper, at);
        child
    }

    /// Moves the trim horizon to `retention` before now, and drops the shards that were closed by
    /// then. Returns the freed memory in bytes.
    pub fn expire(&mut self, retention: SignedDuration, now: Timestamp) -> usize {
        let horizon = now.saturating_sub(retention).unwrap_or(Timestamp::MIN);
        self.trim_horizon = self.trim_horizon.max(horizon);
        if self.first_closing.is_none_or(|closing| closing > self.trim_horizon) {
            return 0;
        }
        let mut freed = 0;
        let mut first_closing: Option<Timestamp> = None;
        self.closed.retain(|_, shard| {
            let Some(closing) = shard.closed else { return true };
            let is_kept = closing.model > self.trim_horizon;
            if is_kept {
                first_closing = Some(first_closing.map_or(closing.model, |first| first.min(closing.model)));
            } else {
                freed += shard.record_log.closed_cost();
            }
            is_kept
        });
        self.first_closing = first_closing;
        freed
    }

    /// An instant of wall time with the same open shards as at the trim horizon: the last split or
    /// merge before it, or the stream's creation. At this instant and every later one, the shards
    /// that were open cover the hash space once.
    pub fn trim_horizon(&self) -> Timestamp {
        let opened = || self.closed.values().chain(&self.open).map(|shard| shard.opened_at);
        let before = opened().filter(|at| at.model <= self.trim_horizon).map(|at| at.wall).max();
        before.or_else(|| opened().map(|at| at.wall).min()).unwrap_or(Timestamp::MIN)
    }
}

#[cfg(test)]
#[path = "shards_tests.rs"]
mod tests;
