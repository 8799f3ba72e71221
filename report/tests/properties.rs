//! Any record, also one that no operator would write: the reports are made, and its text stays
//! text.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod runs;

use kinesis_demo_api::run_record::{CapacityStep, Gap, Mark, MarkKind, TrafficColumns};
use kinesis_demo_api::status::{LatencyStatus, Outcome, PhaseReport, TotalsStatus};
use kinesis_demo_api::{KinesisDemoRun, KinesisDemoRunStatus, MicroTime};
use kinesis_demo_report::plot::{Size, timeline};
use kinesis_demo_report::verdict::verdict_between;
use kinesis_demo_report::{compare, html, json, markdown};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn hostile() -> BoxedStrategy<String> {
    prop_oneof![
        any::<String>(),
        Just("<script>alert(1)</script>".to_owned()),
        Just("\"><img src=x onerror=alert(1)>".to_owned()),
        Just("]]>--><!--&amp;&#0;".to_owned()),
        Just("| a | `b` | ![c](http://d) @e\n# f".to_owned()),
        Just("\u{1b}]0;title\u{7}\u{202e}\u{fffe}\u{0}".to_owned()),
    ]
    .boxed()
}

fn instant() -> BoxedStrategy<MicroTime> {
    prop_oneof![
        any::<i64>().prop_map(MicroTime::from_micros),
        (-100_000_000_i64..100_000_000)
            .prop_map(|micros| MicroTime::from_micros(runs::T0.as_micros() + micros)),
        Just(MicroTime::from_micros(i64::MIN)),
        Just(MicroTime::from_micros(i64::MAX)),
    ]
    .boxed()
}

fn count() -> BoxedStrategy<u64> {
    prop_oneof![Just(0), Just(u64::MAX), 0..100_000_u64, any::<u64>()].boxed()
}

fn totals() -> BoxedStrategy<TotalsStatus> {
    [count(), count(), count(), count(), count(), count(), count(), count(), count(), count()]
        .prop_map(
            |[
                scheduled,
                offered,
                accepted,
                throttled,
                failed,
                dropped,
                unknown,
                unoffered,
                unreported,
                excess,
            ]| {
                TotalsStatus {
                    scheduled,
                    offered,
                    accepted,
                    throttled,
                    failed,
                    dropped,
                    unknown,
                    unoffered,
                    unreported,
                    excess,
                }
            },
        )
        .boxed()
}

fn phase() -> BoxedStrategy<PhaseReport> {
    (hostile(), any::<(u32, bool)>(), instant(), instant(), totals(), option::of(any::<[u32; 3]>()))
        .prop_map(|(name, (rate, begun), starts_at, ends_at, totals, latency)| PhaseReport {
            name,
            records_per_second: rate,
            tasks: rate,
            starts_at,
            ends_at,
            begun,
            tasks_were_missing: !begun,
            totals,
            latency_ms: latency.map(|[p50, p99, max]| LatencyStatus { p50, p99, max }),
        })
        .boxed()
}

fn traffic() -> BoxedStrategy<TrafficColumns> {
    let millis = || vec(prop_oneof![0..100_000_u64, any::<u64>()], 0..30);
    let counts = || vec(count(), 0..30);
    let small = || vec(any::<u32>(), 0..30);
    (
        instant(),
        [millis(), millis()],
        [counts(), counts(), counts(), counts(), counts()],
        [small(), small(), small()],
    )
        .prop_map(|(origin, [from_ms, until_ms], counts, [phase, p50_ms, p99_ms])| {
            let [scheduled, offered, accepted, throttled, failed] = counts;
            let dropped = failed.clone();
            let unknown = Vec::new();
            TrafficColumns {
                origin,
                from_ms,
                until_ms,
                phase,
                scheduled,
                offered,
                accepted,
                throttled,
                failed,
                dropped,
                unknown,
                p50_ms,
                p99_ms,
            }
        })
        .boxed()
}

fn step() -> BoxedStrategy<CapacityStep> {
    (instant(), any::<[Option<u32>; 5]>())
        .prop_map(|(at, values)| {
            let [shards, warm_target, warm_current, tasks_desired, tasks_running] = values;
            CapacityStep { at, shards, warm_target, warm_current, tasks_desired, tasks_running }
        })
        .boxed()
}

fn mark() -> BoxedStrategy<Mark> {
    let kinds = [MarkKind::Stage, MarkKind::Throttle, MarkKind::Refusal, MarkKind::Other];
    (instant(), proptest::sample::select(kinds.to_vec()), hostile())
        .prop_map(|(at, kind, text)| Mark { at, kind, text })
        .boxed()
}

