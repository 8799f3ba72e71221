//! The styles of the live frame. In: whether colours are wanted. Out: styles. Without colours, text
//! is bold, dim or reversed only; words and characters tell the same. Pure.

use kinesis_demo_api::Stage;
use ratatui_core::style::{Color, Modifier, Style};

/// The colours are the terminal's own, so they suit light and dark backgrounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    pub is_coloured: bool,
}

impl Palette {
    fn colour(self, colour: Color) -> Style {
        if self.is_coloured { Style::new().fg(colour) } else { Style::new() }
    }

    /// Records that the stream accepted.
    #[must_use]
    pub fn accepted(self) -> Style {
        self.colour(Color::Green)
    }

    /// The schedule.
    #[must_use]
    pub fn target(self) -> Style {
        self.colour(Color::Cyan)
    }

    /// Throttled, failed and dropped records, and what blocks the run.
    #[must_use]
    pub fn bad(self) -> Style {
        self.colour(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// The same for areas, which need no emphasis.
    #[must_use]
    pub fn throttled(self) -> Style {
        self.colour(Color::Red)
    }

    /// A count of bad records: nothing to see while it is zero.
    #[must_use]
    pub fn count(self, count: u64) -> Style {
        if count > 0 { self.bad() } else { self.dim() }
    }

    #[must_use]
    pub fn waiting(self) -> Style {
        self.colour(Color::Yellow)
    }

    #[must_use]
    pub fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    #[must_use]
    pub fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The current phase.
    #[must_use]
    pub fn current(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    #[must_use]
    pub fn stage(self, stage: Stage) -> Style {
        let style = match stage {
            Stage::Running | Stage::Succeeded => self.accepted(),
            Stage::Failed | Stage::Aborted => self.bad(),
            _ => self.waiting(),
        };
        style.add_modifier(Modifier::BOLD)
    }
}
