//! Each rule for an image accepts the correct image and rejects one that violates it.

use std::fs;

use jiff::Timestamp;
use serde_json::json;

use super::program::Program;
use super::start::Started;
use super::test_image::{CREATED, File, IMAGE, NAME, TestImage, authorities, elf};
use super::*;

const SBOM: &str = "usr/share/sbom/kinesis-demo-sandbox.cdx.json";

/// What `--version` of the program prints.
fn printing(line: &str) -> impl Fn(&[u8], &str, &str) -> anyhow::Result<Started> {
    move |_, _, _| Ok(Started::Printed(line.to_owned()))
}

fn arguments(folder: &std::path::Path) -> Arguments {
    Arguments {
        archives: folder.to_path_buf(),
        version: "0.1.0".to_owned(),
        created: Timestamp::from_second(CREATED).unwrap(),
        platforms: vec!["amd64".to_owned()],
        builders: vec!["/home/builder".to_owned()],
        images: Vec::new(),
    }
}

fn checked_with(image: TestImage, limit: u64, start: Start<'_>) -> Result<Checked, String> {
    let folder = tempfile::tempdir().unwrap();
    image.write(folder.path());
    let known = Image { name: IMAGE, limit, ingredients: &["axum", "ferrokinesis", "tokio"] };
    let checked = check_image(&known, Some("serve"), &arguments(folder.path()), start);
    checked.map_err(|error| {
        format!("{error:#}").replace(&folder.path().display().to_string(), "…").replace("linux/amd64: ", "")
    })
}

fn checked(change: impl FnOnce(&mut TestImage)) -> Result<Checked, String> {
    let mut image = TestImage::new();
    change(&mut image);
    checked_with(image, 1_000_000, &printing("kinesis-demo-sandbox 0.1.0"))
}

/// Why the image is rejected after a change.
fn rejected(change: impl FnOnce(&mut TestImage)) -> String {
    checked(change).map_or_else(|error| error, |checked| format!("{checked:?}"))
}

#[test]
fn a_correct_image_is_a_row_of_the_table() {
    let checked = checked(|_| {}).unwrap();
    assert_eq!(checked.skipped, [] as [&str; 0]);
    let [Row { name, platform, size, limit, digest }] = &checked.rows[..] else { panic!("{checked:?}") };
    assert_eq!((name.as_str(), platform.as_str()), ("kinesis-demo-sandbox:0.1.0", "linux/amd64"));
    assert_eq!((digest.len(), *limit), ("sha256:".len() + 64, 1_000_000));
    assert!((10_000..200_000).contains(size), "{size}");
}

#[test]
fn the_table_has_sizes_in_megabytes() {
    let row = Row {
        name: "a:1".to_owned(),
        platform: "linux/arm64".to_owned(),
        size: 9_995_000,
        limit: 12_000_000,
        digest: "sha256:abc".to_owned(),
    };
    assert_eq!(
        table(&[row]),
        "IMAGE                             PLATFORM      COMPRESSED     LIMIT  DIGEST
a:1                               linux/arm64     10.00 MB     12 MB  sha256:abc
"
    );
}

