//! The policy documents in the CloudFormation template. In: the template's text and a document.
//! Out: the template's text with the document as YAML between its markers. Pure.

use serde_json::Value;

/// The usual order of the keys of a policy. Other keys are sorted by name.
const ORDER: [&str; 7] = ["Version", "Sid", "Effect", "Action", "Resource", "Condition", "Statement"];

/// The template with the document `name` written between `# BEGIN iam/name.json` and `# END
/// iam/name.json`.
pub fn embed(template: &str, name: &str, document: &str) -> Result<String, String> {
    let (begin, end) = (format!("# BEGIN iam/{name}.json"), format!("# END iam/{name}.json"));
    let document: Value = serde_json::from_str(document).map_err(|error| format!("{name}.json: {error}"))?;
    let mut out = String::new();
    let mut inside = false;
    let mut found = 0;
    for line in template.lines() {
        if line.trim() == end {
            inside = false;
        }
        if !inside {
            out.push_str(line);
            out.push('\n');
        }
        if line.trim() == begin {
            inside = true;
            found += 1;
            write(&document, line.len() - line.trim_start().len(), &mut out);
        }
    }
    match (found, inside) {
        (1, false) => Ok(out),
        _ => Err(format!("{name}.json: the template must have its BEGIN and END markers exactly once")),
    }
}

fn write(value: &Value, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(key, _)| {
                (ORDER.iter().position(|known| known == key).unwrap_or(ORDER.len()), *key)
            });
            for (key, value) in members {
                // An unquoted `Null` operator would be YAML's null.
                let key = if key == "Null" { "\"Null\"" } else { key.as_str() };
                out.push_str(&format!("{pad}{key}:"));
                write_after(value, indent + 2, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                if item.is_object() {
                    let mut text = String::new();
                    write(item, indent + 2, &mut text);
                    out.push_str(&format!("{pad}- {}", text.trim_start()));
                } else {
                    out.push_str(&format!("{pad}-"));
                    write_after(item, indent + 2, out);
                }
            }
        }
        scalar => out.push_str(&format!("{pad}{scalar}\n")),
    }
}

fn write_after(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(_) | Value::Array(_) => {
            out.push('\n');
            write(value, indent, out);
        }
        Value::String(text) => out.push_str(&format!(" {}\n", filled(text))),
        other => out.push_str(&format!(" {other}\n")),
    }
}

/// A string of a document, with CloudFormation functions for its placeholders.
fn filled(text: &str) -> String {
    let whole =
        text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).filter(|name| !name.contains('}'));
    match whole {
        Some(name) if name.contains('.') => format!("!GetAtt {name}"),
        Some(name) => format!("!Ref {name:?}"),
        None if text.contains("${") => format!("!Sub {text:?}"),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "a:\n  # BEGIN iam/x.json\n  old: 1\n  # END iam/x.json\nb: 2\n";

    #[test]
    fn a_document_is_embedded_between_its_markers() {
        let document = r#"{"S":[{"Resource":"arn:${AWS::Region}:x","Action":["k:B","*"]}],"P":"${Role.Arn}","Q":"${AWS::Region}"}"#;
        let expected = [
            "a:",
            "  # BEGIN iam/x.json",
            "  P: !GetAtt Role.Arn",
            "  Q: !Ref \"AWS::Region\"",
            "  S:",
            "    - Action:",
            "        - \"k:B\"",
            "        - \"*\"",
            "      Resource: !Sub \"arn:${AWS::Region}:x\"",
            "  # END iam/x.json",
            "b: 2",
            "",
        ];
        let embedded = embed(TEMPLATE, "x", document).unwrap();
        assert_eq!(embedded, expected.join("\n"));
        assert_eq!(embed(&embedded, "x", document).unwrap(), embedded);
        assert!(embed(TEMPLATE, "y", document).is_err());
    }
}
