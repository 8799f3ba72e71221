//! Shows watched objects. In: the objects after each change, and clock ticks. Out: a view that
//! fills the terminal, one line per change elsewhere, or data. Writes to stdout.

use std::borrow::Cow;
use std::io::{self, Stdout, Write};

use jiff::Timestamp;
use kinesis_demo_api::{KinesisDemo, MicroTime};
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::terminal::Terminal;
use ratatui_crossterm::crossterm::QueueableCommand;
use ratatui_crossterm::crossterm::style::{ContentStyle, PrintStyledContent, StyledContent};
use ratatui_crossterm::{CrosstermBackend, IntoCrossterm};

use crate::args::Output;
use crate::output::item;
use crate::render::line;
use crate::render::live::history::History;
use crate::render::live::palette::Palette;
use crate::render::live::{Shown, View, comfortable_height, draw};
use crate::terminal::{FullScreen, is_usable, wants_colours};

enum Mode {
    FullScreen(Box<LiveView>),
    Lines,
    Data(Output),
}

/// The view that fills the terminal.
struct LiveView {
    /// None once it was given back.
    taken: Option<FullScreen>,
    terminal: Terminal<CrosstermBackend<Stdout>>,
    palette: Palette,
    hint: Cow<'static, str>,
    last_drawn_at: Timestamp,
}

/// An object and what was written about it.
struct Watched {
    demo: KinesisDemo,
    history: History,
    /// The last line, without its time.
    line: String,
    /// The resource version that was written last.
    version: Option<String>,
}

impl Watched {
    fn is_same(&self, demo: &KinesisDemo) -> bool {
        let (mine, its) = (&self.demo.metadata, &demo.metadata);
        (&mine.namespace, &mine.name) == (&its.namespace, &its.name)
    }
}

/// Shows one object, or several.
pub struct Screen {
    mode: Mode,
    /// In the order in which they were first shown.
    watched: Vec<Watched>,
}

impl Screen {
    /// Text fills the terminal if stdout is one; otherwise, or if `plain`, it is one line per
    /// change. `hint` is the last line of the view: what Ctrl-C does.
    #[must_use]
    pub fn new(output: Output, plain: bool, hint: impl Into<Cow<'static, str>>) -> Self {
        let mode = match output {
            Output::Json | Output::Yaml => Mode::Data(output),
            Output::Text if plain || !is_usable() => Mode::Lines,
            Output::Text => {
                LiveView::open(hint.into()).map_or(Mode::Lines, |view| Mode::FullScreen(Box::new(view)))
            }
        };
        Self { mode, watched: Vec::new() }
    }

    /// Whether a view fills the terminal. Then the output changes with time alone.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(&self.mode, Mode::FullScreen(view) if view.taken.is_some())
    }

    /// Shows the current objects. Objects that were shown earlier stay if they are not among them.
    pub fn show(&mut self, demos: &[KinesisDemo], now: Timestamp) -> io::Result<()> {
        for demo in demos {
            match self.watched.iter_mut().find(|watched| watched.is_same(demo)) {
                Some(watched) => watched.demo = demo.clone(),
                None => self.watched.push(Watched {
                    demo: demo.clone(),
                    history: History::default(),
                    line: String::new(),
                    version: None,
                }),
            }
        }
        for watched in &mut self.watched {
            watched.history.take(&watched.demo);
        }
        self.write(now)
    }

    /// Shows the last objects again with updated clocks.
    pub fn tick(&mut self, now: Timestamp) -> io::Result<()> {
        if self.is_full() { self.write(now) } else { Ok(()) }
    }

    fn write(&mut self, now: Timestamp) -> io::Result<()> {
        match &mut self.mode {
            Mode::FullScreen(view) => view.draw(&self.watched, now),
            Mode::Lines => write_lines(&mut self.watched, now),
            Mode::Data(output) => write_data(&mut self.watched, *output),
        }
    }

    /// Gives the terminal back. The last frame stays above what is written next.
    pub fn leave(&mut self) -> io::Result<()> {
        let Mode::FullScreen(view) = &mut self.mode else { return Ok(()) };
        view.leave(&self.watched)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // If the terminal is closed, there is nobody to show the last frame to.
        let _ = self.leave();
    }
}

fn write_lines(watched: &mut [Watched], now: Timestamp) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for watched in watched {
        let change = line::change(&watched.demo);
        if watched.line != change {
            writeln!(out, "{}", line::line(&watched.demo, now))?;
            watched.line = change;
        }
    }
    out.flush()
}

