//! The figures of `kinesis-demo-report`, for a screen. In: runs, the time, the screen. Out: markup.
//! Pure.

use kinesis_demo_api::{KinesisDemoRun, MicroTime};
use kinesis_demo_report::phases::table;
use kinesis_demo_report::plot::{self, Size, timeline, title};
use maud::{Markup, html};

/// The style of the figures, with the colours that the whole page uses.
pub const STYLE: &str = plot::STYLE;

/// The widths that figures are drawn for; the browser scales them. In a room they are as high as
/// the rest of one screen, so they are drawn wider than they appear.
const DESK: u32 = 1_240;
const PRESENTER: u32 = 2_440;

/// For what screen a browser wants the figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Screen {
    #[default]
    Desk,
    Presenter,
    Phone,
}

impl Screen {
    /// The screen that an address names: `screen=phone`.
    #[must_use]
    pub fn of(query: &str) -> Self {
        let named = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "screen");
        match named.as_ref().map(|(_, value)| value.as_ref()) {
            Some("phone") => Self::Phone,
            Some("presenter") => Self::Presenter,
            _ => Self::Desk,
        }
    }
}

/// The runs over time, on the same axes.
#[must_use]
pub fn plots(runs: &[&KinesisDemoRun], now: MicroTime, screen: Screen) -> Markup {
    let size = match screen {
        Screen::Desk => Size::normal(DESK),
        Screen::Presenter => Size::presenter(PRESENTER),
        Screen::Phone => Size::phone(),
    };
    match runs {
        [] => html! { p class="empty" { "Nothing has run yet." } },
        runs => timeline(runs, Some(now), size),
    }
}

/// The phases of each run in figures.
#[must_use]
pub fn tables(runs: &[&KinesisDemoRun]) -> Markup {
    html! {
        @for run in runs {
            @if runs.len() > 1 { h2 { (title(run)) } }
            div class="scroll" tabindex="0" role="region" aria-label={ "Phases of " (title(run)) } { (table(run)) }
        }
    }
}
