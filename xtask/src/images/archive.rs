//! Reads image archives: OCI layouts, and the format of `docker load`. In: a tar file. Verifies all
//! digests and sizes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, anyhow, bail, ensure};
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const GZIP_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const NAME: &str = "org.opencontainers.image.ref.name";

/// The digest of bytes, in hexadecimal notation.
pub fn sha256(data: &[u8]) -> String {
    format!("{:x}", Sha256::digest(data))
}

/// The digest of bytes, in the notation of image formats.
pub fn digest_of(data: &[u8]) -> String {
    format!("sha256:{}", sha256(data))
}

/// An OCI descriptor.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    platform: Option<Platform>,
}

#[derive(Clone, Debug, Deserialize)]
struct Platform {
    os: String,
    architecture: String,
}

#[derive(Debug, Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// The entry of an archive in Docker's format.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerEntry {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// The files of a tar archive, in memory.
struct TarFile {
    /// Names the archive in errors.
    name: String,
    files: BTreeMap<String, Vec<u8>>,
}

impl TarFile {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| format!("read {name}"))?;
        let mut files = BTreeMap::new();
        // The cause may quote the file's bytes.
        let no_archive = |cause: std::io::Error| {
            anyhow!("{name} is not a tar archive: {}", cause.to_string().escape_debug())
        };
        for entry in tar::Archive::new(file).entries().map_err(no_archive)? {
            let mut entry = entry.map_err(no_archive)?;
            let path = entry.path()?.to_string_lossy().into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).with_context(|| format!("read {path} in {name}"))?;
            files.insert(path, content);
        }
        Ok(Self { name, files })
    }

    fn bytes(&self, path: &str) -> anyhow::Result<&[u8]> {
        let content = self.files.get(path).with_context(|| format!("{} has no file {path}", self.name))?;
        Ok(content)
    }

    fn json<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        json(self.bytes(path)?, &format!("{path} in {}", self.name))
    }

    /// A blob of an OCI layout, which must have the digest and size of its descriptor.
    fn blob(&self, descriptor: &Descriptor) -> anyhow::Result<&[u8]> {
        let Descriptor { digest, size, .. } = descriptor;
        let data = self.bytes(&format!("blobs/{}", digest.replace(':', "/")))?;
        ensure!(data.len() as u64 == *size, "{digest} has {} bytes, not {size}", data.len());
        ensure!(digest_of(data) == *digest, "{digest} has another digest");
        Ok(data)
    }
}

fn json<T: DeserializeOwned>(data: &[u8], what: &str) -> anyhow::Result<T> {
    serde_json::from_slice(data).with_context(|| format!("read {what}"))
}

/// The only item of a list.
fn only<T>(items: Vec<T>, what: &str) -> anyhow::Result<T> {
    let count = items.len();
    let [item] = <[T; 1]>::try_from(items).map_err(|_| anyhow::anyhow!("{count} {what}, not one"))?;
    Ok(item)
}

/// A file or folder of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageFile {
    pub is_folder: bool,
    pub mode: u32,
    pub owner: (u64, u64),
    /// In seconds since 1970.
    pub modified_at: u64,
    /// Empty unless it is a regular file.
    pub content: Vec<u8>,
}

/// An image for one platform.
#[derive(Debug)]
pub struct LoadedImage {
    pub config: Value,
    /// By path, over all layers.
    pub files: BTreeMap<String, ImageFile>,
    /// The size of a pull: configuration and layers.
    pub compressed_size: u64,
    /// The digest of the manifest.
    pub digest: String,
}

/// An OCI layout with one manifest list.
pub struct OciArchive {
    /// The image's full name.
    pub name: String,
    tar: TarFile,
    /// By architecture.
    entries: BTreeMap<String, Descriptor>,
}

