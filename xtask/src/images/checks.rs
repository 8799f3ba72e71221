//! The rules for an image. In: its configuration, files and program. Out: nothing, or the first
//! rule that it violates. Pure.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use jiff::Timestamp;
use memchr::memmem;
use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use serde_json::{Value, json};

use super::archive::{DockerArchive, ImageFile, LoadedImage, OciArchive, diff_ids};
use super::program::Program;

/// The certificate authorities: the first path that TLS libraries read.
pub const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";
/// Crates that only tests use, or that belong to a second TLS stack.
const ABSENT: [&str; 5] = ["aws-smithy-mocks", "openssl-sys", "pretty_assertions", "proptest", "ring"];
/// The authorities that AWS's endpoints use.
const AMAZON: [&str; 4] = ["Amazon Root CA 1", "Amazon Root CA 2", "Amazon Root CA 3", "Amazon Root CA 4"];
/// A bundle with fewer authorities is incomplete.
const FEWEST_AUTHORITIES: usize = 100;
const LABELS: &str = "org.opencontainers.image.";

/// What is expected of one platform of an image.
pub struct Wanted<'a> {
    pub image: &'a str,
    /// The default arguments.
    pub command: Option<&'a str>,
    pub version: &'a str,
    pub created: Timestamp,
    pub architecture: &'a str,
}

/// The configuration that a runtime reads.
#[derive(Debug, Deserialize)]
struct Config {
    os: String,
    architecture: String,
    created: String,
    config: RunConfig,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RunConfig {
    user: Option<String>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
}

/// Checks the configuration: platform, user, entry point, labels.
pub fn check_config(config: &Value, wanted: &Wanted<'_>) -> anyhow::Result<()> {
    let Wanted { image, command, version, created, architecture } = wanted;
    let config: Config = serde_json::from_value(config.clone()).context("read the configuration")?;
    let Config { os, architecture: found, created: created_at, config: run } = config;
    ensure!(
        (os.as_str(), found.as_str()) == ("linux", *architecture),
        "the configuration is for {os}/{found}"
    );
    ensure!(run.user.as_deref() == Some("65532:65532"), "the user is {:?}", run.user);
    ensure!(run.entrypoint == Some(vec![format!("/{image}")]), "the entry point is {:?}", run.entrypoint);
    let arguments: Vec<&str> = run.cmd.iter().flatten().map(String::as_str).collect();
    ensure!(arguments.as_slice() == command.as_slice(), "the command is {arguments:?}");
    let environment = run.env.unwrap_or_default();
    ensure!(environment.iter().all(|entry| entry.starts_with("PATH=")), "the environment is {environment:?}");
    let instant = created.to_string();
    ensure!(created_at == instant, "it was created at {created_at}, not {instant}");
    let labels = run.labels.unwrap_or_default();
    let label = |key: &str| labels.get(&format!("{LABELS}{key}")).map_or("", String::as_str);
    for key in ["title", "description", "version", "revision", "created", "licenses"] {
        ensure!(!label(key).is_empty(), "there is no label {LABELS}{key}");
    }
    for (key, right) in [("title", *image), ("version", version), ("created", &instant)] {
        ensure!(label(key) == right, "the label {LABELS}{key} is {}, not {right}", label(key));
    }
    Ok(())
}

/// Checks that the image has exactly the expected files (so no shell), writable only by root, all
/// with the same time.
pub fn check_files(
    files: &BTreeMap<String, ImageFile>,
    image: &str,
    created: Timestamp,
) -> anyhow::Result<()> {
    let expected: BTreeSet<String> = [
        image.to_owned(),
        "etc/passwd".to_owned(),
        "etc/group".to_owned(),
        BUNDLE.to_owned(),
        format!("usr/share/sbom/{image}.cdx.json"),
        format!("usr/share/doc/{image}/LICENSE"),
    ]
    .into();
    let found: BTreeSet<String> =
        files.iter().filter(|(_, file)| !file.is_folder).map(|(path, _)| path.clone()).collect();
    let wrong: Vec<&String> = found.symmetric_difference(&expected).collect();
    ensure!(wrong.is_empty(), "files {wrong:?} are unexpected or missing");
    for (path, file) in files {
        let mode = if file.is_folder || path == image { 0o755 } else { 0o644 };
        ensure!(file.mode == mode, "{path} has mode {:o}", file.mode);
        ensure!(file.owner == (0, 0), "{path} belongs to {}:{}", file.owner.0, file.owner.1);
        let is_right = i64::try_from(file.modified_at) == Ok(created.as_second());
        ensure!(is_right, "{path} has time {}", file.modified_at);
    }
    let accounts = files.get("etc/passwd").map_or(&[][..], |file| &file.content);
    ensure!(accounts.starts_with(b"nonroot:x:65532:65532:"), "there is no user nonroot");
    Ok(())
}

/// Checks that the certificate bundle is readable, complete, and has the root certificates of
/// AWS's endpoints.
pub fn check_authorities(bundle: &[u8]) -> anyhow::Result<()> {
    let mut missing: BTreeSet<&str> = AMAZON.into();
    let certificates = pem::parse_many(bundle).context("read the certificate authorities")?;
    for certificate in &certificates {
        let der = CertificateDer::from(certificate.contents());
        let anchor = webpki::anchor_from_trusted_cert(&der).context("read a certificate authority")?;
        missing.retain(|name| !has_common_name(&anchor.subject, name));
    }
    ensure!(missing.is_empty(), "missing certificate authorities: {missing:?}");
    let count = certificates.len();
    ensure!(count > FEWEST_AUTHORITIES, "there are only {count} certificate authorities");
    Ok(())
}

/// Whether a subject in DER has this common name, as a PrintableString or a UTF8String.
fn has_common_name(subject: &[u8], name: &str) -> bool {
    const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];
    let Ok(length) = u8::try_from(name.len()) else { return false };
    [0x13, 0x0c].iter().any(|string| {
        let encoded = [&COMMON_NAME[..], &[*string, length], name.as_bytes()].concat();
        memmem::find(subject, &encoded).is_some()
    })
}

