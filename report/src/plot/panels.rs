//! The panels of a timeline: what each shows, and how. In: the data of a run, and the extents that
//! all runs of a figure share. Out: series in pixels, ticks and legends. Pure.

use maud::{Markup, html};

use super::Kind;
use super::data::{Data, Level, Point, highest};
use super::heat::Heat;
use super::path::{self, Span, pixels, text_width};
use super::scale::{Scale, decades, millis, short, ticks};

/// What all runs of a figure have in common, so that they can be compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extents {
    pub from: f64,
    pub until: f64,
    rate: f64,
    losses: f64,
    stream: f64,
    warm: f64,
    tasks: f64,
    latency: f64,
    /// The most rows of a heat map.
    heat: usize,
}

/// How much of the length of the traffic is shown before it, and after it.
const BEFORE: f64 = 0.15;
const AFTER: f64 = 0.10;

impl Extents {
    #[must_use]
    pub fn of(runs: &[Data]) -> Self {
        let most = |of: &dyn Fn(&Data) -> f64| runs.iter().map(of).fold(0.0, f64::max);
        let long = most(&|data| data.traffic_until);
        let first = runs.iter().map(|data| data.first).fold(0.0, f64::min);
        let last = most(&|data| data.last);
        let (from, until) = match long > 0.0 {
            true => (first.max(-BEFORE * long), last.min(long * (1.0 + AFTER))),
            false => (first, last),
        };
        Self {
            from,
            until: if until > from { until } else { from + 1.0 },
            rate: most(&|data| {
                let planned = data.phases.iter().map(|phase| f64::from(phase.rate)).fold(0.0, f64::max);
                let measured = data.greatest(|point| point.target.max(point.offered).max(point.accepted));
                planned.max(measured)
            }),
            losses: most(&|data| data.greatest(|point| point.throttled.max(point.failed).max(point.dropped))),
            stream: most(&|data| highest(&data.shards)),
            warm: most(&|data| highest(&data.warm_target).max(highest(&data.warm_current))),
            tasks: most(&|data| highest(&data.tasks_desired).max(highest(&data.tasks_running))),
            heat: runs.iter().filter_map(|data| data.heat.as_ref()).map(Heat::rows).max().unwrap_or(0),
            latency: most(&|data| data.greatest(|point| point.p99.or(point.p50).unwrap_or(0.0))),
        }
    }
}

/// One row of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Panel {
    Rate,
    Losses,
    Stream,
    Shards,
    Tasks,
    Latency,
}

/// An entry of a legend.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The class of the series.
    class: &'static str,
    label: &'static str,
    is_area: bool,
}

const fn line(class: &'static str, label: &'static str) -> Entry {
    Entry { class, label, is_area: false }
}

const fn area(class: &'static str, label: &'static str) -> Entry {
    Entry { class, label, is_area: true }
}

impl Panel {
    /// The panels for which any run has data. Rates and losses are always shown. A room gets only
    /// what tells the story.
    #[must_use]
    pub fn shown(extents: &Extents, kind: Kind) -> Vec<Self> {
        let is_near = kind != Kind::Presenter;
        let all = [
            (Self::Rate, true),
            (Self::Losses, true),
            (Self::Stream, extents.stream > 0.0 || extents.warm > 0.0),
            (Self::Shards, extents.heat > 0),
            (Self::Tasks, is_near && extents.tasks > 0.0),
            (Self::Latency, is_near && extents.latency > 0.0),
        ];
        all.into_iter().filter(|(_, shown)| *shown).map(|(panel, _)| panel).collect()
    }

