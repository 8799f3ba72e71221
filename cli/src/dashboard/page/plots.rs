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
    use kinesis_demo_report::shards::{ShardLoad, WindowCounts};
    use serde_json::json;

    use super::*;

    fn run() -> KinesisDemoRun {
        serde_json::from_value(json!({
            "apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemoRun", "metadata": {"name": "r"},
            "spec": {"demo": "d", "demoUid": "u", "run": 1, "accountId": "a", "region": "r", "streamName": "s",
                "settings": {}, "operatorVersion": ""},
            "status": {"startedAt": "1970-01-01T00:00:01.000000Z", "trafficStartsAt": "1970-01-01T00:00:02.000000Z",
                "trafficEndsAt": "1970-01-01T00:00:12.000000Z", "outcome": "Succeeded"},
        }))
        .unwrap()
    }

    fn loads(id: &str, from: i64) -> Arc<ShardLoads> {
        let at = |second: i64| MicroTime::from_micros(second * 1_000_000);
        let throttled = WindowCounts { records: 1_000, bytes: 5_000, throttled: 7 };
        let shard = ShardLoad {
            id: id.into(),
            hash_keys: (0, u128::MAX),
            opened_at: at(from),
            closed_at: None,
            windows: [(from + 1, throttled)].into(),
        };
        Arc::new(ShardLoads { window_seconds: 1, from: at(from), until: at(from + 4), shards: vec![shard] })
    }

    fn drawn(loads: Option<Arc<ShardLoads>>, screen: Screen) -> String {
        plots(&[&run()], &[loads], MicroTime::from_micros(8_000_000), screen).into_string()
    }

    #[test]
    fn a_heat_map_is_shown_only_of_known_shards_in_the_runs_time() {
        let desk = Screen::Desk;
        let room = Screen::Presenter { width: 1_880, height: 760, font: 24 };
        assert!(!drawn(None, desk).contains("heat"), "a replay has none, and no panel for it");
        assert!(!drawn(Some(loads("a", 500)), desk).contains("heat"), "the shards of another time");
        let html = drawn(Some(loads("a", 4)), desk);
        assert!(html.contains("Shards: load of each, of its limit") && html.contains("kd-area kd-heat-5"));
        assert!(html.contains("Shards at +5.0s: 0 of 1 above half of their limit; 0 throttled."), "{html}");
        assert!(html.contains("The most at once: 1 above half, 1 throttled."), "{html}");
        assert!(drawn(Some(loads("a", 4)), room).contains("Shard load"));
    }

    #[test]
    fn names_of_shards_are_never_markup() {
        let html = drawn(Some(loads("<b>", 4)), Screen::Desk);
        assert!(html.contains("&lt;b&gt;</text>") && !html.contains("<b>"), "{html}");
    }

    #[test]
    fn a_room_says_how_large_it_is() {
        let room = |width, height, font| Screen::Presenter { width, height, font };
        assert_eq!(Screen::of("demo=a&screen=presenter&width=1880&height=760&font=30"), room(1_880, 760, 30));
        assert_eq!(Screen::of("screen=presenter&width=-1&height=99999999999&font=900"), room(1_880, 720, 60));
        assert_eq!(Screen::of("screen=phone&width=5"), Screen::Phone);
        assert_eq!(Screen::of("demo=screen"), Screen::Desk);
    }
}
