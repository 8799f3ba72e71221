//! Wraps lines. In: text and a width. Out: as many lines as needed; nothing is cut off. Pure.

/// The indentation of continuation lines, relative to the first.
const INDENT: usize = 4;

/// The separator of a line's parts, where it breaks first.
const DOT: char = '·';

/// Splits a line into pieces of at most `width` characters: between its parts, else at spaces, else
/// anywhere. Continuation lines are indented.
#[must_use]
pub fn wrap(line: &str, width: usize) -> Vec<String> {
    let indent = line.chars().take_while(|letter| *letter == ' ').count() + INDENT;
    // In a very narrow column, indentation would leave too little room for text.
    let indent = if indent * 2 > width { 0 } else { indent };
    let mut rest: Vec<char> = line.chars().collect();
    let mut lines = Vec::new();
    while rest.len() > width.max(1) {
        let start = rest.iter().take_while(|letter| **letter == ' ').count();
        let candidate = rest.get(..=width.max(1)).unwrap_or(&rest);
        let part = candidate.windows(2).rposition(|pair| pair == [' ', DOT]);
        let space = candidate.iter().rposition(|letter| *letter == ' ');
        let at = [part, space].into_iter().flatten().find(|at| *at > start).unwrap_or(width.max(1));
        let after = rest.split_off(at);
        lines.push(rest.iter().collect::<String>().trim_end().to_owned());
        let words = after.into_iter().skip_while(|letter| *letter == ' ');
        rest = std::iter::repeat_n(' ', indent).chain(words).collect();
    }
    lines.push(rest.into_iter().collect::<String>());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_break_at_spaces_and_short_lines_stay() {
        assert_eq!(wrap("  one two", 9), ["  one two"]);
        assert_eq!(
            wrap("  one two three four five", 14),
            ["  one two", "      three", "      four", "      five"]
        );
        assert_eq!(wrap("", 10), [""]);
        assert_eq!(wrap("a · b in 5s · ends in 15s", 20), ["a · b in 5s", "    · ends in 15s"]);
    }

    #[test]
    fn no_letter_is_lost_at_any_width() {
        let line =
            "  ! AccessDenied: arn:aws:iam::123456789012:role/very-long-name-without-any-space · éü   end";
        let letters = |text: &str| text.chars().filter(|letter| *letter != ' ').collect::<String>();
        for width in 1..100 {
            let wrapped = wrap(line, width);
            assert!(wrapped.iter().all(|line| line.chars().count() <= width), "{width}: {wrapped:?}");
            assert_eq!(letters(&wrapped.concat()), letters(line), "{width}");
        }
    }
}
