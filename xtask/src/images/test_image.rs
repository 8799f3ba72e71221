//! An image archive for tests, built in memory, in which a test changes one thing.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::archive::{GZIP_LAYER, INDEX, MANIFEST, digest_of, sha256};
use super::checks::BUNDLE;

pub const IMAGE: &str = "kinesis-demo-sandbox";
pub const CREATED: i64 = 1_795_000_000;
pub const NAME: &str = "registry.example/library/kinesis-demo-sandbox:0.1.0";

/// The file of an image.
#[derive(Clone)]
pub struct File {
    pub content: Vec<u8>,
    pub mode: u32,
    pub owner: u64,
    pub modified_at: i64,
    pub kind: tar::EntryType,
}

impl File {
    pub fn of(content: impl Into<Vec<u8>>, mode: u32) -> Self {
        Self { content: content.into(), mode, owner: 0, modified_at: CREATED, kind: tar::EntryType::Regular }
    }
}

/// An image for one architecture, and its archives. A change of a part changes all digests, as a
/// build would.
pub struct TestImage {
    pub architecture: &'static str,
    pub files: BTreeMap<String, File>,
    pub bill: Value,
    pub config: Value,
    pub name: String,
    pub media_type: &'static str,
    pub layer_type: &'static str,
    /// The bill of materials beside the archives, if it is another.
    pub bill_beside: Option<String>,
    pub node_names: Vec<String>,
    /// Changes the configuration in the node's archive.
    pub node_config: fn(&mut Value),
    /// Changes the layer in the node's archive.
    pub node_layer: fn(&mut Vec<u8>),
    /// Changes a blob after its digest has been computed.
    pub damage: fn(&mut BTreeMap<String, Vec<u8>>),
    /// Whether the bill of materials follows the program.
    pub has_own_bill: bool,
}

impl TestImage {
    /// A correct image.
    pub fn new() -> Self {
        let instant = Timestamp::from_second(CREATED).unwrap().to_string();
        let label = |key: &str| format!("org.opencontainers.image.{key}");
        let component = |name: &str| json!({"name": name, "licenses": [{"license": {"id": "MIT"}}]});
        let mut folder = File::of("", 0o755);
        folder.kind = tar::EntryType::Directory;
        Self {
            architecture: "amd64",
            files: BTreeMap::from([
                ("etc/".to_owned(), folder),
                (IMAGE.to_owned(), File::of(elf(62, &[]), 0o755)),
                ("etc/passwd".to_owned(), File::of("nonroot:x:65532:65532:nonroot:/:/nonexistent\n", 0o644)),
                ("etc/group".to_owned(), File::of("nonroot:x:65532:\n", 0o644)),
                (BUNDLE.to_owned(), File::of(AUTHORITIES.as_bytes(), 0o644)),
                (format!("usr/share/doc/{IMAGE}/LICENSE"), File::of("MIT", 0o644)),
            ]),
            bill: json!({
                "bomFormat": "CycloneDX",
                "metadata": {"component": {"name": IMAGE, "version": "0.1.0"}},
                "components": [component("axum"), component("ferrokinesis"), component("tokio"), {"name": "kinesis-demo-api"}],
            }),
            config: json!({
                "os": "linux", "architecture": "amd64", "created": instant,
                "config": {
                    "User": "65532:65532", "Entrypoint": [format!("/{IMAGE}")], "Cmd": ["serve"],
                    "Env": ["PATH=/usr/bin"],
                    "Labels": {
                        label("title"): IMAGE, label("description"): "A local AWS", label("version"): "0.1.0",
                        label("revision"): "abc", label("created"): instant, label("licenses"): "MIT",
                    },
                },
                "rootfs": {"type": "layers"},
            }),
            name: NAME.to_owned(),
            media_type: INDEX,
            layer_type: GZIP_LAYER,
            bill_beside: None,
            node_names: vec![NAME.to_owned()],
            node_config: |_| {},
            node_layer: |_| {},
            damage: |_| {},
            has_own_bill: true,
        }
    }

    pub fn file(&mut self, path: &str) -> &mut File {
        self.files.get_mut(path).unwrap()
    }

    /// Writes the archives and the bill of materials into a folder.
    pub fn write(mut self, folder: &Path) {
        if self.has_own_bill {
            let digest = sha256(&self.files[IMAGE].content);
            self.bill["metadata"]["component"]["hashes"] = json!([{"alg": "SHA-256", "content": digest}]);
        }
        let bill = self.bill.to_string();
        self.files
            .entry(format!("usr/share/sbom/{IMAGE}.cdx.json"))
            .or_insert(File::of(bill.as_bytes(), 0o644));
        let sbom = folder.join("sbom").join(self.architecture);
        std::fs::create_dir_all(&sbom).unwrap();
        std::fs::write(sbom.join(format!("{IMAGE}.cdx.json")), self.bill_beside.as_ref().unwrap_or(&bill))
            .unwrap();

        let layer = layer(&self.files);
        if self.config["rootfs"]["diff_ids"].is_null() {
            self.config["rootfs"]["diff_ids"] = json!([digest_of(&layer)]);
        }
        self.write_layout(folder, &layer);
        self.write_node_archive(folder, layer);
    }

