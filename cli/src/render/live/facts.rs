//! The figures of a run as lines that fit any width. In: the object, its history and the time. Out:
//! styled lines. Pure.

use kinesis_demo_api::conditions::{ConditionType, find, is_true};
use kinesis_demo_api::status::PhaseReport;
use kinesis_demo_api::{KinesisDemo, KinesisDemoStatus, MicroTime, Stage};
use kinesis_demo_report::text::percent;
use kinesis_demo_report::verdict::{due, verdict};
use ratatui_core::style::Style;
use ratatui_core::text::{Line, Span};

use super::history::History;
use super::palette::Palette;
use super::schedule::Schedule;
use crate::render::line::stage;
use crate::render::number::{compact, countdown, grouped, span};
use crate::render::phases::phase_at;
use crate::render::printable::printable;
use crate::render::wrap::wrap;

/// What moves while something is waited for, and how long each picture lasts.
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const PICTURE_MICROS: i64 = 100_000;
/// The shortest and the longest gauge.
const GAUGE: std::ops::RangeInclusive<usize> = 8..=40;

/// What the lines are about.
pub struct Facts<'a> {
    pub demo: &'a KinesisDemo,
    pub history: &'a History,
    pub now: MicroTime,
    pub palette: Palette,
    pub width: usize,
}

/// Text of which no part is split over two lines.
type Item = Vec<Span<'static>>;

