//! Shows a watched object. In: the object after each change, and clock ticks. Out: a block redrawn
//! in place on a terminal, one line per change elsewhere, or data. Writes to stdout.

use std::io::{self, IsTerminal, Write};

use crossterm::{QueueableCommand, cursor, style::Print, terminal};
use jiff::Timestamp;
use kinesis_demo_api::KinesisDemo;

use crate::args::Output;
use crate::output::{item, terminal_size};
use crate::render::{frame::frame, line};

enum Mode {
    /// The number of lines of the last frame.
    InPlace { drawn: u16 },
    /// The last line, without its time.
    Lines { last: String },
    /// The resource version that was written last.
    Data { output: Output, last: Option<String> },
}

/// Shows one object.
pub struct Screen {
    mode: Mode,
    shown: Option<KinesisDemo>,
}

impl Screen {
    /// Redraws in place if stdout is a terminal.
    #[must_use]
    pub fn new(output: Output) -> Self {
        let mode = match output {
            Output::Json | Output::Yaml => Mode::Data { output, last: None },
            Output::Text if io::stdout().is_terminal() => Mode::InPlace { drawn: 0 },
            Output::Text => Mode::Lines { last: String::new() },
        };
        Self { mode, shown: None }
    }

    /// One line per change, also on a terminal: for several objects at once.
    #[must_use]
    pub fn lines() -> Self {
        Self { mode: Mode::Lines { last: String::new() }, shown: None }
    }

    /// Whether the output changes with time alone.
    #[must_use]
    pub fn ticks(&self) -> bool {
        matches!(self.mode, Mode::InPlace { .. })
    }

    /// Shows the current object.
    pub fn show(&mut self, demo: &KinesisDemo, now: Timestamp) -> io::Result<()> {
        self.shown = Some(demo.clone());
        let mut out = io::stdout().lock();
        match &mut self.mode {
            Mode::InPlace { drawn } => {
                let (width, height) = terminal_size();
                let lines = within(frame(demo, now, width.into()), usize::from(height) - 1);
                *drawn = redraw(&mut out, *drawn, &lines)?;
            }
            Mode::Lines { last } => {
                let change = line::change(demo);
                if *last != change {
                    writeln!(out, "{}", line::line(demo, now))?;
                    *last = change;
                }
            }
            Mode::Data { output, last } => {
                let version = demo.metadata.resource_version.clone();
                if last.is_none() || *last != version {
                    out.write_all(item(demo, *output)?.unwrap_or_default().as_bytes())?;
                    *last = version;
                }
            }
        }
        out.flush()
    }

    /// Shows the last object again with updated clocks.
    pub fn tick(&mut self, now: Timestamp) -> io::Result<()> {
        match self.shown.clone() {
            Some(demo) if self.ticks() => self.show(&demo, now),
            _ => Ok(()),
        }
    }

    /// Keeps the current frame on the screen; further output begins below it.
    pub fn leave(&mut self) {
        if let Mode::InPlace { drawn } = &mut self.mode {
            *drawn = 0;
        }
    }
}

/// How many lines of a frame's end are shown if the frame does not fit: the end shows what blocks
/// the run.
const TAIL: usize = 4;

/// As many lines as fit: the beginning and the end.
fn within(mut lines: Vec<String>, room: usize) -> Vec<String> {
    let Some(over) = lines.len().checked_sub(room).filter(|over| *over > 0) else { return lines };
    let tail = TAIL.min(room / 2);
    let until = lines.len() - tail;
    // Remove one more line to make room for the marker.
    let from = until.saturating_sub(over + 1);
    lines.splice(from..until, [format!("  … {} more lines; enlarge the terminal to see them", until - from)]);
    lines.truncate(room);
    lines
}

/// Overwrites the last frame.
fn redraw(out: &mut impl Write, drawn: u16, lines: &[String]) -> io::Result<u16> {
    if drawn > 0 {
        out.queue(cursor::MoveToPreviousLine(drawn))?;
    }
    for line in lines {
        out.queue(terminal::Clear(terminal::ClearType::CurrentLine))?
            .queue(Print(line))?
            .queue(Print("\n"))?;
    }
    out.queue(terminal::Clear(terminal::ClearType::FromCursorDown))?;
    Ok(u16::try_from(lines.len()).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_does_not_fit_keeps_its_start_and_end() {
        let lines = |count: usize| (0..count).map(|line| line.to_string()).collect::<Vec<_>>();
        assert_eq!(within(lines(10), 10), lines(10));
        let cut = within(lines(30), 10);
        assert_eq!(cut.len(), 10);
        assert_eq!(cut[..5], lines(5));
        assert!(cut[5].contains("21 more lines"), "{cut:?}");
        assert_eq!(cut[6..], ["26", "27", "28", "29"]);
        for room in 1..30 {
            assert_eq!(within(lines(30), room).len(), room);
        }
    }
}
