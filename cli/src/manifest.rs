//! KinesisDemos as the user wrote them. In: a file's text, or flags. Out: the document to apply,
//! with nothing added. Reads the given file.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use kinesis_demo_api::KinesisDemo;
use kinesis_demo_api::demo::{GROUP, KinesisDemoSpec};
use kinesis_demo_api::limits::{Limits, accepted_plan};
use kinesis_demo_api::plan::{Defaults, Plan};
use kube::CustomResourceExt;
use serde_json::{Value, json};

use crate::error::CliError;

/// One KinesisDemo manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    pub name: String,
    pub namespace: Option<String>,
    pub document: Value,
}

impl Manifest {
    /// The manifest's namespace, or kubectl's default.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }

    /// Checks what needs no API server: unknown fields, values of the wrong type, and plans that
    /// the operator would refuse. The error is a sentence for the user. The API server checks the
    /// schema's other rules.
    pub fn check(&self, defaults: &Defaults, limits: &Limits) -> Result<(), String> {
        accepted_plan(&self.spec()?, defaults, limits).map(drop).map_err(|error| error.to_string())
    }

    /// The plan of an operator with these defaults, whatever its limits. The error is a sentence
    /// for the user.
    pub fn plan(&self, defaults: &Defaults) -> Result<Plan, String> {
        Plan::new(&self.spec()?, defaults).map_err(|error| error.to_string())
    }

    fn spec(&self) -> Result<KinesisDemoSpec, String> {
        let mut unknown = Vec::new();
        list_unknown_fields(&self.document, &schema(), "", &mut unknown);
        if !unknown.is_empty() {
            return Err(format!("unknown field {}", unknown.join(", ")));
        }
        let demo: KinesisDemo = serde_json::from_value(without_nulls(&self.document))
            .map_err(|error| format!("it is not a valid KinesisDemo: {error}"))?;
        Ok(demo.spec)
    }
}

fn schema() -> Value {
    let version = KinesisDemo::crd().spec.versions.into_iter().find_map(|version| version.schema);
    json!(version.and_then(|schema| schema.open_api_v3_schema))
}

/// Adds the defaults of list items to the document, as the API server stores them. The applier of a
/// list owns it as a whole. A list without its defaults would therefore differ from the same list
/// with them, and conflict with the tool that applied it before.
#[must_use]
pub fn complete_items(document: &Value) -> Value {
    let mut complete = document.clone();
    fill(&mut complete, &schema(), false);
    complete
}

fn fill(value: &mut Value, schema: &Value, in_list: bool) {
    match value {
        Value::Object(members) => {
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                let default = field.get("default").filter(|_| in_list);
                match (members.get_mut(name), default) {
                    // The API server treats such a null as a field that was left out.
                    (Some(member), Some(default)) if member.is_null() => *member = default.clone(),
                    (Some(member), _) => fill(member, field, in_list),
                    (None, Some(default)) => {
                        members.insert(name.clone(), default.clone());
                    }
                    (None, None) => {}
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, &schema["items"], true)),
        _ => {}
    }
}

