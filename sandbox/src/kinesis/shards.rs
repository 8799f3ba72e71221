//! A stream's shards: which one takes a hash, and how they split and merge. Pure.
//!
//! Lineage is kept as AWS shows it: a split closes one parent and opens two children, a merge closes two neighbours and
//! opens one child, and cutting the whole space anew goes through both (API reference, `UpdateShardCount`: "Kinesis Data
//! Streams performs splits or merges on individual shards", with short-lived shards in between).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::hash::{HashRange, equal_ranges, equal_starts};
use super::shard::{Closing, Shard};
use crate::clock::Moment;

/// All shards of a stream that have not expired.
#[derive(Default)]
pub struct Shards {
    /// By hash range, lowest first; together they cover the whole space, unless there are none yet.
    open: Vec<Shard>,
    /// By number.
    closed: BTreeMap<u32, Shard>,
    next_index: u32,
}

impl Shards {
    /// A new stream's shards.
    pub fn create(count: u32, at: Moment) -> Self {
        let mut shards = Self::default();
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
        shard.closed = Some(Closing { wall: at.wall, model: at.model });
        self.closed.insert(shard.index, shard);
    }

    /// How many shards take records.
    pub fn open_count(&self) -> u32 {
        u32::try_from(self.open.len()).unwrap_or(u32::MAX)
    }

    /// The open shards, by hash range.
    pub fn open(&self) -> &[Shard] {
        &self.open
    }

    /// The open shards, to settle their loads.
    pub fn open_mut(&mut self) -> &mut [Shard] {
        &mut self.open
    }

    /// All shards by number, closed ones too.
    pub fn all(&self) -> Vec<&Shard> {
        let mut all: Vec<&Shard> = self.closed.values().chain(&self.open).collect();
        all.sort_unstable_by_key(|shard| shard.index);
        all
    }

    /// A shard by number.
    pub fn shard(&self, index: u32) -> Option<&Shard> {
        self.closed.get(&index).or_else(|| self.open.iter().find(|shard| shard.index == index))
    }

    /// A shard by number, to read from it or to trim it.
    pub fn shard_mut(&mut self, index: u32) -> Option<&mut Shard> {
        match self.closed.get_mut(&index) {
            Some(shard) => Some(shard),
            None => self.open.iter_mut().find(|shard| shard.index == index),
        }
    }

    /// The open shard that takes a hash.
    pub fn taking(&mut self, hash: u128) -> Option<&mut Shard> {
        let after = self.open.partition_point(|shard| shard.range.start <= hash);
        self.open.get_mut(after.checked_sub(1)?)
    }

    /// The open shard at a position, counted round and round.
    pub fn in_turn(&mut self, turn: usize) -> Option<&mut Shard> {
        let count = self.open.len();
        self.open.get_mut(turn.checked_rem(count)?)
    }

    /// The shards that followed a closed one.
    pub fn children(&self, index: u32) -> impl Iterator<Item = &Shard> {
        let is_child =
            move |shard: &&Shard| shard.parent == Some(index) || shard.adjacent_parent == Some(index);
        self.closed.values().chain(&self.open).filter(is_child)
    }

    /// Splits these open shards in halves.
    pub fn split_in_halves(&mut self, indices: &[u32], at: Moment) {
        for index in indices {
            let position = self.open.iter().position(|shard| shard.index == *index);
            let cut =
                position.and_then(|position| Some((position, self.open.get(position)?.range.middle()?)));
            if let Some((position, middle)) = cut {
                self.split(position, middle, at);
            }
        }
    }

    /// Cuts the whole space into `count` equal parts, by splits and merges.
    pub fn cut_equally(&mut self, count: u32, at: Moment) {
        let starts = equal_starts(count);
        for start in &starts {
            let after = self.open.partition_point(|shard| shard.range.start <= *start);
            if let Some(position) = after.checked_sub(1) {
                self.split(position, *start, at);
            }
        }
        let mut position = 0;
        while position + 1 < self.open.len() {
            let is_new_start = self
                .open
                .get(position + 1)
                .is_some_and(|next| starts.binary_search(&next.range.start).is_ok());
            if is_new_start {
                position += 1;
            } else {
                self.merge(position, at);
            }
        }
    }

