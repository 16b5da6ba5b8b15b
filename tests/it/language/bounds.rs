//! Specs that would expand to more than there is room for, nest deeper than there is stack for, or
//! take longer than anyone waits: they are refused, or read in a moment. Leaves out text that is not
//! KDL: see `guard`.

use std::fmt::Write as _;
use std::fs;

use partita::base::RelPath;
use partita::diag::{Code, Severity};
use partita::lang::{Compiled, MemoryWorld, compile};

use super::{addrs, compiled, plan, planned, sound};

/// Kibibytes of memory that this process has needed at most, where the system tells.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or(0)
}

/// Memory that refusing a spec may take. The bound is far above what the limits allow and far below
/// what the specs would take without them.
const ROOM: u64 = 1 << 20;

fn codes(compiled: &Compiled) -> Vec<Code> {
    let errors = compiled.diagnostics.sorted().into_iter().filter(|item| item.severity == Severity::Error);
    errors.map(|item| item.code).collect()
}

#[track_caller]
fn refused(what: &str, text: &str) {
    let before = peak();
    let found = compiled(&[("partita.kdl", text)]);
    assert_eq!(codes(&found), [Code::P0405], "{what}");
    // The kernel counts in batches for each thread, so its peak may seem to fall a little.
    let taken = peak().saturating_sub(before);
    assert!(taken < ROOM, "{what}: refusing it took {taken} KiB");
}

/// One line for each number.
fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |text, number| text + &line(number) + "\n")
}

fn list(name: &str, count: usize, element: &str) -> String {
    let elements = lines(count, |number| format!("    - \"{element}{number}\""));
    format!("let {name} type=list<string> {{\n{elements}}}\n")
}

#[test]
fn loops_that_multiply_are_refused() {
    let digits = list("d", 10, "");
    let loops = lines(20, |number| format!("for-each v{number} in=(var)d"));
    refused("twenty loops", &format!("{digits}graph g {{ node n {{ {loops} write x; output o }} }}"));
    let thousand = list("d", 1_000, "");
    let nodes = lines(120, |number| format!("node n{number} {{ for-each x in=(var)d; write x; output o }}"));
    refused("many nodes", &format!("{thousand}graph g {{ {nodes} }}"));
    let nodes = lines(30, |number| {
        format!(
            "node n{number} {{ for-each x in=(var)d optional=#true; for-each y in=(var)h; when x eq none; write x; output o }}"
        )
    });
    let ninety = list("h", 90, "");
    refused("instances that conditions refuse", &format!("{thousand}{ninety}graph g {{ {nodes} }}"));
}

#[test]
fn templates_that_multiply_are_refused() {
    let mut text = String::from("template t0 { node n { write x; output o } }\n");
    for level in 1..60 {
        let _ = writeln!(text, "template t{level} {{ use t{} as=a; use t{} as=b }}", level - 1, level - 1);
    }
    refused("templates with a node", &format!("{text} graph g {{ use t59 as=t }}"));
    let empty = text.replace("node n { write x; output o }", "");
    refused("templates without a node", &format!("{empty} graph g {{ use t59 as=t }}"));
}

#[test]
fn text_that_multiplies_is_refused() {
    let long = "x".repeat(60_000);
    let thousand = list("d", 1_000, "");
    let big = list("big", 20_000, &"y".repeat(50));
    refused("long constants in every instance", &format!(
        "{thousand} let long type=string \"{long}\" graph g {{ node n {{ for-each x in=(var)d; run sh (var)long (var)long; output o }} }}"
    ).replace(" graph", "\ngraph").replace(" let", "\nlet"));
    refused(
        "a long list in every instance",
        &format!("{thousand}{big}graph g {{ node n {{ for-each x in=(var)d; run sh (var)big; output o }} }}"),
    );
    refused(
        "a long list many times in one action",
        &format!("{big}graph g {{ node n {{ run sh {}; output o }} }}", "(var)big ".repeat(10_000)),
    );
    refused(
        "a long list joined",
        &format!("{big}graph g {{ node n {{ write \"{{{{ big | join '{}' }}}}\"; output o }} }}", "z".repeat(10_000)),
    );
    refused(
        "a long constant in a recipe's parameters",
        &format!(
            "{thousand}let long type=string \"{long}\"
        recipe r {{
            param a type=string
            param b type=string
            returns o type=artifact.file
            step s {{ write \"a\"; output o path=o }}
        }}
        graph g {{ node n recipe=r {{ for-each x in=(var)d; for-each y in=(var)e; with a=(var)long b=(var)x }} }}\n{}",
            list("e", 50, "")
        ),
    );
    refused(
        "a list in the block of what is used often",
        &format!(
            "recipe r {{
            param xs type=list<string>
            returns o type=artifact.file
            step s {{ write \"a\"; output o path=o }}
        }}
        {thousand}graph g {{ node n recipe=r {{ for-each x in=(var)d; with {{ xs {{ {} }} }} }} }}",
            lines(2_000, |number| format!("- \"{}{number}\"", "z".repeat(50)))
        ),
    );
    refused(
        "long keys",
        &format!(
            "let keys type=list<string> {{ - \"{long}\" }}\n{thousand}{}graph g {{ node n {{ for-each k in=(var)keys; for-each x in=(var)d; for-each y in=(var)e; write x; output o }} }}",
            list("e", 50, "")
        ),
    );
}

#[test]
fn edges_that_multiply_are_refused() {
    let many = list("d", 30_000, "");
    refused(
        "inputs",
        &format!(
            "{many}graph g {{
            node a {{ for-each x in=(var)d; write x; output o }}
            node b {{ for-each x in=(var)d; input \"{{{{ node.x }}}}\" from=(ref)a.o; run sh -c ls }}
        }}"
        ),
    );
    refused(
        "order",
        &format!(
            "{many}graph g {{
            node a {{ for-each x in=(var)d; write x; output o }}
            node b {{ for-each x in=(var)d; write x; output o; after a }}
        }}"
        ),
    );
    refused(
        "patterns",
        &format!(
            "{many}graph g {{
            node a {{ for-each x in=(var)d; write x; output o }}
            node b {{ for-each x in=(var)d; write x; output o; after \"**/none{{{{ x }}}}\" optional=#true }}
        }}"
        ),
    );
}