fn write_data(watched: &mut [Watched], output: Output) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for watched in watched {
        let version = watched.demo.metadata.resource_version.clone();
        if watched.version.is_none() || watched.version != version {
            out.write_all(item(&watched.demo, output)?.unwrap_or_default().as_bytes())?;
            watched.version = version;
        }
    }
    out.flush()
}

impl LiveView {
    fn open(hint: Cow<'static, str>) -> io::Result<Self> {
        Ok(Self {
            terminal: Terminal::new(CrosstermBackend::new(io::stdout()))?,
            taken: Some(FullScreen::take()?),
            palette: Palette { is_coloured: wants_colours() },
            hint,
            last_drawn_at: Timestamp::now(),
        })
    }

    fn draw(&mut self, watched: &[Watched], now: Timestamp) -> io::Result<()> {
        let Self { taken, terminal, palette, hint, last_drawn_at } = self;
        let Some(taken) = taken else { return Ok(()) };
        *last_drawn_at = now;
        taken.draw(|messages, is_empty| {
            if is_empty {
                terminal.clear()?;
            }
            let view = View { now: MicroTime::from(now), palette: *palette, messages, hint, is_last: false };
            terminal.draw(|frame| {
                let area = frame.area();
                draw(frame.buffer_mut(), area, &shown(watched), &view);
            })?;
            Ok(())
        })
    }

    fn leave(&mut self, watched: &[Watched]) -> io::Result<()> {
        let Some(taken) = self.taken.take() else { return Ok(()) };
        let size = self.terminal.size();
        let messages = taken.give_back();
        let view = View {
            now: MicroTime::from(self.last_drawn_at),
            palette: self.palette,
            messages: &[],
            hint: "",
            is_last: true,
        };
        let mut out = io::stdout().lock();
        if !watched.is_empty() {
            let width = size.map_or(80, |size| size.width);
            let shown = shown(watched);
            let area = Rect::new(0, 0, width, comfortable_height(width, &shown, &view));
            let mut buffer = Buffer::empty(area);
            draw(&mut buffer, area, &shown, &view);
            write_frame(&mut out, &buffer)?;
        }
        for message in messages {
            writeln!(out, "{message}")?;
        }
        out.flush()
    }
}

fn shown(watched: &[Watched]) -> Vec<Shown<'_>> {
    watched.iter().map(|watched| Shown { demo: &watched.demo, history: &watched.history }).collect()
}

/// Writes a frame as lines, without spaces at their ends and without empty lines at its end.
fn write_frame(out: &mut impl Write, buffer: &Buffer) -> io::Result<()> {
    let width = usize::from(buffer.area.width.max(1));
    let is_blank = |cell: &ratatui_core::buffer::Cell| cell.symbol() == " ";
    let rows: Vec<_> = buffer.content().chunks(width).collect();
    let last = rows.iter().rposition(|row| !row.iter().all(is_blank)).map_or(0, |last| last + 1);
    for row in rows.iter().take(last) {
        let end = row.iter().rposition(|cell| !is_blank(cell)).map_or(0, |last| last + 1);
        for cells in row.get(..end).unwrap_or_default().chunk_by(|a, b| a.style() == b.style()) {
            let text: String = cells.iter().map(ratatui_core::buffer::Cell::symbol).collect();
            let style: ContentStyle = cells.first().map(style_of).unwrap_or_default();
            out.queue(PrintStyledContent(StyledContent::new(style, text)))?;
        }
        out.queue(ratatui_crossterm::crossterm::style::Print("\n"))?;
    }
    Ok(())
}

/// The cell's style; the terminal's own colours are not set.
fn style_of(cell: &ratatui_core::buffer::Cell) -> ContentStyle {
    let mut style = cell.style();
    let is_own = |colour: &ratatui_core::style::Color| *colour != ratatui_core::style::Color::Reset;
    (style.fg, style.bg) = (style.fg.filter(is_own), style.bg.filter(is_own));
    style.into_crossterm()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui_core::style::{Color, Style};

    #[test]
    fn the_last_frame_is_written_as_lines() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 4));
        buffer.set_string(0, 0, "accepted 7", Style::new());
        buffer.set_string(1, 2, "bad", Style::new().fg(Color::Red));
        let mut out = Vec::new();
        write_frame(&mut out, &buffer).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "accepted 7\n\n \u{1b}[38;5;1mbad\u{1b}[39m\n");
    }
}
