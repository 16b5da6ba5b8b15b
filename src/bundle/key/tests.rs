//! Keys: generation, files, strictness of both algorithms. Leaves out other people's tools.

use std::os::unix::fs::PermissionsExt;

use ed25519_dalek::pkcs8::EncodePrivateKey;

use super::files::write_new;
use super::*;
use crate::bundle::code::Code;

#[test]
fn generated_keys_are_read_back_and_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let files = generate_key(dir.path(), "release", Algorithm::Ed25519, None).unwrap();
    assert_eq!(std::fs::metadata(&files.private).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&files.private).unwrap();
    // 48 bytes of DER, so 64 characters: PKCS#8 v1 without a public half.
    assert_eq!(text.lines().nth(1).unwrap().len(), 64);
    assert_eq!(text.lines().count(), 3);
    let key = PrivateKey::from_pem_file(&files.private, None).unwrap();
    assert_eq!(key.public(), files.key);
    assert_eq!(PublicKey::from_pem_file(&files.public).unwrap(), files.key);
    let signature = key.sign(b"pae").unwrap();
    assert!(files.key.verifies(b"pae", &signature));
    assert!(!files.key.verifies(b"pai", &signature));
    assert_eq!(generate_key(dir.path(), "release", Algorithm::Ed25519, None).unwrap_err().code(), Code::B0207);
    assert_eq!(generate_key(dir.path(), "../x", Algorithm::Ed25519, None).unwrap_err().code(), Code::B0106);
}

#[test]
fn a_plain_key_that_others_may_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let files = generate_key(dir.path(), "k", Algorithm::Ed25519, None).unwrap();
    std::fs::set_permissions(&files.private, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(PrivateKey::from_pem_file(&files.private, None).unwrap_err().code(), Code::B0202);
}

#[test]
fn version_2_and_damaged_keys() {
    let dir = tempfile::tempdir().unwrap();
    let key = PrivateKey::from_seed([7; 32]);
    let path = dir.path().join("v2.pem");
    write_new(
        &path,
        ed25519_dalek::SigningKey::from_bytes(&[7; 32]).to_pkcs8_pem(LineEnding::LF).unwrap().as_bytes(),
        0o600,
    )
    .unwrap();
    assert_eq!(PrivateKey::from_pem_file(&path, None).unwrap().public(), key.public());
    let path = dir.path().join("bad.pem");
    write_new(&path, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0o600).unwrap();
    assert_eq!(PrivateKey::from_pem_file(&path, None).unwrap_err().code(), Code::B0203);
}

#[test]
fn keys_of_small_order_and_loose_signatures_are_refused() {
    // The identity point as a public key: any message would verify loosely.
    let mut der = PrivateKey::from_seed([1; 32]).public().spki_der().to_vec();
    let at = der.len() - 32;
    der[at..].fill(0);
    der[at] = 1;
    assert_eq!(PublicKey::from_spki_der(&der, "test").unwrap_err().code(), Code::B0203);
    // s + L is the same scalar: a second signature of the same message.
    let key = PrivateKey::from_seed([2; 32]);
    let mut signature = key.sign(b"m").unwrap();
    let order: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    assert!(!key.public().verifies(b"m", &signature));
}

#[test]
fn encrypted_keys_open_with_their_passphrase_only() {
    let dir = tempfile::tempdir().unwrap();
    for algorithm in Algorithm::ALL {
        let files = generate_key(dir.path(), algorithm.word(), algorithm, Some(b"secret")).unwrap();
        let text = std::fs::read_to_string(&files.private).unwrap();
        assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
        let key = PrivateKey::from_pem_file(&files.private, Some(b"secret")).unwrap();
        assert_eq!(key.public(), files.key);
        assert_eq!(key.algorithm(), algorithm);
        assert_eq!(PrivateKey::from_pem_file(&files.private, Some(b"other")).unwrap_err().code(), Code::B0205);
        assert_eq!(PrivateKey::from_pem_file(&files.private, None).unwrap_err().code(), Code::B0204);
    }
}

#[test]
fn a_p256_message_has_one_signature_that_counts() {
    let key = PrivateKey::p256_from_scalar([3; 32]).unwrap();
    let public = key.public();
    let signature = key.sign(b"m").unwrap();
    assert_eq!(signature, key.sign(b"m").unwrap(), "signing draws no random numbers");
    assert!(public.verifies(b"m", &signature) && !public.verifies(b"n", &signature));
    let low = p256::ecdsa::Signature::from_der(&signature).unwrap();
    let high = p256::ecdsa::Signature::from_scalars(*low.r(), *(-low.s())).unwrap();
    let other = high.to_der().as_ref().to_vec();
    assert!(!public.verifies(b"m", &other), "the second signature of a message was taken");
    assert_eq!(public.normalize(b"m", &other).unwrap(), signature);
    assert_eq!(public.normalize(b"m", &high.to_bytes()).unwrap(), signature);
    assert_eq!(public.normalize(b"n", &other), None);
    let longer = [&signature[..], b"\0"].concat();
    assert!(!public.verifies(b"m", &longer) && public.normalize(b"m", &longer).is_none());
    assert_eq!(PublicKey::from_pem(&public.to_pem(), "test").unwrap(), public);
    assert!(PrivateKey::p256_from_scalar([0; 32]).is_none());
}
