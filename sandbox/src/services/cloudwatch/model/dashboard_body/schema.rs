//! The properties of each part of a dashboard's body, and their allowed values ("Dashboard body
//! structure and syntax", CloudWatch API reference). Pure.

use Shape::{Flag, Number, OneOf, Other, Text, Whole};

/// The types of widgets.
pub const KINDS: [&str; 6] = ["metric", "text", "log", "alarm", "explorer", "chart"];

/// The allowed values of a member.
pub enum Shape {
    Text,
    Flag,
    Number,
    OneOf(&'static [&'static str]),
    Whole(i64, i64),
    /// Checked elsewhere.
    Other,
}

pub const BODY: &[(&str, Shape)] = &[
    ("widgets", Other),
    ("start", Other),
    ("end", Other),
    ("periodOverride", OneOf(&["auto", "inherit"])),
    ("variables", Other),
];
pub const WIDGET: &[(&str, Shape)] = &[
    ("type", OneOf(&KINDS)),
    ("x", Whole(0, 23)),
    ("y", Whole(0, i64::MAX)),
    ("width", Whole(1, 24)),
    ("height", Whole(1, 1000)),
    ("properties", Other),
];
pub const TEXT: &[(&str, Shape)] = &[("markdown", Text), ("background", OneOf(&["solid", "transparent"]))];
pub const METRIC: &[(&str, Shape)] = &[
    ("accountId", Text),
    ("annotations", Other),
    ("end", Other),
    ("legend", Other),
    ("liveData", Flag),
    ("metrics", Other),
    ("period", Other),
    ("region", Text),
    ("setPeriodToTimeRange", Flag),
    ("singleValueFullPrecision", Flag),
    ("sparkline", Flag),
    ("stacked", Flag),
    ("start", Other),
    ("stat", Other),
    ("table", Other),
    ("timezone", Text),
    ("title", Text),
    ("trend", Flag),
    ("view", OneOf(&["timeSeries", "singleValue", "gauge", "bar", "pie", "table"])),
    ("yAxis", Other),
];
pub const RENDERING: &[(&str, Shape)] = &[
    ("accountId", Text),
    ("color", Other),
    ("expression", Text),
    ("id", Other),
    ("label", Text),
    ("period", Other),
    ("region", Text),
    ("stat", Other),
    ("visible", Flag),
    ("yAxis", OneOf(&["left", "right"])),
];
pub const AXIS: &[(&str, Shape)] = &[("label", Text), ("max", Number), ("min", Number), ("showUnits", Flag)];
pub const HORIZONTAL: &[(&str, Shape)] = &[
    ("color", Other),
    ("fill", OneOf(&["above", "below", "none"])),
    ("label", Text),
    ("value", Number),
    ("visible", Flag),
    ("yAxis", OneOf(&["left", "right"])),
];
pub const VERTICAL: &[(&str, Shape)] = &[
    ("color", Other),
    ("fill", OneOf(&["before", "after", "none"])),
    ("label", Text),
    ("value", Other),
    ("visible", Flag),
];
pub const LOG: &[(&str, Shape)] = &[
    ("accountId", Text),
    ("query", Text),
    ("queryLanguage", Text),
    ("region", Text),
    ("stacked", Flag),
    ("title", Text),
    ("view", OneOf(&["table", "timeSeries", "bar", "pie"])),
];
pub const ALARM: &[(&str, Shape)] = &[
    ("alarms", Other),
    ("sortBy", OneOf(&["default", "stateUpdatedTimestamp", "timestamp"])),
    ("states", Other),
    ("title", Text),
];
