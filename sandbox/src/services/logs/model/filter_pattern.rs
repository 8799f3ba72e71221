//! Filter patterns for unstructured text. In: a pattern. Out: whether a message matches. No I/O.
//!
//! Terms are case-sensitive. A message must contain all plain terms and no `-term`. Without plain
//! terms, it must contain at least one of the `?terms` ("Filter pattern syntax", Logs user guide).
//! Patterns for JSON (`{ … }`), space-delimited text (`[ … ]`) and regular expressions (`%…%`) are
//! not modelled. They are rejected, so that none silently matches nothing.

use crate::call::AwsError;
use crate::services::logs::errors;

/// A parsed pattern.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FilterPattern {
    all: Vec<String>,
    none: Vec<String>,
    any: Vec<String>,
}

impl FilterPattern {
    pub fn parse(text: &str) -> Result<Self, AwsError> {
        let text = text.trim();
        if text.starts_with(['{', '[', '%']) {
            return Err(errors::invalid_pattern(
                "Invalid filter pattern: anything but plain and quoted terms is not supported by this sandbox; docs/sandbox.md lists what is supported",
            ));
        }
        let mut pattern = Self::default();
        let mut rest = text.chars().peekable();
        while let Some(&next) = rest.peek() {
            if next.is_whitespace() {
                rest.next();
                continue;
            }
            let kind = rest.next_if(|c| matches!(c, '-' | '?'));
            let term = if rest.next_if_eq(&'"').is_some() { quoted(&mut rest)? } else { plain(&mut rest)? };
            match kind {
                Some('-') => pattern.none.push(term),
                Some(_) => pattern.any.push(term),
                None => pattern.all.push(term),
            }
        }
        Ok(pattern)
    }

    pub fn matches(&self, message: &str) -> bool {
        let is_in_message = |term: &String| message.contains(term.as_str());
        self.all.iter().all(is_in_message)
            && !self.none.iter().any(is_in_message)
            // If there are required terms, optional terms have no effect.
            && (self.any.is_empty() || !self.all.is_empty() || self.any.iter().any(is_in_message))
    }
}

type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn quoted(rest: &mut Rest<'_>) -> Result<String, AwsError> {
    let mut term = String::new();
    loop {
        match rest.next() {
            Some('"') => return Ok(term),
            Some('\\') => term.extend(rest.next()),
            Some(c) => term.push(c),
            None => {
                return Err(errors::invalid_pattern("Invalid filter pattern: unclosed quote"));
            }
        }
    }
}

/// Terms with characters other than letters, digits and underscores must be quoted ("Filter pattern
/// syntax").
fn plain(rest: &mut Rest<'_>) -> Result<String, AwsError> {
    let mut term = String::new();
    while let Some(c) = rest.next_if(|c| !c.is_whitespace()) {
        term.push(c);
    }
    if term.is_empty() || !term.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return Err(errors::invalid_pattern(format!("Invalid character(s) in term '{term}'")));
    }
    Ok(term)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_combined_as_documented() {
        let cases = [
            ("", "anything", true),
            ("ERROR ledger", "a ledger with ERROR", true),
            ("ERROR ledger", "an ERROR", false),
            ("error", "an ERROR", false),
            ("ERROR -ledger", "a ledger with ERROR", false),
            ("?ERROR ?WARN", "a WARN", true),
            ("?ERROR ?WARN", "fine", false),
            (r#""\"kind\":\"ledger\"""#, r#"{"kind":"ledger"}"#, true),
            (r#""two words""#, "just two words here", true),
        ];
        for (pattern, message, expected) in cases {
            assert_eq!(
                FilterPattern::parse(pattern).unwrap().matches(message),
                expected,
                "{pattern} on {message}"
            );
        }
    }

    #[test]
    fn unsupported_patterns_are_rejected() {
        for pattern in ["{ $.a = 1 }", "[a, b]", "%x%", "a.b", "\"open", "-"] {
            assert_eq!(
                FilterPattern::parse(pattern).unwrap_err().code,
                "InvalidParameterException",
                "{pattern}"
            );
        }
    }
}
