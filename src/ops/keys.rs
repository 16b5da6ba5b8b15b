//! The keys of a workspace: made, added, listed, and opened for signing. A private key is a file, a
//! variable of the environment, or held by another program that signs for us. Leaves out formats.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::base::Environment;
use crate::bundle::{
    self, Algorithm, Envelope, KeyFiles, PrivateKey, PublicKey, Signer, check_key_name, key_paths, write_public_key,
};
use crate::diag::{Diagnostics, SourceMap};
use crate::lang::{SignerDecl, parse_signer, quote};
use crate::ops::Error;
use crate::ops::run::write_atomically;
use crate::ops::workspace::{Workspace, make_state};

/// The folder of keys in a state directory.
pub(super) const KEYS: &str = "keys";
/// The key of bundles that name none.
pub const DEFAULT_KEY: &str = "default";
/// More than any signature, in bytes.
const SIGNATURE_BYTES: u64 = 64 * 1024;

/// The keys of a workspace.
pub fn key_dir(workspace: &Workspace) -> PathBuf {
    workspace.state.join(KEYS)
}

/// The folder of the keys, in a state directory that is there: what will be written to is out of the reach
/// of version control first.
pub fn make_key_dir(workspace: &Workspace) -> Result<PathBuf, Error> {
    make_state(&workspace.state)?;
    Ok(key_dir(workspace))
}

/// Where it says how a key signs that is not a file.
fn signer_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.signer.kdl"))
}

/// Makes a key. With the name of a variable its value becomes the passphrase.
pub fn generate(
    dir: &Path,
    name: &str,
    algorithm: Algorithm,
    passphrase_env: Option<&str>,
    environment: &Environment,
) -> Result<KeyFiles, Error> {
    let passphrase = passphrase_env
        .map(|variable| {
            environment.raw(variable).map(|value| value.as_encoded_bytes()).ok_or_else(|| {
                Error::usage(format!("the variable `{variable}`, which should hold the passphrase, is not set"))
            })
        })
        .transpose()?;
    Ok(bundle::generate_key(dir, name, algorithm, passphrase)?)
}

/// Adds a key whose private half is kept elsewhere: its public key, and how it signs.
pub fn add(dir: &Path, name: &str, public: &Path, how: &SignerDecl) -> Result<(PathBuf, PublicKey), Error> {
    check_key_name(name)?;
    let key = PublicKey::from_pem_file(public)?;
    let file = write_public_key(dir, name, &key)?;
    let body = match how {
        SignerDecl::Command(words) => {
            let words: Vec<String> = words.iter().map(|word| quote(word)).collect();
            format!("command {}", words.join(" "))
        }
        SignerDecl::Variable(variable) => format!("variable {}", quote(variable)),
    };
    write_atomically(&signer_path(dir, name), format!("signer version=1 {{\n    {body}\n}}\n").as_bytes())?;
    Ok((file, key))
}

/// The public keys in a folder, by name.
pub fn public_keys(dir: &Path) -> Result<BTreeMap<String, PublicKey>, Error> {
    let mut keys = BTreeMap::new();
    for entry in
        walkdir::WalkDir::new(dir).min_depth(1).max_depth(1).sort_by_file_name().into_iter().filter_map(Result::ok)
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix(".pub.pem") {
            keys.insert(name.to_owned(), PublicKey::from_pem_file(entry.path())?);
        }
    }
    Ok(keys)
}

/// The public key of a name.
pub fn public_key(dir: &Path, name: &str) -> Result<PublicKey, Error> {
    check_key_name(name)?;
    let (private, path) = key_paths(dir, name);
    if !path.exists() {
        // One that openssl made has no public half of its own yet.
        if private.exists() {
            return Ok(PrivateKey::from_pem_file(&private, None)?.public());
        }
        return Err(Error::KeyMissing { name: name.to_owned(), path });
    }
    Ok(PublicKey::from_pem_file(&path)?)
}

/// A key that is ready to sign.
pub struct OpenKey {
    /// Its name.
    pub name: String,
    /// Its public file.
    pub public: PathBuf,
    /// Whether it was made now.
    pub is_new: bool,
    /// What signs.
    pub signer: Box<dyn Signer>,
}

