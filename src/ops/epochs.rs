//! The epochs of trust policies that were seen: a policy never goes back behind one, or a key that was revoked would
//! count again. Remembered for a user, as empty files named by number, which may be added at any time by anyone of
//! several processes. Leaves out what a policy says.

use std::path::{Path, PathBuf};

use crate::base::Environment;
use crate::bundle::sha256_hex;
use crate::ops::Error;

/// Where the epochs of a policy are: under what it is known by.
fn folder(environment: &Environment, known_by: &str) -> Option<PathBuf> {
    Some(environment.user_state()?.join("partita/policies").join(sha256_hex(known_by.as_bytes())))
}

/// Checks that no later epoch of a policy was seen, and remembers this one. Returns why it cannot be remembered, if so.
pub(super) fn see_epoch(
    environment: &Environment,
    known_by: &str,
    epoch: u64,
    policy: &Path,
) -> Result<Option<String>, Error> {
    let Some(folder) = folder(environment, known_by) else {
        return Ok((epoch > 0).then(|| "neither `XDG_STATE_HOME` nor `HOME` is set".to_owned()));
    };
    let mut seen: Vec<u64> = Vec::new();
    if folder.exists() {
        for entry in walkdir::WalkDir::new(&folder).min_depth(1).max_depth(1).sort_by_file_name() {
            let entry = entry.map_err(|error| Error::io("list", &folder)(error.into()))?;
            seen.extend(entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
        }
    }
    let last = seen.iter().copied().max().unwrap_or(0);
    if epoch < last {
        return Err(Error::PolicyOld { policy: policy.to_owned(), epoch, last, folder });
    }
    if epoch == last {
        return Ok(None);
    }
    let written = std::fs::create_dir_all(&folder).and_then(|()| {
        let path = folder.join(epoch.to_string());
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).open(path)?.sync_all()
    });
    if let Err(error) = written {
        return Ok(Some(format!("`{}`: {error}", folder.display())));
    }
    for old in seen.into_iter().filter(|old| *old < epoch) {
        // What stays does no harm: the greatest counts.
        let _ = std::fs::remove_file(folder.join(old.to_string()));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_only_rise() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::from_pairs(&[("XDG_STATE_HOME", home.path().to_str().unwrap())]);
        let see = |known_by: &str, epoch| see_epoch(&environment, known_by, epoch, Path::new("trust.kdl"));
        for epoch in [0, 3, 3, 7] {
            assert_eq!(see("a", epoch).unwrap(), None);
        }
        let error = see("a", 6).unwrap_err();
        assert!(matches!(error, Error::PolicyOld { epoch: 6, last: 7, .. }), "{error}");
        assert!(see("a", 0).is_err());
        assert_eq!(see("b", 1).unwrap(), None);
        assert_eq!(see("a", 8).unwrap(), None);
        let nowhere = Environment::from_pairs(&[]);
        assert!(see_epoch(&nowhere, "a", 1, Path::new("trust.kdl")).unwrap().is_some());
        assert_eq!(see_epoch(&nowhere, "a", 0, Path::new("trust.kdl")).unwrap(), None);
    }
}