impl Facts<'_> {
    fn status(&self) -> Option<&KinesisDemoStatus> {
        self.demo.status.as_ref()
    }

    fn stage(&self) -> Stage {
        self.status().and_then(|status| status.stage).unwrap_or_default()
    }

    fn is_running(&self) -> bool {
        self.stage() == Stage::Running
    }

    /// The object, its run and stage, and at the right the time left in all.
    pub fn head(&self, schedule: &Schedule) -> Line<'static> {
        let metadata = &self.demo.metadata;
        let name = format!(
            "{}/{}",
            metadata.namespace.as_deref().unwrap_or_default(),
            metadata.name.as_deref().unwrap_or_default()
        );
        let mut rest = vec![];
        if let Some(status) = self.status() {
            if let Some(run) = &status.run {
                rest.push(Span::raw(format!(" · run {}", run.number)));
            }
            rest.push(Span::raw(" · "));
            rest.push(Span::styled(stage(self.demo, status), self.palette.stage(self.stage())));
        }
        let right = self.time_in_all(schedule);
        let taken: usize = rest.iter().map(Span::width).sum::<usize>() + right.chars().count() + 2;
        let name = shortened(&printable(&name), self.width.saturating_sub(taken).max(8));
        let left = name.chars().count() + rest.iter().map(Span::width).sum::<usize>();
        let gap = self.width.saturating_sub(left + right.chars().count());
        let mut spans = vec![Span::styled(name, self.palette.bold())];
        spans.extend(rest);
        spans.push(Span::raw(" ".repeat(gap)));
        spans.push(Span::styled(right, self.palette.bold()));
        Line::from(spans)
    }

    /// How long the run still takes, will take, or took.
    fn time_in_all(&self, schedule: &Schedule) -> String {
        let run = self.status().and_then(|status| status.run.as_ref());
        if self.stage().is_terminal() {
            let took = run.and_then(|run| Some(run.finished_at?.since(run.started_at?)));
            return took.map(|took| format!("took {}", span(took))).unwrap_or_default();
        }
        match (run.and_then(|run| run.ends_at), schedule.span()) {
            (Some(ends_at), _) if ends_at > self.now => {
                format!("{} left in all", countdown(ends_at.since(self.now)))
            }
            (None, Some((from, until))) => format!("{} of traffic", span(until.since(from))),
            _ => String::new(),
        }
    }

    /// The current phase with its countdown; or what the run waits for, and since when; or what it
    /// delivered.
    pub fn progress(&self) -> Vec<Line<'static>> {
        let Some(status) = self.status() else {
            let since = self.demo.metadata.creation_timestamp.as_ref().map(|at| MicroTime::from(at.0));
            return self
                .waiting("waiting for the operator (if this persists, check that it is running)", since);
        };
        if self.stage().is_terminal() {
            return self.delivered(status);
        }
        let since = status.run.as_ref().map(|run| run.stage_entered_at);
        if !self.is_running() {
            return self.waiting(&waits_for(status), since);
        }
        match (phase_at(&status.phases, self.now), status.phases.first()) {
            (Some((index, phase)), _) => vec![self.phase(index, phase, status.phases.len())],
            (None, Some(first)) if first.starts_at > self.now => {
                let left = countdown(first.starts_at.since(self.now));
                self.waiting(&format!("first phase {} in {left}", first.name), None)
            }
            _ => self.waiting("the traffic has ended", None),
        }
    }

    fn phase(&self, index: usize, phase: &PhaseReport, of: usize) -> Line<'static> {
        let name = shortened(&printable(&phase.name), 24);
        let left = format!("phase {name} ({} of {of})", index + 1);
        let right = format!("{} left", countdown(phase.ends_at.since(self.now)));
        let length = phase.ends_at.since(phase.starts_at).as_micros();
        let elapsed = self.now.since(phase.starts_at).as_micros();
        self.gauged(&left, &right, elapsed, length, self.palette.waiting())
    }

    /// Text, a gauge as far as there is room, and text at the right.
    fn gauged(&self, left: &str, right: &str, part: u128, whole: u128, style: Style) -> Line<'static> {
        let room = self.width.saturating_sub(left.chars().count() + right.chars().count() + 2);
        let mut spans = vec![Span::styled(left.to_owned(), self.palette.bold())];
        if room >= *GAUGE.start() {
            let cells = room.min(*GAUGE.end());
            let filled = (part.saturating_mul(cells as u128)).checked_div(whole).unwrap_or(0);
            let filled = usize::try_from(filled).unwrap_or(cells).min(cells);
            spans.push(Span::raw(" "));
            spans.push(Span::styled("━".repeat(filled), style));
            spans.push(Span::styled("─".repeat(cells - filled), self.palette.dim()));
        }
        spans.push(Span::raw(format!(" {right}")));
        Line::from(spans)
    }

    fn waiting(&self, what: &str, since: Option<MicroTime>) -> Vec<Line<'static>> {
        let picture = usize::try_from(self.now.as_micros() / PICTURE_MICROS).unwrap_or(0) % SPINNER.len();
        let picture = SPINNER.get(picture).copied().unwrap_or_default();
        let elapsed = since.map(|since| format!(" · {}", span(self.now.since(since)))).unwrap_or_default();
        let text = wrap(&printable(&format!("{picture} {what}{elapsed}")), self.width);
        text.into_iter().take(3).map(|line| Line::styled(line, self.palette.waiting())).collect()
    }

    fn delivered(&self, status: &KinesisDemoStatus) -> Vec<Line<'static>> {
        let totals = status.traffic.as_ref().map(|traffic| traffic.totals.clone()).unwrap_or_default();
        let outcome = status.run.as_ref().and_then(|run| run.outcome);
        let is_good =
            self.stage() == Stage::Succeeded && totals.throttled == 0 && totals.accepted >= totals.scheduled;
        let style = if is_good { self.palette.stage(Stage::Succeeded) } else { self.palette.bad() };
        let text = verdict(outcome, &totals, &status.phases);
        wrap(&printable(&text), self.width).into_iter().map(|line| Line::styled(line, style)).collect()
    }

    /// The accepted rate against the scheduled rate of the same window, once there is traffic.
    pub fn rate(&self) -> Option<Line<'static>> {
        let status = self.status()?;
        let traffic = status.traffic.as_ref().filter(|_| self.is_running())?;
        let target = status.target()?;
        let left = format!("rate {}/s of {}/s", grouped(traffic.rate), grouped(target));
        let right = percent(traffic.rate, target).unwrap_or_default();
        let style = match traffic.rate.saturating_mul(20) < target.saturating_mul(19) {
            true => self.palette.bad(),
            false => self.palette.accepted(),
        };
        Some(self.gauged(&left, &right, traffic.rate.into(), target.into(), style))
    }

    /// How many of the scheduled records were accepted; while reports are on their way, how many of
    /// those that were reported.
    pub fn accepted(&self) -> Option<Line<'static>> {
        let status = self.status()?;
        let totals = &status.traffic.as_ref()?.totals;
        let outcome = status.run.as_ref().and_then(|run| run.outcome);
        let (due, word) = match due(outcome, totals) {
            due if due == totals.scheduled => (due, "scheduled"),
            due => (due, "reported"),
        };
        let share = percent(totals.accepted, due);
        let share = share.map(|share| format!(" ({share})")).unwrap_or_default();
        let accepted = format!("accepted {}", grouped(totals.accepted));
        let of = format!(" of {} {word}{share}", grouped(due));
        Some(Line::from(vec![Span::styled(accepted, self.palette.accepted()), Span::raw(of)]))
    }

    /// What became of the other records.
    pub fn losses(&self) -> Vec<Line<'static>> {
        let Some(traffic) = self.status().and_then(|status| status.traffic.as_ref()) else {
            return Vec::new();
        };
        let totals = &traffic.totals;
        let bad = |word: &str, count: u64| {
            vec![Span::styled(format!("{word} {}", grouped(count)), self.palette.count(count))]
        };
        let mut throttled = bad("throttled", totals.throttled);
        let now = if self.is_running() { self.history.throttled_now() } else { 0 };
        if now > 0 {
            throttled.push(Span::styled(format!(" ({}/s)", compact(now)), self.palette.bad()));
        }
        let mut items = vec![throttled, bad("failed", totals.failed), bad("dropped", totals.dropped)];
        for (word, count) in [
            ("unknown", totals.unknown),
            ("unoffered", totals.unoffered),
            ("unreported", totals.unreported),
            ("excess", totals.excess),
        ] {
            if count > 0 {
                items.push(bad(word, count));
            }
        }
        flow(items, self.width)
    }

    /// The stream's capacity and the tasks.
    pub fn capacity(&self) -> Vec<Line<'static>> {
        // Of a run that is over, nothing is left that could be of interest.
        let Some(status) = self.status().filter(|_| !self.stage().is_terminal()) else { return Vec::new() };
        let mut items: Vec<Item> = Vec::new();
        match &status.stream {
            Some(_) if status.is_stream_deleted() => items.push(vec![Span::raw("stream deleted")]),
            Some(stream) => {
                if stream.status != "ACTIVE" {
                    let state = printable(&format!("stream {}", stream.status));
                    items.push(vec![Span::styled(state, self.palette.waiting())]);
                }
                items.push(vec![Span::raw(format!("shards {}", grouped(stream.shards.into())))]);
                items.push(match stream.warm.filter(|warm| warm.target > 0) {
                    Some(warm) => vec![Span::styled(
                        format!("warm {} of {} MiB/s", warm.current, warm.target),
                        if warm.current < warm.target { self.palette.waiting() } else { Style::new() },
                    )],
                    None => vec![Span::raw("cold")],
                });
            }
            None => {}
        }
        if let Some(generators) = &status.generators {
            let text = format!(
                "tasks {} of {}, {} sending",
                generators.running, generators.desired, generators.admitted
            );
            let is_short = generators.running < generators.desired;
            let style = if is_short { self.palette.waiting() } else { Style::new() };
            items.push(vec![Span::styled(text, style)]);
        }
        flow(items, self.width)
    }

    /// The latencies of the current phase, or of the last one that has any.
    pub fn latency(&self) -> Option<Line<'static>> {
        let status = self.status()?;
        let begun = status.phases.iter().filter(|phase| phase.starts_at <= self.now);
        let (phase, latency) = begun.filter_map(|phase| Some((phase, phase.latency_ms?))).next_back()?;
        let name = shortened(&printable(&phase.name), 16);
        let [p50, p99, max] = [latency.p50, latency.p99, latency.max].map(|millis| compact(millis.into()));
        Some(Line::raw(format!("latency in {name}: P50 {p50} ms  P99 {p99} ms  MAX {max} ms")))
    }
}

