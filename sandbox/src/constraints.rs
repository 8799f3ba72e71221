//! Checks values against the constraints of a service model, and words the violations as AWS does.
//! In: values whose types were checked, and the rules of their members. Out: violations. Pure.
//!
//! Lengths are counted in characters ("Partition keys are Unicode strings, with a maximum length
//! limit of 256 characters"; Smithy, "length trait": Unicode scalar values). A pattern must match
//! the whole text.

use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value;

/// The maximum of violations that AWS reports for one request.
const MOST_VIOLATIONS: usize = 10;

/// How many bytes of a list an error message shows. The number is ours.
const MOST_SHOWN: usize = 1 << 10;

/// Patterns that only Java's engine supports (UTF-16 surrogate pairs, lookahead), with equivalents.
const MEANINGS: [(&str, &str); 2] = [
    (
        r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]*",
        r"[\x{20}-\x{D7FF}\x{E000}-\x{FFFD}\x{10000}-\x{10FFFF}\r\n\t]*",
    ),
    // No control characters and none of `:/|`; no blank at either end.
    (
        r"(?!((^[ ]+.*)|(.*([\u0000-\u001f]|[\u007f-\u009f]|[:/|])+.*)|(.*[ ]+$))).+",
        r"[^\x00-\x20\x7F-\x9F:/|](?:[^\x00-\x1F\x7F-\x9F:/|]*[^\x00-\x20\x7F-\x9F:/|])?",
    ),
];

/// The model's constraints on a member.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// The member's type, and the rules of its parts.
    pub kind: RuleKind,
    /// Whether it must not be null.
    pub required: bool,
    /// The minimum of a number or length.
    pub least: Option<f64>,
    /// The maximum of a number or length.
    pub most: Option<f64>,
    /// The pattern that a text must match.
    pub pattern: Option<Pattern>,
    /// The allowed values of a text.
    pub values: Option<Vec<String>>,
}

/// See [`Rule::kind`].
#[derive(Clone, Debug, Default)]
pub enum RuleKind {
    /// A boolean, an instant, or anything else without constraints.
    #[default]
    Plain,
    Number,
    Text,
    /// Encoded in base64.
    Blob,
    List(Box<Rule>),
    /// The rules of keys and of values.
    Map(Box<Rule>, Box<Rule>),
    /// The members, in the order in which they are checked.
    Structure(Vec<(String, Rule)>),
}

/// A pattern as error messages quote it, and its compiled form.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// Compiles a pattern of a model; `None` if the engine does not support it.
    pub fn new(text: &str) -> Option<Self> {
        let meaning = MEANINGS.iter().find(|(known, _)| *known == text).map(|(_, meaning)| *meaning);
        // AWS matches a pattern against the whole text. Classes such as `\w` contain ASCII only;
        // `\p{…}` contains all of Unicode.
        let is_unicode = meaning.is_some() || text.contains(r"\p{");
        let meant = meaning.unwrap_or(text);
        let regex = RegexBuilder::new(&format!("^(?:{meant})$")).unicode(is_unicode).build().ok()?;
        Some(Self { text: text.to_owned(), regex })
    }
}

/// One step of the path to a member.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    Member(&'a str),
    /// An item's position, from 1.
    Item(usize),
    Key(&'a str),
}

/// A constraint that a value violates.
#[derive(Clone, Debug)]
pub enum Constraint<'a> {
    NotNull,
    Pattern(&'a str),
    LeastLength(f64),
    MostLength(f64),
    Least(f64),
    Most(f64),
    Values(&'a [String]),
    /// A constraint on the items, keys or values of a collection.
    Parts(Part<'a>),
}

/// The first item of a collection that violates its rule.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// What the rule applies to, in AWS's words.
    pub subject: &'static str,
    /// The rule.
    pub rule: &'a Rule,
    /// The item's position, from 1.
    pub position: usize,
    /// The item.
    pub shown: String,
    /// The violated constraint.
    pub broken: Box<Constraint<'a>>,
}

/// A member and the constraint that it violates.
#[derive(Clone, Debug)]
pub struct Violation<'a> {
    /// The path to the member.
    pub path: Vec<Step<'a>>,
    /// The member.
    pub value: &'a Value,
    /// Its rule.
    pub rule: &'a Rule,
    /// The violated constraint.
    pub constraint: Constraint<'a>,
}

