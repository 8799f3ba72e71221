//! What is drawn of shards: columns, rows, splits, colours; and that it stays small.

use super::*;

fn at(second: i64) -> MicroTime {
    MicroTime::from_micros(second * 1_000_000)
}

fn extents(until: f64) -> Extents {
    let mut extents = Extents::of(&[]);
    extents.until = until;
    extents
}

/// A shard of the hash keys between two shares, in eighths, with records per second by second.
fn shard(id: &str, (from, until): (u128, u128), open: (i64, Option<i64>), records: &[u64]) -> ShardLoad {
    let eighth = u128::MAX / 8;
    let end = if until == 8 { u128::MAX } else { until * eighth - 1 };
    let counts = |count: &u64| WindowCounts {
        records: (*count).min(1_000),
        bytes: 0,
        throttled: count.saturating_sub(1_000),
    };
    ShardLoad {
        id: id.into(),
        hash_keys: (from * eighth, end),
        opened_at: at(open.0),
        closed_at: open.1.map(at),
        windows: (open.0..).zip(records.iter().map(counts)).collect(),
    }
}

fn loads(until: i64, shards: Vec<ShardLoad>) -> ShardLoads {
    ShardLoads { window_seconds: 1, from: at(0), until: at(until), shards }
}

fn paths(loads: &ShardLoads, until: f64) -> Vec<String> {
    let heat = Heat::of(&Arc::new(loads.clone()), at(0)).unwrap();
    let grid = heat.grid(&extents(until));
    let x = Scale::new((0.0, until), (0.0, 100.0));
    let y = Scale::new((0.0, 1.0), (0.0, 80.0));
    (1..=THROTTLED).map(|level| grid.path(level, &x, &y)).collect()
}

#[test]
fn a_split_is_a_row_that_divides() {
    let shards = vec![
        shard("a", (0, 4), (0, None), &[0, 0, 300, 300]),
        shard("b", (4, 8), (0, Some(2)), &[800, 1_200]),
        shard("c", (4, 6), (2, None), &[600, 600]),
        shard("d", (6, 8), (2, None), &[100, 600]),
    ];
    assert_eq!(
        paths(&loads(4, shards), 10.0),
        [
            // Open: all of it, as far as it is known.
            "M0 0H40V80H0",
            // From 25 % on: the first half later, the second from the beginning on.
            "M20 0H40V40H20M0 40H40V60H0M0 60H20V80H0M30 60H40V80H30",
            "M0 40H40V60H0M0 60H20V80H0M30 60H40V80H30",
            "M0 40H20V80H0",
            "M10 40H20V80H10",
        ]
    );
}

#[test]
fn what_is_not_known_is_not_drawn() {
    let mut known = loads(8, vec![shard("a", (0, 8), (0, None), &[800; 10])]);
    known.from = at(3);
    assert_eq!(paths(&known, 10.0)[0], "M30 0H80V80H30");
    assert!(Heat::of(&Arc::new(ShardLoads::default()), at(0)).is_none());
}

#[test]
fn rows_have_names_if_all_of_them_fit() {
    let names = |count: u128| {
        let shards = (0..count)
            .map(|index| shard(&format!("shardId-{index:012}"), (index, index + 1), (0, None), &[]));
        let heat = Heat::of(&Arc::new(loads(4, shards.collect())), at(0)).unwrap();
        heat.labels(&Scale::new((0.0, 1.0), (0.0, 80.0)), 12.0, 40.0)
    };
    assert!(names(8).is_empty(), "ten pixels are too low");
    let two =
        vec![shard("shardId-000000000010", (0, 4), (0, None), &[]), shard("<b>", (4, 8), (0, None), &[])];
    let two = Heat::of(&Arc::new(loads(4, two)), at(0));
    let labels = two.unwrap().labels(&Scale::new((0.0, 1.0), (0.0, 80.0)), 12.0, 40.0);
    assert_eq!(labels, [(20.0, "10".to_owned()), (60.0, "<b>".to_owned())]);
}

