//! Whole frames at several sizes, compared with the files in `frames/`. `UPDATE=1` rewrites them.

use jiff::Timestamp;
use kinesis_demo_api::KinesisDemo;
use ratatui_core::backend::TestBackend;
use ratatui_core::style::Color;
use ratatui_core::terminal::Terminal;
use serde_json::{Value, json};

use super::*;
use crate::render::fixture::{condition, demo, peak};

const SIZES: [(u16, u16); 3] = [(60, 20), (80, 24), (120, 40)];
const HINT: &str = "Ctrl-C ends the watch; the run goes on";

fn at(text: &str) -> Timestamp {
    format!("2026-11-22T10:00:{text}Z").parse().unwrap()
}

fn traffic(second: u32, rate: u64, target: u64, [accepted, scheduled]: [u64; 2], lost: [u64; 3]) -> Value {
    let [throttled, failed, dropped] = lost;
    let at = |second: u32| format!("2026-11-22T10:00:{second:02}Z");
    json!({"scheduled": scheduled, "offered": scheduled, "accepted": accepted, "throttled": throttled,
        "failed": failed, "dropped": dropped, "unknown": 0, "unoffered": 0, "unreported": 0, "rate": rate,
        "target": target, "rateFrom": at(second - 2), "rateUntil": at(second), "sampledAt": at(second),
        "settled": false})
}

/// Two runs, 26 seconds after the traffic began, watched from its sixth second on.
fn warm() -> (KinesisDemo, History) {
    watched("warm", &|second| {
        let rate = if second <= 10 {
            100
        } else if second <= 22 {
            10_000
        } else {
            49_000
        };
        traffic(second, rate, rate.max(100), [301_000, 301_000], [0; 3])
    })
}

fn cold() -> (KinesisDemo, History) {
    watched("cold", &|second| match second {
        0..=10 => traffic(second, 100, 100, [1_000, 1_000], [0; 3]),
        11..=22 => traffic(second, 4_000, 10_000, [50_000, 121_000], [123_456, 0, 12_000]),
        _ => {
            let throttled = 123_456 + u64::from(second - 22) * 345_678;
            traffic(second, 8_000, 50_000, [81_000, 321_000], [throttled, 98_765, 140_120])
        }
    })
}

fn watched(name: &str, traffic: &dyn Fn(u32) -> Value) -> (KinesisDemo, History) {
    let mut history = History::default();
    let mut last = peak();
    for second in (6..=26).step_by(2) {
        let stream = match name {
            "cold" => json!({"name": "kd-cold-1", "arn": "arn", "status": "UPDATING", "shards": 8}),
            _ => json!(last.status.as_ref().unwrap().stream),
        };
        last = demo(json!({"traffic": traffic(second), "stream": stream}));
        last.metadata.name = Some(name.into());
        history.take(&last);
    }
    if name == "cold" {
        let phases = &mut last.status.as_mut().unwrap().phases;
        let [_, spike, peak, _] = &mut phases[..] else { panic!("four phases") };
        (spike.totals.throttled, spike.totals.dropped) = (123_456, 12_000);
        (peak.totals.throttled, peak.totals.failed, peak.totals.dropped) = (1_382_712, 98_765, 128_120);
        peak.totals.accepted = 32_000;
    }
    (last, history)
}

fn view(now: Timestamp, is_coloured: bool) -> View<'static> {
    View { now: now.into(), palette: Palette { is_coloured }, messages: &[], hint: HINT, is_last: false }
}

fn buffer(objects: &[(KinesisDemo, History)], (width, height): (u16, u16), view: &View) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let shown: Vec<Shown> = objects.iter().map(|(demo, history)| Shown { demo, history }).collect();
    terminal
        .draw(|frame| {
            let area = frame.area();
            draw(frame.buffer_mut(), area, &shown, view);
        })
        .unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let rows = buffer.content().chunks(buffer.area.width.into());
    let line = |row: &[ratatui_core::buffer::Cell]| row.iter().map(|cell| cell.symbol()).collect::<String>();
    rows.map(|row| line(row).trim_end().to_owned() + "\n").collect()
}

/// Compares the frame at every size with its file.
fn assert_frames(name: &str, objects: &[(KinesisDemo, History)], now: Timestamp) {
    for (width, height) in SIZES {
        let shown = text(&buffer(objects, (width, height), &view(now, true)));
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/render/live/frames");
        let path = format!("{folder}/{name}-{width}x{height}.txt");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &shown).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(shown, expected, "{path} differs (UPDATE=1 rewrites it):\n{shown}");
    }
}

#[test]
fn a_run_that_reaches_its_target() {
    assert_frames("warm", &[warm()], at("26.5"));
}

#[test]
fn a_throttled_run() {
    assert_frames("cold", &[cold()], at("26.5"));
}

#[test]
fn two_runs_stacked_or_side_by_side() {
    assert_frames("both", &[cold(), warm()], at("26.5"));
}

