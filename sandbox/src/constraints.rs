//! Whether a value keeps the constraints of a service model, and the services' words if it does
//! not. In: values whose types were checked, and the rules of their members. Out: violations. Pure.
//!
//! Lengths are characters ("Partition keys are Unicode strings, with a maximum length limit of 256
//! characters"; Smithy, "length trait": Unicode scalar values), and patterns hold for the whole
//! text.

use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value;

/// AWS names so many violations of one request.
const MOST_VIOLATIONS: usize = 10;

/// How much of a list a refusal shows, in bytes. The number is ours.
const MOST_SHOWN: usize = 1 << 10;

/// Patterns that only Java knows, of pairs of UTF-16 and of a look ahead, and what they mean.
const MEANINGS: [(&str, &str); 2] = [
    (
        r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]*",
        r"[\x{20}-\x{D7FF}\x{E000}-\x{FFFD}\x{10000}-\x{10FFFF}\r\n\t]*",
    ),
    // Neither control characters nor one of :/|, and no blank at either end.
    (
        r"(?!((^[ ]+.*)|(.*([\u0000-\u001f]|[\u007f-\u009f]|[:/|])+.*)|(.*[ ]+$))).+",
        r"[^\x00-\x20\x7F-\x9F:/|](?:[^\x00-\x1F\x7F-\x9F:/|]*[^\x00-\x20\x7F-\x9F:/|])?",
    ),
];

/// What the model says of a member.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// What it is, and the rules of its parts.
    pub kind: Kind,
    /// Whether it must not be null.
    pub required: bool,
    /// The least number or length.
    pub least: Option<f64>,
    /// The greatest number or length.
    pub most: Option<f64>,
    /// What a text must match.
    pub pattern: Option<Pattern>,
    /// What a text may be.
    pub values: Option<Vec<String>>,
}

/// See [`Rule::kind`].
#[derive(Clone, Debug, Default)]
pub enum Kind {
    /// A boolean, an instant, or anything else without constraints.
    #[default]
    Plain,
    Number,
    Text,
    /// In base64.
    Blob,
    List(Box<Rule>),
    /// The rules of keys and of values.
    Map(Box<Rule>, Box<Rule>),
    /// Its members, in the order in which they are looked at.
    Structure(Vec<(String, Rule)>),
}

/// A pattern as refusals quote it, and what it means.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// A pattern of a model; `None` if it is none that the engine knows.
    pub fn new(text: &str) -> Option<Self> {
        let meaning = MEANINGS.iter().find(|(known, _)| *known == text).map(|(_, meaning)| *meaning);
        // The services match the whole text. Their classes mean ASCII, except those of Unicode's
        // categories.
        let is_unicode = meaning.is_some() || text.contains(r"\p{");
        let meant = meaning.unwrap_or(text);
        let regex = RegexBuilder::new(&format!("^(?:{meant})$")).unicode(is_unicode).build().ok()?;
        Some(Self { text: text.to_owned(), regex })
    }
}

/// A step on the way to a member.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    Member(&'a str),
    /// An item's position, from 1.
    Item(usize),
    Key(&'a str),
}

/// What a value does not keep.
#[derive(Clone, Debug)]
pub enum Constraint<'a> {
    NotNull,
    Pattern(&'a str),
    LeastLength(f64),
    MostLength(f64),
    Least(f64),
    Most(f64),
    Values(&'a [String]),
    /// A constraint of what the collection holds.
    Parts(Part<'a>),
}

/// The first of a collection's texts or numbers that does not keep its rule.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// Whose the rule is, in AWS's words.
    pub whose: &'static str,
    /// The rule.
    pub rule: &'a Rule,
    /// Its position, from 1.
    pub position: usize,
    /// It.
    pub shown: String,
    /// What it does not keep.
    pub broken: Box<Constraint<'a>>,
}

/// A member and what it does not keep.
#[derive(Clone, Debug)]
pub struct Violation<'a> {
    /// The way to it.
    pub path: Vec<Step<'a>>,
    /// The member.
    pub value: &'a Value,
    /// Its rule.
    pub rule: &'a Rule,
    /// What it does not keep.
    pub constraint: Constraint<'a>,
}

/// Whether a text keeps the rule of its member.
pub fn admits(rule: &Rule, text: &str) -> bool {
    let mut broken = false;
    text_constraints(rule, text, |_| broken = true);
    !broken
}

