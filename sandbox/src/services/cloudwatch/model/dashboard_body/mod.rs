//! Validates a dashboard's body. In: its text. Out: warnings, and the errors for which it is
//! rejected, each with its path. Pure.
//!
//! Source: "Dashboard body structure and syntax" (CloudWatch API reference). Properties that it
//! does not list are warnings: "the input was valid enough for the dashboard to be created or
//! modified, but some elements of the dashboard might not render" (PutDashboard). So are periods
//! that it does not list but that CloudWatch draws.

mod schema;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use schema::Shape::{self, Flag, Number, OneOf, Other, Text, Whole};
use schema::{ALARM, AXIS, BODY, HORIZONTAL, LOG, METRIC, RENDERING, TEXT, VERTICAL, WIDGET};

/// "0 to 500 widgets."
const WIDGETS: usize = 500;
/// "Up to 500 metrics" (CloudWatch quotas, dashboards).
const METRICS: usize = 500;

/// The errors and warnings of a body.
#[derive(Debug, Default, PartialEq)]
pub struct Findings {
    pub errors: Vec<Finding>,
    pub warnings: Vec<Finding>,
}

/// One error or warning and its path.
#[derive(Debug, PartialEq)]
pub struct Finding {
    pub path: String,
    pub message: String,
}

impl Finding {
    pub fn view(&self, path: &str, message: &str) -> Value {
        json!({path: self.path, message: self.message})
    }
}

/// Validates a body.
pub fn check(text: &str) -> Findings {
    let mut findings = Findings::default();
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(body)) => findings.body(&body),
        _ => findings.error("/", "The field DashboardBody must be a valid JSON object"),
    }
    findings
}

impl Findings {
    fn error(&mut self, path: &str, message: impl Into<String>) {
        self.errors.push(Finding { path: path.to_owned(), message: message.into() });
    }

    fn warn(&mut self, path: &str, message: impl Into<String>) {
        self.warnings.push(Finding { path: path.to_owned(), message: message.into() });
    }

    fn body(&mut self, body: &Map<String, Value>) {
        self.members("", body, BODY);
        self.required("", body, &["widgets"]);
        self.range("", body);
        let variables = self.list("", body, "variables");
        for (path, variable) in variables {
            self.object(&path, variable);
        }
        let widgets = self.list("", body, "widgets");
        if widgets.len() > WIDGETS {
            self.error("/widgets", format!("Should NOT have more than {WIDGETS} items"));
        }
        for (path, widget) in widgets {
            if let Some(widget) = self.object(&path, widget) {
                self.widget(&path, widget);
            }
        }
    }

    fn widget(&mut self, path: &str, widget: &Map<String, Value>) {
        self.members(path, widget, WIDGET);
        self.required(path, widget, &["type", "properties"]);
        let Some(properties) = widget.get("properties") else { return };
        let path = format!("{path}/properties");
        let Some(properties) = self.object(&path, properties) else { return };
        match widget.get("type").and_then(Value::as_str).unwrap_or_default() {
            "text" => {
                self.members(&path, properties, TEXT);
                self.required(&path, properties, &["markdown"]);
            }
            "metric" => self.metric_widget(&path, properties),
            "log" => {
                self.members(&path, properties, LOG);
                self.required(&path, properties, &["query", "region"]);
            }
            "alarm" => {
                self.members(&path, properties, ALARM);
                self.required(&path, properties, &["alarms"]);
                for (path, alarm) in self.list(&path, properties, "alarms") {
                    self.text(&path, alarm);
                }
            }
            "explorer" => {
                self.required(&path, properties, &["labels", "metrics"]);
                self.list(&path, properties, "labels");
                self.list(&path, properties, "metrics");
            }
            _ => {}
        }
    }

    fn metric_widget(&mut self, path: &str, properties: &Map<String, Value>) {
        self.members(path, properties, METRIC);
        self.range(path, properties);
        self.drawing(path, properties);
        if let Some(legend) = self.nested(path, properties, "legend") {
            let position: &[(&str, Shape)] = &[("position", OneOf(&["right", "bottom", "hidden"]))];
            self.members(&format!("{path}/legend"), legend, position);
        }
        let axes = self.nested(path, properties, "yAxis");
        for side in ["left", "right"] {
            let axis_path = format!("{path}/yAxis");
            if let Some(axis) = axes.and_then(|axes| self.nested(&axis_path, axes, side)) {
                self.members(&format!("{axis_path}/{side}"), axis, AXIS);
            }
        }
        let has_bounds = |axis: &Value| axis["min"].is_number() && axis["max"].is_number();
        let is_gauge = properties.get("view").and_then(Value::as_str) == Some("gauge");
        if is_gauge && !axes.and_then(|axes| axes.get("left")).is_some_and(has_bounds) {
            self.error(&format!("{path}/yAxis"), "A gauge should have min and max of its left axis");
        }
        let annotations = self.nested(path, properties, "annotations");
        let shows_alarm = annotations.is_some_and(|annotations| annotations.contains_key("alarms"));
        if let Some(annotations) = annotations {
            self.annotations(&format!("{path}/annotations"), annotations);
        }
        if !shows_alarm {
            self.required(path, properties, &["metrics", "region"]);
        }
        self.metrics(path, properties);
    }