impl OciArchive {
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let tar = TarFile::read(path)?;
        let layout: Value = tar.json("oci-layout")?;
        let version = layout.get("imageLayoutVersion").and_then(Value::as_str).unwrap_or_default();
        ensure!(version == "1.0.0", "{} is no OCI layout of version 1.0.0", tar.name);
        let index: Index = tar.json("index.json")?;
        let list = only(index.manifests, "manifests are in index.json")?;
        let name = list.annotations.get(NAME).context("the manifest list has no name")?.clone();
        ensure!(list.media_type == INDEX, "{} is no manifest list", list.media_type);
        let mut entries = BTreeMap::new();
        for manifest in json::<Index>(tar.blob(&list)?, "the manifest list")?.manifests {
            match &manifest.platform {
                Some(Platform { os, architecture }) if os == "linux" && manifest.media_type == MANIFEST => {
                    entries.insert(architecture.clone(), manifest);
                }
                _ => bail!("the manifest list has an entry that is no image for Linux: {manifest:?}"),
            }
        }
        Ok(Self { name, tar, entries })
    }

    /// The architectures in the manifest list.
    pub fn architectures(&self) -> Vec<&str> {
        self.entries.keys().map(String::as_str).collect()
    }

    /// The image for an architecture, after checking that the layers match its configuration.
    pub fn image(&self, architecture: &str) -> anyhow::Result<LoadedImage> {
        let entry = self.entries.get(architecture).context("the manifest list does not have it")?;
        let manifest: Manifest = json(self.tar.blob(entry)?, "the manifest")?;
        let config: Value = json(self.tar.blob(&manifest.config)?, "the configuration")?;
        let (mut digests, mut files) = (Vec::new(), BTreeMap::new());
        for layer in &manifest.layers {
            ensure!(layer.media_type == GZIP_LAYER, "a layer is {}", layer.media_type);
            let mut data = Vec::new();
            let mut unzipped = MultiGzDecoder::new(self.tar.blob(layer)?);
            unzipped.read_to_end(&mut data).context("decompress a layer")?;
            digests.push(digest_of(&data));
            add_files(&mut files, &data).context("read a layer")?;
        }
        ensure!(digests == diff_ids(&config), "the layers are not those of the configuration");
        let layers: u64 = manifest.layers.iter().map(|layer| layer.size).sum();
        let compressed_size = manifest.config.size + layers;
        Ok(LoadedImage { config, files, compressed_size, digest: entry.digest.clone() })
    }
}

/// The digests of the layers that a configuration lists.
pub fn diff_ids(config: &Value) -> Vec<&str> {
    let listed = config.pointer("/rootfs/diff_ids").and_then(Value::as_array);
    listed.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn add_files(files: &mut BTreeMap<String, ImageFile>, layer: &[u8]) -> anyhow::Result<()> {
    for entry in tar::Archive::new(layer).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().trim_start_matches("./").trim_matches('/').to_owned();
        if path.is_empty() || path == "." {
            continue;
        }
        let mut content = Vec::new();
        let header = entry.header();
        let mut file = ImageFile {
            is_folder: header.entry_type().is_dir(),
            mode: header.mode()? & 0o7777,
            owner: (header.uid()?, header.gid()?),
            modified_at: header.mtime()?,
            content: Vec::new(),
        };
        if header.entry_type().is_file() {
            entry.read_to_end(&mut content)?;
            file.content = content;
        }
        files.insert(path, file);
    }
    Ok(())
}

/// An archive in the format of `docker load`, with one image.
pub struct DockerArchive {
    pub names: Vec<String>,
    pub config: Value,
    /// The digests of the layers in the archive, which are not compressed.
    pub layer_digests: Vec<String>,
}

impl DockerArchive {
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let tar = TarFile::read(path)?;
        let entry: DockerEntry = only(tar.json("manifest.json")?, "images are in the archive of a node")?;
        let layers = entry.layers.iter().map(|layer| Ok(digest_of(tar.bytes(layer)?)));
        Ok(Self {
            config: tar.json(&entry.config)?,
            layer_digests: layers.collect::<anyhow::Result<_>>()?,
            names: entry.repo_tags,
        })
    }
}
