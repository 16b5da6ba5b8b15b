//! The verbs about keys. Leaves out the operations.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::bundle_args::{AlgorithmArg, KeyCommand};
use crate::cli::commands::{Status8, relative};
use crate::cli::output::Output;
use crate::ops::{self, Algorithm, Error, Locations, PublicKey, SignerDecl};

/// Makes, adds, shows and exports keys.
pub(super) fn key(locations: &Locations, command: &KeyCommand, output: &Output) -> Status8 {
    let dir = || ops::open(locations).map(|workspace| ops::key_dir(&workspace));
    let made = |out: Option<&PathBuf>| match out {
        Some(out) => Ok(locations.current.join(out)),
        None => ops::make_key_dir(&ops::open(locations)?),
    };
    let here = |path: &std::path::Path| relative(path, &locations.current);
    match command {
        KeyCommand::Generate { name, out, algorithm, passphrase_env } => {
            let algorithm = match algorithm {
                AlgorithmArg::Ed25519 => Algorithm::Ed25519,
                AlgorithmArg::P256 => Algorithm::P256,
            };
            let dir = made(out.as_ref())?;
            let files = ops::generate_key(&dir, name, algorithm, passphrase_env.as_deref(), &locations.environment)?;
            output.note(&format!("private {}", here(&files.private)));
            output.note(&format!("public  {}", here(&files.public)));
            output.note(&format!("keyid   {}", files.key.keyid()));
            output.text_or(
                "",
                || json!({"name": name, "private": files.private, "public": files.public, "keyid": files.key.keyid()}),
            );
            Ok(0)
        }
        KeyCommand::Add { name, public, out, variable, command } => {
            let how = match variable {
                Some(variable) => SignerDecl::Variable(variable.clone()),
                None => SignerDecl::Command(command.clone()),
            };
            let (file, key) = ops::add_key(&made(out.as_ref())?, name, &locations.current.join(public), &how)?;
            output.note(&format!("public  {}", here(&file)));
            output.note(&format!("keyid   {}", key.keyid()));
            output.text_or("", || json!({"name": name, "public": file, "keyid": key.keyid()}));
            Ok(0)
        }
        KeyCommand::Show { name } => {
            let dir = dir()?;
            let keys = match name {
                Some(name) => [(name.clone(), ops::public_key(&dir, name)?)].into(),
                None => ops::public_keys(&dir)?,
            };
            for (name, key) in keys {
                show(&name, &key, output);
            }
            Ok(0)
        }
        KeyCommand::SignPolicy { file, key } => {
            let file = locations.current.join(file);
            match ops::sign_policy_file(&file, &dir()?, key, &locations.environment)? {
                Ok(beside) => {
                    output.note(&format!("signed  {}", here(&beside)));
                    output.text_or("", || json!({"policy": file, "signatures": beside}));
                    Ok(0)
                }
                Err(errors) => {
                    output.diagnostics(&errors.diagnostics, &errors.sources);
                    Err(Error::Spec)
                }
            }
        }
        KeyCommand::Export { name, output: file } => {
            let pem = ops::public_key(&dir()?, name)?.to_pem();
            match file {
                Some(file) => {
                    let path = locations.current.join(file);
                    std::fs::write(&path, pem).map_err(Error::io("write", &path))?;
                }
                None => output.data(&pem),
            }
            Ok(0)
        }
    }
}

fn show(name: &str, key: &PublicKey, output: &Output) {
    let (algorithm, keyid, pem) = (key.algorithm().word(), key.keyid(), key.to_pem());
    if output.json {
        let object = json!({"name": name, "keyid": keyid, "algorithm": algorithm, "pem": pem});
        output.data(&format!("{object}\n"));
    } else {
        output.data(&format!("{name}  {algorithm}  {keyid}\n{pem}"));
    }
}
