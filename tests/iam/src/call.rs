//! AWS calls as JSON lines: the sandbox's recordings and the tests' own lists. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// The credentials a call is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Principal {
    /// The operator.
    Operator,
    /// The operator with the additional permission to commit the Region to On-demand Advantage.
    OperatorWithAdvantage,
    /// A generator task.
    Task,
    /// ECS, when it starts a task.
    Execution,
    /// Any other caller. The tags of resources that it creates count, but its permissions are not
    /// checked.
    Other,
}

/// One call. `service` is the signing name (`monitoring`, not `cloudwatch`). `input` has the
/// parameters of the request, with the names that AWS uses.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    pub principal: Principal,
    pub service: String,
    pub operation: String,
    #[serde(default = "default_region")]
    pub region: String,
    #[serde(default)]
    pub input: Value,
    /// Tags of the target resource, if no earlier call contains them.
    #[serde(default)]
    pub resource_tags: Option<BTreeMap<String, String>>,
    /// What the line demonstrates.
    #[serde(default)]
    pub note: String,
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

/// The calls in `text`, one per line. Skips empty lines and lines that start with `//`.
pub fn parse(text: &str) -> Result<Vec<Call>, String> {
    let lines = text.lines().enumerate();
    let calls = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with("//"));
    calls
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|error| format!("line {}: {error}", index + 1))
        })
        .collect()
}

impl Call {
    /// A string parameter.
    pub fn text(&self, member: &str) -> Option<&str> {
        self.input.get(member)?.as_str()
    }

    /// A parameter that is a list of strings.
    pub fn texts(&self, member: &str) -> Vec<&str> {
        self.input
            .get(member)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    /// The tags in the request, in any of the formats that AWS accepts.
    pub fn tags(&self) -> BTreeMap<String, String> {
        let Some(tags) = ["Tags", "tags"].iter().find_map(|name| self.input.get(name)) else {
            return BTreeMap::new();
        };
        let string = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match tags {
            Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), string(value))).collect(),
            Value::Array(list) => {
                let member =
                    |tag: &Value, names: [&str; 2]| names.iter().find_map(|name| tag.get(name).map(string));
                let pair = |tag: &Value| {
                    Some((member(tag, ["Key", "key"])?, member(tag, ["Value", "value"]).unwrap_or_default()))
                };
                list.iter().filter_map(pair).collect()
            }
            _ => BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_in_every_form() {
        let call = |input: &str| {
            let line = format!(r#"{{"principal":"operator","service":"x","operation":"Y","input":{input}}}"#);
            parse(&line).unwrap().remove(0)
        };
        let expected = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        assert_eq!(call(r#"{"Tags":{"a":"1"}}"#).tags(), expected);
        assert_eq!(call(r#"{"tags":[{"key":"a","value":"1"}]}"#).tags(), expected);
        assert_eq!(call(r#"{"Tags":[{"Key":"a","Value":"1"}]}"#).tags(), expected);
        assert_eq!(call("{}").tags(), BTreeMap::new());
    }

    #[test]
    fn an_unknown_field_is_an_error_with_the_line_number() {
        let error = parse("// a comment\n\n{\"principal\":\"operator\",\"extra\":1}").unwrap_err();
        assert!(error.starts_with("line 3: "), "{error}");
    }
}
