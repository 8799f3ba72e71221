//! Checks the archives of the container images, from their bytes alone. In: the folder of the
//! archives, and the expected values. Out: a table with the compressed sizes, or what is wrong.
//! Writes only to a temporary folder, in which it starts the programs with `--version`.

mod archive;
mod checks;
mod program;
mod start;
#[cfg(test)]
mod test_image;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use jiff::Timestamp;

use archive::{DockerArchive, OciArchive};
use program::Program;
use start::Started;

/// What an image must have.
#[derive(Debug)]
struct Image {
    name: &'static str,
    /// The largest compressed size of one platform, in bytes. A Fargate task downloads it at each
    /// start, and so does a new node.
    limit: u64,
    /// Crates that the bill of materials must contain.
    ingredients: &'static [&'static str],
}

const IMAGES: [Image; 3] = [
    Image {
        name: "kinesis-demo-operator",
        limit: 20_000_000,
        ingredients: &["aws-sdk-kinesis", "kube", "rustls"],
    },
    Image {
        name: "kinesis-demo-generator",
        limit: 12_000_000,
        ingredients: &["aws-sdk-kinesis", "rustls", "tokio"],
    },
    Image {
        name: "kinesis-demo-sandbox",
        limit: 20_000_000,
        ingredients: &["axum", "ferrokinesis", "tokio"],
    },
];

/// The arguments of `check-images`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder of the archives.
    #[arg(long, value_name = "FOLDER")]
    archives: PathBuf,
    /// The version that the programs and labels must have.
    #[arg(long)]
    version: String,
    /// The time that the images must have, in seconds since 1970.
    #[arg(long, value_name = "SECONDS", value_parser = instant)]
    created: Timestamp,
    /// Architecture that each image must have; repeat for several.
    #[arg(long = "platform", value_name = "ARCHITECTURE", required = true)]
    platforms: Vec<String>,
    /// Folder of the build machine that no program may contain; repeat for several.
    #[arg(long = "builder", value_name = "FOLDER")]
    builders: Vec<String>,
    /// Each image, with its default command, which may be empty.
    #[arg(required = true, value_name = "IMAGE:COMMAND")]
    images: Vec<String>,
}

fn instant(seconds: &str) -> Result<Timestamp, String> {
    let seconds = seconds.parse().map_err(|error| format!("not a number of seconds: {error}"))?;
    Timestamp::from_second(seconds).map_err(|error| error.to_string())
}

/// A row of the table: an image for one platform.
#[derive(Debug, PartialEq)]
struct Row {
    name: String,
    platform: String,
    size: u64,
    limit: u64,
    digest: String,
}

/// The correct images of one name.
#[derive(Debug, Default, PartialEq)]
struct Checked {
    rows: Vec<Row>,
    /// Programs that were not started, with the reason.
    skipped: Vec<String>,
}

/// Starts a program for an architecture, given its bytes and its name.
type Start<'a> = &'a dyn Fn(&[u8], &str, &str) -> anyhow::Result<Started>;

/// Checks every given image, and reports all failures, not only the first.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (mut rows, mut failures) = (Vec::new(), 0);
    for entry in &arguments.images {
        match check_entry(entry, arguments) {
            Ok(checked) => {
                rows.extend(checked.rows);
                checked.skipped.iter().for_each(|line| println!("{line}"));
            }
            Err(error) => {
                eprintln!("images: {error:#}");
                failures += 1;
            }
        }
    }
    print!("{}", table(&rows));
    match failures {
        0 => Ok(()),
        _ => bail!("{failures} of {} images are wrong: see above", arguments.images.len()),
    }
}

fn table(rows: &[Row]) -> String {
    // Megabytes with two decimals, the second rounded.
    let megabytes =
        |bytes: u64| format!("{}.{:02}", (bytes + 5_000) / 1_000_000, (bytes + 5_000) / 10_000 % 100);
    let mut text =
        format!("{:32}  {:12}  {:>10}  {:>8}  DIGEST\n", "IMAGE", "PLATFORM", "COMPRESSED", "LIMIT");
    for Row { name, platform, size, limit, digest } in rows {
        let (size, limit) = (megabytes(*size), limit / 1_000_000);
        text.push_str(&format!("{name:32}  {platform:12}  {size:>7} MB  {limit:>5} MB  {digest}\n"));
    }
    text
}

