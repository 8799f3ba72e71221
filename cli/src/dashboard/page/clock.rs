//! Where a run is: the stages, the phases as a ribbon, and how long each still takes. In: a run,
//! the time. Out: markup with absolute instants, by which the page's script counts between updates.
//! Pure.

use kinesis_demo_api::run_record::KinesisDemoRunStatus;
use kinesis_demo_api::status::PhaseReport;
use kinesis_demo_api::{MicroTime, Stage};
use maud::{Markup, html};

use super::{millis, text};
use crate::render::number::{countdown, grouped};

/// The stages of a run that goes well, in order.
const STAGES: [(Stage, &str); 7] = [
    (Stage::Pending, "Pending"),
    (Stage::Provisioning, "Provisioning"),
    (Stage::Warming, "Warming"),
    (Stage::Starting, "Starting"),
    (Stage::Running, "Running"),
    (Stage::Draining, "Draining"),
    (Stage::CleaningUp, "Cleaning up"),
];

/// The stages, with the current one marked.
#[must_use]
pub fn stages(current: Stage) -> Markup {
    html! {
        ol class="stages" aria-label="Stages" {
            @for (stage, name) in STAGES.into_iter().filter(|_| !current.is_terminal()) {
                @let state = match () {
                    () if stage == current => "stage current",
                    () if stage < current => "stage past",
                    () => "stage",
                };
                li class=(state) aria-current=[(stage == current).then_some("step")] { (name) }
            }
            @if current.is_terminal() {
                li class={ "stage current ended-" (current) } aria-current="step" { (current) }
            }
        }
    }
}

/// The current phase and the time left, in words; nothing once the traffic is over.
#[must_use]
pub fn clocks(status: &KinesisDemoRunStatus, now: MicroTime) -> Markup {
    if status.stage.is_some_and(|stage| stage > Stage::Running) {
        return html! {};
    }
    let ends_at = status.traffic_ends_at.or_else(|| status.phases.last().map(|phase| phase.ends_at));
    html! {
        div class="clocks" {
            @match (phase_at(&status.phases, now), status.phases.first()) {
                (Some((index, phase)), _) => {
                    p class="clock" {
                        span class="clock-what" { "Phase " b { (text(&phase.name)) } " (" (index + 1) " of " (status.phases.len()) ")" }
                        (until(phase.ends_at, now)) " left"
                    }
                }
                (None, Some(first)) if first.starts_at > now => {
                    p class="clock" { span class="clock-what" { "First phase " b { (text(&first.name)) } " in" } (until(first.starts_at, now)) }
                }
                _ => {}
            }
            @if let Some(ends_at) = ends_at {
                @if ends_at > now {
                    p class="clock" { span class="clock-what" { "Traffic ends in" } (until(ends_at, now)) }
                } @else {
                    p class="clock" { span class="clock-what" { "Traffic has ended" } }
                }
            }
        }
    }
}

/// The phase that the schedule is in.
fn phase_at(phases: &[PhaseReport], now: MicroTime) -> Option<(usize, &PhaseReport)> {
    phases.iter().enumerate().find(|(_, phase)| phase.starts_at <= now && now < phase.ends_at)
}

/// A countdown.
fn until(at: MicroTime, now: MicroTime) -> Markup {
    html! { " " span class="countdown" data-until=(millis(at)) { (countdown(at.since(now))) } }
}

