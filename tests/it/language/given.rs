//! Lists, maps and records that stand where they are given: in the block of `with`, in that of `for-each`, and as
//! a default without elements. Leaves out what is wrong with them: see `ui`.

use super::{addrs, planned, sound, written};

/// One recipe that shows all that it is given.
const SHOWN: &str = r#"
record place {
    field town type=string
    field roads type=list<string>
    field open type=bool default=#true
}
recipe show {
    param files type=list<ident> { default { } }
    param sizes type=list<int> { default 7 }
    param home type=place { default { town x; roads y } }
    param ports type=map<int> { default { http 80 } }
    param places type=list<place> { default { } }
    param target type=string default=linux
    returns log type=artifact.file
    step say {
        write "{{ files | join ' ' }}|{{ sizes | join ' ' }}|{{ home.town }} {{ home.roads | join ' ' }} {{ home.open }}|{{ ports.http }}|{{ target }}"
        output log path=log.txt
    }
}
let one type=string core
let shared type=list<string> { - s; - t }
"#;

#[test]
fn what_is_given_may_stand_in_the_block() {
    let graph = r#"
graph g {
    param extra type=ident default=more
    node none recipe=show
    node all recipe=show {
        with target=bsd {
            files { - a; - (var)one; - "{{ extra }}-{{ one }}" }
            sizes {
                - 1
                - 2
            }
            home {
                town b
                roads c d
                open #false
            }
            ports { http 81; https 443 }
            places { - { town a; roads b }; - { town c; roads (var)shared } }
        }
    }
    node loop recipe=show {
        for-each name { - x; - y }
        with { files { - (var)name } }
    }
    node empty recipe=show {
        with { files { }; sizes { } }
    }
}
"#;
    let compiled = sound(&[("partita.kdl", &format!("{SHOWN}{graph}"))]);
    let plan = planned(&compiled, &[]).expect("it is planned");
    assert_eq!(written(&plan, "g/none/say"), "|7|x y true|80|linux");
    assert_eq!(written(&plan, "g/all/say"), "a core more-core|1 2|b c d false|81|bsd");
    assert_eq!(written(&plan, "g/loop/x/say"), "x|7|x y true|80|linux");
    assert_eq!(written(&plan, "g/loop/y/say"), "y|7|x y true|80|linux");
    assert_eq!(written(&plan, "g/empty/say"), "||x y true|80|linux");
}

#[test]
fn a_template_loops_over_what_it_is_given() {
    let text = r#"
template each {
    param names type=list<string>
    node n {
        for-each name in=(var)names
        write "{{ name }}"
        output o
    }
}
graph g {
    use each as=a { with { names { - x; - y } } }
    use each as=b { with { names { - z } } }
}
"#;
    let plan = planned(&sound(&[("partita.kdl", text)]), &[]).expect("it is planned");
    assert_eq!(addrs(&plan), ["g/a/n/x", "g/a/n/y", "g/b/n/z"]);
}

#[test]
fn a_loop_may_have_its_elements_in_its_block() {
    let text = r#"
let last type=string c
graph g {
    param first type=string default=a
    node texts {
        for-each x { - "{{ first }}"; - b; - (var)last }
        write "{{ x }}"
        output o
    }
    node numbers {
        for-each n {
            - 1
            - 2
        }
        for-each on { - #true; - #false }
        when n lt 2
        write "{{ n }} {{ on }}"
        output o
    }
}
"#;
    let compiled = sound(&[("partita.kdl", text)]);
    let plan = planned(&compiled, &[]).expect("it is planned");
    assert_eq!(addrs(&plan), ["g/numbers/1/false", "g/numbers/1/true", "g/texts/a", "g/texts/b", "g/texts/c"]);
    assert_eq!(written(&plan, "g/numbers/1/true"), "1 true");
    let plan = planned(&compiled, &[("first", "z")]).expect("it is planned");
    assert!(plan.find("g/texts/z").is_some(), "{:?}", addrs(&plan));
}

#[test]
fn lists_hold_lists_and_maps_hold_maps() {
    let text = r#"
let pairs type=list<list<ident>> { - { - linux; - x86 }; - { - linux; - arm } }
let named type=list<map<ident>> { - { id a; of x }; - { id b; of y } }
recipe show {
    param rows type=list<list<ident>> min-items=1
    param tree type=map<map<int>> { default { a { b 1 } } }
    returns log type=artifact.file
    step say { write "{{ tree.a.b }}"; output log path=log.txt }
}
template each {
    param rows type=list<list<ident>>
    node n { for-each row in=(var)rows; write "{{ row | join '+' }}"; output o }
}
graph g {
    node lists { for-each pair in=(var)pairs; write "{{ pair | join '/' }}"; output o }
    node maps { for-each one in=(var)named key=id; write "{{ one.of }}"; output o }
    node shown recipe=show {
        with { rows { - { - a; - b }; - {} }; tree { a { b 7 } } }
    }
    use each as=e { with { rows { - { - c; - d } } } }
}
"#;
    let compiled = sound(&[("partita.kdl", text)]);
    let plan = planned(&compiled, &[]).expect("it is planned");
    assert_eq!(written(&plan, "g/lists/linux-x86"), "linux/x86");
    assert_eq!(written(&plan, "g/lists/linux-arm"), "linux/arm");
    assert_eq!(written(&plan, "g/maps/b"), "y");
    assert_eq!(written(&plan, "g/shown/say"), "7");
    assert_eq!(written(&plan, "g/e/n/c-d"), "c+d");
}
