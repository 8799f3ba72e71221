//! The text fragments of posts, per kind of post. In: a random generator. Out: JSON fragments,
//! built once before the start, so that creating a record is little more than copying. Pure.

use std::fmt::Write as _;

use kinesis_demo_api::control::Content;
use rand::RngExt;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand_chacha::ChaCha8Rng;

/// Number of fragments of each sort: enough that consecutive posts differ, few enough to stay in
/// the cache.
const USERS: usize = 1024;
const TEXTS: usize = 256;
const TAILS: usize = 256;

/// Prepared fragments of posts of one kind. All but the texts start with a comma. All but the texts
/// are ASCII.
#[derive(Debug)]
pub struct Fragments {
    /// `,"type":"…"`, repeated in proportion to their frequency.
    pub types: Vec<&'static str>,
    /// `,"user":{…}`.
    pub users: Vec<String>,
    /// Texts without quotes, for `,"text":"…"`.
    pub texts: Vec<String>,
    /// `,"hashtags":[…],"mentions":[…]` and, in seven of ten, `,"location":"…"`.
    pub tails: Vec<String>,
    /// Engagement scores in tenths: the lowest, and the number of different scores.
    pub engagement: (u64, u64),
}

/// Properties of one kind of post.
struct Tone {
    openings: &'static [&'static str],
    statements: &'static [&'static str],
    hashtags: &'static [&'static str],
    hashtag_count: std::ops::RangeInclusive<usize>,
    mention_count: std::ops::RangeInclusive<usize>,
    /// Originals, shares and replies per ten posts.
    mix: [usize; 3],
    /// Lowest and highest engagement score in tenths.
    engagement: [u64; 2],
}

const TYPES: [&str; 3] = [r#","type":"original""#, r#","type":"share""#, r#","type":"reply""#];

const LOCATIONS: [&str; 10] = [
    "Lisbon, Portugal",
    "Nairobi, Kenya",
    "Osaka, Japan",
    "Toronto, Canada",
    "Recife, Brazil",
    "Dublin, Ireland",
    "Chennai, India",
    "Austin, USA",
    "Perth, Australia",
    "Oslo, Norway",
];

const NAME_STARTS: [&str; 12] = [
    "quiet", "pixel", "river", "orbit", "maple", "byte", "lunar", "ember", "north", "velvet", "static",
    "amber",
];
const NAME_ENDS: [&str; 12] =
    ["fox", "baker", "pilot", "owl", "coder", "runner", "reader", "otter", "maker", "rider", "poet", "scout"];

fn tone(content: Content) -> Tone {
    match content {
        Content::Baseline => Tone {
            openings: &[
                "Morning note:",
                "On the train again:",
                "Small thing today:",
                "Lunch break thought:",
                "Weekend plan:",
            ],
            statements: &[
                "the new bakery at the corner opens before seven",
                "finally sorted the photos from our trip",
                "that podcast about bridges was worth the hour",
                "the library extended its opening hours",
                "my tomato plants survived the storm",
                "trying a keyboard without labels, wish me luck",
            ],
            hashtags: &["Daily", "Coffee", "Reading", "Garden", "Commute", "Weekend", "Music", "Photo"],
            hashtag_count: 1..=2,
            mention_count: 0..=1,
            mix: [7, 2, 1],
            engagement: [5, 50],
        },
        Content::BreakingNews => Tone {
            openings: &["BREAKING:", "Just in:", "\u{1F6A8} Happening now:", "Developing:", "Urgent:"],
            statements: &[
                "the probe has answered after eleven years of silence",
                "engineers confirm a signal from beyond the belt",
                "mission control is going live within minutes",
                "first pictures are said to be on their way down",
                "the agency calls all crews back to their desks",
                "three observatories report the same reading",
            ],
            hashtags: &["Breaking", "ProbeAnswers", "Space", "LiveNow", "Science", "Signal"],
            hashtag_count: 2..=3,
            mention_count: 0..=2,
            mix: [7, 2, 1],
            engagement: [40, 120],
        },
        Content::Viral => Tone {
            openings: &[
                "I cannot stop watching:",
                "Everyone, look:",
                "\u{1F525} Goosebumps:",
                "Who else is awake?",
                "Share this:",
            ],
            statements: &[
                "the probe sent a picture of home",
                "that one blue pixel is all of us",
                "my whole street is out looking up",
                "even my grandmother asks for the link",
                "the picture is everywhere already",
                "eleven years, and then this",
            ],
            hashtags: &[
                "ProbeAnswers",
                "BluePixel",
                "LookUp",
                "Wow",
                "Home",
                "Together",
                "Space",
                "Tonight",
                "SendIt",
            ],
            hashtag_count: 3..=6,
            mention_count: 0..=3,
            mix: [4, 4, 2],
            engagement: [100, 250],
        },
        Content::Decline => Tone {
            openings: &[
                "Looking back:",
                "For those who missed it:",
                "A day later:",
                "Summary:",
                "Still thinking:",
            ],
            statements: &[
                "how the probe found its way back on the air",
                "what the engineers changed and why it worked",
                "a calm explanation of that blue pixel",
                "the full timeline in one long read",
                "next contact is expected in a month",
                "the team answers the questions of the week",
            ],
            hashtags: &["ProbeAnswers", "Explained", "Recap", "Space", "LongRead"],
            hashtag_count: 1..=3,
            mention_count: 0..=1,
            mix: [5, 3, 2],
            engagement: [10, 60],
        },
    }
}

fn a_handle(rng: &mut ChaCha8Rng) -> String {
    let (start, end) = (NAME_STARTS.choose(rng).unwrap_or(&""), NAME_ENDS.choose(rng).unwrap_or(&""));
    format!("{start}{end}{}", rng.random_range(10..1_000))
}

fn a_list(items: impl Iterator<Item = String>) -> String {
    items.map(|item| format!("\"{item}\"")).collect::<Vec<_>>().join(",")
}

impl Fragments {
    /// The fragments for posts of one kind.
    pub fn of(content: Content, rng: &mut ChaCha8Rng) -> Self {
        let tone = tone(content);
        let types =
            TYPES.iter().zip(tone.mix).flat_map(|(text, parts)| std::iter::repeat_n(*text, parts)).collect();
        let users = (0..USERS)
            .map(|_| {
                format!(
                    r#","user":{{"id":{},"name":"{}"}}"#,
                    rng.random_range(100_000..1_000_000),
                    a_handle(rng)
                )
            })
            .collect();
        let texts = (0..TEXTS)
            .map(|_| {
                let (opening, statement) = (tone.openings.choose(rng), tone.statements.choose(rng));
                format!("{} {}", opening.unwrap_or(&""), statement.unwrap_or(&""))
            })
            .collect();
        let tails = (0..TAILS)
            .map(|_| {
                let hashtags = rng.random_range(tone.hashtag_count.clone());
                let mentions = rng.random_range(tone.mention_count.clone());
                let hashtags =
                    a_list(tone.hashtags.iter().sample(rng, hashtags).into_iter().map(|tag| tag.to_string()));
                let mentions = a_list((0..mentions).map(|_| format!("@{}", a_handle(rng))));
                let mut tail = format!(r#","hashtags":[{hashtags}],"mentions":[{mentions}]"#);
                if rng.random_range(0..10) < 7 {
                    let location = LOCATIONS.choose(rng).unwrap_or(&"");
                    let _ = write!(tail, r#","location":"{location}""#);
                }
                tail
            })
            .collect();
        let [lowest, highest] = tone.engagement;
        Self { types, users, texts, tails, engagement: (lowest, highest - lowest + 1) }
    }
}
