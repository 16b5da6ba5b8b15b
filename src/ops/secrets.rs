//! Values of secrets, read when an action runs: from a variable, a file, or what a command prints.
//! Leaves out what becomes of them: the executor hands them to one process and keeps them nowhere.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::base::Environment;
use crate::exec::Secrets;
use crate::plan::SecretTerms;

/// Bytes of a secret: a certificate with its key is far smaller.
const BYTES: u64 = 64 << 10;

/// The secrets of this machine.
pub(super) struct MachineSecrets {
    root: PathBuf,
    environment: Environment,
}

impl MachineSecrets {
    /// For a workspace and the caller's environment.
    pub(super) fn new(root: &Path, environment: &Environment) -> Self {
        Self { root: root.to_path_buf(), environment: environment.clone() }
    }
}

impl Secrets for MachineSecrets {
    fn read(&self, _name: &str, terms: &SecretTerms) -> Result<String, String> {
        let key = &terms.key;
        let bytes = match terms.from.as_str() {
            "env" => {
                let value = self.environment.raw(key).ok_or_else(|| format!("variable `{key}` is not set"))?;
                return value.to_str().map(str::to_owned).ok_or_else(|| format!("variable `{key}` is not UTF-8"));
            }
            "file" => {
                let file = std::fs::File::open(self.root.join(key));
                file.and_then(bounded).map_err(|error| format!("file `{key}`: {error}"))?
            }
            _ => printed(key, &self.root).map_err(|error| format!("command `{key}`: {error}"))?,
        };
        if bytes.len() as u64 > BYTES {
            return Err(format!("it is longer than {} KiB", BYTES >> 10));
        }
        let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        // Editors and commands end a file with a line break, which is no part of the secret.
        let text = text.strip_suffix('\n').map_or(text.as_str(), |rest| rest.strip_suffix('\r').unwrap_or(rest));
        if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(text.to_owned()) }
    }
}

fn bounded(from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What a command prints. Its words are divided by spaces; no shell is between.
fn printed(command: &str, dir: &Path) -> Result<Vec<u8>, String> {
    let mut words = command.split_whitespace();
    let program = words.next().ok_or("it is empty")?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the user's own keeper of secrets: no action, so outside every sandbox"
    )]
    let mut started = Command::new(program);
    started.args(words).current_dir(dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = started.spawn().map_err(|error| error.to_string())?;
    let read = child.stdout.take().map_or(Ok(Vec::new()), bounded);
    let status = child.wait().map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("it ended with {status}"));
    }
    read.map_err(|error| error.to_string())
}
