//! How a text differs from the text that it should be. In: both. Out: lines, with their numbers.

/// The lines that are only in `current` (with `-`) or only in `right` (with `+`), with their line
/// numbers, below a heading that names the file.
pub fn differences(path: &str, current: &str, right: &str) -> String {
    let (current, right): (Vec<&str>, Vec<&str>) = (current.lines().collect(), right.lines().collect());
    let mut text = format!("{path}:\n");
    let (mut current_line, mut right_line) = (0, 0);
    for line in diff::slice(&current, &right) {
        match line {
            diff::Result::Left(line) => {
                current_line += 1;
                text.push_str(&format!("-{current_line}: {line}\n"));
            }
            diff::Result::Right(line) => {
                right_line += 1;
                text.push_str(&format!("+{right_line}: {line}\n"));
            }
            diff::Result::Both(..) => {
                current_line += 1;
                right_line += 1;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_differ_are_shown_with_their_numbers() {
        assert_eq!(
            differences("a.md", "1\n2\n3\n4\n", "1\ntwo\n3\n4\n5\n"),
            "a.md:\n-2: 2\n+2: two\n+5: 5\n"
        );
    }
}