/// The phases side by side, as long as they take, with the current time in them. Nothing once the
/// traffic is over: the plots show the phases, too.
#[must_use]
pub fn ribbon(status: &KinesisDemoRunStatus, now: MicroTime) -> Markup {
    let phases = status.phases.as_slice();
    let (Some(first), Some(last)) = (phases.first(), phases.last()) else { return html! {} };
    let (from, until) = (first.starts_at, last.ends_at);
    let length = until.since(from).as_millis().max(1);
    // In hundredths of a percent, which need no floats.
    let share =
        |at: MicroTime| u64::try_from(at.since(from).as_millis() * 10_000 / length).unwrap_or(0).min(10_000);
    let percent = |share: u64| format!("{}.{:02}%", share / 100, share % 100);
    if status.stage.is_some_and(|stage| stage > Stage::Running) {
        return html! {};
    }
    html! {
        svg class="ribbon" role="img" aria-label={ "Phases: " (spoken(phases)) } {
            @for (index, phase) in phases.iter().enumerate() {
                @let (x, end) = (share(phase.starts_at), share(phase.ends_at));
                @let state = match () {
                    () if phase.ends_at <= now => "past",
                    () if phase.starts_at <= now => "current",
                    () => "future",
                };
                svg x=(percent(x)) width=(percent(end.saturating_sub(x))) {
                    rect class={ "ribbon-phase ribbon-" (index % 2) " " (state) } width="100%" height="100%" {}
                    @if end.saturating_sub(x) > 400 {
                        text x="6" y="17" class="ribbon-name" { (text(&phase.name)) }
                        text x="6" y="33" class="ribbon-rate" { (grouped(phase.records_per_second.into())) "/s" }
                    }
                }
            }
            @if from <= now && now < until {
                line class="ribbon-now" data-from=(millis(from)) data-until=(millis(until)) y1="0" y2="100%"
                    x1=(percent(share(now))) x2=(percent(share(now))) {}
            }
        }
    }
}

fn spoken(phases: &[PhaseReport]) -> String {
    let one = |phase: &PhaseReport| {
        let length = countdown(phase.ends_at.since(phase.starts_at));
        format!("{} {} per second for {length}", text(&phase.name), grouped(phase.records_per_second.into()))
    };
    phases.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fixture::peak;

    fn status() -> KinesisDemoRunStatus {
        let demo = peak().status.unwrap();
        KinesisDemoRunStatus { stage: demo.stage, phases: demo.phases, ..KinesisDemoRunStatus::default() }
    }

    fn at(text: &str) -> MicroTime {
        MicroTime::from(text.parse::<jiff::Timestamp>().unwrap())
    }

    #[test]
    fn clocks_count_to_absolute_instants() {
        let shown = |now: &str| clocks(&status(), at(now)).into_string();
        let within = shown("2026-11-22T10:00:26Z");
        assert!(within.contains("Phase <b>peak</b> (3 of 4)"), "{within}");
        assert!(within.contains(r#"data-until="1795341637000">11s</span> left"#), "{within}");
        assert!(within.contains(r#"data-until="1795341647000">21s</span>"#), "{within}");
        assert!(shown("2026-11-22T09:59:55.3Z").contains("First phase <b>baseline</b> in"));
        assert!(shown("2026-11-22T10:00:50Z").contains("Traffic has ended"));
    }

    #[test]
    fn ribbon_has_every_phase_at_its_place() {
        let drawn = ribbon(&status(), at("2026-11-22T10:00:26Z")).into_string();
        for (name, x, width) in [
            ("baseline", "0.00%", "21.27%"),
            ("spike", "21.27%", "25.53%"),
            ("peak", "46.80%", "31.92%"),
            ("decline", "78.72%", "21.28%"),
        ] {
            assert!(drawn.contains(&format!(r#"<svg x="{x}" width="{width}">"#)), "{name}: {drawn}");
        }
        assert!(drawn.contains(r#"x1="55.31%""#), "{drawn}");
        assert!(drawn.contains("spike 10,000 per second for 12s"), "{drawn}");
    }

    #[test]
    fn names_stay_text() {
        let mut status = status();
        status.phases[0].name = "<script>alert(1)</script>".into();
        let shown = ribbon(&status, at("2026-11-22T10:00:01Z")).into_string()
            + &clocks(&status, at("2026-11-22T10:00:01Z")).into_string();
        assert!(!shown.contains("<script") && shown.contains("&lt;script&gt;"), "{shown}");
    }
}