    fn metrics(&mut self, path: &str, properties: &Map<String, Value>) {
        let metrics = self.list(path, properties, "metrics");
        if metrics.len() > METRICS {
            self.error(&format!("{path}/metrics"), format!("Should NOT have more than {METRICS} items"));
        }
        let mut ids: Vec<&str> = Vec::new();
        let mut before = 0;
        for (path, metric) in metrics {
            let Some(fields) = metric.as_array() else {
                self.error(&path, "Should be array");
                continue;
            };
            let rendering = fields.last().and_then(Value::as_object);
            let names = fields.len() - usize::from(rendering.is_some());
            if let Some(rendering) = rendering {
                let path = format!("{path}/{names}");
                self.members(&path, rendering, RENDERING);
                self.drawing(&path, rendering);
                self.color(&path, rendering);
                if let Some(id) = rendering.get("id").and_then(Value::as_str) {
                    if ids.contains(&id) {
                        self.error(&path, format!("Id {id} is not unique"));
                    }
                    ids.push(id);
                }
            }
            let is_expression = rendering.is_some_and(|rendering| rendering.contains_key("expression"));
            if is_expression {
                if names > 0 {
                    self.error(&path, "An expression should be the only item");
                }
                continue;
            }
            before = self.metric_names(&path, &fields[..names], before);
        }
    }

    /// Checks a metric: namespace, name, and pairs of dimension name and value. `.` repeats the
    /// field above, `...` all remaining fields. `before` is the number of fields of the metric
    /// above. Returns the number of fields.
    fn metric_names(&mut self, path: &str, names: &[Value], before: usize) -> usize {
        for (index, name) in names.iter().enumerate() {
            let Some(name) = name.as_str() else {
                self.error(
                    &format!("{path}/{index}"),
                    "Invalid metric field type, only \"String\" type is allowed",
                );
                continue;
            };
            if matches!(name, "." | "...") && index >= before {
                self.error(&format!("{path}/{index}"), format!("{name} repeats a field that is not there"));
            }
        }
        // "..." stands for the fields above that are missing from this metric.
        let repeats = names.iter().any(|name| name.as_str() == Some("..."));
        let count = if repeats { names.len().max(before) } else { names.len() };
        if count < 2 {
            self.error(path, "Should NOT have fewer than 2 items");
        } else if count % 2 != 0 {
            self.error(path, "Dimensions should be pairs of a name and a value");
        }
        count
    }

    fn annotations(&mut self, path: &str, annotations: &Map<String, Value>) {
        self.members(path, annotations, &[("alarms", Other), ("horizontal", Other), ("vertical", Other)]);
        for (path, alarm) in self.list(path, annotations, "alarms") {
            self.text(&path, alarm);
        }
        for (direction, shape) in [("horizontal", HORIZONTAL), ("vertical", VERTICAL)] {
            for (path, annotation) in self.list(path, annotations, direction) {
                let Some(band) = annotation.as_array() else {
                    self.annotation(&path, annotation, shape);
                    continue;
                };
                if band.len() != 2 {
                    self.error(&path, "A band should have exactly 2 items");
                }
                for (index, edge) in band.iter().enumerate() {
                    self.annotation(&format!("{path}/{index}"), edge, shape);
                }
            }
        }
    }

    fn annotation(&mut self, path: &str, annotation: &Value, shape: &[(&str, Shape)]) {
        let Some(annotation) = self.object(path, annotation) else { return };
        self.members(path, annotation, shape);
        self.required(path, annotation, &["value"]);
        self.color(path, annotation);
        let is_vertical = shape.iter().any(|(member, shape)| *member == "value" && matches!(shape, Other));
        if let Some(value) = annotation.get("value").filter(|_| is_vertical)
            && value.as_str().is_none_or(|text| text.parse::<Timestamp>().is_err())
        {
            self.error(&format!("{path}/value"), "Should be a date and time in ISO 8601 format");
        }
    }

    /// Checks the members that graphs and their lines have in common.
    fn drawing(&mut self, path: &str, object: &Map<String, Value>) {
        if let Some(period) = object.get("period") {
            let path = format!("{path}/period");
            match period.as_i64() {
                Some(seconds) if seconds > 0 && seconds % 60 == 0 => {}
                Some(1 | 5 | 10 | 30) => self.warn(&path, "Should be a multiple of 60"),
                _ => self.error(&path, "Should be a multiple of 60"),
            }
        }
        if let Some(stat) = object.get("stat")
            && !stat.as_str().is_some_and(is_statistic)
        {
            self.error(&format!("{path}/stat"), "Should be a statistic");
        }
        if let Some(id) = object.get("id")
            && !id.as_str().is_some_and(is_id)
        {
            self.error(
                &format!("{path}/id"),
                "Should begin with a lower-case letter, and have letters, digits and underscores only",
            );
        }
    }