/// Whether a text satisfies the rule of its member.
pub fn admits(rule: &Rule, text: &str) -> bool {
    let mut broken = false;
    text_constraints(rule, text, |_| broken = true);
    !broken
}

fn text_constraints<'a>(rule: &'a Rule, text: &str, mut report: impl FnMut(Constraint<'a>)) {
    if let Some(pattern) = rule.pattern.as_ref().filter(|pattern| !pattern.regex.is_match(text.as_bytes())) {
        report(Constraint::Pattern(&pattern.text));
    }
    if rule.least.is_some() || rule.most.is_some() {
        length_constraints(rule, text.chars().count(), &mut report);
    }
    if let Some(values) = rule.values.as_ref().filter(|values| !values.iter().any(|value| value == text)) {
        report(Constraint::Values(values));
    }
}

fn length_constraints<'a>(rule: &Rule, length: usize, report: &mut impl FnMut(Constraint<'a>)) {
    let length = length as f64;
    if let Some(least) = rule.least.filter(|least| length < *least) {
        report(Constraint::LeastLength(least));
    }
    if let Some(most) = rule.most.filter(|most| length > *most) {
        report(Constraint::MostLength(most));
    }
}

fn number_constraints<'a>(rule: &Rule, number: f64, report: &mut impl FnMut(Constraint<'a>)) {
    if let Some(least) = rule.least.filter(|least| number < *least) {
        report(Constraint::Least(least));
    }
    if let Some(most) = rule.most.filter(|most| number > *most) {
        report(Constraint::Most(most));
    }
}

/// Finds the first text of a collection that violates its rule. AWS reports the violation for the
/// collection as a whole.
fn part<'a>(rule: &'a Rule, subject: &'static str, texts: impl Iterator<Item = &'a str>) -> Option<Part<'a>> {
    for (position, text) in texts.enumerate() {
        let mut found = None;
        text_constraints(rule, text, |constraint| {
            found.get_or_insert(constraint);
        });
        if let Some(broken) = found {
            let broken = Box::new(broken);
            return Some(Part { subject, rule, position: position + 1, shown: text.to_owned(), broken });
        }
    }
    None
}

/// The violations in a request: at most as many as AWS reports.
pub fn violations<'a>(
    input: &'a Value,
    members: impl IntoIterator<Item = (&'a str, &'a Rule)>,
) -> Vec<Violation<'a>> {
    let mut found = Vec::new();
    for (name, rule) in members {
        check_value(&input[name], rule, &mut vec![Step::Member(name)], &mut found);
    }
    found
}

