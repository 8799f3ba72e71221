//! Splits, merges and expiry: single cases, and properties over arbitrary histories.

use proptest::prelude::*;

use super::*;

const T0: Moment = Moment { wall: Timestamp::UNIX_EPOCH, model: Timestamp::UNIX_EPOCH };
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Model seconds per wall-clock second in these tests.
const SPEED: i32 = 20;

fn at(model_hours: i64) -> Moment {
    let passed = SignedDuration::from_hours(model_hours);
    Moment { wall: T0.wall + passed / SPEED, model: T0.model + passed }
}

fn cover_everything_once<'a>(shards: impl IntoIterator<Item = &'a Shard>) -> bool {
    let mut ranges: Vec<HashRange> = shards.into_iter().map(|shard| shard.range).collect();
    ranges.sort_unstable_by_key(|range| range.start);
    let meet = |pair: &[HashRange]| pair[0].end.checked_add(1) == Some(pair[1].start);
    ranges.first().is_some_and(|first| first.start == 0)
        && ranges.last().is_some_and(|last| last.end == u128::MAX)
        && ranges.windows(2).all(meet)
}

fn merges(shards: &Shards) -> usize {
    shards.all().iter().filter(|shard| shard.adjacent_parent.is_some()).count()
}

#[test]
fn a_split_closes_the_parent_and_halves_its_range() {
    let mut shards = Shards::create(2, T0);
    shards.split_in_halves(&[0], T0);
    assert_eq!(shards.open_count(), 3);
    assert!(cover_everything_once(shards.open()));
    let children: Vec<u32> = shards.children(0).map(|shard| shard.index).collect();
    assert_eq!(children, [2, 3]);
    assert!(shards.shard(0).unwrap().closed.is_some());
    assert_eq!(shards.shard(3).unwrap().parent, Some(0));
}

#[test]
fn doubling_splits_each_shard_once() {
    for count in [4, 10, 63, 100] {
        let mut shards = Shards::create(count, T0);
        shards.grow(2 * count, T0);
        assert_eq!(shards.open_count(), 2 * count);
        assert_eq!(shards.all().len(), 3 * count as usize, "{count} parents and their children");
        assert_eq!(merges(&shards), 0);
        let widths: Vec<u128> =
            shards.open().iter().map(|shard| shard.range.end - shard.range.start).collect();
        let (least, most) = (widths.iter().min().unwrap(), widths.iter().max().unwrap());
        assert!(most - least <= u128::from(count), "equal except for the remainder");
    }
}

#[test]
fn the_largest_ranges_are_split_first() {
    let mut shards = Shards::create(4, T0);
    shards.split_in_halves(&[2], T0);
    shards.grow(8, T0);
    let parents: Vec<u32> = shards.all().iter().filter_map(|shard| shard.parent).collect();
    assert_eq!(parents, [2, 2, 0, 0, 1, 1, 3, 3]);
}

#[test]
fn halving_merges_pairs() {
    let mut shards = Shards::create(100, T0);
    shards.shrink(50, T0);
    assert_eq!((shards.open_count(), merges(&shards), shards.all().len()), (50, 50, 150));
    let first = &shards.open()[0];
    assert_eq!((first.parent, first.adjacent_parent), (Some(0), Some(1)));
}

#[test]
fn shards_merge_into_equal_ranges_if_boundaries_allow() {
    let mut shards = Shards::create(100, T0);
    shards.shrink(4, T0);
    let starts: Vec<u128> = shards.open().iter().map(|shard| shard.range.start).collect();
    let hundredths = crate::services::kinesis::model::hash::equal_starts(100);
    assert_eq!(starts, [hundredths[0], hundredths[25], hundredths[50], hundredths[75]]);
    shards.shrink(0, T0);
    assert_eq!(shards.open_count(), 1);
}

#[test]
fn every_hash_finds_the_shard_that_contains_it() {
    let mut shards = Shards::create(7, T0);
    let ends: Vec<(u32, HashRange)> = shards.open().iter().map(|shard| (shard.index, shard.range)).collect();
    for (index, range) in ends {
        assert_eq!(shards.shard_for(range.start).unwrap().index, index);
        assert_eq!(shards.shard_for(range.end).unwrap().index, index);
    }
    assert!(Shards::default().shard_for(5).is_none());
    assert!(Shards::default().in_turn(5).is_none());
}

#[test]
fn closed_shards_expire_after_the_retention_period() {
    let mut shards = Shards::create(1, T0);
    shards.grow(2, T0);
    shards.expire(DAY, T0.model + DAY - SignedDuration::from_nanos(1));
    assert_eq!(shards.all().len(), 3);
    shards.expire(DAY, T0.model + DAY);
    assert_eq!(shards.all().len(), 2);
}

