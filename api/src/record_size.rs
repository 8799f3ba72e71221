//! The size of the records' data, as a plan has it and as a task's environment carries it. Pure.

use std::fmt;
use std::str::FromStr;

/// The size of the records' data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordSize {
    /// Each record is as long as its post.
    Natural,
    /// Every record has this number of bytes.
    Fixed(u32),
}

impl fmt::Display for RecordSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Natural => f.write_str("Natural"),
            Self::Fixed(bytes) => write!(f, "Fixed:{bytes}"),
        }
    }
}

impl FromStr for RecordSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "Natural" {
            return Ok(Self::Natural);
        }
        let bytes = text.strip_prefix("Fixed:").and_then(|number| number.parse::<u64>().ok());
        // A number that is too large stays too large: the bounds are checked elsewhere.
        bytes
            .map(|bytes| Self::Fixed(u32::try_from(bytes).unwrap_or(u32::MAX)))
            .ok_or_else(|| format!("`{text}` is not a record size: use `Natural` or `Fixed:<bytes>`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_size_is_parsed_as_it_is_written() {
        for (size, text) in [(RecordSize::Natural, "Natural"), (RecordSize::Fixed(1_024), "Fixed:1024")] {
            assert_eq!((size.to_string().as_str(), text.parse()), (text, Ok(size)));
        }
        assert_eq!("Fixed:99999999999".parse(), Ok(RecordSize::Fixed(u32::MAX)));
        for invalid in ["Fixed:-1", "Fixed:", "natural", "300", ""] {
            assert!(invalid.parse::<RecordSize>().is_err(), "{invalid}");
        }
    }
}
