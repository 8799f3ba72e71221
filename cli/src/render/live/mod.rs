//! The frame of a live view: one panel for each object, side by side or stacked, and beneath them
//! messages and what keys do. In: objects, their histories, the time, the size. Out: cells. Pure.
//!
//! ```text
//! panel ─► facts      lines of figures: stage, countdowns, rates, counts, capacity
//!     ├──► table      the phases
//!     └──► curve ─► schedule, history
//! ```

mod curve;
mod facts;
pub mod history;
pub mod palette;
mod panel;
mod schedule;
mod table;

#[cfg(test)]
mod tests;

use kinesis_demo_api::{KinesisDemo, MicroTime};
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;

use super::printable::printable;
use super::wrap::wrap;
use history::History;
use palette::Palette;

/// The narrowest panel; two of them need a gap.
const NARROWEST: u16 = 59;
const GAP: u16 = 2;
/// From this height on, the frame says what keys do.
const ROWS_WITH_HINT: u16 = 22;
/// How many of the messages' last lines are shown.
const MESSAGES: usize = 3;

/// An object and what was seen of it.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    pub demo: &'a KinesisDemo,
    pub history: &'a History,
}

/// How the frame is drawn.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub now: MicroTime,
    pub palette: Palette,
    /// Messages to the user, oldest first.
    pub messages: &'a [String],
    /// What Ctrl-C does.
    pub hint: &'a str,
    /// Whether this is the last frame, in which no text is cut off.
    pub is_last: bool,
}

/// Draws the frame into the area.
pub fn draw(buffer: &mut Buffer, area: Rect, shown: &[Shown<'_>], view: &View<'_>) {
    let room = area.intersection(*buffer.area());
    let height = draw_foot(buffer, room, view);
    let area = Rect { height: room.height.saturating_sub(height), ..room };
    let count = u16::try_from(shown.len()).unwrap_or(u16::MAX);
    if count == 0 || area.is_empty() {
        return;
    }
    let columns = count.min((area.width + GAP) / (NARROWEST + GAP)).max(1);
    let width = (area.width - GAP * (columns - 1)) / columns;
    let rows = count.div_ceil(columns);
    let height = area.height / rows;
    for (index, shown) in (0..count).zip(shown) {
        let (row, column) = (index / columns, index % columns);
        let x = area.x + column * (width + GAP);
        // All of the same height, so that they look alike.
        let panel = Rect { x, y: area.y + row * height, width, height };
        panel::draw(buffer, panel, *shown, view);
    }
}

/// Draws messages and the hint. Returns how many rows they take.
fn draw_foot(buffer: &mut Buffer, room: Rect, view: &View<'_>) -> u16 {
    let width = usize::from(room.width);
    let messages: Vec<String> = view
        .messages
        .iter()
        .rev()
        .take(MESSAGES)
        .rev()
        .flat_map(|text| wrap(&printable(text), width))
        .collect();
    let messages = messages.get(messages.len().saturating_sub(MESSAGES)..).unwrap_or_default();
    let hint = (room.height >= ROWS_WITH_HINT && !view.hint.is_empty()).then_some(view.hint);
    let lines: Vec<(String, _)> = messages
        .iter()
        .map(|message| (message.clone(), view.palette.waiting()))
        .chain(hint.map(|hint| (hint.to_owned(), view.palette.dim())))
        .collect();
    let height = u16::try_from(lines.len()).unwrap_or(0).min(room.height);
    for (y, (line, style)) in (room.bottom() - height..room.bottom()).zip(&lines) {
        buffer.set_stringn(room.x, y, line, width, *style);
    }
    height
}

/// How many rows the panels need to show everything, with a curve of moderate height.
#[must_use]
pub fn comfortable_height(width: u16, shown: &[Shown<'_>], view: &View<'_>) -> u16 {
    let count = u16::try_from(shown.len()).unwrap_or(1).max(1);
    let columns = count.min((width + GAP) / (NARROWEST + GAP)).max(1);
    let highest = shown.iter().map(|shown| panel::comfortable_height(*shown, view, width / columns)).max();
    let messages = u16::try_from(view.messages.len().min(MESSAGES)).unwrap_or(0);
    highest.unwrap_or(1).saturating_mul(count.div_ceil(columns)).saturating_add(messages)
}
