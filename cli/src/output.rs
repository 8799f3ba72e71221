//! Data formats for programs, and the width of a terminal. In: values. Out: text. Reads the
//! terminal's size.

use std::io::{self, IsTerminal};

use ratatui_crossterm::crossterm::terminal;
use serde::Serialize;

use crate::args::Output;

/// A value as a separate document with a final newline; None for text output.
pub fn document(value: &impl Serialize, output: Output) -> io::Result<Option<String>> {
    match output {
        Output::Text => Ok(None),
        Output::Json => Ok(Some(serde_json::to_string_pretty(value)? + "\n")),
        Output::Yaml => yaml(value).map(Some),
    }
}

/// A value as one of many: a line of JSON, or a YAML document after its `---`.
pub fn item(value: &impl Serialize, output: Output) -> io::Result<Option<String>> {
    match output {
        Output::Text => Ok(None),
        Output::Json => Ok(Some(serde_json::to_string(value)? + "\n")),
        Output::Yaml => Ok(Some(format!("---\n{}", yaml(value)?))),
    }
}

/// Converts through JSON, which keeps the API's field order and names.
fn yaml(value: &impl Serialize) -> io::Result<String> {
    let text = serde_saphyr::to_string(&serde_json::to_value(value)?).map_err(io::Error::other)?;
    Ok(if text.ends_with('\n') { text } else { text + "\n" })
}

/// The terminal's columns and lines. Some pseudo-terminals report 0 by 0, which means unknown.
#[must_use]
pub fn terminal_size() -> (u16, u16) {
    terminal::size().ok().filter(|(width, height)| *width > 0 && *height > 1).unwrap_or((80, 24))
}

/// The width of lines on stdout: the terminal's width, or unlimited in a file or a pipe.
#[must_use]
pub fn width() -> usize {
    if io::stdout().is_terminal() { terminal_size().0.into() } else { usize::MAX }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fixture::peak;
    use serde_json::{Value, json};

    #[test]
    fn both_formats_contain_the_whole_object() {
        let demo = peak();
        let json: Value = serde_json::from_str(&document(&demo, Output::Json).unwrap().unwrap()).unwrap();
        let yaml: Value = serde_saphyr::from_str(&document(&demo, Output::Yaml).unwrap().unwrap()).unwrap();
        assert_eq!(json, json!(demo));
        assert_eq!(yaml, json!(demo));
        assert_eq!(document(&demo, Output::Text).unwrap(), None);
    }

    #[test]
    fn strings_that_look_like_other_types_stay_strings() {
        let value = json!({"a": "true", "b": "1", "c": "null", "d": "- x: y", "e": "2026-11-22T10:00:00Z", "f": "two\nlines\n", "g": ""});
        let text = document(&value, Output::Yaml).unwrap().unwrap();
        assert_eq!(serde_saphyr::from_str::<Value>(&text).unwrap(), value, "{text}");
    }

    #[test]
    fn each_of_many_values_is_a_line_or_a_document() {
        let values = [json!({"a": 1}), json!({"a": 2})];
        let all = |output| values.iter().filter_map(|value| item(value, output).unwrap()).collect::<String>();
        assert_eq!(all(Output::Json), "{\"a\":1}\n{\"a\":2}\n");
        assert_eq!(serde_saphyr::from_multiple::<Value>(&all(Output::Yaml)).unwrap(), values);
    }
}