fn record() -> BoxedStrategy<KinesisDemoRun> {
    let texts = [hostile(), hostile(), hostile(), hostile(), hostile()];
    let instants =
        [option::of(instant()), option::of(instant()), option::of(instant()), option::of(instant())];
    let outcome =
        option::of(proptest::sample::select(vec![Outcome::Succeeded, Outcome::Failed, Outcome::Aborted]));
    let lists =
        (vec(phase(), 0..6), vec(step(), 0..12), vec(mark(), 0..40), vec((instant(), instant()), 0..5));
    (texts, instants, outcome, lists, option::of(traffic()), option::of(totals()), vec(hostile(), 0..3))
        .prop_map(|(texts, instants, outcome, (phases, capacity, marks, gaps), traffic, totals, left)| {
            let mut run = runs::quick(false);
            let [demo, stream, message, version, setting] = texts;
            let [started_at, traffic_starts_at, traffic_ends_at, finished_at] = instants;
            run.spec.settings.insert(setting.clone(), serde_json::json!({setting.clone(): [setting]}));
            (run.spec.demo, run.spec.stream_name, run.spec.operator_version) = (demo, stream, version);
            run.status = Some(KinesisDemoRunStatus {
                outcome,
                message: Some(message),
                started_at,
                traffic_starts_at,
                traffic_ends_at,
                finished_at,
                phases,
                totals,
                left,
                traffic,
                capacity,
                marks,
                gaps: gaps.into_iter().map(|(from, until)| Gap { from, until }).collect(),
                ..KinesisDemoRunStatus::default()
            });
            run
        })
        .boxed()
}

/// Every element and attribute is one of ours: text of others made none.
fn assert_only_ours(fragment: &str) {
    let text = format!("<fragment>{fragment}</fragment>");
    let document = roxmltree::Document::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let ours = "fragment main header section figure figcaption div span p h1 h2 ul ol li dl dt dd table caption thead \
                tbody tr th td details summary pre svg title desc g path rect text";
    for element in document.descendants().filter(roxmltree::Node::is_element) {
        let name = element.tag_name().name();
        assert!(ours.split(' ').any(|one| one == name), "<{name}>");
        for attribute in element.attributes() {
            let name = attribute.name();
            assert!(!name.starts_with("on") && !["style", "href", "src"].contains(&name), "{name}");
        }
    }
}

fn body(page: &str) -> &str {
    let from = page.find("<main").unwrap();
    &page[from..page.find("</body>").unwrap()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_record_is_drawn_and_described(a in record(), b in record(), now in option::of(instant())) {
        for size in [Size::normal(1_180), Size::presenter(1_840), Size::phone(), Size::normal(0), Size::normal(u32::MAX)] {
            assert_only_ours(&timeline(&[&a, &b], now, size).into_string());
        }
        assert_only_ours(&timeline(&[&a], now, Size::phone()).into_string());
        assert_only_ours(body(&html::report(&a)));
        assert_only_ours(body(&compare::html(&a, &b)));
        let sentence = verdict_between(&a, &b);
        prop_assert!(!sentence.chars().any(char::is_control), "{:?}", sentence);
        for text in [markdown::report(&a), compare::markdown(&a, &b)] {
            prop_assert!(!text.chars().any(|letter| letter.is_control() && letter != '\n'));
            prop_assert!(!text.lines().any(|line| line.starts_with('#') && !line.starts_with("### ")));
        }
        prop_assert!(serde_json::from_str::<serde_json::Value>(&json::report(&a)).is_ok());
        prop_assert!(serde_json::from_str::<serde_json::Value>(&compare::json(&a, &b)).is_ok());
    }
}

#[test]
fn long_lists_are_cut_to_the_bounds_of_a_record() {
    let mut run = runs::quick_in(true, 10);
    let status = run.status.as_mut().unwrap();
    let many = 20_000;
    status.phases = status.phases.iter().cloned().cycle().take(many).collect();
    status.marks = status.marks.iter().cloned().cycle().take(many).collect();
    status.capacity = status.capacity.iter().cloned().cycle().take(many).collect();
    status.gaps = vec![Gap { from: runs::T0, until: runs::T0 + std::time::Duration::from_secs(1) }; many];
    let began = std::time::Instant::now();
    let page = html::report(&run);
    assert!(page.len() < 2 * 1024 * 1024, "{}", page.len());
    assert!(began.elapsed() < std::time::Duration::from_secs(10));
    let twelve: Vec<&KinesisDemoRun> = std::iter::repeat_n(&run, 50).collect();
    assert_eq!(timeline(&twelve, None, Size::normal(1_180)).into_string().matches("<svg ").count(), 12);
    assert!(timeline(&[], None, Size::phone()).into_string().contains("kd-timeline"));
}

#[test]
fn markup_in_a_record_stays_text() {
    let mut run = runs::quick(false);
    let script = "<script>alert(1)</script>";
    run.spec.demo = script.into();
    let status = run.status.as_mut().unwrap();
    status.phases[2].name = script.into();
    status.marks[0].text = script.into();
    status.message = Some(script.into());
    let page = html::report(&run);
    assert!(!page.contains("<script"));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;, run 1"));
    let text = markdown::report(&run);
    assert!(!text.contains("<script") && text.contains("&lt;script&gt;"));
}