#[test]
fn tools_may_start_each_other_in_long_chains() {
    let mut tools = String::new();
    for number in 0..20_000 {
        let _ = writeln!(tools, "tool t{number} {{ exec t{number}; uses t{} }}", (number + 1) % 20_000);
    }
    let plan = plan(&format!("{tools}graph g {{ node n {{ run t0 }} }}"));
    assert_eq!((addrs(&plan).len(), plan.tools.len()), (1, 20_000));
}

#[test]
fn templates_may_use_each_other_in_long_chains_that_are_refused() {
    let mut templates = String::from("template t0 { node n { write x; output o } }\n");
    for number in 1..40_000 {
        let _ = writeln!(templates, "template t{number} {{ use t{} as=u }}", number - 1);
    }
    refused("deep templates", &format!("{templates}graph g {{ use t39999 as=u }}"));
    let cycle = templates.replace("template t0 { node n { write x; output o } }", "template t0 { use t39999 as=u }");
    let found = compiled(&[("partita.kdl", &cycle)]);
    assert_eq!(codes(&found), [Code::P0403]);
}

#[test]
fn files_may_import_each_other_in_long_chains() {
    let mut world = MemoryWorld::default();
    for number in 0..1_990 {
        let name = if number == 0 { "partita.kdl".to_owned() } else { format!("f{number}.kdl") };
        let text = format!("partita edition=1\nimport \"./f{}.kdl\" as=next\n", number + 1);
        world.insert(RelPath::new(&name).expect("a relative path"), &text);
    }
    world.insert(RelPath::new("f1990.kdl").expect("a relative path"), "partita edition=1\nlet x type=int 1\n");
    let found = compile(&world, &[RelPath::new("partita.kdl").expect("a relative path")]);
    assert_eq!(codes(&found), []);
    assert_eq!(found.program.files.len(), 1_992);
}

#[test]
fn what_is_long_is_read_in_a_moment() {
    // A graph as large as it may be, in which everything refers to something.
    let mut graph = String::from("graph g {\n    node n0 { write x; output o }\n");
    for number in 1..20_000 {
        let _ = writeln!(graph, "    node n{number} {{ input a from=(ref)n{}.o; copy a; output o }}", number - 1);
    }
    let compiled_graph = sound(&[("partita.kdl", &(graph + "}\n"))]);
    assert_eq!(planned(&compiled_graph, &[]).map(|plan| plan.actions.len()), Ok(20_000));
    // As many mistakes as a file has room for.
    let references = lines(20_000, |n| format!("node n{n} {{ input a from=(ref)m{n}.o; run sh }}"));
    let (tools, uses) = (
        lines(20_000, |n| format!("tool tool{n} {{ exec t }}")),
        lines(20_000, |n| format!("node n{n} {{ run toool{n} }}")),
    );
    let with = lines(20_000, |n| format!("with a{n}=1"));
    let params = lines(20_000, |n| format!("param b{n} type=int"));
    let includes = lines(20_000, |n| format!("include x{n}"));
    let outputs = lines(20_000, |n| format!("output \"d/{n}\""));
    let cases: &[(&str, String)] = &[
        ("unknown nodes", "a\n".repeat(100_000)),
        ("unknown properties", format!("graph g {{ node n {{ run sh {} }} }}", "a=1 ".repeat(200_000))),
        ("equal nodes", format!("graph g {{ {} }}", "node n { write x; output o }\n".repeat(40_000))),
        ("wrong references", format!("graph g {{ {references} }}")),
        ("wrong tools", format!("{tools}graph g {{ {uses} }}")),
        ("wrong variables", format!("graph g {{ node n {{ run sh {} }} }}", "\"{{ x }}\" ".repeat(100_000))),
        ("wrong holes", format!("graph g {{ node n {{ run sh {} }} }}", "\"{{ + }}\" ".repeat(100_000))),
        (
            "wrong arguments",
            format!(
                "recipe r {{ {params} step s {{ write x; output o }} }}\ngraph g {{ node n recipe=r {{ {with} }} }}"
            ),
        ),
        ("wrong includes", format!("graph g {{ node n {{ write x; output o }} }}\nbundle b from=g {{ {includes} }}")),
        ("outputs", format!("graph g {{ node n {{ run sh; {outputs} output d }} }}")),
    ];
    for (what, text) in cases {
        let before = peak();
        let found = compiled(&[("partita.kdl", text)]);
        assert!(!codes(&found).is_empty(), "{what}");
        let taken = peak() - before;
        assert!(taken < 2 * ROOM, "{what}: it took {taken} KiB");
    }
}

#[test]
fn many_names_that_are_nearly_right_take_a_moment() {
    let nodes =
        lines(5_000, |number| format!("node nodenumber{number} {{ after nodenumbre{number}; write x; output o }}"));
    let before = crate::support::processor_time();
    let found = compiled(&[("partita.kdl", &format!("graph g {{\n{nodes}}}\n"))]);
    let taken = crate::support::processor_time().saturating_sub(before);
    assert!(found.diagnostics.sorted().len() > 1_000);
    assert!(found.diagnostics.sorted()[0].help.iter().any(|help| help.contains("did you mean")));
    assert!(taken.as_secs() < 15, "{taken:?}");
}
