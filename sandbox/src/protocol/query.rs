//! The AWS query protocol, which STS uses with all clients and CloudWatch with older ones. In:
//! form-encoded bodies, or values of services. Out: values, or XML. No I/O.
//!
//! A form contains only text. Numbers, timestamps and flags are recognized by the member's name
//! (STS and CloudWatch need few).

use std::collections::BTreeMap;
use std::io;

use jiff::Timestamp;
use quick_xml::Writer;
use quick_xml::escape::escape;
use quick_xml::events::BytesText;
use serde_json::{Map, Value, json};

use super::cbor::RPC_V2;
use crate::call::AwsError;
use crate::parameters::instant_of_seconds;

/// The media type of responses.
pub const CONTENT_TYPE: &str = "text/xml";

/// Request members that are numbers.
const NUMBERS: [&str; 11] = [
    "Value",
    "Values",
    "Counts",
    "SampleCount",
    "Sum",
    "Minimum",
    "Maximum",
    "StorageResolution",
    "Period",
    "MaxDatapoints",
    "DurationSeconds",
];
/// Request members that are booleans.
const FLAGS: [&str; 3] = ["ReturnData", "StrictEntityValidation", "IncludeLinkedAccounts"];

/// Decodes the operation and its members.
pub fn decode(body: &[u8]) -> Result<(String, Value), AwsError> {
    let mut tree = Branch::default();
    let mut operation = None;
    for (name, value) in form_urlencoded::parse(body) {
        if value.contains(char::REPLACEMENT_CHARACTER) {
            return Err(malformed("a value is not text"));
        }
        match name.as_ref() {
            "Action" => operation = Some(value.into_owned()),
            "Version" => {}
            name => tree.insert(name, value.into_owned()),
        }
    }
    let operation = operation
        .ok_or_else(|| AwsError::client("MissingAction", "The request must contain the parameter Action."))?;
    let input = if tree.children.is_empty() { Value::Object(Map::new()) } else { tree.shape("")? };
    Ok((operation, input))
}

fn malformed(why: &str) -> AwsError {
    AwsError::client("MalformedQueryString", why)
}

/// One part of a member's dotted name.
#[derive(Default)]
struct Branch {
    text: Option<String>,
    children: BTreeMap<String, Branch>,
}

impl Branch {
    fn insert(&mut self, name: &str, value: String) {
        match name.split_once('.') {
            Some((first, rest)) => {
                self.children.entry(first.to_owned()).or_default().insert(rest, value);
            }
            None => self.children.entry(name.to_owned()).or_default().text = Some(value),
        }
    }

    /// Converts the value of `member`.
    fn shape(self, member: &str) -> Result<Value, AwsError> {
        if let Some(text) = self.text {
            return typed(member, text);
        }
        let mut children = self.children;
        if let Some(list) = children.remove("member") {
            let mut items = list
                .children
                .into_iter()
                .map(|(index, item)| {
                    Ok((
                        index
                            .parse::<u32>()
                            .map_err(|_| malformed("the index of a list item is not a number"))?,
                        item,
                    ))
                })
                .collect::<Result<Vec<_>, AwsError>>()?;
            items.sort_by_key(|(index, _)| *index);
            return items.into_iter().map(|(_, item)| item.shape(member)).collect();
        }
        // The Value of a dimension (next to Name) or a tag (next to Key) is text. The Value of a
        // datum is a number.
        let is_label = children.contains_key("Name") || children.contains_key("Key");
        let members = children
            .into_iter()
            .map(|(name, node)| {
                let value = match node.text {
                    Some(text) if is_label => Value::from(text),
                    text => Branch { text, children: node.children }.shape(&name)?,
                };
                Ok((name, value))
            })
            .collect::<Result<Map<_, _>, AwsError>>()?;
        Ok(Value::Object(members))
    }
}

