//! What widens a plan stands on top, and its reverse does not: gates, approvals, automation, money, trust,
//! secrets, packages. Leaves out how it is written.

use crate::support::Workspace;

/// The words for what is privileged when one spec becomes another, with the texts.
fn ways(old: &str, new: &str) -> Vec<(String, String)> {
    let workspace = Workspace::with_spec(old);
    workspace.run(&["plan", "g", "-o", "../before"]).ok();
    workspace.write("partita.kdl", format!("partita edition=1\n{new}"));
    let found = workspace.run(&["diff", "../before", ".", "--format", "json"]).ok().json();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let privileged = found["graphs"][0]["privileged"].as_array().expect("a list").iter();
    let ways = privileged.flat_map(|item| item["ways"].as_array().expect("a list").iter());
    ways.map(|way| (text(&way["kind"]), text(&way["text"]))).collect()
}

const GATED: &str = "\
group team {
    member ana key=\"1111111111111111111111111111111111111111111111111111111111111111\" email=\"ana@example.com\"
    member ben key=\"2222222222222222222222222222222222222222222222222222222222222222\" email=\"ben@example.com\"
    member dan key=\"4444444444444444444444444444444444444444444444444444444444444444\" email=\"dan@example.com\"
}
gate small kind=content {
    param text type=artifact.text
    require text.size le \"64KiB\"
    require text.lines ge 2
}
gate signoff kind=approval {
    approvers team min=2 distinct=#true
    expires \"2h\" then=reject
}
graph g {
    node a {
        run sh -c \"echo x > o\"
        output o type=artifact.text
    }
    node b automation=manual {
        guard small text=(ref)a.o
        guard signoff
        run sh -c \"echo y > p\"
        output p
    }
}
";

#[test]
fn gates_that_let_more_through_are_privileged_and_those_that_let_less_are_not() {
    const CEM: &str = "    member cem key=\"3333333333333333333333333333333333333333333333333333333333333333\" email=\"cem@example.com\"\n}\ngate small";
    for (from, to, kind, text) in [
        ("        guard signoff\n", "", "gate", "no longer waits for `g/b/guard/signoff`"),
        ("        guard small text=(ref)a.o\n", "", "gate", "no longer waits for `g/b/guard/small`"),
        ("    require text.lines ge 2\n", "", "gate", "requirement gone: text.lines ge 2"),
        ("le \"64KiB\"", "le \"65KiB\"", "gate", "requirement loosened: text.size le 65536 -> text.size le 66560"),
        ("min=2", "min=1", "gate", "people needed 2 -> 1"),
        (" distinct=#true", "", "gate", "the author of the change may approve it"),
        ("\"2h\"", "\"3h\"", "gate", "consent stands 2 h 00 m -> 3 h 00 m"),
        ("}\ngate small", CEM, "gate", "`cem` may approve, by key 333333333333"),
        ("automation=manual", "automation=assist", "automation", "manual -> assist"),
        (" automation=manual", "", "automation", "manual -> none"),
    ] {
        let new = GATED.replacen(from, to, 1);
        assert_ne!(new, GATED, "{from}");
        let found = ways(GATED, &new);
        let wanted = (kind.to_owned(), text.to_owned());
        assert!(found.contains(&wanted), "{from} -> {to}: {found:#?}");
        let back: Vec<_> =
            ways(&new, GATED).into_iter().filter(|(kind, _)| kind == "gate" || kind == "automation").collect();
        assert_eq!(back, [], "the reverse of {from} -> {to}");
    }
}

#[test]
fn what_a_command_that_decides_does_is_not_weighed_but_shown() {
    let spec = "gate lint kind=command {\n    run sh -c \"test -e o\"\n    param file type=artifact.file\n    input o from=(var)file\n}\ngraph g {\n    node a {\n        write x\n        output o\n    }\n    node b {\n        guard lint file=(ref)a.o\n        write y\n        output p\n    }\n}\n";
    let found = ways(spec, &spec.replace("test -e o", "true"));
    assert!(found.iter().any(|(kind, text)| kind == "gate" && text.contains("of a gate changed")), "{found:#?}");
}

#[test]
fn another_way_back_or_none_is_privileged_and_a_first_one_is_not() {
    const SPEC: &str = "graph g {\n    node push class=effect {\n        run sh -c \"true\"\n        rollback undo\n    }\n    \
        node undo class=effect {\n        run sh -c \"false\"\n    }\n    node other class=effect {\n        run sh -c \"false\"\n    }\n}\n";
    let none = SPEC.replace("        rollback undo\n", "");
    let effect = |text: &str| ("effect".to_owned(), text.to_owned());
    assert_eq!(ways(SPEC, &none), [effect("no longer taken back by `g/undo`")]);
    assert_eq!(
        ways(SPEC, &SPEC.replace("rollback undo", "rollback other")),
        [effect("taken back by `g/other`, no longer by `g/undo`")]
    );
    assert_eq!(ways(&none, SPEC), []);
}

const OWNED: &str = "\
tenant house {
    budget usd=\"5.00\" per=month on-exceed=pause
    allow-tier primary
    allow-capability noise
    trust vetted
    quota jobs=2
    secret token from=env key=TOKEN
}
tool shout {
    exec sh
    provides noise { arg -c \"echo {{ x }} > o\"; output o path=o; }
    cost usd=\"0.10\" per=call
    needs-secret token env=TOKEN
}
capability noise { accepts x type=string; returns o type=artifact.text; candidate shout }
graph g tenant=house {
    budget usd=\"1.00\"
    node a capability=noise {
        with x=y
    }
}
";

#[test]
fn money_trust_and_secrets_are_privileged_where_they_are_more() {
    for (from, to, kind, text) in [
        (
            "usd=\"5.00\"",
            "usd=\"6.00\"",
            "budget",
            "tenant.budget $5.00 per month, then pause -> $6.00 per month, then pause",
        ),
        ("usd=\"1.00\"", "usd=\"2.00\"", "budget", "budget $1.00 -> $2.00"),
        ("usd=\"0.10\"", "usd=\"0.20\"", "budget", "cost $0.10 -> $0.20"),
        ("jobs=2", "jobs=3", "budget", "tenant.jobs 2 -> 3"),
        ("trust vetted", "trust vetted community", "trust", "tenant.trust vetted -> community vetted"),
        ("    trust vetted\n", "", "trust", "tenant.trust vetted -> none"),
        ("allow-tier primary", "allow-tier primary secondary", "trust", "tenant.tiers primary -> primary secondary"),
        ("    allow-capability noise\n", "", "trust", "tenant.capabilities noise -> none"),
    ] {
        let new = OWNED.replacen(from, to, 1);
        assert_ne!(new, OWNED, "{from}");
        let found = ways(OWNED, &new);
        assert!(found.contains(&(kind.to_owned(), text.to_owned())), "{from} -> {to}: {found:#?}");
        let back: Vec<_> =
            ways(&new, OWNED).into_iter().filter(|(kind, _)| kind == "budget" || kind == "trust").collect();
        assert_eq!(back, [], "the reverse of {from} -> {to}");
    }
    let found = ways(OWNED, &OWNED.replace("key=TOKEN", "key=OTHER_TOKEN"));
    assert!(found.iter().any(|(kind, text)| kind == "secret" && text.contains("OTHER_TOKEN")), "{found:#?}");
    let found = ways(OWNED, &OWNED.replace("env=TOKEN", "env=SECOND"));
    assert!(found.contains(&("secret".to_owned(), "`SECOND` holds secret `token`".to_owned())), "{found:#?}");
}
