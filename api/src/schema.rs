//! Rewrites the CRD's schema so that every client can read it. In: the schema that schemars
//! generates from the types. Out: an equivalent schema for the API server, kubectl and client
//! generators. Pure.
//!
//! Kubernetes' API conventions know signed integers only, and the API server warns about any other
//! format at every apply ("unrecognized format"). Generators of Java and TypeScript classes fail on
//! `null` among an enum's values. Without it, the API server rejects null even where a field is
//! nullable. So an optional enum is either absent or has one of its values.

use schemars::Schema;
use schemars::transform::transform_subschemas;
use serde_json::{Value, json};

/// The greatest integer that every JSON reader represents exactly (RFC 8259, section 6): 2^53 - 1.
const GREATEST: i64 = 9_007_199_254_740_991;

/// Rewrites a schema and its subschemas.
pub fn rewrite(schema: &mut Schema) {
    transform_subschemas(&mut rewrite, schema);
    if let Some((format, minimum, maximum)) = signed(schema) {
        schema.insert("format".into(), format.into());
        for (bound, value) in [("minimum", minimum), ("maximum", maximum)] {
            if schema.get(bound).is_none() {
                schema.insert(bound.into(), value.into());
            }
        }
    }
    drop_null(schema);
}

/// Removes null from an optional enum. schemars adds it to the enum's values, or as an alternative
/// in `anyOf`.
fn drop_null(schema: &mut Schema) {
    let null = json!({ "type": "null" });
    if let Some([enumeration, other]) = schema.get("anyOf").and_then(Value::as_array).map(Vec::as_slice)
        && *other == null
        && ["enum", "oneOf"].iter().any(|kind| enumeration.get(kind).is_some())
        && let Some(enumeration) = enumeration.as_object().cloned()
    {
        schema.remove("anyOf");
        schema.ensure_object().extend(enumeration);
    }
    let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) else { return };
    if values.iter().all(Value::is_null) {
        return;
    }
    values.retain(|value| !value.is_null());
    if let Some(types) = schema.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|kind| kind != "null");
        if let [kind] = types.as_slice() {
            let kind = kind.clone();
            schema.insert("type".into(), kind);
        }
    }
}

/// The signed format that can represent an integer format, with the limits of the values.
fn signed(schema: &Schema) -> Option<(&'static str, i64, i64)> {
    Some(match schema.get("format")?.as_str()? {
        "uint8" => ("int32", 0, u8::MAX.into()),
        "uint16" => ("int32", 0, u16::MAX.into()),
        "uint32" => ("int64", 0, u32::MAX.into()),
        "uint64" | "uint128" | "uint" => ("int64", 0, GREATEST),
        "int8" => ("int32", i8::MIN.into(), i8::MAX.into()),
        "int16" => ("int32", i16::MIN.into(), i16::MAX.into()),
        "int32" => ("int32", i32::MIN.into(), i32::MAX.into()),
        "int64" | "int128" | "int" => ("int64", -GREATEST, GREATEST),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemars::{JsonSchema, generate::SchemaSettings};

    #[derive(JsonSchema)]
    #[allow(dead_code)]
    enum Word {
        One,
        Two,
    }

    #[derive(JsonSchema)]
    #[allow(dead_code)]
    enum Documented {
        /// The first.
        One,
        /// The second.
        Two,
    }

    #[derive(JsonSchema)]
    #[schemars(transform = rewrite)]
    #[allow(dead_code)]
    struct Sample {
        small: u8,
        port: u16,
        count: Option<u32>,
        #[schemars(range(min = 5, max = 9))]
        bounded: u64,
        list: Vec<u64>,
        signed: i16,
        word: Option<Word>,
        documented: Option<Documented>,
        text: Option<String>,
        ratio: f64,
    }

    fn rewritten() -> Value {
        let mut settings = SchemaSettings::openapi3();
        settings.inline_subschemas = true;
        let schema = settings.into_generator().into_root_schema_for::<Sample>();
        schema.as_value()["properties"].clone()
    }

    #[test]
    fn integers_are_signed_with_the_limits_of_their_type_or_field() {
        let fields = rewritten();
        for (pointer, format, minimum, maximum) in [
            ("/small", "int32", 0, 255),
            ("/port", "int32", 0, 65_535),
            ("/count", "int64", 0, 4_294_967_295_i64),
            ("/bounded", "int64", 5, 9),
            ("/list/items", "int64", 0, GREATEST),
            ("/signed", "int32", -32_768, 32_767),
        ] {
            let field = fields.pointer(pointer).unwrap();
            assert_eq!(field["format"], json!(format), "{pointer}");
            assert_eq!(
                (&field["minimum"], &field["maximum"]),
                (&json!(minimum), &json!(maximum)),
                "{pointer}"
            );
        }
        assert_eq!(fields["ratio"].get("minimum"), None);
        assert_eq!(fields["ratio"]["format"], json!("double"));
    }

    #[test]
    fn an_optional_enum_is_not_nullable_and_other_fields_are() {
        let fields = rewritten();
        assert_eq!(fields["word"]["enum"], json!(["One", "Two"]));
        assert_eq!((&fields["word"]["type"], fields["word"].get("nullable")), (&json!("string"), None));
        assert!(
            fields["documented"].get("anyOf").is_none() && fields["documented"]["oneOf"].is_array(),
            "{fields}"
        );
        // Other optional fields may still be null.
        assert_eq!(fields["text"]["nullable"], json!(true));
    }
}
