//! Conditions compare values by what they are: durations, sizes, money and versions. Leaves out what is said
//! about conditions that make no sense: see `ui`.

use partita::diag::Code;

use super::{addrs, compiled, planned, sound};

#[test]
fn conditions_compare_by_value() {
    for (ty, value, condition, holds) in [
        ("size", "1MiB", "eq \"1024KiB\"", true),
        ("size", "1MiB", "ne \"1024KiB\"", false),
        ("size", "9MiB", "lt \"10MiB\"", true),
        ("size", "1GB", "lt \"1GiB\"", true),
        ("dur", "90s", "ge \"2m\"", false),
        ("dur", "1m30s", "eq \"90s\"", true),
        ("dur", "100ms", "lt \"9s\"", true),
        ("money", "10.00", "gt \"9.00\"", true),
        ("money", "10.00", "eq \"10\"", true),
        ("semver", "1.10.0", "gt \"1.9.0\"", true),
        ("semver", "1.0.0-rc.1", "lt \"1.0.0\"", true),
        ("string", "10", "lt \"9\"", true),
        ("int", "10", "lt 9", false),
    ] {
        let default = if ty == "int" { value.to_owned() } else { format!("\"{value}\"") };
        let of_param = format!(
            "graph g {{ param z type={ty} default={default}\nnode always {{ write x; output o }}\n\
             node a {{ when z {condition}; write x; output o }} }}"
        );
        let of_constant = format!(
            "let z type={ty} {default}\ngraph g {{ node always {{ write x; output o }}\n\
             node a {{ when z {condition}; write x; output o }} }}"
        );
        let of_loop = format!(
            "let all type=list<{ty}> {{ - {default} }}\ngraph g {{ node always {{ write x; output o }}\n\
             node a {{ for-each y in=(var)all optional=#true; for-each z in=(var)all optional=#true\n\
             unless {{ not {{ - z {condition} }} }}; write x; output o }} }}"
        );
        for text in [of_param, of_constant, of_loop] {
            let compiled = sound(&[("partita.kdl", &text)]);
            let plan = planned(&compiled, &[]).expect("a plan");
            let found = addrs(&plan).iter().any(|addr| *addr == "g/a" || addr.starts_with("g/a/"));
            assert_eq!(found, holds, "{text}");
        }
    }
}

#[test]
fn what_is_compared_with_a_variable_is_measured_too() {
    let text = "graph g { param z type=size default=\"1MiB\"; param w type=string default=\"1024KiB\"\n\
                node a { when z eq (var)w; write x; output o }\nnode b { when w eq (var)z; write x; output o } }";
    let compiled = sound(&[("partita.kdl", text)]);
    assert_eq!(addrs(&planned(&compiled, &[]).expect("a plan")), ["g/a", "g/b"]);
    assert_eq!(planned(&compiled, &[("w", "much")]), Err(vec![Code::P0306, Code::P0306]));
}

#[test]
fn constraints_compare_by_value() {
    let text = "graph g { param z type=size { one-of \"1MiB\" \"2MiB\" }\n\
                param all type=list<dur> distinct=#true { default \"1m\" }\nnode a { write x; output o } }";
    let compiled = sound(&[("partita.kdl", text)]);
    assert!(planned(&compiled, &[("z", "1024KiB")]).is_ok());
    assert_eq!(planned(&compiled, &[("z", "3MiB")]), Err(vec![Code::P0305]));
    assert_eq!(planned(&compiled, &[("z", "1MiB"), ("all", "90s,1m30s")]), Err(vec![Code::P0304]));
}

#[test]
fn addresses_that_collide_name_both_nodes() {
    let text = "let l type=list<string> { - b }\ngraph g { node a { for-each x in=(var)l; write x; output o }\n\
                node \"a/b\" { write x; output o } }";
    let compiled = compiled(&[("partita.kdl", text)]);
    let found = compiled.diagnostics.sorted();
    let [only] = found.as_slice() else { panic!("one is enough: {found:?}") };
    assert_eq!((only.code, only.secondary.len()), (Code::P0407, 1));
}
