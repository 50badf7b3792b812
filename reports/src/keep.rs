//! A run to keep beside the sources: what a report can not derive, and what is read without one.
//!
//! `data/` holds the records, compressed, and the environments. `RESULTS.md` has every case, `ratio.svg` the speeds against
//! libtorch. `cargo xtask report` makes the page of it anew.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::load::Run;
use crate::output::{self, WriteError};
use crate::page::PageError;
use crate::rows::Table;
use crate::{pictures, splice};

/// What compressed records end with.
pub const COMPRESSED: &str = ".gz";

/// Colours of a picture that no page surrounds.
const COLOURS: &str = "<style>svg{--ink:#1b1c1e;--line:#d9dadb;--s1:#2f6db3;--s2:#c2571a;--s3:#2e8540;--s4:#8a4fb0;\
                       --s5:#a07a00;--s6:#b3355f;background:#fdfdfb}</style>";

/// Writes the folder `out`.
///
/// # Errors
/// [`PageError`].
pub fn keep(run: &Run, out: &Path) -> Result<(), PageError> {
    let data = out.join("data");
    fs::create_dir_all(&data).map_err(|source| WriteError { to: data.display().to_string(), source })?;
    for source in &run.sources {
        if source.name.ends_with(".json") {
            output::save(&data.join(&source.name), &source.bytes)?;
        } else {
            let name = format!("{}{COMPRESSED}", source.name);
            let packed = compress(&source.bytes);
            let packed = packed.map_err(|source| WriteError { to: data.join(&name).display().to_string(), source })?;
            output::save(&data.join(&name), &packed)?;
        }
    }
    let table = Table::new(run);
    let picture = pictures::ratios(&table).map_err(|e| PageError::Picture(e.to_string()))?;
    if let Some(picture) = picture {
        let svg = picture.svg.replacen('>', &format!(">{COLOURS}"), 1);
        output::save(&out.join("ratio.svg"), svg.as_bytes())?;
    }
    output::save(&out.join("RESULTS.md"), splice::results(run).as_bytes())?;
    Ok(())
}

/// The same bytes for the same contents: no time, no name.
fn compress(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}
