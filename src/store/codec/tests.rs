//! Tests of the written form of claims: round trip, damage, hostile bytes. Leaves out SQLite.

use super::*;

fn sample() -> Claim {
    let file = Entry::File { digest: Digest::of_blob(b"x"), size: 1, exec: true };
    Claim {
        key: ActionKey(Digest::of_blob(b"key")),
        outputs: vec![
            ClaimOutput { name: "a".into(), entry: file },
            ClaimOutput { name: "b".into(), entry: Entry::Dir { digest: Digest::of_blob(b"d") } },
            ClaimOutput { name: "c".into(), entry: Entry::Symlink { target: "a".into() } },
        ],
        logs: [Digest::of_blob(b"out"), Digest::of_blob(b"err")],
        manifest: "[]".into(),
        isolation: 2,
        duration_ms: 17,
        created: -4,
        run: "r".into(),
        addr: "g/n/s".into(),
        overlay: String::new(),
        signed: None,
    }
}

#[test]
fn a_claim_survives_and_a_damaged_one_is_noticed() {
    let claim = sample();
    let sealed = seal(&claim);
    assert_eq!(open(claim.key, claim.created, &sealed.body, &sealed.seal), Some(claim.clone()));
    for at in 0..sealed.body.len() {
        let mut bad = sealed.body.clone();
        bad[at] ^= 1;
        assert_eq!(open(claim.key, claim.created, &bad, &sealed.seal), None, "byte {at}");
    }
    assert_eq!(open(claim.key, 5, &sealed.body, &sealed.seal), None);
    assert_eq!(open(ActionKey(Digest::of_blob(b"other")), -4, &sealed.body, &sealed.seal), None);
}

#[test]
fn bytes_with_a_right_seal_that_are_no_claim_are_refused() {
    let claim = sample();
    let sealed = seal(&claim);
    for cut in 0..sealed.body.len() {
        let body = &sealed.body[..cut];
        assert_eq!(open(claim.key, 0, body, &seal_of(claim.key, 0, body)), None, "cut at {cut}");
    }
    let mut endless = vec![VERSION];
    endless.extend_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(open(claim.key, 0, &endless, &seal_of(claim.key, 0, &endless)), None);
}

#[test]
fn sameness_is_of_outputs_and_isolation() {
    let (mut a, b) = (sample(), sample());
    a.run = "other".into();
    a.created = 9;
    assert_eq!(sameness(&a), sameness(&b));
    a.isolation = 0;
    assert_ne!(sameness(&a), sameness(&b));
}