fn typed(member: &str, text: String) -> Result<Value, AwsError> {
    if NUMBERS.contains(&member) {
        return Ok(match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(integer), _) => Value::from(integer),
            (_, Ok(number)) if number.is_finite() => Value::from(number),
            _ => Value::from(text),
        });
    }
    if FLAGS.contains(&member) {
        return Ok(Value::from(text == "true"));
    }
    if RPC_V2.holds_instants(member) {
        let instant: Timestamp =
            text.parse().map_err(|_| malformed(&format!("timestamp must follow ISO8601: {text}")))?;
        return Ok(crate::parameters::epoch_seconds(instant));
    }
    Ok(Value::from(text))
}

fn namespace(service: &str) -> &'static str {
    match service {
        "sts" => "https://sts.amazonaws.com/doc/2011-06-15/",
        _ => "http://monitoring.amazonaws.com/doc/2010-08-01/",
    }
}

/// Encodes a response body.
pub fn encode(service: &str, operation: &str, value: &Value, request_id: &str) -> Vec<u8> {
    document(&format!("{operation}Response"), service, |xml| {
        if !value.is_null() {
            element(xml, &format!("{operation}Result"), value, false)?;
        }
        let metadata = json!({ "RequestId": request_id });
        element(xml, "ResponseMetadata", &metadata, false)
    })
}

/// Encodes an error's body.
pub fn encode_error(service: &str, error: &AwsError, request_id: &str) -> Vec<u8> {
    let fault = if error.status >= 500 { "Receiver" } else { "Sender" };
    document("ErrorResponse", service, |xml| {
        xml.create_element("Error").write_inner_content(|xml| {
            text_element(xml, "Type", fault)?;
            text_element(xml, "Code", error_code(&error.code))?;
            text_element(xml, "Message", &error.message)
        })?;
        text_element(xml, "RequestId", request_id)
    })
}

type Xml = Writer<Vec<u8>>;

/// A document with this root element in the service's namespace.
fn document(root: &str, service: &str, content: impl FnOnce(&mut Xml) -> io::Result<()>) -> Vec<u8> {
    let mut xml = Writer::new(Vec::new());
    let root = xml.create_element(root).with_attribute(("xmlns", namespace(service)));
    // Writing to a vector does not fail.
    let _ = root.write_inner_content(content);
    xml.into_inner()
}

/// The query protocol's code for an error shape. CloudWatch's other protocols name the shape, and
/// send this code in the header `x-amzn-query-error` (awsQueryCompatible; error codes of the
/// service model).
pub fn error_code(shape: &str) -> &str {
    match shape {
        "DashboardInvalidInputError" => "InvalidParameterInput",
        "DashboardNotFoundError" => "ResourceNotFound",
        "InternalServiceFault" => "InternalServiceError",
        "InvalidFormatFault" => "InvalidFormat",
        "InvalidParameterCombinationException" => "InvalidParameterCombination",
        "InvalidParameterValueException" => "InvalidParameterValue",
        "LimitExceededFault" => "LimitExceeded",
        "MissingRequiredParameterException" => "MissingParameter",
        "UnrecognizedClientException" => "InvalidClientTokenId",
        other => other,
    }
}

/// Writes a value as an element; `is_instant` says that its numbers are instants.
fn element(xml: &mut Xml, name: &str, value: &Value, is_instant: bool) -> io::Result<()> {
    match value {
        Value::Null => Ok(()),
        Value::Object(members) => {
            let content = |xml: &mut Xml| {
                let mut members = members.iter();
                members.try_for_each(|(name, value)| element(xml, name, value, RPC_V2.holds_instants(name)))
            };
            xml.create_element(name).write_inner_content(content).map(drop)
        }
        Value::Array(items) => {
            let content =
                |xml: &mut Xml| items.iter().try_for_each(|item| element(xml, "member", item, is_instant));
            xml.create_element(name).write_inner_content(content).map(drop)
        }
        Value::Number(number) => match number.as_f64().filter(|_| is_instant).and_then(instant_of_seconds) {
            Some(at) => text_element(xml, name, &at.to_string()),
            None => text_element(xml, name, &number.to_string()),
        },
        Value::String(text) => text_element(xml, name, text),
        Value::Bool(flag) => text_element(xml, name, if *flag { "true" } else { "false" }),
    }
}