/// What the operator waits for.
fn waits_for(status: &KinesisDemoStatus) -> String {
    let stage = status.stage.unwrap_or_default();
    let message = find(&status.conditions, ConditionType::Reconciling)
        .filter(|_| is_true(&status.conditions, ConditionType::Reconciling))
        .map(|condition| condition.message.trim())
        .filter(|message| !message.is_empty());
    let what = message.unwrap_or(match stage {
        Stage::Pending => "waiting for the operator's checks",
        Stage::Provisioning => "waiting for the stream and the other resources",
        Stage::Warming => "waiting for the warm throughput",
        Stage::Starting => "waiting for the first tasks",
        Stage::Draining => "waiting for the tasks to stop",
        Stage::CleaningUp => "removing the run's resources",
        _ => "waiting",
    });
    format!("{stage}: {what}")
}

/// The text, or its beginning and an ellipsis.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// Items side by side, in as many lines as they need.
fn flow(items: Vec<Item>, width: usize) -> Vec<Line<'static>> {
    const GAP: usize = 2;
    let mut lines: Vec<Line<'static>> = Vec::new();
    for item in items {
        let length: usize = item.iter().map(Span::width).sum();
        match lines.last_mut() {
            Some(line) if line.width() + GAP + length <= width => {
                line.push_span(Span::raw(" ".repeat(GAP)));
                item.into_iter().for_each(|span| line.push_span(span));
            }
            _ => lines.push(Line::from(item)),
        }
    }
    lines
}
