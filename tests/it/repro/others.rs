//! The commands by which others check a delivery, one by one, and the circumstances under which it must come out the same:
//! another clock, folders listed in another order, reprotest's variations. Leaves out what is in a bundle. Not run: cosign,
//! which is not packaged.

use std::path::Path;

use crate::support::{Workspace, may_change_user, node_modules, tool, tools_are_required};

const ZIP: &str = "out/bundles/hello-0.1.0.zip";
const PROGRAM: &str = env!("CARGO_BIN_EXE_partita");

fn script(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/bundle_tools").join(name);
    path.to_str().expect("a path of the repository is text").to_owned()
}

/// A delivery with the names that the commands use: `$Z`, `k.pub`, `k.key`.
fn delivered() -> Workspace {
    let ws = Workspace::copy_of("examples/hello");
    ws.run(&["deliver", "hello"]).ok();
    for (from, to) in [("default.pub.pem", "k.pub"), ("default.key.pem", "k.key")] {
        ws.write(to, std::fs::read(ws.state().join("keys").join(from)).expect("a key was made"));
    }
    ws
}

/// Runs lines of bash that must all succeed, unless a program they need is missing.
fn lines(ws: &Workspace, programs: &[&str], text: &str) -> Option<String> {
    if programs.iter().any(|name| tool(name).is_none()) {
        return None;
    }
    let bash = tool("bash")?;
    let text = format!("set -euo pipefail\nZ={ZIP}\n{text}");
    Some(
        ws.command(&bash, &["-c", &text])
            .pass("PARTITA_NODE_MODULES")
            .env("PARTITA_ISOLATION", "none")
            .run()
            .ok()
            .stdout,
    )
}

/// Whether Python has the packages of requirements.txt.
fn has_packages(ws: &Workspace) -> bool {
    let Some(python) = tool("python3") else { return false };
    let found = ws.command(&python, &["-c", "import ntia_conformance_checker, spdx_tools"]).run().status == 0;
    assert!(found || !tools_are_required(), "python3 lacks the packages of requirements.txt");
    found
}