fn text_constraints<'a>(rule: &'a Rule, text: &str, mut tell: impl FnMut(Constraint<'a>)) {
    if let Some(pattern) = rule.pattern.as_ref().filter(|pattern| !pattern.regex.is_match(text.as_bytes())) {
        tell(Constraint::Pattern(&pattern.text));
    }
    if rule.least.is_some() || rule.most.is_some() {
        length_constraints(rule, text.chars().count(), &mut tell);
    }
    if let Some(values) = rule.values.as_ref().filter(|values| !values.iter().any(|value| value == text)) {
        tell(Constraint::Values(values));
    }
}

fn length_constraints<'a>(rule: &Rule, length: usize, tell: &mut impl FnMut(Constraint<'a>)) {
    let length = length as f64;
    if let Some(least) = rule.least.filter(|least| length < *least) {
        tell(Constraint::LeastLength(least));
    }
    if let Some(most) = rule.most.filter(|most| length > *most) {
        tell(Constraint::MostLength(most));
    }
}

fn number_constraints<'a>(rule: &Rule, number: f64, tell: &mut impl FnMut(Constraint<'a>)) {
    if let Some(least) = rule.least.filter(|least| number < *least) {
        tell(Constraint::Least(least));
    }
    if let Some(most) = rule.most.filter(|most| number > *most) {
        tell(Constraint::Most(most));
    }
}

/// What the first text of a collection that breaks its rule does not keep. AWS tells it of the
/// collection as a whole.
fn part<'a>(rule: &'a Rule, whose: &'static str, texts: impl Iterator<Item = &'a str>) -> Option<Part<'a>> {
    for (place, text) in texts.enumerate() {
        let mut found = None;
        text_constraints(rule, text, |constraint| {
            found.get_or_insert(constraint);
        });
        if let Some(broken) = found {
            let broken = Box::new(broken);
            return Some(Part { whose, rule, position: place + 1, shown: text.to_owned(), broken });
        }
    }
    None
}

/// What the members of a request do not keep: at most as many violations as AWS names.
pub fn violations<'a>(
    input: &'a Value,
    members: impl IntoIterator<Item = (&'a str, &'a Rule)>,
) -> Vec<Violation<'a>> {
    let mut found = Vec::new();
    for (name, rule) in members {
        look(&input[name], rule, &mut vec![Step::Member(name)], &mut found);
    }
    found
}

