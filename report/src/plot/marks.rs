//! Where marks stand. In: marks in order of time, and the axis. Out: numbered pills in rows, with
//! their texts where there is room; marks too close to be told apart share a pill. No two of them
//! overlap. Pure.

use kinesis_demo_api::run_record::MarkKind;

use super::data::Event;
use super::path::{fitting, text_width};
use super::scale::Scale;

/// One or several marks in one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Pill {
    pub left: f64,
    pub width: f64,
    pub row: usize,
    /// The number of its mark, or the first and the last number.
    pub text: String,
    pub kind: MarkKind,
    /// What stands beside it.
    pub label: Option<String>,
    first: usize,
    last: usize,
    centre: f64,
}

impl Pill {
    fn new(event: &Event, centre: f64) -> Self {
        let Event { number, kind, .. } = *event;
        let text = String::new();
        Self { left: 0.0, width: 0.0, row: 0, text, kind, label: None, first: number, last: number, centre }
    }

    /// Whether it is of one mark.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.first == self.last
    }

    /// Sets the text, and with it the width; keeps within the limits.
    fn fit(&mut self, room: &Room) {
        self.text = match self.first == self.last {
            true => self.first.to_string(),
            false => format!("{}–{}", self.first, self.last),
        };
        self.width = (text_width(&self.text, room.font * 0.85) + room.font * 0.7).max(room.font * 1.3);
        let most = (room.right - self.width).max(room.left);
        self.left = (self.centre - self.width / 2.0).clamp(room.left.min(most), most);
    }

    fn take(&mut self, other: &Self, room: &Room) {
        self.last = other.last;
        // The kinds are in the order of their importance, but a stage changes in every run.
        let weight = |kind: MarkKind| if kind == MarkKind::Stage { MarkKind::Other } else { kind };
        self.kind = if weight(other.kind) < weight(self.kind) { other.kind } else { self.kind };
        self.fit(room);
    }

    /// Takes another once its own place is fixed: grows to the right only.
    fn take_in_place(&mut self, other: &Self, room: &Room) {
        let left = self.left;
        self.take(other, room);
        self.left = left;
        self.label = None;
        if self.left + self.width > room.right + room.font * 0.5 {
            self.text = format!("{}+", self.first);
            self.width = text_width(&self.text, room.font * 0.85) + room.font * 0.4;
        }
    }

    fn end(&self, font: f64) -> f64 {
        let label = self.label.as_ref().map_or(0.0, |label| text_width(label, font * 0.9) + font * 0.3);
        self.left + self.width + label + font * 0.4
    }
}

/// The space for pills.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pub left: f64,
    pub right: f64,
    pub rows: usize,
    pub font: f64,
    /// Whether there are texts beside the pills.
    pub labels: bool,
}

/// Places the marks of a run.
#[must_use]
pub fn place(events: &[Event], x: &Scale, room: &Room) -> Vec<Pill> {
    let mut clusters: Vec<Pill> = Vec::new();
    let mut alone: Vec<Option<&str>> = Vec::new();
    for event in events {
        let mut pill = Pill::new(event, x.at(event.at));
        pill.fit(room);
        match clusters.last_mut() {
            Some(last) if pill.centre - last.centre < room.font * 0.9 => {
                last.take(&pill, room);
                if let Some(text) = alone.last_mut() {
                    *text = None;
                }
            }
            _ => {
                clusters.push(pill);
                alone.push(Some(&event.text));
            }
        }
    }
    let mut ends = vec![f64::MIN; room.rows.max(1)];
    let mut placed: Vec<Pill> = Vec::new();
    let mut waiting = clusters.into_iter().zip(alone).peekable();
    while let Some((mut pill, text)) = waiting.next() {
        let free = ends.iter().position(|end| *end <= pill.left);
        let Some(row) = free else {
            // No row is free: the last pill takes it, if that has room to grow.
            if let Some(last) = placed.last_mut() {
                last.take_in_place(&pill, room);
                if let Some(end) = ends.get_mut(last.row) {
                    *end = last.end(room.font);
                }
            }
            continue;
        };
        pill.row = row;
        if room.labels
            && let Some(text) = text
        {
            let start = pill.left + pill.width + room.font * 0.3;
            let next = waiting.peek().map_or(room.right, |(next, _)| next.left);
            let others = ends.iter().enumerate().any(|(other, end)| other != row && *end <= next);
            let limit = if others { room.right } else { next - room.font };
            let label = fitting(text, room.font * 0.9, (limit - start).min(room.font * 22.0));
            // A few letters of a longer text say nothing.
            let says = label == *text || label.chars().count() > 9;
            pill.label = Some(label).filter(|label| says && !label.is_empty());
        }
        if let Some(end) = ends.get_mut(row) {
            *end = pill.end(room.font);
        }
        placed.push(pill);
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { left: 50.0, right: 800.0, rows: 3, font: 12.0, labels: true };

    fn events(instants: &[f64]) -> Vec<Event> {
        let numbered = instants.iter().zip(1..);
        numbered
            .map(|(at, number)| Event {
                number,
                at: *at,
                kind: MarkKind::Split,
                text: "4 shards become 8".into(),
            })
            .collect()
    }

    fn assert_apart(pills: &[Pill]) {
        for (index, a) in pills.iter().enumerate() {
            for b in &pills[index + 1..] {
                let apart = a.end(12.0) - 12.0 * 0.4 <= b.left || b.end(12.0) - 12.0 * 0.4 <= a.left;
                assert!(a.row != b.row || apart, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn few_marks_have_their_texts_beside_them() {
        let x = Scale::new((0.0, 100.0), (50.0, 800.0));
        let pills = place(&events(&[0.0, 30.0, 60.0]), &x, &ROOM);
        let texts: Vec<_> = pills.iter().map(|pill| (pill.text.as_str(), pill.label.as_deref())).collect();
        assert_eq!(texts, ["1", "2", "3"].map(|number| (number, Some("4 shards become 8"))));
    }

    #[test]
    fn dense_marks_share_pills_and_never_overlap() {
        let x = Scale::new((0.0, 100.0), (50.0, 800.0));
        for count in [1, 7, 40, 120, 500] {
            let instants: Vec<f64> =
                (0..count).map(|index| 100.0 * f64::from(index * index) / f64::from(count * count)).collect();
            let pills = place(&events(&instants), &x, &ROOM);
            assert!(pills.len() < 130);
            assert_apart(&pills);
            assert_eq!(pills.first().unwrap().first, 1);
            let covered: usize = pills.iter().map(|pill| pill.last + 1 - pill.first).sum();
            assert_eq!(covered, instants.len());
        }
    }
}
