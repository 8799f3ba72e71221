//! How a command line names a run. In: `NAME` or `NAME/RUN`. Out: the name of the KinesisDemo, and
//! the run's number if it is given. Pure.

use std::fmt;
use std::str::FromStr;

/// `NAME`, or `NAME/RUN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunName {
    pub demo: String,
    /// The newest, without a number.
    pub run: Option<u32>,
}

impl FromStr for RunName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (demo, run) = match text.split_once('/') {
            Some((demo, run)) => {
                let run = run.parse().ok().filter(|run| *run > 0);
                (demo, Some(run.ok_or("after the slash, the number of a run: 1 or more")?))
            }
            None => (text, None),
        };
        // As the label of its runs requires, and the API server of names.
        let allowed =
            |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-.".contains(letter);
        if demo.is_empty() || demo.len() > 63 || !demo.chars().all(allowed) {
            return Err(
                "not the name of a KinesisDemo: lower-case letters, digits, '-' and '.', at most 63".into()
            );
        }
        Ok(Self { demo: demo.to_owned(), run })
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.run {
            Some(run) => write!(f, "run {run} of {}", self.demo),
            None => write!(f, "the newest run of {}", self.demo),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_before_they_become_selectors() {
        let named = |text: &str| text.parse::<RunName>();
        assert_eq!(named("quick/3"), Ok(RunName { demo: "quick".into(), run: Some(3) }));
        assert_eq!(named("quick").map(|name| name.to_string()), Ok("the newest run of quick".into()));
        for wrong in ["", "a,b=c", "a/0", "a/b", "a=b", &"a".repeat(64)] {
            assert!(named(wrong).is_err(), "{wrong}");
        }
    }
}
