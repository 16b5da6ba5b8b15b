//! The memory that verifying takes: bounded for the process itself, so that it fails where it would need more, for
//! archives and folders of many files. Leaves out speed.

use std::path::Path;

use partita::bundle::build;

use partita::base::Environment;

use super::support::{Blobs, key, spec_of};
use crate::support::Workspace;

/// KiB of data that a verifier may have, of which a third is there before it begins.
const DATA: u64 = 64 * 1024;

fn count() -> usize {
    let asked = Environment::of_process().raw("PARTITA_MANY_FILES").and_then(|text| text.to_str()?.parse().ok());
    asked.unwrap_or(5_000)
}

#[test]
fn many_files_are_verified_in_little_memory() {
    let cas = Blobs::default();
    let paths: Vec<String> = (0..count()).map(|at| format!("folder-{}/a file with number {at}.txt", at % 97)).collect();
    let contents: Vec<String> = (0..count()).map(|at| format!("content {at}\n")).collect();
    let files: Vec<(&str, &[u8], bool)> = paths
        .iter()
        .zip(&contents)
        .map(|(path, text)| (path.as_str(), text.as_bytes(), path.len().is_multiple_of(2)))
        .collect();
    let ws = Workspace::new();
    let built = build(&spec_of(&cas, &files), &cas, &[&key()], &ws.path("bundles")).unwrap();
    ws.write("self.pub.pem", key().public().to_pem());
    ws.write(
        "trust.kdl",
        "trust version=1 {\n    key self file=\"self.pub.pem\"\n    builder \"https://partita.example/builders/full/v1\" { signer self; }\n    \
         tenant acme {\n        require \"https://slsa.dev/provenance/v1\" { signer self; builder \"https://partita.example/builders/full/v1\"; }\n        \
         require \"https://spdx.dev/Document/v2.3\" { signer self; }\n        require \"https://cyclonedx.org/bom\" { signer self; }\n    }\n}\n",
    );
    let verify = |more: &str| {
        let program = env!("CARGO_BIN_EXE_partita");
        let zip = built.zip.path.display();
        let script = format!("ulimit -d {DATA} && exec '{program}' verify '{zip}' --policy trust.kdl {more}");
        ws.command(Path::new("/bin/sh"), &["-c", &script]).run()
    };
    verify("").ok().prints("accepted");
    let mut archive = zip::ZipArchive::new(std::fs::File::open(&built.zip.path).unwrap()).unwrap();
    archive.extract(ws.path("taken")).unwrap();
    verify("--extracted taken").ok().prints("accepted");
}
