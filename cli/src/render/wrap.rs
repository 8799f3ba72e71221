//! Lines within a width. In: text and the number of columns there are. Out: as many lines as it takes; nothing is cut off. Pure.

/// Further than the line that it goes on.
const INDENT: usize = 4;

/// Between the parts of a line: the best place to break it.
const DOT: char = '·';

/// The line in pieces of at most `width` characters, broken between its parts, else at spaces, where there are any. What goes on
/// is indented.
#[must_use]
pub fn wrap(line: &str, width: usize) -> Vec<String> {
    let indent = line.chars().take_while(|letter| *letter == ' ').count() + INDENT;
    // In less room than this, the indentation would be all there is.
    let indent = if indent * 2 > width { 0 } else { indent };
    let mut rest: Vec<char> = line.chars().collect();
    let mut lines = Vec::new();
    while rest.len() > width.max(1) {
        let start = rest.iter().take_while(|letter| **letter == ' ').count();
        let room = rest.get(..=width.max(1)).unwrap_or(&rest);
        let part = room.windows(2).rposition(|pair| pair == [' ', DOT]);
        let space = room.iter().rposition(|letter| *letter == ' ');
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
    fn a_line_that_fits_stays_and_a_longer_one_breaks_at_spaces() {
        assert_eq!(wrap("  one two", 9), ["  one two"]);
        assert_eq!(
            wrap("  one two three four five", 14),
            ["  one two", "      three", "      four", "      five"]
        );
        assert_eq!(wrap("", 10), [""]);
        assert_eq!(wrap("a · b in 5s · ends in 15s", 20), ["a · b in 5s", "    · ends in 15s"]);
    }

    #[test]
    fn no_letter_is_lost_whatever_the_width() {
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