    #[must_use]
    pub fn title(self, kind: Kind) -> &'static str {
        match self {
            Self::Rate => "Records per second",
            Self::Losses if kind == Kind::Presenter => "Lost per second",
            Self::Losses => "Throttled and lost per second",
            Self::Stream => "Stream",
            Self::Shards if kind == Kind::Presenter => "Shard load",
            Self::Shards => "Shards: load of each, of its limit",
            Self::Tasks => "Tasks",
            Self::Latency => "Latency",
        }
    }

    #[must_use]
    pub fn legend(self, extents: &Extents, kind: Kind) -> Vec<Entry> {
        match self {
            // The style hides the line of what was offered there.
            Self::Rate if kind == Kind::Presenter => vec![
                line("kd-target", "target"),
                area("kd-accepted", "accepted"),
                area("kd-missing", "missing"),
            ],
            Self::Rate => vec![
                line("kd-target", "target"),
                line("kd-offered", "offered"),
                area("kd-accepted", "accepted"),
                area("kd-missing", "missing"),
            ],
            Self::Losses => vec![
                area("kd-throttled", "throttled"),
                line("kd-failed", "failed"),
                line("kd-dropped", "dropped"),
            ],
            Self::Stream if extents.warm > 0.0 && kind == Kind::Presenter => vec![
                area("kd-shards", "shards"),
                line("kd-warm-target", "warm target"),
                line("kd-warm", "warm MiB/s"),
            ],
            Self::Stream if extents.warm > 0.0 => vec![
                area("kd-shards", "shards"),
                line("kd-warm-target", "warm target, MiB/s"),
                line("kd-warm", "warm, MiB/s"),
            ],
            Self::Stream => vec![area("kd-shards", "shards")],
            Self::Shards if kind == Kind::Presenter => vec![
                area("kd-heat-1", "0"),
                area("kd-heat-2", "25"),
                area("kd-heat-3", "50"),
                area("kd-heat-4", "75 %"),
                area("kd-heat-5", "throttled"),
            ],
            Self::Shards => vec![
                area("kd-heat-1", "below 25 %"),
                area("kd-heat-2", "from 25 %"),
                area("kd-heat-3", "from 50 %"),
                area("kd-heat-4", "from 75 %"),
                area("kd-heat-5", "throttled"),
            ],
            Self::Tasks => vec![area("kd-running", "running"), line("kd-desired", "desired")],
            Self::Latency => vec![line("kd-p50", "p50"), line("kd-p99", "p99")],
        }
    }

    /// How high its plot is, relative to the others.
    #[must_use]
    pub fn weight(self, extents: &Extents, kind: Kind) -> f64 {
        match self {
            Self::Rate if kind == Kind::Presenter => 3.0,
            Self::Rate => 2.6,
            Self::Losses if extents.losses > 0.0 => 1.0,
            Self::Losses => 0.3,
            Self::Stream => 1.0,
            Self::Shards if extents.heat > 16 => 1.7,
            Self::Shards => 1.1,
            Self::Tasks => 0.6,
            Self::Latency => 1.0,
        }
    }

    /// The vertical axis between two heights, and its ticks with their labels.
    #[must_use]
    pub fn axis(self, extents: &Extents, top: f64, bottom: f64, most: usize) -> (Scale, Vec<(f64, String)>) {
        let highest = match self {
            Self::Rate => extents.rate,
            Self::Losses => extents.losses,
            Self::Stream => extents.stream.max(extents.warm),
            Self::Tasks => extents.tasks,
            // The lowest hash key is at the top. The labels are the shards of each run.
            Self::Shards => return (Scale::new((0.0, 1.0), (top, bottom)), Vec::new()),
            Self::Latency => {
                let last = decades(extents.latency);
                let step = last.div_ceil(u32::try_from(most.max(1)).unwrap_or(1)).max(1);
                let scale = Scale::new((0.0, f64::from(last)), (bottom, top));
                let shown = (0..=last).filter(|decade| decade % step == 0);
                let ticks =
                    shown.map(|decade| (scale.at(f64::from(decade)), millis(10f64.powi(decade as i32))));
                return (scale, ticks.collect());
            }
        };
        if highest <= 0.0 {
            return (Scale::new((0.0, 1.0), (bottom, top)), vec![(bottom, "0".to_owned())]);
        }
        let values = ticks(highest, most);
        let last = values.last().copied().unwrap_or(1.0);
        let scale = Scale::new((0.0, last), (bottom, top));
        (scale, values.into_iter().map(|value| (scale.at(value), short(value))).collect())
    }

    /// The areas of a run.
    #[must_use]
    pub fn areas(self, data: &Data, x: &Scale, y: &Scale, bottom: f64) -> Markup {
        let points = |of: fn(&Point) -> f64| path::area(spans(data, of), x, y, bottom);
        let levels = |levels: &[Level]| path::area(held(levels), x, y, bottom);
        let areas: Vec<(&str, String)> = match self {
            Self::Rate => {
                vec![
                    ("kd-missing", points(|point| point.target)),
                    ("kd-accepted", points(|point| point.accepted)),
                ]
            }
            Self::Losses => vec![("kd-throttled", points(|point| point.throttled))],
            Self::Stream => vec![("kd-shards", levels(&data.shards))],
            Self::Tasks => vec![("kd-running", levels(&data.tasks_running))],
            Self::Shards | Self::Latency => Vec::new(),
        };
        html! {
            @for (class, path) in areas.iter().filter(|(_, path)| !path.is_empty()) {
                path class={ "kd-area " (class) } d=(path) {}
            }
        }
    }

    /// The lines of a run, the most important last.
    #[must_use]
    pub fn lines(self, data: &Data, x: &Scale, y: &Scale) -> Markup {
        let points = |of: fn(&Point) -> f64| path::line(spans(data, of), x, y);
        let levels = |levels: &[Level]| path::line(held(levels), x, y);
        let lost = |of: fn(&Point) -> f64| match data.greatest(of) > 0.0 {
            true => points(of),
            false => String::new(),
        };
        let latency = |of: fn(&Point) -> Option<f64>| {
            let known = data
                .points
                .iter()
                .filter_map(|point| Some((point.from, point.until, of(point)?.max(1.0).log10())));
            path::line(known, x, y)
        };
        let lines: Vec<(&str, String)> = match self {
            Self::Rate => vec![
                ("kd-planned", path::line(planned(data), x, y)),
                ("kd-offered", points(|point| point.offered)),
                ("kd-accepted", points(|point| point.accepted)),
                ("kd-target", points(|point| point.target)),
            ],
            Self::Losses => vec![
                ("kd-throttled", lost(|point| point.throttled)),
                ("kd-failed", lost(|point| point.failed)),
                ("kd-dropped", lost(|point| point.dropped)),
            ],
            Self::Stream => vec![
                ("kd-shards", levels(&data.shards)),
                ("kd-warm", levels(&data.warm_current)),
                ("kd-warm-target", levels(&data.warm_target)),
            ],
            Self::Shards => Vec::new(),
            Self::Tasks => {
                vec![("kd-running", levels(&data.tasks_running)), ("kd-desired", levels(&data.tasks_desired))]
            }
            Self::Latency => {
                vec![("kd-p50", latency(|point| point.p50)), ("kd-p99", latency(|point| point.p99))]
            }
        };
        html! {
            @for (class, path) in lines.iter().filter(|(_, path)| !path.is_empty()) {
                path class={ "kd-line " (class) } data-series=(class) d=(path) {}
            }
        }
    }

    /// What is said in an empty panel.
    #[must_use]
    pub fn remark(self, data: &Data) -> Option<&'static str> {
        let lost = data.greatest(|point| point.throttled.max(point.failed).max(point.dropped)) > 0.0;
        match self {
            Self::Losses if !lost && !data.points.is_empty() => Some("none throttled, failed or dropped"),
            Self::Rate if data.points.is_empty() => Some("no traffic recorded yet"),
            Self::Shards if data.heat.is_none() => Some("not known of this run"),
            _ => None,
        }
    }
}