fn text_element(xml: &mut Xml, name: &str, text: &str) -> io::Result<()> {
    // A literal carriage return would be parsed as a line feed (XML 1.0, 2.11).
    let escaped = escape(text).replace('\r', "&#xD;");
    xml.create_element(name).write_text_content(BytesText::from_escaped(escaped)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_decodes_to_the_same_value_as_json() {
        let body =
            b"Action=PutMetricData&Version=2010-08-01&Namespace=My%2FApp+1&MetricData.member.1.MetricName=a\
            &MetricData.member.1.Dimensions.member.1.Name=Run&MetricData.member.1.Dimensions.member.1.Value=7\
            &MetricData.member.1.Timestamp=2026-11-22T10%3A00%3A00Z&MetricData.member.1.Values.member.1=1\
            &MetricData.member.1.Values.member.2=2.5&MetricData.member.2.MetricName=b";
        let (operation, input) = decode(body).unwrap();
        assert_eq!(operation, "PutMetricData");
        assert_eq!(
            input,
            json!({"Namespace": "My/App 1", "MetricData": [
                {"MetricName": "a", "Dimensions": [{"Name": "Run", "Value": "7"}],
                 "Timestamp": 1_795_341_600.0, "Values": [1, 2.5]},
                {"MetricName": "b"},
            ]})
        );
    }

    #[test]
    fn lists_keep_their_order_above_nine_items() {
        let body: String = (1..=12).map(|n| format!("&DashboardNames.member.{n}=d{n}")).collect();
        let (_, input) = decode(format!("Action=DeleteDashboards{body}").as_bytes()).unwrap();
        assert_eq!(input["DashboardNames"][9], "d10");
        assert_eq!(input["DashboardNames"].as_array().unwrap().len(), 12);
    }

    #[test]
    fn responses_nest_their_result_and_escape_text() {
        let value = json!({"Label": "a<b>&\"c\"", "Timestamps": [1_795_341_600.0], "Values": [1.5]});
        let xml = String::from_utf8(encode("monitoring", "GetMetricData", &value, "id-1")).unwrap();
        assert_eq!(
            xml,
            "<GetMetricDataResponse xmlns=\"http://monitoring.amazonaws.com/doc/2010-08-01/\"><GetMetricDataResult>\
             <Label>a&lt;b&gt;&amp;&quot;c&quot;</Label><Timestamps><member>2026-11-22T10:00:00Z</member></Timestamps>\
             <Values><member>1.5</member></Values></GetMetricDataResult>\
             <ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></GetMetricDataResponse>"
        );
        let empty = String::from_utf8(encode("monitoring", "PutMetricData", &Value::Null, "id-2")).unwrap();
        assert!(!empty.contains("PutMetricDataResult"), "{empty}");
    }

    #[test]
    fn errors_have_the_query_protocols_code() {
        let error = AwsError { status: 404, ..AwsError::client("DashboardNotFoundError", "no <a>") };
        let xml = String::from_utf8(encode_error("monitoring", &error, "id")).unwrap();
        assert!(
            xml.contains("<Type>Sender</Type><Code>ResourceNotFound</Code><Message>no &lt;a&gt;</Message>"),
            "{xml}"
        );
    }

    #[test]
    fn malformed_forms_are_rejected() {
        assert_eq!(decode(b"Version=1").unwrap_err().code, "MissingAction");
        for body in [&b"Action=a&b=%ff"[..], b"Action=a&b=\xff", b"Action=a&StartTime=soon"] {
            assert_eq!(decode(body).unwrap_err().code, "MalformedQueryString");
        }
    }
}
