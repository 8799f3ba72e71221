//! What reached each shard, per second of wall time, for the admin API. In: the shards of the
//! streams, once a second. Out: the last ten minutes. The counts outlive the stream. Pure.
//!
//! A put only adds to the load of its shard, as it does for the capacity model. What a shard got in
//! a second is the difference between two readings of that load. Memory is bounded: ten minutes,
//! the newest streams, and so many cells in all.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde::Serialize;

use super::hash::HashRange;
use super::load::Load;
use super::shard::id_of;
use super::shards::Shards;

/// How long a window is.
const WINDOW_MILLIS: u32 = 1_000;
/// How many windows are kept of a stream.
const MOST_WINDOWS: i64 = 600;
/// How many streams are kept: the newest.
const MOST_STREAMS: usize = 256;
/// How many cells are kept in all: ten minutes of a thousand busy shards. 16 bytes each.
const MOST_CELLS: usize = 600_000;

/// What one shard got in one window. 32 bits are enough for a second of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    shard: u32,
    records: u32,
    bytes: u32,
    throttled: u32,
}

impl Cell {
    fn of(shard: u32, load: Load) -> Option<Self> {
        let Load { records, bytes, throttled } = load;
        let narrow = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        (load != Load::default()).then(|| Self {
            shard,
            records: narrow(records),
            bytes: narrow(bytes),
            throttled: narrow(throttled),
        })
    }

    fn add(&mut self, other: Self) {
        let Self { shard: _, records, bytes, throttled } = other;
        self.records = self.records.saturating_add(records);
        self.bytes = self.bytes.saturating_add(bytes);
        self.throttled = self.throttled.saturating_add(throttled);
    }
}

struct Window {
    /// Unix time in seconds.
    second: i64,
    /// The shards with any traffic, by number.
    cells: Vec<Cell>,
}

struct ShardSpan {
    range: HashRange,
    opened_at: Timestamp,
    closed_at: Option<Timestamp>,
}

struct StreamWindows {
    uid: u64,
    name: String,
    arn: String,
    created_at: Timestamp,
    is_deleted: bool,
    /// Which shards are known: [`Shards::generation`].
    generation: u32,
    shards: BTreeMap<u32, ShardSpan>,
    windows: VecDeque<Window>,
    forgotten_windows: u64,
}

/// The windows of all streams.
#[derive(Default)]
pub struct ShardWindows {
    /// By uid, which grows.
    streams: VecDeque<StreamWindows>,
    /// The current second. What was not collected yet arrived in it.
    second: i64,
    cells: usize,
}

/// Which stream the windows are of.
pub struct NewStream<'a> {
    pub uid: u64,
    pub name: &'a str,
    pub arn: &'a str,
    pub created_at: Timestamp,
}

/// One stream as `GET /_sandbox/shards` returns it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamShards {
    name: String,
    arn: String,
    created_at: Timestamp,
    window_millis: u32,
    /// How many windows were dropped.
    forgotten_windows: u64,
    /// When each window with any traffic begins, oldest first.
    windows: Vec<Timestamp>,
    shards: Vec<ShardReport>,
}

/// One shard: what it is, and what it got in each of the stream's windows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShardReport {
    shard_id: String,
    hash_key_range: HashKeyRange,
    opened_at: Timestamp,
    /// When it was split or merged, or its stream deleted. None while it is open.
    closed_at: Option<Timestamp>,
    records: Vec<u32>,
    bytes: Vec<u32>,
    throttled: Vec<u32>,
}

/// As `ListShards` has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HashKeyRange {
    starting_hash_key: String,
    ending_hash_key: String,
}

impl ShardWindows {
    /// Begins to count for a stream.
    pub fn open(&mut self, stream: NewStream<'_>) {
        let NewStream { uid, name, arn, created_at } = stream;
        if self.streams.len() == MOST_STREAMS
            && let Some(oldest) = self.streams.pop_front()
        {
            self.cells -= oldest.cells();
        }
        self.streams.push_back(StreamWindows {
            uid,
            name: name.to_owned(),
            arn: arn.to_owned(),
            created_at,
            is_deleted: false,
            generation: 0,
            shards: BTreeMap::new(),
            windows: VecDeque::new(),
            forgotten_windows: 0,
        });
    }

