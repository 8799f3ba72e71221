//! The posts themselves. In: a seed, the task's name, what kind of post is wanted and when it is due. Out: JSON bytes and
//! partition keys; the same seed, name and order of calls give the same bytes. Pure.

mod fragments;

use std::ops::Range;

use jiff::tz::Offset;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::{Content, TaskId};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::args::RecordSize;
use fragments::Fragments;

/// Partition keys count toward a stream's throughput (Kinesis FAQ), so they are short; 40 random bits spread records evenly.
pub const PARTITION_KEY_BYTES: usize = 8;

/// A record's partition key: ASCII.
pub type PartitionKey = [u8; PARTITION_KEY_BYTES];

const KEY_ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Makes one task's posts.
#[derive(Debug)]
pub struct Posts {
    rng: ChaCha8Rng,
    size: RecordSize,
    /// `<run name>/<task>/`, before a record's number.
    name: String,
    /// Records made so far; the next one's number.
    sequence: u64,
    fragments: [Fragments; 4],
    stamp: Stamp,
}

impl Posts {
    /// The posts of one task. The fragments are built here, before anything is due.
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
            stamp: Stamp::default(),
        }
    }

    /// Appends the next post to `buffer`; returns its key and where it lies.
    pub fn append(
        &mut self,
        content: Content,
        due_at: MicroTime,
        buffer: &mut Vec<u8>,
    ) -> (PartitionKey, Range<usize>) {
        let start = buffer.len();
        let (choice, key) = (self.rng.next_u64(), self.rng.next_u64());
        let picks = Picks(choice);
        let fragments = &self.fragments[kind(content)];
        let mut digits = itoa::Buffer::new();
        let number = digits.format(self.sequence);
        self.sequence += 1;
        let timestamp = self.stamp.text(due_at);
        let text = picks.from(0, &fragments.texts);

        for part in
            [br#"{"id":""#, self.name.as_bytes(), number.as_bytes(), br#"","timestamp":""#, timestamp, b"\""]
        {
            buffer.extend_from_slice(part);
        }
        let with_text_only = buffer.len();
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
            if buffer.len() - start <= size {
                pad(buffer, start, size);
            } else {
                buffer.truncate(with_text_only);
                shorten(buffer, start, size, text);
            }
        }
        (partition_key(key), start..buffer.len())
    }
}

/// FNV-1a: tells task names apart, and stays the same on every machine and version.
fn fingerprint(task: &TaskId) -> u64 {
    task.as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn kind(content: Content) -> usize {
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

/// Independent choices out of one random number, 14 bits each.
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

/// Lengthens a complete post to `size` bytes: with a member of its own where one fits, with blanks before the brace else.
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

/// Shortens a post that `size` bytes cannot hold. `buffer` holds it up to and with its timestamp. As much as fits of its
/// text is kept; if not even the timestamp does, only the end of its name, which is what tells records apart.
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
    let name_ends_at =
        buffer[opening..].iter().position(|byte| *byte == b'"').map_or(opening, |length| opening + length);
    let room = size - br#"{"id":""}"#.len();
    let dropped = (name_ends_at - opening).saturating_sub(room);
    buffer.truncate(name_ends_at);
    buffer.drain(opening..opening + dropped);
    buffer.push(b'"');
    buffer.resize(start + size - 1, b' ');
    buffer.push(b'}');
}

/// Instants as text, `2026-11-22T10:00:00.123Z`. The calendar is consulted once a second.
#[derive(Debug, Default)]
struct Stamp {
    second: Option<i64>,
    text: Vec<u8>,
}

impl Stamp {
    /// Where the three digits of the fraction lie: `2026-11-22T10:00:00.` is twenty characters long.
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
