//! What the figures and reports of known runs contain.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod runs;

use std::time::Duration;

use kinesis_demo_api::run_record::{Gap, Mark, MarkKind};
use kinesis_demo_api::status::{Outcome, TotalsStatus};
use kinesis_demo_report::plot::{Size, timeline};
use kinesis_demo_report::{compare, html, json, markdown, phases};
use serde_json::Value;

/// The lines of Markdown outside of its code.
fn prose(text: &str) -> Vec<&str> {
    let mut in_code = false;
    let lines = text.lines().filter(|line| {
        let fence = line.starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    });
    lines.collect()
}

#[test]
fn the_rows_of_the_phases_add_up_to_the_totals() {
    for run in [runs::quick(false), runs::quick(true), runs::running()] {
        let rows = phases::rows(&run);
        let (total, rows) = rows.split_last().unwrap();
        let mut sum = TotalsStatus::default();
        for row in rows {
            sum.scheduled += row.totals.scheduled;
            sum.offered += row.totals.offered;
            sum.accepted += row.totals.accepted;
            sum.throttled += row.totals.throttled;
            sum.failed += row.totals.failed;
            sum.dropped += row.totals.dropped;
        }
        assert_eq!(&sum, run.status.as_ref().unwrap().totals.as_ref().unwrap());
        assert_eq!(total.totals, sum);
    }
}

#[test]
fn every_row_of_a_markdown_table_has_the_columns_of_its_header() {
    let (cold, warm) = (runs::quick(false), runs::quick(true));
    for text in [markdown::report(&cold), markdown::report(&runs::running()), compare::markdown(&cold, &warm)]
    {
        let mut columns = None;
        for line in prose(&text) {
            let count = line.matches('|').count();
            match (line.starts_with('|'), columns) {
                (true, None) => columns = Some(count),
                (true, Some(expected)) => assert_eq!(count, expected, "{line}"),
                (false, _) => columns = None,
            }
        }
    }
}

#[test]
fn a_comparison_begins_with_what_differs() {
    let (cold, warm) = (runs::quick(false), runs::quick(true));
    let expected =
        "delivered 24 % of 872,000 records, throttled in spike and peak; warm delivered all, none throttled";
    assert_eq!(compare::markdown(&cold, &warm).lines().next().unwrap(), format!("**Cold {expected}.**"));
    let programs: Value = serde_json::from_str(&compare::json(&cold, &warm)).unwrap();
    assert_eq!(programs["summary"], format!("cold {expected}"));
    assert_eq!(programs["settings"][1]["what"], "stream.warmThroughput.mode");
    let page = compare::html(&cold, &warm);
    let heading = page.find("<h1>").map(|at| &page[at..]).unwrap();
    assert!(heading.starts_with(&format!("<h1>Cold {expected}.</h1>")));
    let same = compare::markdown(&warm, &warm);
    assert!(same.starts_with("**Both delivered all 872,000 records, none throttled.**"), "{same}");
    assert!(!same.contains("What differs"));
}

#[test]
fn a_report_for_programs_has_the_verdict_and_the_whole_record() {
    let run = runs::quick(true);
    let report: Value = serde_json::from_str(&json::report(&run)).unwrap();
    assert_eq!(report["verdict"], "delivered all 872,000 records");
    assert_eq!(report["left"], serde_json::json!([]));
    assert_eq!(report["spec"], serde_json::to_value(&run.spec).unwrap());
    assert_eq!(report["status"], serde_json::to_value(&run.status).unwrap());
}

#[test]
fn a_report_shows_marks_gaps_settings_versions_and_what_was_left() {
    let mut run = runs::quick(false);
    let page = html::report(&run);
    for text in [
        "First records throttled in spike",
        "Nothing: every AWS resource of the run was deleted.",
        "maxDuration: 10m",
        "<td class=\"kd-value\">0.1.0</td>",
    ] {
        assert!(page.contains(text), "{text}");
    }
    let status = run.status.as_mut().unwrap();
    status.left = vec!["Stream kinesis-demo-cold: AccessDenied".into()];
    status.left_count = Some(2);
    status.gaps = vec![Gap { from: runs::T0, until: runs::T0 + Duration::from_secs(5) }];
    let page = html::report(&run);
    for text in
        ["<li>Stream kinesis-demo-cold: AccessDenied</li>", "<li>1 more AWS resources</li>", "+0.0s to +5.0s"]
    {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn the_figure_of_a_full_record_stays_below_300_kilobytes() {
    let mut run = runs::quick_in(false, 10);
    let status = run.status.as_mut().unwrap();
    let text = "Something happened that takes a whole sentence to tell";
    let marks = (0..500).map(|index| Mark {
        at: runs::T0 + Duration::from_millis(94 * index),
        kind: MarkKind::Tasks,
        text: text.into(),
    });
    status.marks = marks.collect();
    for size in [Size::normal(1_180), Size::presenter(1_840), Size::phone()] {
        let figure = timeline(&[&run], None, size).into_string();
        let svg = figure.split("</svg>").next().unwrap();
        assert!(svg.len() < 300 * 1024, "{size:?}: {}", svg.len());
    }
    let page = html::report(&run);
    assert!(page.len() < 1024 * 1024, "{}", page.len());
}

#[test]
fn a_run_in_progress_shows_now_the_plan_ahead_and_gaps() {
    let run = runs::running();
    let at = |millis| Some(runs::T0 + Duration::from_millis(millis));
    let figure = timeline(&[&run], at(31_400), Size::normal(1_180)).into_string();
    assert!(figure.contains("so far delivered"));
    for class in ["kd-now", "kd-line kd-planned", "kd-gap"] {
        assert!(figure.contains(&format!("class=\"{class}\"")), "{class}");
    }
    // A finished run has no present, and nothing ahead.
    let figure = timeline(&[&runs::quick(false)], at(31_400), Size::normal(1_180)).into_string();
    assert!(!figure.contains("kd-now") && !figure.contains("kd-planned"));
}

#[test]
fn phases_after_the_end_of_an_aborted_run_are_not_drawn() {
    let mut run = runs::running();
    let status = run.status.as_mut().unwrap();
    status.outcome = Some(Outcome::Aborted);
    status.traffic_ends_at = Some(runs::T0 + Duration::from_secs(30));
    let figure = timeline(&[&run], None, Size::normal(1_180)).into_string();
    let svg = figure.split("</svg>").next().unwrap();
    assert!(svg.contains(">peak<") && !svg.contains(">decline<"));
}

#[test]
fn the_target_of_the_figure_encloses_the_scheduled_records() {
    let run = runs::quick(false);
    let figure = timeline(&[&run], None, Size::normal(1_180)).into_string();
    let path = figure.split("class=\"kd-area kd-missing\" d=\"").nth(1).unwrap().split('"').next().unwrap();
    // M x base V y H x V y H x … V base Z: the area of the rectangles, in pixels.
    let mut numbers =
        path.trim_matches(['M', 'Z']).split(['V', 'H', ' ']).map(|number| number.parse::<f64>().unwrap());
    let (mut x, base) = (numbers.next().unwrap(), numbers.next().unwrap());
    let (begin, mut area, mut top) = (x, 0.0, base);
    while let (Some(y), Some(next)) = (numbers.next(), numbers.next()) {
        area += (next - x) * (base - y);
        (x, top) = (next, top.min(y));
    }
    // The traffic lasts 47 s, and its peak has 50,000 records per second.
    let records = area * 50_000.0 / (base - top) * 47.0 / (x - begin);
    assert!((records / 872_000.0 - 1.0).abs() < 0.02, "{records}");
}