    /// Whether a new second has begun. Then all streams must be collected, and then
    /// [`ShardWindows::begin`] called, before anything arrives in it.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now.as_second() != self.second
    }

    /// Takes what arrived in the current second.
    pub fn collect(&mut self, uid: u64, shards: &mut Shards) {
        let Ok(index) = self.streams.binary_search_by_key(&uid, |stream| stream.uid) else { return };
        let Some(stream) = self.streams.get_mut(index) else { return };
        if stream.generation != shards.generation() {
            stream.generation = shards.generation();
            for shard in shards.each_mut() {
                let closed_at = shard.closed.map(|closing| closing.wall);
                let span = ShardSpan { range: shard.range, opened_at: shard.opened_at.wall, closed_at };
                stream.shards.insert(shard.index, span);
            }
        }
        let loads = shards.each_mut().map(|shard| (shard.index, shard.load.since(&mut shard.collected)));
        let mut cells: Vec<Cell> = loads.filter_map(|(index, load)| Cell::of(index, load)).collect();
        if cells.is_empty() {
            return;
        }
        cells.sort_unstable_by_key(|cell| cell.shard);
        self.cells += stream.add(self.second, cells);
        while self.cells > MOST_CELLS && self.forget_oldest() {}
    }

    /// Ends the counts of a deleted stream, and closes its shards. They stay readable for ten
    /// minutes.
    pub fn close(&mut self, uid: u64, now: Timestamp) {
        if let Ok(index) = self.streams.binary_search_by_key(&uid, |stream| stream.uid)
            && let Some(stream) = self.streams.get_mut(index)
        {
            stream.is_deleted = true;
            stream.shards.values_mut().for_each(|span| _ = span.closed_at.get_or_insert(now));
        }
    }

    /// Begins a second, and forgets what is too old.
    pub fn begin(&mut self, now: Timestamp) {
        let last = std::mem::replace(&mut self.second, now.as_second());
        let oldest = self.second - MOST_WINDOWS;
        for stream in &mut self.streams {
            self.cells -= stream.forget_before(oldest);
        }
        if last.div_euclid(60) != self.second.div_euclid(60) {
            self.streams.retain(|stream| !stream.is_deleted || !stream.windows.is_empty());
            let is_kept =
                |span: &ShardSpan| span.closed_at.is_none_or(|closed_at| closed_at.as_second() >= oldest);
            self.streams.iter_mut().for_each(|stream| stream.shards.retain(|_, span| is_kept(span)));
        }
    }

    fn forget_oldest(&mut self) -> bool {
        let first = |stream: &StreamWindows| stream.windows.front().map(|window| window.second);
        let with_any = self.streams.iter_mut().filter(|stream| !stream.windows.is_empty());
        let Some(stream) = with_any.min_by_key(|stream| first(stream)) else { return false };
        self.cells -= stream.forget_first();
        true
    }

    /// The streams, newest last: all, or those with one name or ARN. `since` omits windows that
    /// begin earlier, and shards that were closed earlier.
    pub fn report(&self, wanted: Option<&str>, since: Option<Timestamp>) -> Vec<StreamShards> {
        let is_wanted = |stream: &&StreamWindows| {
            wanted.is_none_or(|wanted| wanted == stream.name || wanted == stream.arn)
        };
        self.streams.iter().filter(is_wanted).map(|stream| stream.report(since)).collect()
    }
}

impl StreamWindows {
    fn cells(&self) -> usize {
        self.windows.iter().map(|window| window.cells.len()).sum()
    }

    /// Returns how many cells there are more.
    fn add(&mut self, second: i64, cells: Vec<Cell>) -> usize {
        let Some(last) = self.windows.back_mut().filter(|last| last.second == second) else {
            let more = cells.len();
            self.windows.push_back(Window { second, cells });
            return more;
        };
        let before = last.cells.len();
        for cell in cells {
            match last.cells.binary_search_by_key(&cell.shard, |cell| cell.shard) {
                Ok(index) => last.cells.iter_mut().skip(index).take(1).for_each(|known| known.add(cell)),
                Err(index) => last.cells.insert(index, cell),
            }
        }
        last.cells.len() - before
    }

    /// Returns how many cells there are fewer.
    fn forget_first(&mut self) -> usize {
        let Some(window) = self.windows.pop_front() else { return 0 };
        self.forgotten_windows += 1;
        window.cells.len()
    }

    fn forget_before(&mut self, oldest: i64) -> usize {
        let mut fewer = 0;
        while self.windows.front().is_some_and(|window| window.second < oldest) {
            fewer += self.forget_first();
        }
        fewer
    }

    fn report(&self, since: Option<Timestamp>) -> StreamShards {
        let at = |window: &Window| Timestamp::from_second(window.second).unwrap_or(Timestamp::MIN);
        let windows: Vec<&Window> =
            self.windows.iter().filter(|window| since.is_none_or(|since| at(window) >= since)).collect();
        let is_listed = |span: &ShardSpan| match (span.closed_at, since) {
            (Some(closed_at), Some(since)) => closed_at >= since,
            _ => true,
        };
        let mut shards: BTreeMap<u32, ShardReport> = BTreeMap::new();
        for (index, span) in self.shards.iter().filter(|(_, span)| is_listed(span)) {
            shards.insert(*index, ShardReport::empty(*index, span, windows.len()));
        }
        for (position, window) in windows.iter().enumerate() {
            for cell in &window.cells {
                if let Some(shard) = shards.get_mut(&cell.shard) {
                    shard.set(position, *cell);
                }
            }
        }
        StreamShards {
            name: self.name.clone(),
            arn: self.arn.clone(),
            created_at: self.created_at,
            window_millis: WINDOW_MILLIS,
            forgotten_windows: self.forgotten_windows,
            windows: windows.into_iter().map(at).collect(),
            shards: shards.into_values().collect(),
        }
    }
}

impl ShardReport {
    fn empty(index: u32, span: &ShardSpan, windows: usize) -> Self {
        let ShardSpan { range: HashRange { start, end }, opened_at, closed_at } = span;
        Self {
            shard_id: id_of(index),
            hash_key_range: HashKeyRange {
                starting_hash_key: start.to_string(),
                ending_hash_key: end.to_string(),
            },
            opened_at: *opened_at,
            closed_at: *closed_at,
            records: vec![0; windows],
            bytes: vec![0; windows],
            throttled: vec![0; windows],
        }
    }

    fn set(&mut self, position: usize, cell: Cell) {
        let Cell { shard: _, records, bytes, throttled } = cell;
        let columns =
            [(&mut self.records, records), (&mut self.bytes, bytes), (&mut self.throttled, throttled)];
        for (column, count) in columns {
            if let Some(place) = column.get_mut(position) {
                *place = count;
            }
        }
    }
}

#[cfg(test)]
#[path = "shard_windows_tests.rs"]
mod tests;