    /// Splits the open shard at `position` so that its upper part begins at `hash`; nothing to do if it begins there already.
    fn split(&mut self, position: usize, hash: u128, at: Moment) {
        let Some((lower, upper)) = self.open.get(position).and_then(|shard| shard.range.split(hash)) else {
            return;
        };
        let parent = self.open.remove(position);
        let parents = (Some(parent.index), None);
        let lower = self.begin(lower, parents, at);
        let upper = self.begin(upper, parents, at);
        self.open.splice(position..position, [lower, upper]);
        self.close(parent, at);
    }

    /// Merges the open shards at `position` and after it.
    fn merge(&mut self, position: usize, at: Moment) {
        let mut pair = self.open.drain(position..position + 2);
        let (Some(lower), Some(upper)) = (pair.next(), pair.next()) else { return };
        drop(pair);
        let range = HashRange { start: lower.range.start, end: upper.range.end };
        let child = self.begin(range, (Some(lower.index), Some(upper.index)), at);
        self.open.insert(position, child);
        self.close(lower, at);
        self.close(upper, at);
    }

    /// Drops closed shards whose last record is older than the retention period, and returns the memory they held.
    pub fn expire(&mut self, retention: SignedDuration, now: Timestamp) -> usize {
        let mut freed = 0;
        self.closed.retain(|_, shard| {
            let kept = shard.closed.is_none_or(|closing| now.duration_since(closing.model) < retention);
            if !kept {
                freed += shard.tape.closed_cost();
            }
            kept
        });
        freed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Moment = Moment { wall: Timestamp::UNIX_EPOCH, model: Timestamp::UNIX_EPOCH };

    fn covers_everything_once(shards: &Shards) -> bool {
        let ranges: Vec<HashRange> = shards.open().iter().map(|shard| shard.range).collect();
        ranges[0].start == 0
            && ranges[ranges.len() - 1].end == u128::MAX
            && ranges.windows(2).all(|pair| pair[0].end + 1 == pair[1].start)
    }

    #[test]
    fn a_split_closes_the_parent_and_halves_its_range() {
        let mut shards = Shards::create(2, T0);
        shards.split_in_halves(&[0], T0);
        assert_eq!(shards.open_count(), 3);
        assert!(covers_everything_once(&shards));
        let children: Vec<u32> = shards.children(0).map(|shard| shard.index).collect();
        assert_eq!(children, [2, 3]);
        assert!(shards.shard(0).unwrap().closed.is_some());
        assert_eq!(shards.shard(3).unwrap().parent, Some(0));
    }

    #[test]
    fn cutting_equally_up_and_down_keeps_the_space_covered_and_the_lineage_whole() {
        let mut shards = Shards::create(4, T0);
        for count in [8, 64, 100, 40, 7, 4, 1] {
            shards.cut_equally(count, T0);
            assert_eq!(shards.open_count(), count);
            assert!(covers_everything_once(&shards), "{count}");
            let starts: Vec<u128> = shards.open().iter().map(|shard| shard.range.start).collect();
            assert_eq!(starts, equal_starts(count));
        }
        for shard in shards.all() {
            assert_eq!(shard.index < 4, shard.parent.is_none(), "only the first shards have no parent");
            let upper = shard.adjacent_parent.map(|upper| shards.shard(upper).unwrap().range.end);
            assert!(upper.is_none_or(|end| end == shard.range.end));
        }
    }

    #[test]
    fn doubling_splits_and_does_not_merge() {
        let mut shards = Shards::create(4, T0);
        shards.cut_equally(8, T0);
        assert_eq!(shards.all().len(), 12);
        assert!(shards.open().iter().all(|shard| shard.adjacent_parent.is_none()));
    }

    #[test]
    fn every_hash_finds_the_shard_that_holds_it() {
        let mut shards = Shards::create(7, T0);
        let ends: Vec<(u32, HashRange)> =
            shards.open().iter().map(|shard| (shard.index, shard.range)).collect();
        for (index, range) in ends {
            assert_eq!(shards.taking(range.start).unwrap().index, index);
            assert_eq!(shards.taking(range.end).unwrap().index, index);
        }
        assert!(Shards::default().taking(5).is_none());
        assert!(Shards::default().in_turn(5).is_none());
    }

    #[test]
    fn closed_shards_expire_with_their_last_possible_record() {
        let day = SignedDuration::from_hours(24);
        let mut shards = Shards::create(1, T0);
        shards.cut_equally(2, T0);
        shards.expire(day, T0.model + day - SignedDuration::from_nanos(1));
        assert_eq!(shards.all().len(), 3);
        shards.expire(day, T0.model + day);
        assert_eq!(shards.all().len(), 2);
    }
}
