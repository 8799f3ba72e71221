//! The 128-bit hash space of partition keys, and how shards divide it. Pure.

/// A shard's part of the hash space, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashRange {
    /// The lowest hash.
    pub start: u128,
    /// The highest hash.
    pub end: u128,
}

impl HashRange {
    /// The hash at which the upper half begins; `None` if the range cannot be halved.
    pub fn middle(&self) -> Option<u128> {
        let half = (self.end - self.start) / 2;
        (self.end > self.start).then(|| self.start + half + 1)
    }

    /// The part below `at` and the part from `at` on.
    pub fn split(&self, at: u128) -> Option<(Self, Self)> {
        let inside = self.start < at && at <= self.end;
        inside.then(|| (Self { start: self.start, end: at - 1 }, Self { start: at, end: self.end }))
    }
}

/// The whole space in `count` equal parts (the last one includes the remainder), as `CreateStream`
/// and uniform scaling divide it.
pub fn equal_ranges(count: u32) -> Vec<HashRange> {
    let starts = equal_starts(count);
    let ends = starts.iter().skip(1).map(|start| start - 1).chain([u128::MAX]);
    starts.iter().zip(ends).map(|(start, end)| HashRange { start: *start, end }).collect()
}

/// The start of each of `count` equal parts.
pub fn equal_starts(count: u32) -> Vec<u128> {
    let count = u128::from(count.max(1));
    // 2^128 does not fit into u128: divide 2^128 - 1 and carry the missing one.
    let width = match (u128::MAX / count, u128::MAX % count) {
        (_, _) if count == 1 => 0,
        (width, remainder) if remainder == count - 1 => width + 1,
        (width, _) => width,
    };
    (0..count).map(|part| part * width).collect()
}

/// Selects the `count` starts that come nearest to equal parts, as positions in `starts`. The first
/// start is always selected.
pub fn nearest_starts(starts: &[u128], count: u32) -> Vec<usize> {
    let count = usize::try_from(count).unwrap_or(usize::MAX).clamp(1, starts.len().max(1));
    let mut chosen = Vec::with_capacity(count);
    let mut least = 0;
    for (part, ideal) in equal_starts(u32::try_from(count).unwrap_or(u32::MAX)).into_iter().enumerate() {
        // Each remaining part needs a start of its own.
        let last = (starts.len() + part).checked_sub(count);
        let Some(left) = last.and_then(|last| starts.get(least..=last)) else { break };
        let above = left.partition_point(|start| *start < ideal);
        let candidates = above.saturating_sub(1)..=above.min(left.len().saturating_sub(1));
        let distance = |position: &usize| left.get(*position).map(|start| start.abs_diff(ideal));
        let Some(nearest) = candidates.min_by_key(distance) else { break };
        chosen.push(least + nearest);
        least += nearest + 1;
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_parts_cover_everything_once() {
        for count in [1, 2, 3, 4, 5, 7, 64, 100, 10_240] {
            let ranges = equal_ranges(count);
            assert_eq!(ranges.len(), count as usize);
            assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, u128::MAX));
            assert!(ranges.windows(2).all(|pair| pair[0].end + 1 == pair[1].start), "{count}");
        }
    }

    #[test]
    fn two_shards_meet_in_the_middle_as_on_aws() {
        let ranges = equal_ranges(2);
        assert_eq!(ranges[0].end.to_string(), "170141183460469231731687303715884105727");
        assert_eq!(ranges[1].start.to_string(), "170141183460469231731687303715884105728");
        assert_eq!(equal_ranges(1)[0].middle(), Some(ranges[1].start));
    }

    #[test]
    fn ranges_split_only_inside() {
        let range = HashRange { start: 10, end: 20 };
        assert_eq!(range.split(10), None);
        assert_eq!(range.split(21), None);
        let parts = (HashRange { start: 10, end: 19 }, HashRange { start: 20, end: 20 });
        assert_eq!(range.split(20), Some(parts));
        assert_eq!(HashRange { start: 3, end: 3 }.middle(), None);
    }

    #[test]
    fn the_starts_nearest_to_equal_parts_are_kept() {
        let starts = equal_starts(100);
        assert_eq!(nearest_starts(&starts, 4), [0, 25, 50, 75]);
        assert_eq!(nearest_starts(&starts, 100), (0..100).collect::<Vec<_>>());
        assert_eq!(nearest_starts(&starts, 0), [0]);
        assert_eq!(nearest_starts(&starts, 1000).len(), 100);
        // All starts are among the lowest hashes, so the last parts use the remaining ones.
        assert_eq!(nearest_starts(&[0, 1, 2, 3, 4], 3), [0, 3, 4]);
        assert_eq!(nearest_starts(&[], 3), Vec::<usize>::new());
    }
}
