//! Creates the posts. In: a seed, the task id, the kind of post and its due time. Out: JSON bytes
//! and partition keys. The same seed, task and order of calls give the same bytes. Pure.

mod fragments;

use std::ops::Range;

use jiff::tz::Offset;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::{Content, TaskId};
use kinesis_demo_api::record_size::RecordSize;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use fragments::Fragments;

/// Partition keys count toward a stream's throughput (Kinesis FAQ), so they are short; 40 random
/// bits are enough to spread records evenly.
pub const PARTITION_KEY_BYTES: usize = 8;

/// A record's partition key: ASCII.
pub type PartitionKey = [u8; PARTITION_KEY_BYTES];

const KEY_ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Creates one task's posts.
#[derive(Debug)]
pub struct Posts {
    rng: ChaCha8Rng,
    size: RecordSize,
    /// `<run name>/<task>/`: the record id without the record's number.
    name: String,
    /// Number of records created so far, and the number of the next one.
    sequence: u64,
    fragments: [Fragments; 4],
    timestamps: TimestampFormatter,
}

impl Posts {
    /// The posts of one task. Builds the fragments, before any record is due.
    pub fn new(seed: u64, run_name: &str, task: &TaskId, size: RecordSize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ fingerprint(task));
        let fragments = [Content::Baseline, Content::BreakingNews, Content::Viral, Content::Decline]
            .map(|content| Fragments::of(content, &mut rng));
        Self {
            rng,
            size,
            name: format!("{run_name}/{task}/"),
            sequence: 0,
            fragments,
            timestamps: TimestampFormatter::default(),
        }
    }

    /// Appends the next post to `buffer`; returns its key and its range in the buffer.
    pub fn append(
        &mut self,
        content: Content,
        due_at: MicroTime,
        buffer: &mut Vec<u8>,
    ) -> (PartitionKey, Range<usize>) {
        let start = buffer.len();
        let (choice, key) = (self.rng.next_u64(), self.rng.next_u64());
        let picks = Picks(choice);
        let fragments = &self.fragments[fragment_index(content)];
        let mut digits = itoa::Buffer::new();
        let number = digits.format(self.sequence);
        self.sequence += 1;
        let timestamp = self.timestamps.text(due_at);
        let text = picks.from(0, &fragments.texts);

        for part in
            [br#"{"id":""#, self.name.as_bytes(), number.as_bytes(), br#"","timestamp":""#, timestamp, b"\""]
        {
            buffer.extend_from_slice(part);
        }
        let head_end = buffer.len();
        for part in [
            picks.from(1, &fragments.types),
            picks.from(2, &fragments.users),
            r#","text":""#,
            text,
            r#"""#,
            picks.from(3, &fragments.tails),
        ] {
            buffer.extend_from_slice(part.as_bytes());
        }
        let (lowest, count) = fragments.engagement;
        append_tenths(lowest + (choice >> 56) % count, buffer);
        buffer.push(b'}');

        if let RecordSize::Fixed(size) = self.size {
            let size = size as usize;
            if buffer.len() - start <= size {
                pad(buffer, start, size);
            } else {
                buffer.truncate(head_end);
                shorten(buffer, start, size, text);
            }
        }
        (partition_key(key), start..buffer.len())
    }
}

/// FNV-1a hash of the task id: the same on every machine and in every version.
fn fingerprint(task: &TaskId) -> u64 {
    task.as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn fragment_index(content: Content) -> usize {
    match content {
        Content::Baseline => 0,
        Content::BreakingNews => 1,
        Content::Viral => 2,
        Content::Decline => 3,
    }
}

fn partition_key(random: u64) -> PartitionKey {
    std::array::from_fn(|index| KEY_ALPHABET[(random >> (5 * index)) as usize & 31])
}

/// Independent choices from one random number, 14 bits each.
struct Picks(u64);

impl Picks {
    fn from<'a, T: AsRef<str>>(&self, which: u32, pool: &'a [T]) -> &'a str {
        let random = (self.0 >> (14 * which)) as usize & 0x3fff;
        pool.get(random % pool.len().max(1)).map_or("", AsRef::as_ref)
    }
}

fn append_tenths(tenths: u64, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(br#","engagement":"#);
    buffer.extend_from_slice(itoa::Buffer::new().format(tenths / 10).as_bytes());
    buffer.extend_from_slice(&[b'.', b'0' + (tenths % 10) as u8]);
}

/// Pads a complete post to `size` bytes: with a `filler` property if one fits, otherwise with
/// spaces before the closing brace.
fn pad(buffer: &mut Vec<u8>, start: usize, size: usize) {
    const OPENING: &[u8] = br#","filler":""#;
    buffer.pop();
    let room = start + size - buffer.len() - 1;
    if room > OPENING.len() {
        buffer.extend_from_slice(OPENING);
        buffer.resize(start + size - 2, b'.');
        buffer.push(b'"');
    } else {
        buffer.resize(start + size - 1, b' ');
    }
    buffer.push(b'}');
}

/// Shortens a post that is longer than `size` bytes. `buffer` contains it up to and including its
/// timestamp. Keeps as much of the text as fits. If not even the timestamp fits, keeps only the end
/// of the id, which identifies the record.
fn shorten(buffer: &mut Vec<u8>, start: usize, size: usize, text: &str) {
    const TEXT: &[u8] = br#","text":""#;
    let used = buffer.len() - start;
    if used < size {
        if let Some(room) = size.checked_sub(used + TEXT.len() + 2) {
            let kept = (0..=room.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            buffer.extend_from_slice(TEXT);
            buffer.extend_from_slice(&text.as_bytes()[..kept]);
            buffer.push(b'"');
        }
        buffer.resize(start + size - 1, b' ');
        buffer.push(b'}');
        return;
    }
    let opening = start + br#"{"id":""#.len();
    let id_end =
        buffer[opening..].iter().position(|byte| *byte == b'"').map_or(opening, |length| opening + length);
    let room = size - br#"{"id":""}"#.len();
    let dropped = (id_end - opening).saturating_sub(room);
    buffer.truncate(id_end);
    buffer.drain(opening..opening + dropped);
    buffer.push(b'"');
    buffer.resize(start + size - 1, b' ');
    buffer.push(b'}');
}

/// Formats instants, such as `2026-11-22T10:00:00.123Z`. Date and time are formatted once per
/// second.
#[derive(Debug, Default)]
struct TimestampFormatter {
    second: Option<i64>,
    text: Vec<u8>,
}

impl TimestampFormatter {
    /// Position of the three fraction digits: `2026-11-22T10:00:00.` has twenty characters.
    const FRACTION: Range<usize> = 20..23;

    fn text(&mut self, at: MicroTime) -> &[u8] {
        let (second, micros) = (at.as_micros().div_euclid(1_000_000), at.as_micros().rem_euclid(1_000_000));
        if self.second != Some(second) {
            let civil = Offset::UTC.to_datetime(at.timestamp());
            self.text = format!("{}.000Z", civil.strftime("%Y-%m-%dT%H:%M:%S")).into_bytes();
            self.second = Some(second);
        }
        let millis = micros / 1_000;
        let digits = [millis / 100, millis / 10 % 10, millis % 10];
        for (byte, digit) in self.text[Self::FRACTION].iter_mut().zip(digits) {
            *byte = b'0' + digit as u8;
        }
        &self.text
    }
}

#[cfg(test)]
#[path = "payload_tests.rs"]
mod tests;
