//! A KinesisDemo as a user wrote it. In: a file's text, or flags. Out: the document to apply, with nothing added. Reads the file named.

use std::io::Read;
use std::path::Path;

use kinesis_demo_api::demo::GROUP;
use serde_json::{Value, json};

use crate::error::CliError;

/// One KinesisDemo, as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    pub name: String,
    pub namespace: Option<String>,
    pub document: Value,
}

/// Reads a manifest from a file, or from stdin for `-`.
pub fn read_manifest(path: &Path) -> Result<Manifest, CliError> {
    let read = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text = read.map_err(|source| CliError::File { path: path.to_path_buf(), source })?;
    manifest(&text).map_err(|reason| CliError::Manifest { path: path.to_path_buf(), reason })
}

/// The one KinesisDemo of a text. The error is a sentence for the user.
pub fn manifest(text: &str) -> Result<Manifest, String> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| format!("this is not YAML: {error}"))?;
    let mut documents = documents.into_iter().filter(|document| !document.is_null());
    let (Some(document), None) = (documents.next(), documents.next()) else {
        return Err(
            "one KinesisDemo and nothing else is wanted; `kubectl apply` takes files with more".into()
        );
    };
    let field = |path: &str| document.pointer(path).and_then(Value::as_str).map(str::to_owned);
    let wanted = (format!("{GROUP}/v1alpha1"), "KinesisDemo");
    let (version, kind) = (field("/apiVersion").unwrap_or_default(), field("/kind").unwrap_or_default());
    if (version.as_str(), kind.as_str()) != (wanted.0.as_str(), wanted.1) {
        return Err(format!("it holds a {kind:?} of {version:?}; a {} of {} is wanted", wanted.1, wanted.0));
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
    use kinesis_demo_api::KinesisDemo;

    const MINIMAL: &str =
        "apiVersion: kinesisdemo.io/v1alpha1\nkind: KinesisDemo\nmetadata: {name: a}\nspec: {}\n";

    #[test]
    fn what_is_applied_is_what_was_written_and_no_default() {
        let read = manifest(MINIMAL).unwrap();
        assert_eq!((read.name.as_str(), read.namespace), ("a", None));
        assert_eq!(read.document["spec"], json!({}));
    }

    #[test]
    fn anything_but_one_kinesis_demo_is_refused_with_the_reason() {
        assert!(manifest("a: [").unwrap_err().contains("not YAML"));
        assert!(manifest("").unwrap_err().contains("one KinesisDemo"));
        assert!(manifest(&format!("{MINIMAL}---\n{MINIMAL}")).unwrap_err().contains("one KinesisDemo"));
        assert!(manifest("apiVersion: v1\nkind: Pod").unwrap_err().contains("\"Pod\""));
        assert!(manifest(&MINIMAL.replace("{name: a}", "{}")).unwrap_err().contains("metadata.name"));
    }

    #[test]
    fn flags_become_the_fields_they_name() {
        let made = from_flags("viral", Some("eu-west-1"), Some(100));
        assert_eq!(
            made.document["spec"],
            json!({"region": "eu-west-1", "stream": {"warmThroughput": {"mode": "Fixed", "mibPerSecond": 100}}})
        );
        assert_eq!(from_flags("viral", None, None).document["spec"], json!({}));
        let typed: KinesisDemo = serde_json::from_value(made.document).unwrap();
        assert_eq!(typed.spec.stream.warm_throughput.mib_per_second, Some(100));
    }

    /// The examples are what they say they are, to the type that the operator reads.
    #[test]
    fn every_example_parses() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let read = read_manifest(&path).unwrap();
            serde_json::from_value::<KinesisDemo>(read.document).unwrap();
            names.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
        names.sort();
        assert_eq!(names, ["cold.yaml", "quick.yaml", "smoke.yaml", "viral-event.yaml"]);
    }
}