fn check_entry(entry: &str, arguments: &Arguments) -> anyhow::Result<Checked> {
    let (name, command) = entry.split_once(':').context("an image is given as IMAGE:COMMAND")?;
    let image = IMAGES.iter().find(|image| image.name == name).with_context(|| {
        format!("{name}: no limits are known; add them to IMAGES in xtask/src/images/mod.rs")
    })?;
    let command = (!command.is_empty()).then_some(command);
    check_image(image, command, arguments, &start::version_of).with_context(|| name.to_owned())
}

/// Checks one image on all its platforms.
fn check_image(
    image: &Image,
    command: Option<&str>,
    arguments: &Arguments,
    start: Start<'_>,
) -> anyhow::Result<Checked> {
    let version = &arguments.version;
    let oci = OciArchive::read(&arguments.archives.join(format!("{}.tar", image.name)))?;
    check_name(&oci.name, image.name, version)?;
    let mut found = oci.architectures();
    found.sort_unstable();
    let mut wanted: Vec<&str> = arguments.platforms.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    ensure!(found == wanted, "the manifest list has {found:?}, not {wanted:?}");
    let mut checked = Checked::default();
    for architecture in &arguments.platforms {
        let (row, skipped) = check_platform(image, command, arguments, &oci, architecture, start)
            .with_context(|| format!("linux/{architecture}"))?;
        checked.rows.push(row);
        checked.skipped.extend(skipped);
    }
    Ok(checked)
}

/// The name must be that to which a node resolves `image:version`: the default registry, then
/// `/library/image:version`.
fn check_name(name: &str, image: &str, version: &str) -> anyhow::Result<()> {
    let registry = name.strip_suffix(&format!("/library/{image}:{version}"));
    let is_host = |host: &str| {
        !host.is_empty() && host.bytes().all(|letter| letter.is_ascii_lowercase() || letter == b'.')
    };
    ensure!(registry.is_some_and(is_host), "{image}.tar is named {name}");
    Ok(())
}

fn check_platform(
    image: &Image,
    command: Option<&str>,
    arguments: &Arguments,
    oci: &OciArchive,
    architecture: &str,
    start: Start<'_>,
) -> anyhow::Result<(Row, Option<String>)> {
    let Arguments { archives, version, builders, created, .. } = arguments;
    let Image { name, limit, ingredients } = image;
    let loaded = oci.image(architecture)?;
    let wanted = checks::Wanted { image: name, command, version, created: *created, architecture };
    checks::check_config(&loaded.config, &wanted)?;
    checks::check_files(&loaded.files, name, *created)?;
    let content = |path: &str| loaded.files.get(path).map_or(&[][..], |file| &file.content);
    let program = Program::read(content(name)).with_context(|| format!("{name} cannot run in the image"))?;
    checks::check_authorities(content(checks::BUNDLE))?;
    let materials = content(&format!("usr/share/sbom/{name}.cdx.json"));
    checks::check_materials(materials, ingredients, &wanted, &program, builders)?;
    let beside = archives.join("sbom").join(architecture).join(format!("{name}.cdx.json"));
    let copy = std::fs::read(&beside).with_context(|| format!("read {}", beside.display()))?;
    ensure!(copy == materials, "{} differs from the one in the image", beside.display());
    checks::check_program(&program, &wanted, builders)?;
    let skipped = match start(program.bytes, name, architecture)? {
        Started::Printed(line) => {
            let right = format!("{name} {version}");
            ensure!(line == right, "--version prints {line:?}, not {right:?}");
            None
        }
        Started::NoEmulator(emulator) => {
            Some(format!("skipped: {name} for {architecture} was not started ({emulator} is not installed)"))
        }
    };
    let node = format!("{name}-{architecture}.tar");
    checks::check_node_archive(&DockerArchive::read(&archives.join(&node))?, &node, oci, &loaded)?;
    let size = loaded.compressed_size;
    ensure!(size <= *limit, "{size} bytes compressed; the limit is {limit}");
    let row = Row {
        name: format!("{name}:{version}"),
        platform: format!("linux/{architecture}"),
        size,
        limit: *limit,
        digest: loaded.digest,
    };
    Ok((row, skipped))
}