/// Opens a key for signing. The key `default` is made on first use, every other must be there.
pub fn open_signer(dir: &Path, name: &str, environment: &Environment) -> Result<OpenKey, Error> {
    check_key_name(name)?;
    let (private, public) = key_paths(dir, name);
    let passphrase = environment.get(Environment::KEY_PASSPHRASE).map(|value| value.as_encoded_bytes());
    let ready =
        |signer: Box<dyn Signer>, is_new| OpenKey { name: name.to_owned(), public: public.clone(), is_new, signer };
    let described = signer_path(dir, name);
    if described.exists() {
        let key = public_key(dir, name)?;
        let signer: Box<dyn Signer> = match read_signer(&described)? {
            SignerDecl::Command(command) => Box::new(CommandSigner { key, command, dir: dir.to_owned() }),
            SignerDecl::Variable(variable) => {
                let text = environment.raw(&variable).and_then(|value| value.to_str()).ok_or_else(|| {
                    Error::usage(format!("the key `{name}` is in the variable `{variable}`, which is not set"))
                })?;
                let private = PrivateKey::from_pem(text, passphrase, &format!("${variable}"))?;
                if private.public() != key {
                    let why = format!("the variable `{variable}` holds another key");
                    return Err(bundle::Error::Signing { keyid: key.keyid().to_owned(), why }.into());
                }
                Box::new(private)
            }
        };
        return Ok(ready(signer, false));
    }
    let mut is_new = false;
    if !private.exists() {
        if name != DEFAULT_KEY || public.exists() {
            return Err(Error::KeyMissing { name: name.to_owned(), path: private });
        }
        if let Some(state) = dir.parent() {
            make_state(state)?;
        }
        bundle::generate_key(dir, name, Algorithm::Ed25519, None)?;
        is_new = true;
    }
    let key = PrivateKey::from_pem_file(&private, passphrase)?;
    // A key that openssl made may stand here without its public half, which every reader needs.
    if !public.exists() {
        write_public_key(dir, name, &key.public())?;
    } else if PublicKey::from_pem_file(&public)? != key.public() {
        let why = format!("`{}` is the public half of another key", public.display());
        return Err(bundle::Error::Signing { keyid: key.keyid(), why }.into());
    }
    Ok(ready(Box::new(key), is_new))
}

fn read_signer(path: &Path) -> Result<SignerDecl, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    let mut sources = SourceMap::default();
    let source = sources.add(path.display().to_string(), text);
    let text = sources.file(source).text.clone();
    let mut diagnostics = Diagnostics::default();
    parse_signer(source, &text, &mut diagnostics).ok_or_else(|| {
        let first = diagnostics.sorted().first().map_or_else(String::new, |found| found.message.clone());
        Error::usage_help(
            format!("`{}` cannot be read: {first}", path.display()),
            "write `signer version=1 { command PROGRAM ARGUMENT… }`",
        )
    })
}

/// A key that another program holds: a key service, a smart card, an agent. The program gets the
/// pre-authentication encoding on standard input and writes the signature, nothing else, to standard output.
struct CommandSigner {
    key: PublicKey,
    command: Vec<String>,
    /// Where the program starts: the folder of the keys.
    dir: PathBuf,
}

impl CommandSigner {
    fn ask(&self, pae: &[u8]) -> std::io::Result<Result<Vec<u8>, String>> {
        #[expect(clippy::disallowed_methods, reason = "the user's own signer: no action, so outside every sandbox")]
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).current_dir(&self.dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let mut signature = Vec::new();
        let read = std::thread::scope(|scope| {
            scope.spawn(move || {
                // A program that knows its answer early may stop reading; its signature will tell.
                if let Some(mut stdin) = stdin {
                    let _ = stdin.write_all(pae);
                }
            });
            stdout.map_or(Ok(0), |stdout| stdout.take(SIGNATURE_BYTES).read_to_end(&mut signature))
        });
        let status = child.wait()?;
        read?;
        Ok(if status.success() { Ok(signature) } else { Err(format!("it ended with {status}")) })
    }
}

impl Signer for CommandSigner {
    fn algorithm(&self) -> Algorithm {
        self.key.algorithm()
    }

    fn public_spki_der(&self) -> Vec<u8> {
        self.key.spki_der().to_vec()
    }

    fn sign(&self, pae: &[u8]) -> Result<Vec<u8>, bundle::Error> {
        let fail = |why: String| bundle::Error::Signing {
            keyid: self.key.keyid().to_owned(),
            why: format!("`{}`: {why}", self.command.join(" ")),
        };
        let signature = self.ask(pae).map_err(|error| fail(error.to_string()))?.map_err(fail)?;
        let wrong = || fail(format!("what it wrote ({} bytes) is no signature by this key", signature.len()));
        self.key.normalize(pae, &signature).ok_or_else(wrong)
    }
}

/// Signs a statement with a key of the workspace, as one line of JSON.
pub(super) fn sign_statement(key: &OpenKey, statement: &[u8]) -> Result<Vec<u8>, Error> {
    let envelope = Envelope::sign(bundle::PAYLOAD_TYPE, statement, &[key.signer.as_ref()])?;
    let mut line = envelope.to_line();
    line.push(b'\n');
    Ok(line)
}
