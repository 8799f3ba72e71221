//! Text of others, made safe for a terminal. In: any text. Out: one line without characters that a
//! terminal obeys instead of showing. Pure.

use kinesis_demo_report::text::is_harmful;

/// The same text with a space for each control character (also a line break), and for each
/// character that reorders text.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|letter| if is_harmful(letter) { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_text_direction_never_reach_the_terminal() {
        assert_eq!(printable("phase peak, 50 % · é 流"), "phase peak, 50 % · é 流");
        assert_eq!(printable("a\u{1b}[2J\u{9b}31m\r\nb\tc\u{202e}d\u{7}"), "a [2J 31m  b c d ");
    }
}
