//! The report for a pull request. In: a record. Out: Markdown, the verdict first, in which text of
//! others is text: no link, no HTML, no mention, no broken table. Pure.

use kinesis_demo_api::KinesisDemoRun;
use kinesis_demo_api::run_record::{MOST_GAPS, MOST_MARKS};

use crate::facts::{Fact, facts, left, settings, totals};
use crate::phases;
use crate::plot::{says, title, zero};
use crate::text::{clean, grouped, offset, sentence};

/// How many marks are listed. The record has all.
const MOST_LISTED: usize = 40;

/// The report, with a final newline.
#[must_use]
pub fn report(run: &KinesisDemoRun) -> String {
    let mut lines = vec![
        format!("**{}**", escaped(&sentence(&says(run)))),
        String::new(),
        format!("### {}", escaped(&title(run))),
        String::new(),
    ];
    lines.extend(phase_table(run));
    lines.extend(capacity(run));
    if let Some(status) = &run.status {
        if let Some(counts) = &status.totals {
            let counted = totals(counts).into_iter().filter(|(_, count, _)| *count > 0);
            let counted: Vec<String> =
                counted.map(|(name, count, _)| format!("{name} {}", grouped(count))).collect();
            lines.extend([String::new(), format!("Totals: {}.", counted.join(", "))]);
        }
        lines.extend(marks(run));
        let zero = zero(run);
        let gaps = status.gaps.iter().take(MOST_GAPS);
        let gaps: Vec<String> =
            gaps.map(|gap| format!("- {} to {}", offset(gap.from, zero), offset(gap.until, zero))).collect();
        if !gaps.is_empty() {
            lines.extend([String::new(), "Not observed by any operator:".to_owned(), String::new()]);
            lines.extend(gaps);
        }
    }
    if let Some(left) = left(run) {
        lines.push(String::new());
        match left.as_slice() {
            [] => lines.push("Left behind: nothing.".to_owned()),
            left => {
                lines.extend(["Left behind:".to_owned(), String::new()]);
                lines.extend(left.iter().map(|one| format!("- {}", escaped(one))));
            }
        }
    }
    lines.extend(settings_block(run));
    lines.push(String::new());
    lines.extend(fact_table(&facts(run)));
    lines.join("\n") + "\n"
}

/// The phases as a table.
#[must_use]
pub fn phase_table(run: &KinesisDemoRun) -> Vec<String> {
    let mut lines = vec![row(phases::HEADER.map(str::to_owned).iter())];
    lines.push(format!("|---|{}", "---:|".repeat(phases::HEADER.len() - 1)));
    lines.extend(phases::rows(run).iter().map(|phase| row(phase.cells.iter().map(|cell| escaped(cell)))));
    lines
}

fn capacity(run: &KinesisDemoRun) -> Vec<String> {
    let known = crate::facts::capacity(run);
    if known.is_empty() {
        return Vec::new();
    }
    let known: Vec<String> = known.into_iter().map(|(name, value)| format!("{name} {value}")).collect();
    vec![String::new(), format!("{}.", known.join(", "))]
}

fn marks(run: &KinesisDemoRun) -> Vec<String> {
    let Some(status) = run.status.as_ref().filter(|status| !status.marks.is_empty()) else {
        return Vec::new();
    };
    let zero = zero(run);
    let mut marks: Vec<_> = status.marks.iter().take(MOST_MARKS).collect();
    marks.sort_by_key(|mark| mark.at);
    let mut lines =
        vec![String::new(), "<details><summary>What happened when</summary>".to_owned(), String::new()];
    for mark in marks.iter().take(MOST_LISTED) {
        lines.push(format!("- {} {}", offset(mark.at, zero), escaped(&clean(&mark.text, 160))));
    }
    let more = marks.len().saturating_sub(MOST_LISTED) + status.marks_omitted as usize;
    if more > 0 {
        lines.push(format!("- and {more} more"));
    }
    lines.extend([String::new(), "</details>".to_owned()]);
    lines
}

fn settings_block(run: &KinesisDemoRun) -> Vec<String> {
    let text = settings(run);
    // Longer than any fence within.
    let longest = text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let begin = ["", "<details><summary>Settings</summary>", ""].map(str::to_owned);
    let mut lines = Vec::from(begin);
    lines.extend([format!("{fence}yaml"), text.trim_end().to_owned(), fence]);
    lines.extend(["", "</details>"].map(str::to_owned));
    lines
}

/// Facts as a table of two columns.
#[must_use]
pub fn fact_table(facts: &[Fact]) -> Vec<String> {
    let mut lines = vec!["| | |".to_owned(), "|---|---|".to_owned()];
    lines.extend(facts.iter().map(|(name, value)| row([(*name).to_owned(), escaped(value)].iter())));
    lines
}

/// Cells, already escaped, as a line of a table.
pub fn row<T: AsRef<str>>(cells: impl Iterator<Item = T>) -> String {
    let mut line = String::from("|");
    for cell in cells {
        line.push(' ');
        line.push_str(cell.as_ref());
        line.push_str(" |");
    }
    line
}

/// Has no width, and no line breaks at it.
const WORD_JOINER: char = '\u{2060}';

/// Text of others as text: everything that Markdown or HTML could obey is escaped.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let one_line = clean(text, 4_096);
    let mut letters = one_line.chars().peekable();
    let mut before = ' ';
    while let Some(letter) = letters.next() {
        match letter {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '|' => safe.push_str("&#124;"),
            // Hosts look for mentions, links and issues in the text that Markdown yields, where
            // neither a backslash nor an entity is left. An invisible letter stays, and breaks all.
            '@' | '#' => safe.extend([letter, WORD_JOINER]),
            // GH-12 is an issue.
            '-' if safe.ends_with("GH") || safe.ends_with("gh") => safe.extend([WORD_JOINER, letter]),
            ':' if letters.peek() == Some(&'/') => safe.push_str("&#58;"),
            '.' if before.eq_ignore_ascii_case(&'w') => safe.push_str("&#46;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '!' | '~' | '$' => safe.extend(['\\', letter]),
            other => safe.push(other),
        }
        before = letter;
    }
    // At the beginning of a line these would begin a list.
    match safe.chars().next() {
        Some('-' | '+' | '=') => format!("\\{safe}"),
        _ => safe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_is_not_obeyed() {
        assert_eq!(escaped("<script>alert(1)</script>"), "&lt;script&gt;alert(1)&lt;/script&gt;");
        assert_eq!(
            escaped("a|b\n# c [x](http://h) @team"),
            "a&#124;b #\u{2060} c \\[x\\](http&#58;//h) @\u{2060}team"
        );
        assert_eq!(escaped("www.example ![a](b) `c`"), "www&#46;example \\!\\[a\\](b) \\`c\\`");
        assert_eq!(escaped("- a"), "\\- a");
        assert_eq!(
            escaped("22 % of 872,000 records: throttled in spike-2"),
            "22 % of 872,000 records: throttled in spike-2"
        );
    }
}