/// Shards of equal size with loads that look like noise.
fn many(count: u128, seconds: i64) -> ShardLoads {
    let wide = u128::MAX / count;
    let noise = |index: u128, second: i64| (index as u64 * 7_919 + second as u64 * 104_729) % 1_300;
    let shards = (0..count).map(|index| ShardLoad {
        id: format!("shardId-{index:012}"),
        hash_keys: (index * wide, if index + 1 == count { u128::MAX } else { (index + 1) * wide - 1 }),
        opened_at: at(0),
        closed_at: None,
        windows: (0..seconds)
            .map(|second| {
                let count = noise(index, second);
                let throttled = count.saturating_sub(1_200);
                (second, WindowCounts { records: count, bytes: 0, throttled })
            })
            .collect(),
    });
    loads(seconds, shards.collect())
}

#[test]
fn many_shards_and_hours_stay_small() {
    let mut sizes = Vec::new();
    for (count, seconds) in [(100, 60), (100, 600), (128, 1_200), (1_000, 3_600)] {
        let loads = many(count, seconds);
        let heat = Heat::of(&Arc::new(loads), at(0)).unwrap();
        let grid = heat.grid(&extents(seconds as f64));
        assert!(grid.columns.len() <= 121 && grid.levels.len() <= MOST_ROWS, "{count}");
        assert!(grid.levels.iter().flatten().all(|level| *level > 0), "{count}: every row has a shard");
        let (x, y) =
            (Scale::new((0.0, seconds as f64), (47.0, 1_227.0)), Scale::new((0.0, 1.0), (0.0, 140.0)));
        sizes.push(heat.draw(&extents(seconds as f64), &x, &y).into_string().len());
    }
    assert!(sizes.iter().all(|size| *size < 200_000), "{sizes:?} bytes of noise");
}

#[test]
fn equal_shards_with_equal_load_are_one_rectangle() {
    let mut even = many(100, 60);
    for shard in &mut even.shards {
        shard.windows.values_mut().for_each(|counts| *counts = WindowCounts { records: 400, ..*counts });
        shard.windows.values_mut().for_each(|counts| counts.throttled = 0);
    }
    assert_eq!(paths(&even, 60.0), ["M0 0H100V80H0", "M0 0H100V80H0", "", "", ""]);
}

#[test]
fn any_instants_keys_and_counts_are_drawn() {
    let times = [i64::MIN, -1, 0, 7_000_000, i64::MAX].map(MicroTime::from_micros);
    let seconds = [i64::MIN, -1, 0, 7, i64::MAX];
    let most = WindowCounts { records: u64::MAX, bytes: u64::MAX, throttled: u64::MAX };
    for (index, opened_at) in times.into_iter().enumerate() {
        let shard = |hash_keys, closed_at| ShardLoad {
            id: "\u{1b}".into(),
            hash_keys,
            opened_at,
            closed_at,
            windows: seconds.into_iter().map(|second| (second, most)).collect(),
        };
        let shards = vec![shard((0, u128::MAX), None), shard((9, 3), times.get(index + 1).copied())];
        for (from, until) in [(times[0], times[4]), (times[2], times[3]), (times[3], times[2])] {
            for window_seconds in [0, 1, u32::MAX] {
                let loads = ShardLoads { window_seconds, from, until, shards: shards.clone() };
                let _ = loads.spoken(times[index]);
                let Some(heat) = Heat::of(&Arc::new(loads), times[index]) else { continue };
                let (x, y) = (Scale::new((0.0, 10.0), (0.0, 100.0)), Scale::new((0.0, 1.0), (0.0, 80.0)));
                for until in [10.0, 1e12, f64::MAX] {
                    assert!(heat.draw(&extents(until), &x, &y).into_string().len() < 10_000);
                }
            }
        }
    }
}
