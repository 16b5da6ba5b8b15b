//! The inventory of a bundle in a plan file. Leaves out everything else of an action.

use serde::Deserialize;

use crate::plan::read::path;
use crate::plan::{Sbom, SbomFile};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SbomBody {
    sbom: SbomLine,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SbomLine {
    bundle: String,
    version: String,
    tenant: String,
    format: String,
    files: Vec<FileLine>,
    excludes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileLine {
    to: String,
    at: String,
}

impl SbomBody {
    pub(super) fn read(self) -> Result<Sbom, String> {
        let SbomLine { bundle, version, tenant, format, files, excludes } = self.sbom;
        let file = |line: FileLine| Ok::<_, String>(SbomFile { to: path(&line.to)?, at: path(&line.at)? });
        let files: Vec<SbomFile> = files.into_iter().map(file).collect::<Result<_, _>>()?;
        if files.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err("the files of an inventory must rise".to_owned());
        }
        Ok(Sbom { bundle, version, tenant, format, files, excludes })
    }
}