#[test]
fn a_longer_retention_period_restores_nothing() {
    let mut shards = Shards::create(1, T0);
    shards.grow(2, at(1));
    shards.expire(DAY, at(26).model);
    shards.grow(4, at(27));
    shards.expire(DAY * 7, at(28).model);
    assert_eq!(shards.trim_horizon(), at(1).wall, "the stream's first shard has expired");
    let then: Vec<u32> = open_at(&shards, shards.trim_horizon()).iter().map(|shard| shard.index).collect();
    assert_eq!(then, [1, 2]);
}

fn open_at(shards: &Shards, wall: Timestamp) -> Vec<&Shard> {
    shards.all().into_iter().filter(|shard| shard.was_open_at(wall)).collect()
}

/// A change of a stream's shards.
#[derive(Clone, Debug)]
enum Event {
    Grow(u32),
    Shrink(u32),
    Split(usize),
}

fn events() -> impl Strategy<Value = Vec<(i64, Event)>> {
    let event = prop_oneof![
        (1u32..80).prop_map(Event::Grow),
        (1u32..80).prop_map(Event::Shrink),
        any::<usize>().prop_map(Event::Split),
    ];
    proptest::collection::vec((0i64..30, event), 0..12)
}

/// The shards after a history, and the instants of all changes.
fn after(first: u32, history: &[(i64, Event)]) -> (Shards, Vec<Moment>) {
    let mut shards = Shards::create(first, T0);
    let mut hour = 0;
    let mut instants = vec![T0];
    for (hours, event) in history {
        hour += hours;
        let now = at(hour);
        shards.expire(DAY, now.model);
        match event {
            Event::Grow(count) => shards.grow(*count, now),
            Event::Shrink(count) => shards.shrink(*count, now),
            Event::Split(which) => {
                let open = shards.open();
                let index = open[which % open.len()].index;
                shards.split_in_halves(&[index], now);
            }
        }
        instants.push(now);
    }
    (shards, instants)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn growing_never_merges_and_reaches_the_count(first in 1u32..40, history in events(), count in 1u32..200) {
        let (mut shards, _) = after(first, &history);
        let (before, merged) = (shards.open_count(), merges(&shards));
        shards.grow(count, at(1000));
        prop_assert_eq!(shards.open_count(), before.max(count));
        prop_assert_eq!(merges(&shards), merged);
        prop_assert!(cover_everything_once(shards.open()));
        if count <= 2 * before {
            let twice = shards.all().into_iter().filter(|shard| {
                shard.opened_at == at(1000) && shard.closed.is_some()
            });
            prop_assert_eq!(twice.count(), 0, "new shards must not be split again");
        }
    }

    #[test]
    fn shrinking_never_splits_and_reaches_the_count(first in 1u32..40, history in events(), count in 1u32..200) {
        let (mut shards, _) = after(first, &history);
        let before = shards.open_count();
        shards.shrink(count, at(1000));
        prop_assert_eq!(shards.open_count(), before.min(count));
        prop_assert!(cover_everything_once(shards.open()));
        let all = shards.all();
        let mut opened = all.iter().filter(|shard| shard.opened_at == at(1000));
        prop_assert!(opened.all(|shard| shard.adjacent_parent.is_some()));
    }

    #[test]
    fn open_shards_cover_the_space_since_the_trim_horizon(
        first in 1u32..40, history in events(), later in 0i64..60,
    ) {
        let (mut shards, instants) = after(first, &history);
        let now = at(later + history.iter().map(|(hours, _)| hours).sum::<i64>());
        shards.expire(DAY, now.model);
        let horizon = shards.trim_horizon();
        prop_assert!(cover_everything_once(open_at(&shards, horizon)));
        prop_assert!(cover_everything_once(open_at(&shards, now.wall)));
        for instant in instants.iter().map(|instant| instant.wall).filter(|instant| *instant >= horizon) {
            prop_assert!(cover_everything_once(open_at(&shards, instant)));
            let beside = SignedDuration::from_nanos(1);
            prop_assert!(cover_everything_once(open_at(&shards, (instant - beside).max(horizon))));
            prop_assert!(cover_everything_once(open_at(&shards, instant + beside)));
        }
        // The listed shards are those that were open at the trim horizon in model time.
        let kept = now.model - DAY;
        if kept > T0.model {
            let then = |shard: &&Shard| {
                shard.opened_at.model <= kept && shard.closed.is_none_or(|closing| kept < closing.model)
            };
            let all = shards.all();
            let expected: Vec<u32> = all.iter().copied().filter(then).map(|shard| shard.index).collect();
            let listed: Vec<u32> = open_at(&shards, horizon).iter().map(|shard| shard.index).collect();
            prop_assert_eq!(listed, expected);
        }
    }
}
