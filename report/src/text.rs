//! Numbers, instants and the text of others, for people. In: values of a record. Out: text without
//! control characters and of bounded length. Escaping is left to the format. Pure.

use std::time::Duration;

use kinesis_demo_api::MicroTime;

/// 1234567 as `1,234,567`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What part of `whole` is `part`, rounded down, so that 100 % means all: `22 %`, `99.98 %`. From
/// 99 % on and below 1 % with two decimals. None if there is no whole.
#[must_use]
pub fn percent(part: u64, whole: u64) -> Option<String> {
    let hundredths = (u128::from(part) * 10_000).checked_div(u128::from(whole))?;
    Some(match hundredths {
        0 if part > 0 => "less than 0.01 %".to_owned(),
        10_000 => "100 %".to_owned(),
        1..100 | 9_900..10_000 => format!("{}.{:02} %", hundredths / 100, hundredths % 100),
        _ => format!("{} %", hundredths / 100),
    })
}

/// Text of others as one line of at most `most` characters. Control characters, and those that
/// reorder text, become spaces.
#[must_use]
pub fn clean(text: &str, most: usize) -> String {
    let mut letters = text.chars().map(|letter| if is_harmful(letter) { ' ' } else { letter });
    let mut cleaned: String = letters.by_ref().take(most).collect();
    if letters.next().is_some() {
        cleaned.pop();
        cleaned.push('…');
    }
    cleaned.trim().to_owned()
}

/// Characters that a terminal or a browser obeys instead of showing, and those that XML forbids.
#[must_use]
pub fn is_harmful(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

/// `a`, `a and b`, `a, b and c`; of more than `most` names the first ones, and how many more.
#[must_use]
pub fn listed(names: &[String], most: usize) -> String {
    let shown = names.get(..most).unwrap_or(names);
    let more = names.len() - shown.len();
    match (shown, more) {
        ([], _) => String::new(),
        ([one], 0) => one.clone(),
        ([first @ .., last], 0) => format!("{} and {last}", first.join(", ")),
        (shown, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Whole seconds as `7s`, `2m05s`, `1h02m` or `3d04h`.
#[must_use]
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// An instant in whole seconds: `2026-11-28 10:00:07 UTC`.
#[must_use]
pub fn instant(at: MicroTime) -> String {
    at.timestamp().strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// An instant relative to another, to a tenth of a second: `+12.3s`, `-4.0s`, `+2m05s`.
#[must_use]
pub fn offset(at: MicroTime, zero: MicroTime) -> String {
    let (sign, distance) = if at < zero { ('-', zero.since(at)) } else { ('+', at.since(zero)) };
    match distance.as_secs() {
        0..60 => format!("{sign}{}.{}s", distance.as_secs(), distance.subsec_millis() / 100),
        _ => format!("{sign}{}", span(distance)),
    }
}

/// The rate of `count` records over a duration, rounded to the nearest integer.
#[must_use]
pub fn per_second(count: u64, over: Duration) -> u64 {
    let millis = over.as_millis().max(1);
    let rate = (u128::from(count) * 1000 + millis / 2) / millis;
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// The sentence with a capital and a full stop.
#[must_use]
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().map(|letter| letter.to_uppercase().collect()).unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?', '…']) || text.is_empty() { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_rounded_down() {
        let shown = |part, whole| percent(part, whole).unwrap_or_default();
        assert_eq!(shown(229, 1000), "22 %");
        assert_eq!(shown(999_999, 1_000_000), "99.99 %");
        assert_eq!(shown(1_000, 1_000), "100 %");
        assert_eq!(shown(3, 1_000), "0.30 %");
        assert_eq!(shown(1, 1_000_000), "less than 0.01 %");
        assert_eq!(shown(0, 5), "0 %");
        assert_eq!(shown(u64::MAX, u64::MAX), "100 %");
        assert_eq!(percent(1, 0), None);
    }

    #[test]
    fn spans_have_at_most_two_units() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (60, "1m00s"), (125, "2m05s"), (3_720, "1h02m"), (90_000, "1d01h")]
        {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn text_of_others_is_one_line_without_escapes() {
        assert_eq!(clean("a\u{1b}[31m\nb\u{202e}c", 40), "a [31m b c");
        assert_eq!(clean("abcdef", 4), "abc…");
        assert_eq!(clean("abcd", 4), "abcd");
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = ["a", "b", "c", "d"].map(Into::into).into();
        assert_eq!(listed(&names, 9), "a, b, c and d");
        assert_eq!(listed(&names, 2), "a, b and 2 more");
        assert_eq!(listed(&names[..2], 2), "a and b");
        assert_eq!(listed(&names[..1], 2), "a");
    }

    #[test]
    fn instants_are_relative_to_the_traffic() {
        let zero = MicroTime::from_micros(60_000_000);
        assert_eq!(offset(MicroTime::from_micros(72_340_000), zero), "+12.3s");
        assert_eq!(offset(MicroTime::from_micros(56_000_000), zero), "-4.0s");
        assert_eq!(offset(MicroTime::from_micros(185_000_000), zero), "+2m05s");
        let longest = offset(MicroTime::from_micros(i64::MIN), MicroTime::from_micros(i64::MAX));
        assert_eq!(longest, "-106751991d04h");
    }

    #[test]
    fn a_sentence_ends_once() {
        assert_eq!(sentence("delivered all"), "Delivered all.");
        assert_eq!(sentence(""), "");
    }
}