fn look<'a>(value: &'a Value, rule: &'a Rule, path: &mut Vec<Step<'a>>, found: &mut Vec<Violation<'a>>) {
    if found.len() >= MOST_VIOLATIONS || (value.is_null() && !rule.required) {
        return;
    }
    let mut tell = |constraint: Constraint<'a>| {
        if found.len() < MOST_VIOLATIONS {
            found.push(Violation { path: path.clone(), value, rule, constraint });
        }
    };
    match (value, &rule.kind) {
        (Value::Null, _) => tell(Constraint::NotNull),
        (Value::String(base64), Kind::Blob) => length_constraints(rule, decoded_length(base64), &mut tell),
        (Value::String(text), Kind::Text) => text_constraints(rule, text, tell),
        (Value::Number(number), Kind::Number) => {
            number_constraints(rule, number.as_f64().unwrap_or_default(), &mut tell);
        }
        (Value::Array(items), Kind::List(item)) => {
            length_constraints(rule, items.len(), &mut tell);
            let texts = items.iter().filter_map(Value::as_str);
            if let Some(part) = is_text(item).then(|| part(item, "Member", texts)).flatten() {
                tell(Constraint::Parts(part));
            }
            for (place, value) in items.iter().enumerate().filter(|_| !is_text(item)) {
                path.push(Step::Item(place + 1));
                look(value, item, path, found);
                path.pop();
            }
        }
        (Value::Object(entries), Kind::Map(key, entry)) => {
            length_constraints(rule, entries.len(), &mut tell);
            if let Some(part) = part(key, "Map keys", entries.keys().map(String::as_str)) {
                tell(Constraint::Parts(part));
            }
            let texts = entries.values().filter_map(Value::as_str);
            if let Some(part) = is_text(entry).then(|| part(entry, "Map value", texts)).flatten() {
                tell(Constraint::Parts(part));
            }
            for (key, value) in entries.iter().rev().filter(|_| !is_text(entry)) {
                path.push(Step::Key(key));
                look(value, entry, path, found);
                path.pop();
            }
        }
        (Value::Object(_), Kind::Structure(members)) => {
            for (name, member) in members {
                path.push(Step::Member(name));
                look(&value[name.as_str()], member, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

fn is_text(rule: &Rule) -> bool {
    matches!(rule.kind, Kind::Text)
}

/// How many bytes a text in base64 stands for.
fn decoded_length(base64: &str) -> usize {
    (base64.len() / 4 * 3)
        .saturating_sub(base64.bytes().rev().take_while(|byte| *byte == b'=').count().min(2))
}

/// What a request with violations is told, in the words of the framework behind most services.
pub fn told(found: &[Violation<'_>]) -> String {
    let each: Vec<String> = found
        .iter()
        .map(|violation| {
            let shown = shown(violation.value, violation.rule);
            told_of(&shown, &path_told(&violation.path), &constraint_told(&violation.constraint))
        })
        .collect();
    all_told(&each)
}

/// What members that must not be null are told if they are.
pub fn nulls(paths: &[String]) -> String {
    let not_null = constraint_told(&Constraint::NotNull);
    let each: Vec<String> =
        paths.iter().take(MOST_VIOLATIONS).map(|path| told_of("null", path, &not_null)).collect();
    all_told(&each)
}

fn told_of(shown: &str, path: &str, constraint: &str) -> String {
    format!("Value {shown} at '{path}' failed to satisfy constraint: {constraint}")
}

fn all_told(each: &[String]) -> String {
    let plural = if each.len() == 1 { "" } else { "s" };
    format!("{} validation error{plural} detected: {}", each.len(), each.join("; "))
}

fn constraint_told(constraint: &Constraint<'_>) -> String {
    match constraint {
        Constraint::NotNull => "Member must not be null".to_owned(),
        Constraint::Pattern(pattern) => format!("Member must satisfy regular expression pattern: {pattern}"),
        Constraint::LeastLength(least) => format!("Member must have length greater than or equal to {least}"),
        Constraint::MostLength(most) => format!("Member must have length less than or equal to {most}"),
        Constraint::Least(least) => format!("Member must have value greater than or equal to {least}"),
        Constraint::Most(most) => format!("Member must have value less than or equal to {most}"),
        Constraint::Values(values) => format!("Member must satisfy enum value set: [{}]", values.join(", ")),
        Constraint::Parts(Part { whose, rule, .. }) => {
            let all = [
                rule.most.map(Constraint::MostLength),
                rule.least.map(Constraint::LeastLength),
                rule.pattern.as_ref().map(|pattern| Constraint::Pattern(&pattern.text)),
                rule.values.as_ref().map(|values| Constraint::Values(values)),
            ];
            let all: Vec<String> = all.iter().flatten().map(constraint_told).collect();
            format!("{whose} must satisfy constraint: [{}]", all.join(", "))
        }
    }
}

/// A path as that framework writes it: members in lower camel case, whatever the wire says.
fn path_told(path: &[Step<'_>]) -> String {
    let mut told = String::new();
    for step in path {
        let part = match step {
            Step::Member(name) => lower_camel(name),
            Step::Item(position) => format!("{position}.member"),
            Step::Key(key) => format!("{key}.member"),
        };
        if !told.is_empty() {
            told.push('.');
        }
        told.push_str(&part);
    }
    told
}

/// A name with a small first letter.
pub fn lower_camel(name: &str) -> String {
    let mut characters = name.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

/// A value as AWS's refusals show it.
fn shown(value: &Value, rule: &Rule) -> String {
    let text = match (value, &rule.kind) {
        (Value::Null, _) => return "null".to_owned(),
        (Value::String(base64), Kind::Blob) => {
            let length = decoded_length(base64);
            format!("java.nio.HeapByteBuffer[pos=0 lim={length} cap={length}]")
        }
        (Value::Array(items), _) => format!("[{}]", items_shown(items.iter().map(plain))),
        (Value::Object(entries), _) => {
            let pairs = entries.iter().map(|(key, value)| format!("{key}={}", plain(value)));
            format!("{{{}}}", items_shown(pairs))
        }
        (value, _) => plain(value),
    };
    format!("'{text}'")
}

/// A value without quotes of its own.
pub fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The items of a list, as many as fit into [`MOST_SHOWN`].
fn items_shown(items: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    for (place, item) in items.enumerate() {
        if place > 0 {
            text.push_str(", ");
        }
        if text.len() + item.len() > MOST_SHOWN {
            text.push_str("...");
            break;
        }
        text.push_str(&item);
    }
    text
}

#[cfg(test)]
#[path = "constraints_tests.rs"]
mod tests;
