use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::*;

const DUE_AT: MicroTime = MicroTime::from_micros(1_795_341_600_123_456);
const CONTENTS: [Content; 4] = [Content::Baseline, Content::BreakingNews, Content::Viral, Content::Decline];

fn posts(seed: u64, task: &str, size: RecordSize) -> Posts {
    Posts::new(seed, "kd-viral-event-5f3c2a1b-r1", &TaskId::from_arn(task), size)
}

/// The keys and bytes of the next `count` posts of a kind.
fn next_posts(posts: &mut Posts, content: Content, count: usize) -> Vec<(String, Vec<u8>)> {
    let mut buffer = Vec::new();
    (0..count)
        .map(|index| {
            let due_at = DUE_AT + Duration::from_millis(index as u64);
            let (key, range) = posts.append(content, due_at, &mut buffer);
            (String::from_utf8(key.to_vec()).unwrap(), buffer[range].to_vec())
        })
        .collect()
}

#[test]
fn seed_and_task_determine_the_bytes() {
    let of = |seed, task| {
        let mut posts = posts(seed, task, RecordSize::Natural);
        CONTENTS.into_iter().flat_map(|content| next_posts(&mut posts, content, 200)).collect::<Vec<_>>()
    };
    assert_eq!(of(7, "a1b2c3d4"), of(7, "a1b2c3d4"));
    let keys = |posts: Vec<(String, Vec<u8>)>| posts.into_iter().map(|(key, _)| key).collect::<BTreeSet<_>>();
    assert!(keys(of(7, "a1b2c3d4")).is_disjoint(&keys(of(7, "a1b2c3d5"))));
    assert!(keys(of(7, "a1b2c3d4")).is_disjoint(&keys(of(8, "a1b2c3d4"))));
}

#[test]
fn a_post_is_json_with_the_expected_properties() {
    let mut posts = posts(1, "a1b2c3d4", RecordSize::Natural);
    let (key, first) = next_posts(&mut posts, Content::Viral, 1).remove(0);
    let post: Value = serde_json::from_slice(&first).unwrap();
    assert_eq!(post["id"], "kd-viral-event-5f3c2a1b-r1/a1b2c3d4/0");
    assert_eq!(post["timestamp"], "2026-11-22T10:00:00.123Z");
    assert!(["original", "share", "reply"].contains(&post["type"].as_str().unwrap()));
    assert!(post["user"]["id"].is_u64() && !post["user"]["name"].as_str().unwrap().is_empty());
    assert!(!post["text"].as_str().unwrap().is_empty());
    assert_eq!(key.len(), PARTITION_KEY_BYTES);
    assert!(key.bytes().all(|byte| KEY_ALPHABET.contains(&byte)));
}

#[test]
fn timestamps_are_the_due_times() {
    let mut timestamps = TimestampFormatter::default();
    let texts: Vec<_> = [0, 1, 876, 877, 3_600_000]
        .map(|later| {
            String::from_utf8(timestamps.text(DUE_AT + Duration::from_millis(later)).to_vec()).unwrap()
        })
        .to_vec();
    let expected = ["10:00:00.123", "10:00:00.124", "10:00:00.999", "10:00:01.000", "11:00:00.123"];
    assert_eq!(texts, expected.map(|time| format!("2026-11-22T{time}Z")));
}

#[test]
fn tone_and_size_depend_on_the_kind_of_post() {
    // Lowest and highest number of hashtags and mentions, and engagement. The mean size is within
    // the range that the schedule assumes.
    for (content, hashtags, mentions, engagement) in [
        (Content::Baseline, (1, 2), (0, 1), (0.5, 5.0)),
        (Content::BreakingNews, (2, 3), (0, 2), (4.0, 12.0)),
        (Content::Viral, (3, 6), (0, 3), (10.0, 25.0)),
        (Content::Decline, (1, 3), (0, 1), (1.0, 6.0)),
    ] {
        let records = next_posts(&mut posts(1, "a1b2c3d4", RecordSize::Natural), content, 4_000);
        let read: Vec<Value> =
            records.iter().map(|(_, post)| serde_json::from_slice(post).unwrap()).collect();
        let bounds = |of: &dyn Fn(&Value) -> f64| {
            read.iter()
                .map(of)
                .fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)))
        };
        let count =
            |property: &'static str| move |post: &Value| post[property].as_array().unwrap().len() as f64;
        let as_f64 = |(low, high): (i32, i32)| (f64::from(low), f64::from(high));
        assert_eq!(bounds(&count("hashtags")), as_f64(hashtags), "{content:?}");
        assert_eq!(bounds(&count("mentions")), as_f64(mentions), "{content:?}");
        assert_eq!(bounds(&|post| post["engagement"].as_f64().unwrap()), engagement, "{content:?}");

        let located = read.iter().filter(|post| post["location"].is_string()).count();
        assert!((2_400..3_200).contains(&located), "{located} of 4000 posts have a location");
        let bytes: usize = records.iter().map(|(_, post)| post.len()).sum();
        assert!((250..=400).contains(&(bytes / 4_000)), "{content:?}: {} bytes on average", bytes / 4_000);
    }
}

#[test]
fn fixed_size_posts_have_the_exact_size_and_are_valid_json() {
    for size in (64..=130).chain((131..=460).step_by(7)).chain([65_536, (1 << 20) - PARTITION_KEY_BYTES]) {
        let mut posts = posts(3, "a1b2c3d4", RecordSize::Fixed(u32::try_from(size).unwrap()));
        for content in CONTENTS {
            for (_, post) in next_posts(&mut posts, content, if size > 1_000 { 1 } else { 10 }) {
                assert_eq!(post.len(), size);
                let read: Value = serde_json::from_slice(&post).unwrap();
                assert!(read["id"].as_str().unwrap().contains("/a1b2c3d4/"), "{read}");
            }
        }
    }
}

#[test]
fn an_id_too_long_for_a_fixed_size_keeps_its_end() {
    let task = TaskId::from_arn("a1b2c3d4");
    let mut posts = Posts::new(3, &"r".repeat(128), &task, RecordSize::Fixed(64));
    let records = next_posts(&mut posts, Content::Viral, 12);
    for (number, (_, post)) in records.iter().enumerate() {
        assert_eq!(post.len(), 64);
        let read: Value = serde_json::from_slice(post).unwrap();
        assert!(read["id"].as_str().unwrap().ends_with(&format!("r/a1b2c3d4/{number}")), "{read}");
    }
}
