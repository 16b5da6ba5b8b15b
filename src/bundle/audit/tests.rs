//! Scans against small invented databases. Leaves out real ones.

use super::*;

fn component(kind: &str, name: &str, version: &str) -> Component {
    Component { kind: kind.into(), name: name.into(), version: version.into(), checksum: None, supplier: None }
}

fn database(records: &[Value], components: &[Component]) -> Database {
    let dir = tempfile::tempdir().unwrap();
    for record in records {
        let name = format!("{}.json", record["id"].as_str().unwrap());
        std::fs::write(dir.path().join(name), record.to_string()).unwrap();
    }
    let digest = hash_database(dir.path()).unwrap();
    load_database(dir.path(), digest, components).unwrap()
}

fn record(id: &str, aliases: &[&str], ecosystem: &str, name: &str, events: Value) -> Value {
    json!({
        "id": id, "modified": "2026-01-02T03:04:05Z", "aliases": aliases, "summary": "bad",
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
        "affected": [{
            "package": {"ecosystem": ecosystem, "name": name},
            "ranges": [{"type": "SEMVER", "events": events}], "versions": ["0.0.7"],
        }],
    })
}

#[test]
fn ranges_are_judged_by_the_order_of_versions() {
    let events =
        json!([{"introduced": "1.0.0-0"}, {"fixed": "1.2.0"}, {"introduced": "2.0.0"}, {"last_affected": "2.1.0"}]);
    let known = record("RUSTSEC-1", &[], "crates.io", "x", events);
    for (version, affected) in [
        ("0.9.0", false),
        ("0.0.7", true),
        ("1.0.0", true),
        ("1.1.9", true),
        ("1.2.0", false),
        ("2.0.0", true),
        ("2.1.0", true),
        ("2.1.1", false),
    ] {
        let components = [component("cargo", "x", version)];
        let found = audit(&components, &database(std::slice::from_ref(&known), &components));
        assert_eq!(found.findings.len(), usize::from(affected), "{version}");
    }
}

#[test]
fn what_was_not_looked_at_is_said() {
    let events = json!([{"introduced": "0"}]);
    let known = [record("A", &[], "crates.io", "x", events.clone()), record("B", &[], "PyPI", "some-thing", events)];
    let components = [
        component("cargo", "x", "1.0.0"),
        component("pypi", "Some_Thing", "3"),
        component("npm", "y", "1.0.0"),
        component("cargo", "x", "not a version"),
    ];
    let found = audit(&components, &database(&known, &components));
    let coverage: Vec<(&str, u64, Compared)> =
        found.coverage.iter().map(|one| (one.ecosystem.as_str(), one.packages, one.how)).collect();
    assert_eq!(
        coverage,
        [("PyPI", 1, Compared::Enumerated), ("crates.io", 2, Compared::Ordered), ("npm", 1, Compared::NoData)]
    );
    // A range alone is not seen where the order of versions is not known.
    assert_eq!(found.findings.iter().map(|finding| finding.id.as_str()).collect::<Vec<_>>(), ["A"]);
    assert_eq!(found.undetermined, ["pkg:cargo/x@not%20a%20version"]);
}

#[test]
fn aliases_are_one_finding_and_vex_closes_it() {
    let events = json!([{"introduced": "0"}]);
    let mut withdrawn = record("C", &[], "npm", "@s/y", events.clone());
    withdrawn["withdrawn"] = json!("2026-01-01T00:00:00Z");
    let known = [
        record("GHSA-1", &["CVE-1"], "npm", "@s/y", events.clone()),
        record("MAL-1", &["CVE-1"], "npm", "@s/y", events),
        withdrawn,
    ];
    let components = [component("npm", "@s/y", "1.0.0")];
    let mut found = audit(&components, &database(&known, &components));
    assert_eq!(found.findings.len(), 1);
    assert_eq!(found.findings[0].aliases, ["CVE-1", "MAL-1"]);
    assert_eq!(found.findings[0].severity, Severity::Critical);
    let bundle = "pkg:generic/demo@1.0.0";
    let document = |product: Value| {
        let text = json!({
            "@context": "https://openvex.dev/ns/v0.2.0",
            "statements": [{
                "vulnerability": {"name": "CVE-1"}, "products": [product], "status": "not_affected",
                "justification": "component_not_present",
            }],
        });
        Vex::parse(text.to_string().as_bytes()).unwrap()
    };
    found.apply(&[document(json!({"@id": "pkg:generic/other"}))], bundle);
    found.apply(&[document(json!({"@id": bundle, "subcomponents": [{"@id": "pkg:npm/z"}]}))], bundle);
    assert!(found.findings[0].is_open());
    found.apply(&[document(json!({"@id": bundle, "subcomponents": [{"@id": "pkg:npm/%40s/y"}]}))], bundle);
    assert!(!found.findings[0].is_open());
    // What we write of it we read again.
    let again = Vex::parse(&vex_document(&found, "acme", bundle)).unwrap();
    assert_eq!(again.status(&found.findings[0], bundle), found.findings[0].vex);
    let without =
        json!({"@context": "https://openvex.dev/ns", "statements": [{"vulnerability": "C", "status": "not_affected"}]});
    assert!(Vex::parse(without.to_string().as_bytes()).is_err());
}