/// Checks that the bill of materials describes this program, and lists its crates with their
/// licences.
pub fn check_materials(
    text: &[u8],
    ingredients: &[&str],
    wanted: &Wanted<'_>,
    program: &Program<'_>,
    builders: &[String],
) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Component {
        name: String,
        #[serde(default)]
        licenses: Vec<Value>,
    }
    let bill: Value = serde_json::from_slice(text).context("read the bill of materials")?;
    ensure!(bill.get("bomFormat") == Some(&json!("CycloneDX")), "the bill of materials is not CycloneDX");
    let subject = |field: &str| bill.pointer(&format!("/metadata/component/{field}")).unwrap_or(&Value::Null);
    let (name, version) = (subject("name"), subject("version"));
    ensure!(
        (name, version) == (&json!(wanted.image), &json!(wanted.version)),
        "it is the bill of materials of {name} {version}"
    );
    let hashes = json!([{"alg": "SHA-256", "content": program.sha256}]);
    ensure!(subject("hashes") == &hashes, "it is the bill of materials of another program");
    let components = bill.get("components").cloned().unwrap_or_default();
    let components: Vec<Component> = serde_json::from_value(components).context("read the components")?;
    let names: BTreeSet<&str> = components.iter().map(|component| component.name.as_str()).collect();
    let missing: Vec<&&str> = ingredients.iter().filter(|name| !names.contains(**name)).collect();
    ensure!(missing.is_empty(), "the bill of materials lacks {missing:?}");
    let wrong: Vec<&str> = ABSENT.into_iter().filter(|name| names.contains(name)).collect();
    ensure!(wrong.is_empty(), "the bill of materials has {wrong:?}, which no program may contain");
    for Component { name, licenses } in &components {
        ensure!(!licenses.is_empty() || name.starts_with("kinesis-demo"), "{name} has no licence");
    }
    let paths = named(builders, text);
    ensure!(paths.is_empty(), "the bill of materials contains paths of the build machine: {paths:?}");
    Ok(())
}

/// Checks that the program is static, for this architecture, and without paths of the build
/// machine.
pub fn check_program(program: &Program<'_>, wanted: &Wanted<'_>, builders: &[String]) -> anyhow::Result<()> {
    let Wanted { image, architecture, .. } = wanted;
    let Program { bytes, architecture: found, interpreter, libraries, .. } = program;
    ensure!(found == architecture, "{image} is compiled for {found}");
    ensure!(
        interpreter.is_none() && *libraries == 0,
        "{image} is not static: it needs {} and {libraries} libraries",
        interpreter.as_deref().unwrap_or("no interpreter")
    );
    let paths = named(builders, bytes);
    ensure!(paths.is_empty(), "{image} contains paths of the build machine: {paths:?}");
    Ok(())
}

/// The folders that occur in `data`.
fn named<'a>(folders: &'a [String], data: &[u8]) -> Vec<&'a String> {
    let is_named = |folder: &&String| !folder.is_empty() && memmem::find(data, folder.as_bytes()).is_some();
    folders.iter().filter(is_named).collect()
}

/// Checks that the archive for a node has the name that manifests use, and the same image as the
/// manifest list.
pub fn check_node_archive(
    node: &DockerArchive,
    file: &str,
    oci: &OciArchive,
    image: &LoadedImage,
) -> anyhow::Result<()> {
    ensure!(
        node.names == [oci.name.as_str()],
        "{file} is named {:?}, the manifest list {}",
        node.names,
        oci.name
    );
    ensure!(node.config == image.config, "{file} has another configuration than the manifest list");
    ensure!(
        node.layer_digests == diff_ids(&node.config),
        "{file} has other layers than its configuration lists"
    );
    Ok(())
}
