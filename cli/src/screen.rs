//! Where a watched object is shown. In: the object after each change, and the passing of time. Out: a block redrawn in place on a
//! terminal, a line per change elsewhere, or data. Writes to stdout.

use std::io::{self, IsTerminal, Write};

use crossterm::{QueueableCommand, cursor, style::Print, terminal};
use jiff::Timestamp;
use kinesis_demo_api::KinesisDemo;

use crate::args::Output;
use crate::output::{item, terminal_size};
use crate::render::{frame::frame, line};

enum Manner {
    /// How many lines the last frame took.
    InPlace { drawn: u16 },
    /// The last line, without its time.
    Lines { last: String },
    /// The version that was told last.
    Data { output: Output, last: Option<String> },
}

/// A place to show one object.
pub struct Screen {
    manner: Manner,
    shown: Option<KinesisDemo>,
}

impl Screen {
    /// In place if stdout is a terminal.
    #[must_use]
    pub fn new(output: Output) -> Self {
        let manner = match output {
            Output::Json | Output::Yaml => Manner::Data { output, last: None },
            Output::Text if io::stdout().is_terminal() => Manner::InPlace { drawn: 0 },
            Output::Text => Manner::Lines { last: String::new() },
        };
        Self { manner, shown: None }
    }

    /// Whether the passing of time alone changes what is shown.
    #[must_use]
    pub fn ticks(&self) -> bool {
        matches!(self.manner, Manner::InPlace { .. })
    }

    /// Shows the object as it is now.
    pub fn show(&mut self, demo: &KinesisDemo, now: Timestamp) -> io::Result<()> {
        self.shown = Some(demo.clone());
        let mut out = io::stdout().lock();
        match &mut self.manner {
            Manner::InPlace { drawn } => {
                let (width, height) = terminal_size();
                let lines = within(frame(demo, now, width.into()), usize::from(height) - 1);
                *drawn = redraw(&mut out, *drawn, &lines)?;
            }
            Manner::Lines { last } => {
                let change = line::change(demo);
                if *last != change {
                    writeln!(out, "{}", line::line(demo, now))?;
                    *last = change;
                }
            }
            Manner::Data { output, last } => {
                let version = demo.metadata.resource_version.clone();
                if last.is_none() || *last != version {
                    out.write_all(item(demo, *output)?.unwrap_or_default().as_bytes())?;
                    *last = version;
                }
            }
        }
        out.flush()
    }

    /// Shows the last object again: clocks have moved on.
    pub fn tick(&mut self, now: Timestamp) -> io::Result<()> {
        match self.shown.clone() {
            Some(demo) if self.ticks() => self.show(&demo, now),
            _ => Ok(()),
        }
    }

    /// Keeps the frame that is on the screen; what is shown next begins below it.
    pub fn leave(&mut self) {
        if let Manner::InPlace { drawn } = &mut self.manner {
            *drawn = 0;
        }
    }
}

/// How much of a frame's end is shown where there is no room for all of it: there it says what stands in the way.
const TAIL: usize = 4;

/// As many lines as there is room for: the beginning and the end.
fn within(mut lines: Vec<String>, room: usize) -> Vec<String> {
    let Some(over) = lines.len().checked_sub(room).filter(|over| *over > 0) else { return lines };
    let tail = TAIL.min(room / 2);
    let until = lines.len() - tail;
    // One line more goes, for the mark.
    let from = until.saturating_sub(over + 1);
    lines.splice(from..until, [format!("  … {} lines more; a higher terminal shows them", until - from)]);
    lines.truncate(room);
    lines
}

/// Draws over the last frame.
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
    fn a_frame_that_is_too_high_keeps_its_beginning_and_its_end() {
        let lines = |count: usize| (0..count).map(|line| line.to_string()).collect::<Vec<_>>();
        assert_eq!(within(lines(10), 10), lines(10));
        let cut = within(lines(30), 10);
        assert_eq!(cut.len(), 10);
        assert_eq!(cut[..5], lines(5));
        assert!(cut[5].contains("21 lines more"), "{cut:?}");
        assert_eq!(cut[6..], ["26", "27", "28", "29"]);
        for room in 1..30 {
            assert_eq!(within(lines(30), room).len(), room);
        }
    }
}
