//! Parameters of a graph given from outside, as text: each type, each constraint. Leaves out the command
//! line that they come from.

use partita::diag::Code;

use super::{planned, sound, written};

#[test]
fn parameters_of_a_graph_are_given_as_text() {
    // Type and constraints, text, and the value as written, or the code.
    let cases: &[(&str, &str, Result<&str, Code>)] = &[
        ("type=string", "any text, {{ held }}", Ok("any text, {{ held }}")),
        ("type=string", "", Ok("")),
        ("type=string max-length=3", "four", Err(Code::P0304)),
        ("type=string matches=\"[a-z]+\"", "abc", Ok("abc")),
        ("type=string matches=\"[a-z]+\"", "abc1", Err(Code::P0304)),
        ("type=ident", "my-crate", Ok("my-crate")),
        ("type=ident", "2nd", Err(Code::P0301)),
        ("type=int", "-12", Ok("-12")),
        ("type=int", "0x10", Ok("16")),
        ("type=int", "1.5", Err(Code::P0301)),
        ("type=int", "", Err(Code::P0301)),
        ("type=int min=1 max=9", "9", Ok("9")),
        ("type=int min=1 max=9", "10", Err(Code::P0304)),
        ("type=bool", "true", Ok("true")),
        ("type=bool", "false", Ok("false")),
        ("type=bool", "yes", Err(Code::P0301)),
        ("type=path", "a/b.txt", Ok("a/b.txt")),
        ("type=path", ".", Ok(".")),
        ("type=path", "../b", Err(Code::P0301)),
        ("type=glob", "src/**/*.c", Ok("src/**/*.c")),
        ("type=glob", "/etc/*", Err(Code::P0301)),
        ("type=dur", "1h30m", Ok("1h30m")),
        ("type=dur", "90", Err(Code::P0306)),
        ("type=size", "4GiB", Ok("4GiB")),
        ("type=size", "4G", Err(Code::P0306)),
        ("type=money", "1.50", Ok("1.50")),
        ("type=money", "1,50", Err(Code::P0306)),
        ("type=semver", "1.2.3-rc.1", Ok("1.2.3-rc.1")),
        ("type=semver", "1.2", Err(Code::P0301)),
        ("type=regex", "a|b", Ok("a|b")),
        ("type=regex", "(", Err(Code::P0301)),
        ("type=hash", "b3:xyz", Err(Code::P0301)),
        ("type=enum { one-of O0 O2 }", "O2", Ok("O2")),
        ("type=enum { one-of O0 O2 }", "O3", Err(Code::P0305)),
        ("type=list<string>", "a,b c,", Ok("a+b c")),
        ("type=list<string>", "", Ok("")),
        ("type=list<int>", "1, 2,-3", Ok("1+2+-3")),
        ("type=list<int>", "1,x", Err(Code::P0301)),
        ("type=list<int> max=2", "1,3", Err(Code::P0304)),
        ("type=list<string> distinct=#true", "a,b,a", Err(Code::P0304)),
        ("type=list<enum> { one-of a b }", "a,c", Err(Code::P0305)),
        ("type=list<ident>", "core,cli", Ok("core+cli")),
    ];
    for (ty, text, expected) in cases {
        let hole = if ty.contains("list") { "{{ value | join '+' }}" } else { "{{ value }}" };
        let source = format!("graph g {{ param value {ty}; node n {{ write \"{hole}\"; output out }} }}");
        let compiled = sound(&[("partita.kdl", &source)]);
        let found = planned(&compiled, &[("value", text)]);
        match (found, expected) {
            (Ok(plan), Ok(expected)) => assert_eq!(written(&plan, "g/n"), *expected, "{ty} {text:?}"),
            (Err(found), Err(code)) => assert_eq!(found, [*code], "{ty} {text:?}"),
            (found, _) => panic!("{ty} {text:?}: {:?}, not {expected:?}", found.map(|plan| plan.graph)),
        }
        assert_eq!(planned(&compiled, &[]).err(), Some(vec![Code::P0302]), "{ty}");
        let wrong = planned(&compiled, &[("value", text), ("valeu", "x")]).err();
        assert!(wrong.is_some_and(|codes| codes.contains(&Code::P0303)), "{ty}");
    }
}