    fn color(&mut self, path: &str, object: &Map<String, Value>) {
        let is_color = |text: &str| {
            text.strip_prefix('#').is_some_and(|digits| {
                digits.len() == 6 && digits.chars().all(|digit| digit.is_ascii_hexdigit())
            })
        };
        if let Some(color) = object.get("color")
            && !color.as_str().is_some_and(is_color)
        {
            self.error(&format!("{path}/color"), "Should be a six-digit HTML hex color code");
        }
    }

    /// Checks `start` and `end`: absolute, or relative to now; "if you specify a value for end, you
    /// must also specify a value for start".
    fn range(&mut self, path: &str, object: &Map<String, Value>) {
        for member in ["start", "end"] {
            let Some(value) = object.get(member) else { continue };
            let is_time = |text: &str| {
                let relative = text.strip_prefix('-').filter(|rest| rest.starts_with('P'));
                relative.is_some_and(|span| span.parse::<jiff::Span>().is_ok())
                    || text.parse::<Timestamp>().is_ok()
            };
            if !value.as_str().is_some_and(is_time) {
                self.error(&format!("{path}/{member}"), "Should be a time in ISO 8601 format");
            }
        }
        if object.contains_key("end") && !object.contains_key("start") {
            self.error(path, "Should have property start when property end is present");
        }
    }

    fn members(&mut self, path: &str, object: &Map<String, Value>, known: &[(&str, Shape)]) {
        for (member, value) in object {
            let path = format!("{path}/{member}");
            let Some((_, shape)) = known.iter().find(|(name, _)| name == member) else {
                self.warn(&path, format!("Unknown property {member}"));
                continue;
            };
            match shape {
                Other => {}
                Text if value.is_string() => {}
                Flag if value.is_boolean() => {}
                Number if value.is_number() => {}
                Whole(from, to) if value.as_i64().is_some_and(|number| (*from..=*to).contains(&number)) => {}
                OneOf(words) if value.as_str().is_some_and(|word| words.contains(&word)) => {}
                Text => self.error(&path, "Should be string"),
                Flag => self.error(&path, "Should be boolean"),
                Number => self.error(&path, "Should be number"),
                Whole(from, to) => self.error(&path, format!("Should be an integer from {from} to {to}")),
                OneOf(words) => self.error(&path, format!("Should be one of {}", words.join(", "))),
            }
        }
    }

    fn required(&mut self, path: &str, object: &Map<String, Value>, members: &[&str]) {
        for member in members.iter().filter(|member| !object.contains_key(**member)) {
            let reported_path = if path.is_empty() { "/" } else { path };
            self.error(reported_path, format!("Should have required property '{member}'"));
        }
    }

    fn object<'a>(&mut self, path: &str, value: &'a Value) -> Option<&'a Map<String, Value>> {
        if !value.is_object() {
            self.error(path, "Should be object");
        }
        value.as_object()
    }

    fn nested<'a>(
        &mut self,
        path: &str,
        object: &'a Map<String, Value>,
        member: &str,
    ) -> Option<&'a Map<String, Value>> {
        self.object(&format!("{path}/{member}"), object.get(member)?)
    }

    fn text(&mut self, path: &str, value: &Value) {
        if !value.is_string() {
            self.error(path, "Should be string");
        }
    }

    /// The items of a list, each with its path; empty if the value is not a list.
    fn list<'a>(
        &mut self,
        path: &str,
        object: &'a Map<String, Value>,
        member: &str,
    ) -> Vec<(String, &'a Value)> {
        let path = format!("{path}/{member}");
        match object.get(member) {
            None => Vec::new(),
            Some(Value::Array(items)) => {
                items.iter().enumerate().map(|(index, item)| (format!("{path}/{index}"), item)).collect()
            }
            Some(_) => {
                self.error(&path, "Should be array");
                Vec::new()
            }
        }
    }
}

/// "Id: must start with a lowercase letter" (GetMetricData, metric math syntax).
fn is_id(id: &str) -> bool {
    id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether `name` is a statistic ("CloudWatch statistics definitions"): a named one, or a
/// percentile, a trimmed or winsorized mean, or their counts and sums, with one bound or with two
/// in parentheses.
fn is_statistic(name: &str) -> bool {
    if ["SampleCount", "Average", "Sum", "Minimum", "Maximum", "IQM"].contains(&name) {
        return true;
    }
    let is_percent = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_digit())
            && text.chars().all(|c| c.is_ascii_digit() || c == '.')
            && text.parse::<f64>().is_ok_and(|percent| percent <= 100.0)
    };
    let bounded = ["p", "tm", "wm", "tc", "ts"].into_iter().filter_map(|kind| name.strip_prefix(kind));
    let ranged = ["TM", "WM", "TC", "TS", "PR"].into_iter().filter_map(|kind| name.strip_prefix(kind));
    bounded.into_iter().any(is_percent)
        || ranged
            .into_iter()
            .any(|range| range.starts_with('(') && range.ends_with(')') && range.contains(':'))
}

#[cfg(test)]
mod tests;