fn check_value<'a>(
    value: &'a Value,
    rule: &'a Rule,
    path: &mut Vec<Step<'a>>,
    found: &mut Vec<Violation<'a>>,
) {
    if found.len() >= MOST_VIOLATIONS || (value.is_null() && !rule.required) {
        return;
    }
    let mut report = |constraint: Constraint<'a>| {
        if found.len() < MOST_VIOLATIONS {
            found.push(Violation { path: path.clone(), value, rule, constraint });
        }
    };
    match (value, &rule.kind) {
        (Value::Null, _) => report(Constraint::NotNull),
        (Value::String(base64), RuleKind::Blob) => {
            length_constraints(rule, decoded_length(base64), &mut report)
        }
        (Value::String(text), RuleKind::Text) => text_constraints(rule, text, report),
        (Value::Number(number), RuleKind::Number) => {
            number_constraints(rule, number.as_f64().unwrap_or_default(), &mut report);
        }
        (Value::Array(items), RuleKind::List(item)) => {
            length_constraints(rule, items.len(), &mut report);
            let texts = items.iter().filter_map(Value::as_str);
            if let Some(part) = is_text(item).then(|| part(item, "Member", texts)).flatten() {
                report(Constraint::Parts(part));
            }
            for (position, value) in items.iter().enumerate().filter(|_| !is_text(item)) {
                path.push(Step::Item(position + 1));
                check_value(value, item, path, found);
                path.pop();
            }
        }
        (Value::Object(entries), RuleKind::Map(key, entry)) => {
            length_constraints(rule, entries.len(), &mut report);
            if let Some(part) = part(key, "Map keys", entries.keys().map(String::as_str)) {
                report(Constraint::Parts(part));
            }
            let texts = entries.values().filter_map(Value::as_str);
            if let Some(part) = is_text(entry).then(|| part(entry, "Map value", texts)).flatten() {
                report(Constraint::Parts(part));
            }
            for (key, value) in entries.iter().rev().filter(|_| !is_text(entry)) {
                path.push(Step::Key(key));
                check_value(value, entry, path, found);
                path.pop();
            }
        }
        (Value::Object(_), RuleKind::Structure(members)) => {
            for (name, member) in members {
                path.push(Step::Member(name));
                check_value(&value[name.as_str()], member, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

fn is_text(rule: &Rule) -> bool {
    matches!(rule.kind, RuleKind::Text)
}

/// The decoded length of a base64 text, in bytes.
fn decoded_length(base64: &str) -> usize {
    (base64.len() / 4 * 3)
        .saturating_sub(base64.bytes().rev().take_while(|byte| *byte == b'=').count().min(2))
}

/// The message for a request with violations, in the wording of the framework behind most services.
pub fn validation_message(found: &[Violation<'_>]) -> String {
    let each: Vec<String> = found
        .iter()
        .map(|violation| {
            let shown = shown(violation.value, violation.rule);
            violation_text(&shown, &path_text(&violation.path), &constraint_text(&violation.constraint))
        })
        .collect();
    joined(&each)
}

/// The message for members that are null but must not be.
pub fn nulls(paths: &[String]) -> String {
    let not_null = constraint_text(&Constraint::NotNull);
    let each: Vec<String> =
        paths.iter().take(MOST_VIOLATIONS).map(|path| violation_text("null", path, &not_null)).collect();
    joined(&each)
}

fn violation_text(shown: &str, path: &str, constraint: &str) -> String {
    format!("Value {shown} at '{path}' failed to satisfy constraint: {constraint}")
}

fn joined(each: &[String]) -> String {
    let plural = if each.len() == 1 { "" } else { "s" };
    format!("{} validation error{plural} detected: {}", each.len(), each.join("; "))
}

fn constraint_text(constraint: &Constraint<'_>) -> String {
    match constraint {
        Constraint::NotNull => "Member must not be null".to_owned(),
        Constraint::Pattern(pattern) => format!("Member must satisfy regular expression pattern: {pattern}"),
        Constraint::LeastLength(least) => format!("Member must have length greater than or equal to {least}"),
        Constraint::MostLength(most) => format!("Member must have length less than or equal to {most}"),
        Constraint::Least(least) => format!("Member must have value greater than or equal to {least}"),
        Constraint::Most(most) => format!("Member must have value less than or equal to {most}"),
        Constraint::Values(values) => format!("Member must satisfy enum value set: [{}]", values.join(", ")),
        Constraint::Parts(Part { subject, rule, .. }) => {
            let all = [
                rule.most.map(Constraint::MostLength),
                rule.least.map(Constraint::LeastLength),
                rule.pattern.as_ref().map(|pattern| Constraint::Pattern(&pattern.text)),
                rule.values.as_ref().map(|values| Constraint::Values(values)),
            ];
            let all: Vec<String> = all.iter().flatten().map(constraint_text).collect();
            format!("{subject} must satisfy constraint: [{}]", all.join(", "))
        }
    }
}

/// A path in that framework's form: members in lower camel case, regardless of their names in the
/// protocol.
fn path_text(path: &[Step<'_>]) -> String {
    let mut text = String::new();
    for step in path {
        let part = match step {
            Step::Member(name) => lower_camel(name),
            Step::Item(position) => format!("{position}.member"),
            Step::Key(key) => format!("{key}.member"),
        };
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(&part);
    }
    text
}

/// A name with its first letter in lower case.
pub fn lower_camel(name: &str) -> String {
    let mut characters = name.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

/// A value as AWS's error messages show it.
fn shown(value: &Value, rule: &Rule) -> String {
    let text = match (value, &rule.kind) {
        (Value::Null, _) => return "null".to_owned(),
        (Value::String(base64), RuleKind::Blob) => {
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

/// A value without added quotes.
pub fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// As many items of a list as fit into [`MOST_SHOWN`].
fn items_shown(items: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    for (position, item) in items.enumerate() {
        if position > 0 {
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
