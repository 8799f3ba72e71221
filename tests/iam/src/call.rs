//! AWS calls as JSON lines: what the sandbox records and what the tests' own lists hold. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// Whose credentials a call is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Principal {
    /// The operator.
    Operator,
    /// The operator, where it may also commit the Region to On-demand Advantage.
    OperatorWithAdvantage,
    /// A generator task.
    Task,
    /// ECS, when it starts a task.
    Execution,
    /// Anybody else: what it makes is part of the world, what it may do is not ours to judge.
    Other,
}

/// One call. `service` is the signing name (`monitoring`, not `cloudwatch`), `input` the request's members as AWS names them.
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
    /// Tags of the resource that is called upon, where no earlier call tells them.
    #[serde(default)]
    pub resource_tags: Option<BTreeMap<String, String>>,
    /// What the line is there to show.
    #[serde(default)]
    pub note: String,
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

/// The calls in `text`, one to a line; empty lines and lines that begin with `//` are left out.
pub fn parse(text: &str) -> Result<Vec<Call>, String> {
    let lines = text.lines().enumerate();
    let told = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with("//"));
    told.map(|(index, line)| {
        serde_json::from_str(line).map_err(|error| format!("line {}: {error}", index + 1))
    })
    .collect()
}

impl Call {
    /// A member that is text.
    pub fn text(&self, member: &str) -> Option<&str> {
        self.input.get(member)?.as_str()
    }

    /// A member that is a list of texts.
    pub fn texts(&self, member: &str) -> Vec<&str> {
        self.input
            .get(member)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    /// The tags in the request, in any of the forms in which AWS takes them.
    pub fn tags(&self) -> BTreeMap<String, String> {
        let Some(tags) = ["Tags", "tags"].iter().find_map(|name| self.input.get(name)) else {
            return BTreeMap::new();
        };
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match tags {
            Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), word(value))).collect(),
            Value::Array(list) => {
                let member =
                    |tag: &Value, names: [&str; 2]| names.iter().find_map(|name| tag.get(name).map(word));
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
    fn a_line_that_says_something_unknown_is_refused_with_its_number() {
        let error = parse("// said\n\n{\"principal\":\"operator\",\"extra\":1}").unwrap_err();
        assert!(error.starts_with("line 3: "), "{error}");
    }
}