    fn write_layout(&self, folder: &Path, layer: &[u8]) {
        let mut blobs = BTreeMap::new();
        let mut add = |data: Vec<u8>, media_type: &str| {
            let descriptor = json!({"mediaType": media_type, "digest": digest_of(&data), "size": data.len()});
            blobs.insert(format!("blobs/sha256/{}", sha256(&data)), data);
            descriptor
        };
        let config = add(self.config.to_string().into(), "application/vnd.oci.image.config.v1+json");
        let layer = add(gzip(layer), self.layer_type);
        let mut manifest = add(json!({"config": config, "layers": [layer]}).to_string().into(), MANIFEST);
        manifest["platform"] = json!({"os": "linux", "architecture": self.architecture});
        let mut list = add(json!({"manifests": [manifest]}).to_string().into(), self.media_type);
        list["annotations"] = json!({"org.opencontainers.image.ref.name": self.name});
        blobs.insert("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
        blobs.insert("index.json".to_owned(), json!({"manifests": [list]}).to_string().into());
        (self.damage)(&mut blobs);
        std::fs::write(folder.join(format!("{IMAGE}.tar")), plain_tar(&blobs)).unwrap();
    }

    fn write_node_archive(&self, folder: &Path, mut layer: Vec<u8>) {
        (self.node_layer)(&mut layer);
        let mut config = self.config.clone();
        (self.node_config)(&mut config);
        let manifest =
            json!([{"Config": "config.json", "RepoTags": self.node_names, "Layers": ["layer.tar"]}]);
        let files = BTreeMap::from([
            ("config.json".to_owned(), config.to_string().into_bytes()),
            ("layer.tar".to_owned(), layer),
            ("manifest.json".to_owned(), manifest.to_string().into()),
        ]);
        let name = format!("{IMAGE}-{}.tar", self.architecture);
        std::fs::write(folder.join(name), plain_tar(&files)).unwrap();
    }
}

fn layer(files: &BTreeMap<String, File>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, file) in files {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(file.kind);
        header.set_mode(file.mode);
        header.set_uid(file.owner);
        header.set_gid(0);
        header.set_mtime(file.modified_at.try_into().unwrap());
        header.set_size(file.content.len().try_into().unwrap());
        tar.append_data(&mut header, path, &file.content[..]).unwrap();
    }
    tar.into_inner().unwrap()
}

fn plain_tar(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    layer(&files.iter().map(|(path, content)| (path.clone(), File::of(content.clone(), 0o644))).collect())
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// A 64-bit little-endian ELF file for `machine`, with the given segments: their type and content.
pub fn elf(machine: u16, segments: &[(u32, &[u8])]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    let (header, entry) = (64_u64, 56_u16);
    file.extend([2_u16.to_le_bytes(), machine.to_le_bytes()].concat());
    file.extend(1_u32.to_le_bytes());
    // Entry point, table of segments, table of sections.
    file.extend([0, header, 0].map(u64::to_le_bytes).concat());
    file.extend(0_u32.to_le_bytes());
    file.extend([64, entry, segments.len().try_into().unwrap(), 64, 0, 0].map(u16::to_le_bytes).concat());
    let mut at = header + u64::from(entry) * u64::try_from(segments.len()).unwrap();
    for (kind, content) in segments {
        let length = u64::try_from(content.len()).unwrap();
        file.extend([*kind, 4].map(u32::to_le_bytes).concat());
        file.extend([at, at, at, length, length, 8].map(u64::to_le_bytes).concat());
        at += length;
    }
    file.extend(segments.iter().flat_map(|(_, content)| content.iter().copied()));
    file
}

/// Certificates of authorities with these names.
pub fn authorities(names: &[String]) -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = |name: &String| {
        let mut parameters = rcgen::CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(rcgen::DnType::OrganizationName, "Example");
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        parameters.self_signed(&key).unwrap().pem()
    };
    names.iter().map(certificate).collect::<Vec<_>>().join("\n# another\n")
}

/// Amazon's four authorities and 97 others.
static AUTHORITIES: LazyLock<String> = LazyLock::new(|| {
    let amazon = (1..=4).map(|number| format!("Amazon Root CA {number}"));
    authorities(&amazon.chain((5..=101).map(|number| format!("Root {number}"))).collect::<Vec<_>>())
});