#[test]
fn the_archives_name_and_format_are_checked() {
    assert_eq!(
        rejected(|image| image.name = "registry.example/team/kinesis-demo-sandbox:0.1.0".to_owned()),
        "kinesis-demo-sandbox.tar is named registry.example/team/kinesis-demo-sandbox:0.1.0"
    );
    assert_eq!(
        rejected(|image| image.media_type = "application/vnd.oci.image.manifest.v1+json"),
        "application/vnd.oci.image.manifest.v1+json is no manifest list"
    );
    assert_eq!(
        rejected(|image| image.architecture = "arm64"),
        "the manifest list has [\"arm64\"], not [\"amd64\"]"
    );
    assert_eq!(
        rejected(|image| image.layer_type = "application/vnd.oci.image.layer.v1.tar"),
        "a layer is application/vnd.oci.image.layer.v1.tar"
    );
    assert_eq!(
        rejected(|image| {
            image.damage = |files| {
                files.insert("oci-layout".to_owned(), br#"{"imageLayoutVersion":"2.0.0"}"#.to_vec());
            }
        }),
        "…/kinesis-demo-sandbox.tar is no OCI layout of version 1.0.0"
    );
    assert_eq!(
        rejected(|image| {
            image.damage = |files| {
                files.remove("index.json");
            }
        }),
        "…/kinesis-demo-sandbox.tar has no file index.json"
    );
}

#[test]
fn a_blob_must_have_its_digest_and_size() {
    let wrong_size = rejected(|image| {
        image.damage = |files| files.values_mut().next().unwrap().push(0);
    });
    assert!(wrong_size.starts_with("sha256:") && wrong_size.contains(" bytes, not "), "{wrong_size}");
    let wrong_digest = rejected(|image| {
        image.damage = |files| {
            let blob = files.values_mut().next().unwrap();
            *blob.last_mut().unwrap() ^= 1;
        };
    });
    assert!(wrong_digest.ends_with(" has another digest"), "{wrong_digest}");
    assert_eq!(
        rejected(|image| image.config["rootfs"]["diff_ids"] = json!(["sha256:0"])),
        "the layers are not those of the configuration"
    );
}

#[test]
fn the_configuration_is_checked() {
    let with = |pointer: &str, value: serde_json::Value| {
        rejected(|image| *image.config.pointer_mut(pointer).unwrap() = value)
    };
    assert_eq!(with("/architecture", json!("arm64")), "the configuration is for linux/arm64");
    assert_eq!(with("/os", json!("darwin")), "the configuration is for darwin/amd64");
    assert_eq!(with("/config/User", json!(null)), "the user is None");
    assert_eq!(with("/config/User", json!("0:0")), "the user is Some(\"0:0\")");
    assert_eq!(with("/config/Entrypoint", json!(["/bin/sh"])), "the entry point is Some([\"/bin/sh\"])");
    assert_eq!(with("/config/Cmd", json!(null)), "the command is []");
    assert_eq!(with("/config/Env", json!(["A=b"])), "the environment is [\"A=b\"]");
    assert_eq!(
        with("/created", json!("2020-01-01T00:00:00Z")),
        "it was created at 2020-01-01T00:00:00Z, not 2026-11-18T11:06:40Z"
    );
    for key in ["title", "description", "version", "revision", "created", "licenses"] {
        let label = format!("org.opencontainers.image.{key}");
        let error = rejected(|image| {
            image.config["config"]["Labels"].as_object_mut().unwrap().remove(&label).unwrap();
        });
        assert_eq!(error, format!("there is no label {label}"));
    }
    assert_eq!(
        with("/config/Labels/org.opencontainers.image.version", json!("0.2.0")),
        "the label org.opencontainers.image.version is 0.2.0, not 0.1.0"
    );
}

#[test]
fn the_files_are_checked() {
    let shell = rejected(|image| {
        image.files.insert("bin/sh".to_owned(), File::of("", 0o755));
    });
    assert_eq!(shell, "files [\"bin/sh\"] are unexpected or missing");
    let missing = rejected(|image| {
        image.files.remove("etc/group");
    });
    assert_eq!(missing, "files [\"etc/group\"] are unexpected or missing");
    assert_eq!(rejected(|image| image.file("etc/group").mode = 0o666), "etc/group has mode 666");
    assert_eq!(rejected(|image| image.file(IMAGE).mode = 0o4755), "kinesis-demo-sandbox has mode 4755");
    assert_eq!(rejected(|image| image.file("etc/").mode = 0o777), "etc has mode 777");
    assert_eq!(rejected(|image| image.file("etc/group").owner = 1000), "etc/group belongs to 1000:0");
    assert_eq!(rejected(|image| image.file("etc/group").modified_at = 7), "etc/group has time 7");
    let account = rejected(|image| image.file("etc/passwd").content = b"root:x:0:0".to_vec());
    assert_eq!(account, "there is no user nonroot");
}

#[test]
fn the_certificate_authorities_are_checked() {
    let with = |bundle: String| rejected(|image| image.file(checks::BUNDLE).content = bundle.into_bytes());
    let names = |numbers: std::ops::RangeInclusive<u32>| -> Vec<String> {
        numbers.map(|number| format!("Amazon Root CA {number}")).collect()
    };
    assert_eq!(with(authorities(&names(1..=4))), "there are only 4 certificate authorities");
    assert_eq!(
        with(authorities(&names(2..=3))),
        "missing certificate authorities: {\"Amazon Root CA 1\", \"Amazon Root CA 4\"}"
    );
    let not_a_certificate = pem::encode(&pem::Pem::new("CERTIFICATE", "no certificate"));
    assert_eq!(with(not_a_certificate), "read a certificate authority: TrailingData(SignedData)");
}

#[test]
fn the_bill_of_materials_is_checked() {
    let with = |change: fn(&mut serde_json::Value)| rejected(|image| change(&mut image.bill));
    assert_eq!(with(|bill| bill["bomFormat"] = json!("SPDX")), "the bill of materials is not CycloneDX");
    assert_eq!(
        with(|bill| bill["metadata"]["component"]["version"] = json!("0.2.0")),
        "it is the bill of materials of \"kinesis-demo-sandbox\" \"0.2.0\""
    );
    assert_eq!(
        with(|bill| bill["components"][1]["name"] = json!("other")),
        "the bill of materials lacks [\"ferrokinesis\"]"
    );
    assert_eq!(
        with(|bill| bill["components"][3]["name"] = json!("ring")),
        "the bill of materials has [\"ring\"], which no program may contain"
    );
    assert_eq!(with(|bill| bill["components"][0]["licenses"] = json!([])), "axum has no licence");
    assert_eq!(
        with(|bill| bill["components"][3]["path"] = json!("/home/builder/x")),
        "the bill of materials contains paths of the build machine: [\"/home/builder\"]"
    );
    let of_another = rejected(|image| {
        image.has_own_bill = false;
        image.bill["metadata"]["component"]["hashes"] = json!([{"alg": "SHA-256", "content": "0"}]);
    });
    assert_eq!(of_another, "it is the bill of materials of another program");
    assert_eq!(
        rejected(|image| image.bill_beside = Some("{}".to_owned())),
        "…/sbom/amd64/kinesis-demo-sandbox.cdx.json differs from the one in the image"
    );
    let unreadable = rejected(|image| {
        image.files.insert(SBOM.to_owned(), File::of("{", 0o644));
    });
    assert!(unreadable.starts_with("read the bill of materials: "), "{unreadable}");
}

/// An entry of a dynamic segment.
fn dynamic(tags: &[i64]) -> Vec<u8> {
    tags.iter().flat_map(|tag| [tag.to_le_bytes(), [0; 8]].concat()).collect()
}

#[test]
fn a_program_must_be_static_and_for_its_architecture() {
    let with = |program: Vec<u8>| rejected(|image| image.file(IMAGE).content = program);
    assert_eq!(with(elf(183, &[])), "kinesis-demo-sandbox is compiled for arm64");
    assert_eq!(with(elf(40, &[])), "kinesis-demo-sandbox is compiled for an unknown machine");
    assert_eq!(
        with(elf(62, &[(1, b"code"), (3, b"/lib/ld.so\0"), (2, &dynamic(&[1, 14, 1, 0]))])),
        "kinesis-demo-sandbox is not static: it needs /lib/ld.so and 2 libraries"
    );
    assert_eq!(
        with(elf(62, &[(2, &dynamic(&[1, 0]))])),
        "kinesis-demo-sandbox is not static: it needs no interpreter and 1 libraries"
    );
    // A static program that is position-independent has a dynamic segment too.
    assert!(checked(|image| image.file(IMAGE).content = elf(62, &[(2, &dynamic(&[14, 0]))])).is_ok());
    let script = with(b"#!/bin/sh\n".to_vec());
    assert!(script.starts_with("kinesis-demo-sandbox cannot run in the image: read the header"), "{script}");
    assert_eq!(
        with(elf(62, &[(1, b"/home/builder/main.rs")])),
        "kinesis-demo-sandbox contains paths of the build machine: [\"/home/builder\"]"
    );
}

#[test]
fn an_elf_file_must_have_64_bits_and_be_little_endian() {
    for (at, value) in [(4, 1), (5, 2)] {
        let mut program = elf(62, &[]);
        program[at] = value;
        assert!(Program::read(&program).is_err(), "byte {at} is {value}");
    }
    let program = elf(62, &[]);
    let read = Program::read(&program).unwrap();
    assert_eq!((read.architecture, read.interpreter, read.libraries), ("amd64", None, 0));
}

#[test]
fn a_program_must_print_its_version() {
    let start = |start: Start<'_>| checked_with(TestImage::new(), 1_000_000, start);
    assert_eq!(
        start(&printing("kinesis-demo-sandbox 0.0.9")).unwrap_err(),
        "--version prints \"kinesis-demo-sandbox 0.0.9\", not \"kinesis-demo-sandbox 0.1.0\""
    );
    let skipped = start(&|_, _, _| Ok(Started::NoEmulator("qemu-aarch64-static"))).unwrap().skipped;
    assert_eq!(
        skipped,
        ["skipped: kinesis-demo-sandbox for amd64 was not started (qemu-aarch64-static is not installed)"]
    );
}

#[test]
fn the_archive_for_a_node_must_be_the_same_image() {
    assert_eq!(
        rejected(|image| image.node_names = vec!["other:1".to_owned()]),
        format!("kinesis-demo-sandbox-amd64.tar is named [\"other:1\"], the manifest list {NAME}")
    );
    assert_eq!(
        rejected(|image| image.node_config = |config| config["os"] = json!("other")),
        "kinesis-demo-sandbox-amd64.tar has another configuration than the manifest list"
    );
    assert_eq!(
        rejected(|image| image.node_layer = |layer| layer.push(0)),
        "kinesis-demo-sandbox-amd64.tar has other layers than its configuration lists"
    );
}

#[test]
fn an_image_above_its_limit_is_rejected() {
    let start = printing("kinesis-demo-sandbox 0.1.0");
    let error = checked_with(TestImage::new(), 100, &start).unwrap_err();
    assert!(error.ends_with(" bytes compressed; the limit is 100"), "{error}");
}

#[test]
fn all_images_are_checked_and_all_failures_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = arguments(folder.path());
    arguments.images = ["kinesis-demo-operator:run", "unknown:", "unknown"].map(str::to_owned).to_vec();
    assert_eq!(run(&arguments).unwrap_err().to_string(), "3 of 3 images are wrong: see above");
    let error = |entry: &str| format!("{:#}", check_entry(entry, &arguments).unwrap_err());
    assert_eq!(
        error("unknown:"),
        "unknown: no limits are known; add them to IMAGES in xtask/src/images/mod.rs"
    );
    assert_eq!(error("unknown"), "an image is given as IMAGE:COMMAND");
    assert!(error("kinesis-demo-operator:run").starts_with("kinesis-demo-operator: read "));
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
}
