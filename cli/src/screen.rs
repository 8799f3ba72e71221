//! Where a watched object is shown. In: the object after each change, and the passing of time. Out: a block redrawn in place on a
//! terminal, a line per change elsewhere, or JSON lines. Writes to stdout.

use std::io::{self, IsTerminal, Write};

use crossterm::{QueueableCommand, cursor, style::Print, terminal};
use jiff::Timestamp;
use kinesis_demo_api::KinesisDemo;

use crate::args::Output;
use crate::render::{frame::frame, line};

enum Manner {
    /// How many lines the last frame took.
    InPlace {
        drawn: u16,
    },
    /// The last line, without its time.
    Lines {
        last: String,
    },
    Json {
        last: Option<String>,
    },
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
            Output::Json => Manner::Json { last: None },
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
                *drawn = redraw(&mut out, *drawn, &frame(demo, now))?;
            }
            Manner::Lines { last } => {
                let change = line::change(demo);
                if *last != change {
                    writeln!(out, "{}", line::line(demo, now))?;
                    *last = change;
                }
            }
            Manner::Json { last } => {
                let version = demo.metadata.resource_version.clone();
                if last.is_none() || *last != version {
                    writeln!(out, "{}", serde_json::to_string(demo)?)?;
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

/// Draws over the last frame. Lines are cut at the terminal's width, since a wrapped line would be two to move up over.
fn redraw(out: &mut impl Write, drawn: u16, lines: &[String]) -> io::Result<u16> {
    // Some pseudo-terminals say 0 by 0: they do not know.
    let size = terminal::size().ok().filter(|(width, height)| *width > 0 && *height > 1);
    let (width, height) = size.unwrap_or((80, 24));
    let lines = lines.get(..lines.len().min(usize::from(height.saturating_sub(1)))).unwrap_or(lines);
    if drawn > 0 {
        out.queue(cursor::MoveToPreviousLine(drawn))?;
    }
    for line in lines {
        let cut: String = line.chars().take(usize::from(width)).collect();
        out.queue(terminal::Clear(terminal::ClearType::CurrentLine))?
            .queue(Print(cut))?
            .queue(Print("\n"))?;
    }
    out.queue(terminal::Clear(terminal::ClearType::FromCursorDown))?;
    Ok(u16::try_from(lines.len()).unwrap_or(height))
}
