//! Paths of steps. In: intervals with a value, in order, and the scales. Out: the `d` of an SVG
//! path: a line, or an area down to a base. An interval without a neighbour stands alone, so what
//! is missing is seen to be missing. Pure.

use super::scale::Scale;

/// An interval with a value.
pub type Span = (f64, f64, f64);

/// Intervals that are further apart than this do not belong together, in seconds.
const APART: f64 = 0.25;

/// A line over the intervals.
#[must_use]
pub fn line(spans: impl Iterator<Item = Span>, x: &Scale, y: &Scale) -> String {
    let mut path = String::new();
    let mut end: Option<f64> = None;
    for (from, until, value) in spans {
        let height = y.at(value);
        match end {
            Some(end) if from - end <= APART => push(&mut path, 'V', &[height]),
            _ => push(&mut path, 'M', &[x.at(from), height]),
        }
        push(&mut path, 'H', &[x.at(until)]);
        end = Some(until);
    }
    path
}

/// The area under the intervals, down to `base`.
#[must_use]
pub fn area(spans: impl Iterator<Item = Span>, x: &Scale, y: &Scale, base: f64) -> String {
    let mut path = String::new();
    let mut end: Option<f64> = None;
    for (from, until, value) in spans {
        let height = y.at(value);
        match end {
            Some(end) if from - end <= APART => push(&mut path, 'V', &[height]),
            before => {
                if before.is_some() {
                    push(&mut path, 'V', &[base]);
                    path.push('Z');
                }
                push(&mut path, 'M', &[x.at(from), base]);
                push(&mut path, 'V', &[height]);
            }
        }
        push(&mut path, 'H', &[x.at(until)]);
        end = Some(until);
    }
    if end.is_some() {
        push(&mut path, 'V', &[base]);
        path.push('Z');
    }
    path
}

/// Heights are to a thousandth: beside a peak, a tenth of a pixel may be as much as a whole phase.
fn push(path: &mut String, command: char, coordinates: &[f64]) {
    path.push(command);
    for (index, coordinate) in coordinates.iter().enumerate() {
        if index > 0 {
            path.push(' ');
        }
        match (command, index) {
            ('V', _) | (_, 1) => path.push_str(&thousandths(*coordinate)),
            _ => path.push_str(&pixels(*coordinate)),
        }
    }
}

/// A length in pixels, to a thousandth.
#[must_use]
pub fn thousandths(length: f64) -> String {
    let text = format!("{length:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A length in pixels, to a tenth.
#[must_use]
pub fn pixels(length: f64) -> String {
    let tenths = (length * 10.0).round() as i64;
    match tenths % 10 {
        0 => (tenths / 10).to_string(),
        _ => format!("{:.1}", tenths as f64 / 10.0),
    }
}

/// About how wide a text is in a sans-serif face. Rather too much than too little.
#[must_use]
pub fn text_width(text: &str, font: f64) -> f64 {
    let ems = text.chars().map(|letter| match letter {
        ' ' | '.' | ',' | ':' | ';' | '|' | '!' | '\'' | 'i' | 'j' | 'l' | 'f' | 't' | 'I' => 0.33,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '—' => 0.95,
        'A'..='Z' => 0.7,
        ' '..='~' => 0.57,
        _ => 1.05,
    });
    ems.sum::<f64>() * font
}

/// The text, or as much of its beginning as fits, or nothing.
#[must_use]
pub fn fitting(text: &str, font: f64, room: f64) -> String {
    if text_width(text, font) <= room {
        return text.to_owned();
    }
    let room = room - text_width("…", font);
    let mut cut = String::new();
    for letter in text.chars() {
        cut.push(letter);
        if text_width(&cut, font) > room {
            cut.pop();
            break;
        }
    }
    // One or two letters say nothing.
    if cut.chars().count() < 3 { String::new() } else { cut + "…" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_join_and_missing_intervals_part() {
        let x = Scale::new((0.0, 10.0), (0.0, 100.0));
        let y = Scale::new((0.0, 10.0), (50.0, 0.0));
        let spans = [(0.0, 1.0, 5.0), (1.0, 2.0, 10.0), (4.0, 5.25, 0.0)];
        assert_eq!(line(spans.into_iter(), &x, &y), "M0 25H10V0H20M40 50H52.5");
        assert_eq!(area(spans.into_iter(), &x, &y, 50.0), "M0 50V25H10V0H20V50ZM40 50V50H52.5V50Z");
        assert_eq!(area([].into_iter(), &x, &y, 50.0), "");
    }

    #[test]
    fn names_are_cut_to_their_room() {
        assert_eq!(fitting("baseline", 10.0, 100.0), "baseline");
        assert_eq!(fitting("baseline", 10.0, 30.0), "bas…");
        assert_eq!(fitting("baseline", 10.0, 12.0), "");
    }
}
