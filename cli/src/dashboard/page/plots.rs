//! The figures of `kinesis-demo-report`, for a screen. In: runs, the time, the screen. Out: markup.
//! Pure.

use std::sync::Arc;

use kinesis_demo_api::{KinesisDemoRun, MicroTime};
use kinesis_demo_report::phases::table;
use kinesis_demo_report::plot::{self, Size, timeline_with, title};
use kinesis_demo_report::shards::ShardLoads;
use maud::{Markup, html};

/// The style of the figures, with the colours that the whole page uses.
pub const STYLE: &str = plot::STYLE;

/// The width that figures are drawn for at a desk; the browser scales them.
const DESK: u32 = 1_240;

/// For what screen a browser wants the figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Screen {
    #[default]
    Desk,
    /// A room: the pixels that there are for the figures, and how high letters are.
    Presenter {
        width: u32,
        height: u32,
        font: u32,
    },
    Phone,
}

impl Screen {
    /// The screen that an address names: `screen=phone`, or
    /// `screen=presenter&width=1880&height=760&font=24`.
    #[must_use]
    pub fn of(query: &str) -> Self {
        let value = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        let number = |name: &str, default: u32, range: std::ops::RangeInclusive<u32>| {
            let given = value(name).and_then(|text| text.parse().ok()).unwrap_or(default);
            given.clamp(*range.start(), *range.end())
        };
        match value("screen").as_deref() {
            Some("phone") => Self::Phone,
            Some("presenter") => Self::Presenter {
                width: number("width", 1_880, 320..=8_000),
                height: number("height", 720, 200..=4_000),
                font: number("font", 24, 10..=60),
            },
            _ => Self::Desk,
        }
    }
}

/// The runs over time, on the same axes, with the load of the shards of each where it is known.
#[must_use]
pub fn plots(
    runs: &[&KinesisDemoRun],
    loads: &[Option<Arc<ShardLoads>>],
    now: MicroTime,
    screen: Screen,
) -> Markup {
    let size = match screen {
        Screen::Desk => Size::normal(DESK),
        Screen::Presenter { width, height, font } => Size::room(width, height, font),
        Screen::Phone => Size::phone(),
    };
    match runs {
        [] => html! { p class="empty" { "Nothing has run yet." } },
        runs => timeline_with(runs, loads, Some(now), size),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_says_how_large_it_is() {
        let room = |width, height, font| Screen::Presenter { width, height, font };
        assert_eq!(Screen::of("demo=a&screen=presenter&width=1880&height=760&font=30"), room(1_880, 760, 30));
        assert_eq!(Screen::of("screen=presenter&width=-1&height=99999999999&font=900"), room(1_880, 720, 60));
        assert_eq!(Screen::of("screen=phone&width=5"), Screen::Phone);
        assert_eq!(Screen::of("demo=screen"), Screen::Desk);
    }
}
