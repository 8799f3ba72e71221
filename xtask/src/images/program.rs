//! Reads an ELF program, to check that it can run in an otherwise empty image. In: its bytes.

use anyhow::Context;
use object::LittleEndian;
use object::elf::{DT_NEEDED, EM_AARCH64, EM_X86_64, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};

use super::archive::sha256;

/// A 64-bit little-endian program.
#[derive(Debug, PartialEq)]
pub struct Program<'a> {
    pub bytes: &'a [u8],
    pub sha256: String,
    /// Docker's name of its architecture.
    pub architecture: &'static str,
    /// The dynamic linker that it needs.
    pub interpreter: Option<String>,
    /// The number of shared libraries that it needs.
    pub libraries: usize,
}

impl<'a> Program<'a> {
    pub fn read(bytes: &'a [u8]) -> anyhow::Result<Self> {
        let header = FileHeader64::<LittleEndian>::parse(bytes).context("read the header of an ELF file")?;
        let endian = header.endian().context("read the header of a little-endian ELF file")?;
        let architecture = match header.e_machine(endian) {
            EM_X86_64 => "amd64",
            EM_AARCH64 => "arm64",
            _ => "an unknown machine",
        };
        let (mut interpreter, mut libraries) = (None, 0);
        for segment in header.program_headers(endian, bytes).context("read the segments")? {
            if let Some(path) = segment.interpreter(endian, bytes).context("read the interpreter")? {
                interpreter = Some(String::from_utf8_lossy(path).into_owned());
            }
            for entry in segment.dynamic(endian, bytes).context("read the libraries")?.into_iter().flatten() {
                libraries += usize::from(entry.d_tag(endian) == DT_NEEDED);
            }
        }
        Ok(Self { bytes, sha256: sha256(bytes), architecture, interpreter, libraries })
    }
}