/// The dotted paths in `value` that a structural schema does not define. A free-form object accepts
/// any field.
fn list_unknown_fields(value: &Value, schema: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            let Some(known) = schema.get("properties") else { return };
            for (key, member) in members {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match known.get(key) {
                    Some(schema) => list_unknown_fields(member, schema, &path, found),
                    // Fields of every Kubernetes object; the API server knows what they contain.
                    None if matches!(path.as_str(), "apiVersion" | "kind" | "metadata") => {}
                    None => found.push(path),
                }
            }
        }
        Value::Array(items) => {
            let Some(schema) = schema.get("items") else { return };
            for (index, item) in items.iter().enumerate() {
                list_unknown_fields(item, schema, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

/// The API server replaces a null field with its default, as if it were left out.
pub(crate) fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(_, member)| !member.is_null())
            .map(|(key, member)| (key.clone(), without_nulls(member)))
            .collect(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// Reads a manifest from a file, or from stdin for `-`.
pub fn read_manifest(path: &Path) -> Result<Manifest, CliError> {
    manifest(&read(path)?).map_err(|reason| CliError::Manifest { path: path.to_path_buf(), reason })
}

/// Reads one or more manifests from a file, or from stdin for `-`.
pub fn read_manifests(path: &Path) -> Result<Vec<Manifest>, CliError> {
    manifests(&read(path)?).map_err(|reason| CliError::Manifest { path: path.to_path_buf(), reason })
}

fn read(path: &Path) -> Result<String, CliError> {
    let read = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    read.map_err(|source| CliError::File { path: path.to_path_buf(), source })
}

/// The single KinesisDemo in a text. The error is a sentence for the user.
pub fn manifest(text: &str) -> Result<Manifest, String> {
    let mut documents = documents(text)?.into_iter();
    let (Some(document), None) = (documents.next(), documents.next()) else {
        return Err(
            "the manifest must contain exactly one KinesisDemo; use `kubectl apply` for files with more objects".into()
        );
    };
    checked(document)
}

/// The KinesisDemos in a text: at least one, of one namespace, each with a name of its own.
pub fn manifests(text: &str) -> Result<Vec<Manifest>, String> {
    let found = documents(text)?.into_iter().map(checked).collect::<Result<Vec<Manifest>, String>>()?;
    let Some(first) = found.first() else {
        return Err("the manifest must contain at least one KinesisDemo".into());
    };
    let mut names = BTreeSet::new();
    for manifest in &found {
        if !names.insert(manifest.name.as_str()) {
            return Err(format!(
                "two KinesisDemos have the name {}; give each a name of its own",
                manifest.name
            ));
        }
        if manifest.namespace() != first.namespace() {
            return Err(format!(
                "{} is in namespace {}, but {} in {}; the demo runs objects of one namespace",
                first.name,
                first.namespace(),
                manifest.name,
                manifest.namespace()
            ));
        }
    }
    Ok(found)
}

fn documents(text: &str) -> Result<Vec<Value>, String> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| format!("this is not YAML: {error}"))?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

fn checked(document: Value) -> Result<Manifest, String> {
    let field = |path: &str| document.pointer(path).and_then(Value::as_str).map(str::to_owned);
    let expected = (format!("{GROUP}/v1alpha1"), "KinesisDemo");
    let (version, kind) = (field("/apiVersion").unwrap_or_default(), field("/kind").unwrap_or_default());
    if (version.as_str(), kind.as_str()) != (expected.0.as_str(), expected.1) {
        return Err(format!(
            "it contains a {kind:?} of {version:?}; expected a {} of {}",
            expected.1, expected.0
        ));
    }
    let Some(name) = field("/metadata/name").filter(|name| !name.is_empty()) else {
        return Err("metadata.name is missing".into());
    };
    Ok(Manifest { name, namespace: field("/metadata/namespace"), document })
}

/// The manifest that the flags of `start` describe.
#[must_use]
pub fn from_flags(name: &str, region: Option<&str>, warm_throughput: Option<i32>) -> Manifest {
    let mut spec = json!({});
    if let Some(region) = region {
        spec["region"] = json!(region);
    }
    if let Some(mib_per_second) = warm_throughput {
        spec["stream"] = json!({"warmThroughput": {"mode": "Fixed", "mibPerSecond": mib_per_second}});
    }
    let document = json!({
        "apiVersion": format!("{GROUP}/v1alpha1"),
        "kind": "KinesisDemo",
        "metadata": {"name": name},
        "spec": spec,
    });
    Manifest { name: name.to_owned(), namespace: None, document }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinesis_demo_local_cluster::programs::{operator_defaults, operator_limits};

    const MINIMAL: &str =
        "apiVersion: kinesisdemo.io/v1alpha1\nkind: KinesisDemo\nmetadata: {name: a}\nspec: {}\n";

    #[test]
    fn a_manifest_is_applied_without_defaults() {
        let read = manifest(MINIMAL).unwrap();
        assert_eq!((read.name.as_str(), read.namespace), ("a", None));
        assert_eq!(read.document["spec"], json!({}));
    }

    #[test]
    fn only_list_items_get_their_defaults() {
        let phases = json!([
            {"name": "a", "duration": "5s", "recordsPerSecond": 1},
            {"name": "b", "duration": "5s", "recordsPerSecond": 1, "content": null, "ramp": {"over": "2s"}},
            {"name": "c", "duration": "5s", "recordsPerSecond": 1, "content": "Viral", "ramp": {"shape": "Linear", "over": "2s"}},
        ]);
        let document =
            json!({"metadata": {"name": "x"}, "spec": {"phases": phases, "limits": {}, "stream": null}});
        assert_eq!(
            complete_items(&document),
            json!({"metadata": {"name": "x"}, "spec": {"limits": {}, "stream": null, "phases": [
                {"name": "a", "duration": "5s", "recordsPerSecond": 1, "content": "Baseline", "ramp": {"shape": "Step"}},
                {"name": "b", "duration": "5s", "recordsPerSecond": 1, "content": "Baseline", "ramp": {"shape": "Step", "over": "2s"}},
                {"name": "c", "duration": "5s", "recordsPerSecond": 1, "content": "Viral", "ramp": {"shape": "Linear", "over": "2s"}},
            ]}})
        );
        for untouched in
            [json!({"spec": {}}), json!({"spec": {"phases": null}}), json!({"spec": {"phases": "x"}})]
        {
            assert_eq!(complete_items(&untouched), untouched);
        }
    }

    #[test]
    fn only_a_single_kinesis_demo_is_accepted() {
        assert!(manifest("a: [").unwrap_err().contains("not YAML"));
        assert!(manifest("").unwrap_err().contains("one KinesisDemo"));
        assert!(manifest(&format!("{MINIMAL}---\n{MINIMAL}")).unwrap_err().contains("one KinesisDemo"));
        assert!(manifest("apiVersion: v1\nkind: Pod").unwrap_err().contains("\"Pod\""));
        assert!(manifest(&MINIMAL.replace("{name: a}", "{}")).unwrap_err().contains("metadata.name"));
    }

    #[test]
    fn several_kinesis_demos_have_names_of_their_own_in_one_namespace() {
        let named = |name: &str, namespace: &str| {
            MINIMAL.replace("{name: a}", &format!("{{name: {name}, namespace: {namespace}}}"))
        };
        let both = |first: String, second: String| manifests(&format!("{first}---\n{second}"));
        let found = both(named("a", "x"), named("b", "x")).unwrap();
        assert_eq!(found.iter().map(|found| found.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(both(named("a", "x"), named("a", "x")).unwrap_err().contains("the name a"));
        assert!(both(named("a", "x"), named("b", "y")).unwrap_err().contains("one namespace"));
        assert!(manifests("").unwrap_err().contains("at least one"));
    }

    #[test]
    fn local_checks_refuse_and_name_the_field() {
        let check = |spec: Value| {
            let manifest = Manifest {
                name: "a".into(),
                namespace: None,
                document: json!({
                    "apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo",
                    "metadata": {"name": "a", "labels": {"any": "thing"}}, "spec": spec,
                }),
            };
            manifest.check(&operator_defaults(), &operator_limits())
        };
        let phase = |rate: Value| json!([{"name": "a", "duration": "5s", "recordsPerSecond": rate}]);
        for (spec, words) in [
            (json!({"limits": {"maxDurations": "5m"}}), "unknown field spec.limits.maxDurations"),
            (
                json!({"phases": [{"name": "a", "duration": "5s", "recordsPerSecond": 1, "rate": 1}]}),
                "unknown field spec.phases[0].rate",
            ),
            (
                json!({"phases": phase(json!("many"))}),
                "it is not a valid KinesisDemo: invalid type: string \"many\"",
            ),
            (
                json!({"cleanup": {"stream": "Perhaps"}}),
                "it is not a valid KinesisDemo: unknown variant `Perhaps`",
            ),
            (
                json!({"limits": {"maxDuration": "4s"}, "phases": phase(json!(1))}),
                "limits.maxDuration allows 4 s",
            ),
            (json!({"phases": phase(json!(1_000_000))}), "generator.maxTasks is"),
            (json!({"region": "eu-west-1"}), "region eu-west-1"),
        ] {
            let message = check(spec.clone()).unwrap_err();
            assert!(message.contains(words), "{spec}: {message}");
        }
        for spec in [json!({}), json!({"region": null, "stream": null}), json!({"phases": phase(json!(100))})]
        {
            assert_eq!(check(spec.clone()), Ok(()), "{spec}");
        }
    }

    #[test]
    fn flags_set_their_fields() {
        let manifest = from_flags("viral", Some("eu-west-1"), Some(100));
        assert_eq!(
            manifest.document["spec"],
            json!({"region": "eu-west-1", "stream": {"warmThroughput": {"mode": "Fixed", "mibPerSecond": 100}}})
        );
        assert_eq!(from_flags("viral", None, None).document["spec"], json!({}));
        let typed: KinesisDemo = serde_json::from_value(manifest.document).unwrap();
        assert_eq!(typed.spec.stream.warm_throughput.mib_per_second, Some(100));
    }

    /// Every example is valid for the operator's own type.
    #[test]
    fn every_example_parses() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                continue;
            }
            for read in read_manifests(&path).unwrap() {
                assert_eq!(
                    read.check(&operator_defaults(), &operator_limits()),
                    Ok(()),
                    "{}",
                    path.display()
                );
                serde_json::from_value::<KinesisDemo>(read.document).unwrap();
            }
            names.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
        names.sort();
        assert_eq!(
            names,
            ["cold-and-warm.yaml", "cold.yaml", "quick.yaml", "smoke.yaml", "viral-event.yaml"]
        );
    }
}