fn spans(data: &Data, of: fn(&Point) -> f64) -> impl Iterator<Item = Span> + '_ {
    data.points.iter().map(move |point| (point.from, point.until, of(point)))
}

fn held(levels: &[Level]) -> impl Iterator<Item = Span> + '_ {
    levels.iter().map(|level| (level.from, level.until, level.value))
}

/// The plan after the last point.
fn planned(data: &Data) -> impl Iterator<Item = Span> + '_ {
    let known = data.points.last().map_or(f64::MIN, |point| point.until);
    let rest =
        data.phases.iter().map(move |phase| (phase.from.max(known), phase.until, f64::from(phase.rate)));
    rest.filter(|(from, until, _)| until > from)
}

/// The entries of a legend beside a title: each with its place, in as many lines as it needs.
#[derive(Debug)]
pub struct Legend {
    title: &'static str,
    placed: Vec<(Entry, f64, usize)>,
    pub lines: usize,
}

impl Legend {
    /// Fits the legend between `left` and `right`.
    #[must_use]
    pub fn new(panel: Panel, extents: &Extents, (left, right): (f64, f64), kind: Kind, font: f64) -> Self {
        let title = panel.title(kind);
        let start = left + text_width(title, font) * 1.2 + font * 1.2;
        let (mut at, mut line) = (start, 0);
        let mut placed = Vec::new();
        for entry in panel.legend(extents, kind) {
            let width = font * 2.0 + text_width(entry.label, font);
            if at + width > right && at > left {
                (at, line) = (left, line + 1);
            }
            placed.push((entry, at, line));
            at += width + font;
        }
        Self { title, placed, lines: line + 1 }
    }

    /// Draws it from `top` on.
    #[must_use]
    pub fn draw(&self, left: f64, top: f64, font: f64) -> Markup {
        let row = |line: usize| top + font * (1.05 + 1.45 * line as f64);
        html! {
            text class="kd-title" x=(pixels(left)) y=(pixels(row(0))) { (self.title) }
            @for (Entry { class, label, is_area }, at, line) in &self.placed {
                @let middle = row(*line) - font * 0.35;
                @if *is_area {
                    rect class={ "kd-area " (class) } x=(pixels(*at)) y=(pixels(middle - font * 0.4)) width=(pixels(font * 1.5)) height=(pixels(font * 0.8)) {}
                }
                @if !is_area || !(*class == "kd-missing" || class.starts_with("kd-heat")) {
                    @let edge = if *is_area { middle - font * 0.4 } else { middle };
                    path class={ "kd-line " (class) } d={ "M" (pixels(*at)) " " (pixels(edge)) "h" (pixels(font * 1.5)) } {}
                }
                text class="kd-muted" x=(pixels(at + font * 1.9)) y=(pixels(row(*line))) { (label) }
            }
        }
    }
}