#[test]
fn one_signature_and_subject() {
    let text = r#"
        head -1 $Z.intoto.jsonl > e.json; T=$(jq -r .payloadType e.json)
        jq -r .payload e.json | base64 -d > p.bin; jq -r '.signatures[0].sig' e.json | base64 -d > s.bin
        { printf 'DSSEv1 %d %s %d ' ${#T} "$T" "$(stat -c %s p.bin)"; cat p.bin; } > pae.bin
        openssl pkeyutl -verify -pubin -inkey k.pub -rawin -in pae.bin -sigfile s.bin
        test "$(jq -r '.subject[0].digest.sha256' p.bin)" = "$(sha256sum < $Z | cut -d' ' -f1)"
        test "$(jq -r '.subject[1].digest.sha256' p.bin)" = "$(unzip -p $Z META/SHA256SUMS | sha256sum | cut -d' ' -f1)"
    "#;
    if let Some(said) = lines(&delivered(), &["openssl", "jq", "unzip"], text) {
        assert!(said.contains("Signature Verified Successfully"), "{said}");
    }
}

#[test]
fn two_contents_after_extraction() {
    let text = r#"
        unzip -q $Z -d x && (cd x && sha256sum --quiet --strict -c META/SHA256SUMS)
        root=$(cd x && find out -type f | LC_ALL=C sort | tr '\n' '\0' | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)
        test "$root" = "$(jq -r .root.dirHash1 x/META/manifest.json)"
        test "$(cd x && find . -type f | wc -l)" -eq $(($(wc -l < x/META/SHA256SUMS) + 1))
    "#;
    lines(&delivered(), &["unzip", "jq"], text);
}

#[test]
fn three_sboms() {
    let ws = delivered();
    if has_packages(&ws) && tool("dpkg").is_some() {
        let text = "unzip -q $Z -d x\npyspdxtools -i x/META/spdx.json\nntia-checker x/META/spdx.json";
        if let Some(said) = lines(&ws, &["unzip", "pyspdxtools", "ntia-checker"], text) {
            assert!(said.contains("Conformant: True") || said.contains("conformant: True"), "{said}");
        }
    }
    let text = format!("unzip -q $Z -d y\nnode {} y/META/cyclonedx.json", script("cyclonedx.mjs"));
    if node_modules().is_some()
        && let Some(said) = lines(&ws, &["unzip", "node"], &text)
    {
        assert!(said.contains("valid CycloneDX 1.6"), "{said}");
    }
}

#[test]
fn four_readers() {
    let ws = delivered();
    lines(&ws, &["unzip"], "unzip -tqq $Z");
    lines(&ws, &["7z"], "7z t $Z");
    lines(&ws, &["bsdtar"], "bsdtar -tf $Z");
    lines(&ws, &["jar"], "jar tf $Z");
    lines(&ws, &["python3"], "python3 -c \"import zipfile; assert zipfile.ZipFile('$Z').testzip() is None\"");
}

/// The same key, the same files: another folder, clock and order of the folder's names.
fn again(before: &str, folder: &str, after: &str) -> String {
    format!(
        "mkdir -p {folder} other/state && cp partita.kdl {folder}/ && cp -r \"$KEYS\" other/state/keys\n{before}\n\
         faketime '2031-05-05' {PROGRAM} -C {folder} --store other/store --state other/state deliver hello -o \"$PWD/made\"\n{after}\n\
         for end in '' .intoto.jsonl .sigstore.json; do cmp $Z$end made/hello-0.1.0.zip$end; done\n"
    )
}

#[test]
fn five_the_same_under_another_clock() {
    let ws = delivered();
    let keys = format!("KEYS={}\n", ws.state().join("keys").display());
    lines(&ws, &["faketime"], &format!("{keys}{}", again("", "there", "")));
    lines(&ws, &["faketime", "diffoscope"], "diffoscope $Z made/hello-0.1.0.zip");
}

#[test]
fn five_the_same_in_folders_listed_otherwise() {
    let ws = delivered();
    let is_possible = Path::new("/dev/fuse").exists() && may_change_user();
    if !is_possible || tool("disorderfs").is_none() {
        return;
    }
    let keys = format!("KEYS={}\nmkdir in mnt && cp partita.kdl in/\n", ws.state().join("keys").display());
    // A machine may have the device and not permit it.
    let mount =
        "disorderfs --shuffle-dirents=yes in mnt > /dev/null || exit 0\ntrap 'umount mnt || fusermount -u mnt' EXIT";
    lines(&ws, &["faketime", "disorderfs"], &format!("{keys}{mount}\n{}", again("", "mnt/deep", "")));
}

#[test]
fn five_reprotest() {
    let ws = delivered();
    if !may_change_user() {
        return;
    }
    ws.write(
        "in/build.sh",
        format!(
            "set -e\nmkdir -p state && cp -r keys state/keys\n{PROGRAM} --store store --state state deliver hello\n\
             cp out/bundles/hello-0.1.0.zip* .\n"
        ),
    );
    let file_order = if Path::new("/dev/fuse").exists() { ",+fileordering" } else { "" };
    let text = format!(
        "cp partita.kdl in/ && cp -r {} in/keys\n\
         reprotest --vary=-all,+environment,+exec_path,+home,+locales,+timezone,+umask,+aslr,+kernel{file_order} \
         -c 'sh build.sh' in 'hello-0.1.0.zip*' 2>&1",
        ws.state().join("keys").display()
    );
    if let Some(said) = lines(&ws, &["reprotest", "disorderfs"], &text) {
        assert!(said.contains("Reproduction successful"), "{said}");
    }
}

#[test]
fn six_keys() {
    let ws = delivered();
    let text = "openssl pkey -in k.key -pubout | cmp - k.pub\n\
                openssl pkcs8 -topk8 -v2 aes-256-cbc -scrypt -in k.key -passout pass:x -out enc.key";
    if lines(&ws, &["openssl"], text).is_some() {
        let keys = ws.path("keys");
        std::fs::create_dir(&keys).expect("a folder can be made");
        let to = ws.state().join("keys/default.key.pem");
        std::fs::copy(ws.path("enc.key"), &to).expect("a key can be copied");
        let before = ws.bytes(&format!("{ZIP}.sigstore.json"));
        ws.run(&["deliver", "hello"]).expect(22);
        ws.partita(&["deliver", "hello"]).env("PARTITA_KEY_PASSPHRASE", "x").run().ok();
        assert_eq!(ws.bytes(&format!("{ZIP}.sigstore.json")), before, "it is the same key");
    }
}

#[test]
fn seven_a_second_signature_by_ssh() {
    let text = r"
        ssh-keygen -q -t ed25519 -N '' -C release -f ssh
        ssh-keygen -q -Y sign -f ssh -n partita.bundle $Z
        { printf 'release@acme '; cat ssh.pub; } > allowed
        ssh-keygen -Y verify -f allowed -I release@acme -n partita.bundle -s $Z.sig < $Z
        if ssh-keygen -Y verify -f allowed -I release@acme -n other -s $Z.sig < $Z; then exit 1; fi
    ";
    lines(&delivered(), &["ssh-keygen"], text);
}