#[test]
fn waiting_for_the_stream() {
    let stream = json!({"name": "s", "arn": "arn", "status": "CREATING", "shards": 0});
    let reconciling = condition("Reconciling", "True", "Provisioning", "waiting: stream s is CREATING");
    let waiting = demo(json!({"stage": "Provisioning", "phases": [], "phase": null, "traffic": null,
        "generators": null, "stream": stream, "conditions": [reconciling],
        "run": {"number": 1, "stageEnteredAt": "2026-11-22T10:00:00Z"}}));
    assert_frames("waiting", &[(waiting, History::default())], at("09.3"));
}

#[test]
fn a_run_that_has_failed() {
    let (mut failed, history) = cold();
    let status = failed.status.as_mut().unwrap();
    status.stage = serde_json::from_value(json!("Failed")).unwrap();
    status.run = serde_json::from_value(json!({"number": 1, "stageEnteredAt": "2026-11-22T10:01:00Z",
        "startedAt": "2026-11-22T09:59:40Z", "finishedAt": "2026-11-22T10:01:02Z", "endsAt": "2026-11-22T10:00:26Z",
        "outcome": "Failed", "message": "the stream was deleted by somebody else while the run used it"}))
    .unwrap();
    assert_frames("failed", &[(failed, history)], at("50"));
}

#[test]
fn every_size_from_60_by_20_on_shows_what_matters() {
    for objects in [vec![cold()], vec![cold(), warm()]] {
        for (width, height) in [60, 61, 79, 100, 119, 120, 140]
            .into_iter()
            .flat_map(|width| [20, 21, 23, 26, 33].map(|height| (width, height)))
        {
            let shown = text(&buffer(&objects, (width, height), &view(at("26.5"), true)));
            for word in [
                "21s left in all",
                "11s left",
                "throttled 1,506,168",
                "failed 98,765",
                "dropped 140,120",
                "P99",
                "MAX",
                "shards 8",
                "tasks 5 of 5",
            ] {
                assert!(shown.contains(word), "{word} at {width}×{height}:\n{shown}");
            }
        }
    }
}

#[test]
fn any_size_is_drawn() {
    let all = [cold(), warm(), cold()];
    for width in [0, 1, 9, 10, 11, 20, 59, 300] {
        for height in (0..12).chain([30]) {
            buffer(&all, (width, height), &view(at("26.5"), true));
        }
    }
}

#[test]
fn losses_are_red_and_no_color_leaves_no_colour() {
    let coloured = buffer(&[cold()], (80, 24), &view(at("26.5"), true));
    let red = |word: &str| {
        let rows = text(&coloured);
        let (y, line) = rows.lines().enumerate().find(|(_, line)| line.contains(word)).unwrap();
        let x = line.find(word).map(|at| line[..at].chars().count()).unwrap();
        coloured[(u16::try_from(x).unwrap(), u16::try_from(y).unwrap())].fg == Color::Red
    };
    assert_eq!(["throttled 1", "failed 9", "dropped 1", "accepted 8"].map(red), [true, true, true, false]);
    let plain = buffer(&[cold()], (80, 24), &view(at("26.5"), false));
    assert_eq!(text(&plain), text(&coloured));
    let has_colour = |cell: &ratatui_core::buffer::Cell| (cell.fg, cell.bg) != (Color::Reset, Color::Reset);
    assert!(!plain.content().iter().any(has_colour));
}

#[test]
fn text_of_others_is_never_an_escape() {
    let evil = "a\u{1b}[31m\u{9b}2J\u{202e}\r\nb";
    let (mut demo, history) = cold();
    demo.metadata.name = Some(evil.into());
    let status = demo.status.as_mut().unwrap();
    status.phases[2].name = evil.into();
    status.stream.as_mut().unwrap().status = evil.into();
    status.conditions =
        vec![serde_json::from_value(condition("Stalled", "True", "AccessDenied", evil)).unwrap()];
    let messages = [evil.to_owned()];
    let view = View { messages: &messages, ..view(at("26.5"), true) };
    let shown = text(&buffer(&[(demo, history)], (120, 40), &view));
    let harmful = |letter: char| letter != '\n' && kinesis_demo_report::text::is_harmful(letter);
    assert!(!shown.contains(harmful), "{shown:?}");
    assert!(shown.contains("! AccessDenied: a [31m 2J   b"), "{shown}");
}

#[test]
fn messages_are_beneath_the_panels() {
    let messages: Vec<String> = (0..5).map(|number| format!("· message {number}")).collect();
    let view = View { messages: &messages, ..view(at("26.5"), true) };
    let shown = text(&buffer(&[warm()], (80, 24), &view));
    let last: Vec<&str> = shown.lines().rev().take(4).collect();
    assert_eq!(last, [HINT, "· message 4", "· message 3", "· message 2"]);
    let long = ["· ".to_owned() + &"a word ".repeat(20)];
    let shown = text(&buffer(&[warm()], (60, 20), &View { messages: &long, ..view }));
    assert_eq!(shown.matches("word").count(), 20, "{shown}");
}
