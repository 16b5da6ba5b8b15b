//! Plans do not depend on how a spec is written down, and definitions not on what its parts are
//! called. Leaves out keys of hand-made actions: see `keys`.

use std::collections::BTreeMap;

use partita::base::RelPath;
use partita::diag::{Diagnostics, SourceId};
use partita::lang::{self, Compiled, Expansion, MemoryWorld, print_expansion};
use partita::plan::{Plan, lower, to_json_lines};

use super::{plan, plan_of, sound};
use crate::support::golden;

const SPEC: &str = r#"
import "<std>/cc" as=cc

let files type=list<string> {
    - lapi.c
    - lcode.c
}

tool gen {
    exec "tools/gen.sh"
    uses sh
}

recipe compile {
    param file type=string
    param opt type=enum default=O2 { one-of O0 O2 }
    param src type=artifact.dir
    returns obj type=artifact.file
    step cc tool=cc.gcc {
        input src from=(var)src select="*.[ch]"
        arg "-{{ opt }}" -c "src/{{ file }}" -o out.o
        env LC_X="1" A=b
        output obj path="out.o"
        output dep path="out.d"
        timeout "2m"
    }
}

graph lua {
    param opt type=string default=O2
    concurrency 2
    resource gpu capacity=1
    node fetch {
        run gen --fetch
        output src path="vendor/lua" type=artifact.dir
    }
    node obj recipe=compile {
        for-each file in=(var)files
        with file=(var)file opt=(var)opt src=(ref)fetch.src
    }
    node lib {
        input "obj/{{ node.file }}.o" from=(ref)obj.obj
        run cc.ar rcsD liblua.a "obj/lapi.c.o"
        holds gpu
        output liblua.a
    }
    node text {
        write "{{ opt }}\n"
        output text.txt
        after lib fetch
    }
}
"#;

#[test]
fn a_plan_is_frozen() {
    golden("golden/plan/stable.jsonl", &to_json_lines(&plan(SPEC)));
}

#[test]
fn writing_it_otherwise_changes_nothing() {
    let expected = to_json_lines(&plan(SPEC));
    let same = |what: &str, text: &str| assert_eq!(to_json_lines(&plan(text)), expected, "{what}");
    assert_eq!(to_json_lines(&plan(SPEC)), expected);
    same("indentation", &SPEC.replace("    ", "\t"));
    same("comments", &SPEC.replace('\n', " // a comment\n"));
    same("blank lines", &SPEC.replace('\n', "\n\n"));
    same("line ends", &SPEC.replace('\n', "\r\n"));
    same("quotes", &SPEC.replace("out.d", "\\u{6f}ut.d").replace("type=string", "type=\"string\""));
    same("an old declaration", &SPEC.replace("\nrecipe", "\n/-recipe x {\n}\nrecipe"));
    same("one line", &SPEC.replace(" -o out.o\n        env", " -o out.o; env"));

    // Declarations, and nodes within a graph, in any order.
    let (imports, rest) = SPEC.split_once("\nlet").expect("the spec has a `let`");
    let declarations: Vec<String> = format!("let{rest}")
        .split("\n}\n")
        .filter(|text| !text.trim().is_empty())
        .map(|text| format!("{text}\n}}\n"))
        .collect();
    assert_eq!(declarations.len(), 4);
    let reversed: String = declarations.iter().rev().map(String::as_str).collect();
    same("the order of declarations", &format!("{reversed}\n{imports}\n"));
    let (head, nodes) = SPEC.split_once("    node fetch").expect("the graph has nodes");
    let nodes: Vec<String> = format!("    node fetch{}", nodes.trim_end().trim_end_matches('}'))
        .split("\n    }\n")
        .filter(|text| !text.trim().is_empty())
        .map(|text| format!("{text}\n    }}\n"))
        .collect();
    assert_eq!(nodes.len(), 4);
    let reversed: String = nodes.iter().rev().map(String::as_str).collect();
    same("the order of nodes", &format!("{head}{reversed}}}\n"));
    same("the order of inputs, outputs and variables", &{
        let moved = SPEC.replace(
            "        output obj path=\"out.o\"\n        output dep path=\"out.d\"\n",
            "        output dep path=\"out.d\"\n        output obj path=\"out.o\"\n",
        );
        assert_ne!(moved, SPEC);
        moved.replace("env LC_X=\"1\" A=b", "env A=b\n        env LC_X=\"1\"")
    });
    same("the order of what comes before", &SPEC.replace("after lib fetch", "after fetch\n        after lib"));
}

#[test]
fn splitting_it_into_files_changes_nothing() {
    let expected = to_json_lines(&plan(SPEC));
    let recipe_at = SPEC.find("recipe compile").expect("the spec has a recipe");
    let graph_at = SPEC.find("graph lua").expect("the spec has a graph");
    let recipe = format!("import \"<std>/cc\" as=c\n{}", SPEC[recipe_at..graph_at].replace("cc.gcc", "c.gcc"));
    let files_at = SPEC.find("let files").expect("the spec has a list");
    let lists = &SPEC[files_at..SPEC.find("tool gen").expect("the spec has a tool")];
    let root = format!(
        "import \"./parts/recipes.kdl\" as=r\nimport \"./lists.kdl\" as=l\nimport \"<std>/cc\" as=cc\n{}{}",
        &SPEC[SPEC.find("tool gen").expect("the spec has a tool")..recipe_at],
        SPEC[graph_at..].replace("recipe=compile", "recipe=r.compile").replace("(var)files", "(var)l.files"),
    );
    let files = [("partita.kdl", root.as_str()), ("parts/recipes.kdl", &recipe), ("lists.kdl", lists)];
    assert_eq!(to_json_lines(&plan_of(&files, &[])), expected);
}

/// A graph with gates, a tool that the standard library has too, an agent and its provider.
const GATED: &str = r#"
group team {
    member ada key="0000000000000000000000000000000000000000000000000000000000000001"
    member bob key="0000000000000000000000000000000000000000000000000000000000000002"
}

gate people kind=approval {
    approvers team min=2
}

gate fine kind=content {
    param text type=artifact.text
    require text.lines ge 1 else="it is empty"
    require text.size le 1000
    require { any { - text.text contains yes; - text.text contains aye } }
}

tool node {
    exec "tools/node.sh"
}

provider local kind=command {
    exec "./agent.sh"
}

agent writer provider=local {
    budget usd="1.00"
}

graph g {
    node ask agent=writer {
        output said.txt type=artifact.text
    }
    node build {
        input said.txt from=(ref)ask.said.txt
        run node said.txt
        output out.txt type=artifact.text
        guard people
        guard fine text=(ref)ask.said.txt
    }
}
"#;

#[test]
fn splitting_gates_tools_and_agents_off_changes_nothing() {
    let expected = to_json_lines(&plan(GATED));
    let graph_at = GATED.find("graph g").expect("the spec has a graph");
    let root = GATED[graph_at..]
        .replace("agent=writer", "agent=lib.writer")
        .replace("run node", "run lib.node")
        .replace("guard people", "guard lib.people")
        .replace("guard fine", "guard lib.fine");
    let root = format!("import \"./lib.kdl\" as=lib\n{root}");
    let files = [("partita.kdl", root.as_str()), ("lib.kdl", &GATED[..graph_at])];
    assert_eq!(to_json_lines(&plan_of(&files, &[])), expected);
}

#[test]
fn the_order_of_what_a_gate_requires_changes_nothing() {
    let expected = to_json_lines(&plan(GATED));
    let (first, second) = ("    require text.lines ge 1 else=\"it is empty\"\n", "    require text.size le 1000\n");
    let moved = GATED.replace(&format!("{first}{second}"), &format!("{second}{first}"));
    assert_ne!(moved, GATED);
    assert_eq!(to_json_lines(&plan(&moved)), expected);
    let moved = moved.replace(
        "- text.text contains yes; - text.text contains aye",
        "- text.text contains aye; - text.text contains yes",
    );
    assert_eq!(to_json_lines(&plan(&moved)), expected);
}

fn digests(plan: &Plan) -> Vec<(String, String)> {
    let mut all: Vec<_> = plan.actions.iter().map(|action| (action.def.hex(), action.skey.hex())).collect();
    all.sort();
    all
}

#[test]
fn names_are_for_people() {
    let before = plan(SPEC);
    let renames: &[(&str, &[(&str, &str)])] = &[
        (
            "a node",
            &[
                ("node fetch", "node download"),
                ("(ref)fetch.src", "(ref)download.src"),
                ("after lib fetch", "after lib download"),
            ],
        ),
        ("a node with a loop", &[("node obj", "node objects"), ("(ref)obj.obj", "(ref)objects.obj")]),
        ("a graph", &[("graph lua", "graph everything")]),
        ("a recipe", &[("recipe compile", "recipe cc"), ("recipe=compile", "recipe=cc")]),
        ("a step", &[("step cc tool", "step compile tool")]),
        (
            "a parameter",
            &[
                ("param opt type=string", "param level type=string"),
                ("opt=(var)opt", "opt=(var)level"),
                ("write \"{{ opt }}", "write \"{{ level }}"),
            ],
        ),
        ("a constant", &[("let files", "let sources"), ("(var)files", "(var)sources")]),
        (
            "a loop variable",
            &[
                ("for-each file", "for-each source"),
                ("file=(var)file opt", "file=(var)source opt"),
                ("node.file", "node.source"),
            ],
        ),
        ("an alias", &[("as=cc", "as=toolchain"), ("cc.gcc", "toolchain.gcc"), ("cc.ar", "toolchain.ar")]),
        ("a tool", &[("tool gen", "tool generator"), ("run gen ", "run generator ")]),
    ];
    for (what, edits) in renames {
        let renamed = edits.iter().fold(SPEC.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{what}: no `{from}`");
            text.replace(from, to)
        });
        assert_ne!(renamed, SPEC);
        let after = plan(&renamed);
        assert_eq!(digests(&after), digests(&before), "after renaming {what}");
    }
    let moved = plan(
        &SPEC
            .replace("node fetch", "node download")
            .replace("fetch.src", "download.src")
            .replace("lib fetch", "lib download"),
    );
    assert!(moved.find("lua/download").is_some() && moved.find("lua/fetch").is_none());
    assert_ne!(moved.digest, before.digest, "a plan is approved with its addresses");
}

#[test]
fn policies_are_not_part_of_a_definition() {
    let before = plan(SPEC);
    for (what, from, to) in [
        ("timeout", "timeout \"2m\"", "timeout \"3m\""),
        ("retries", "timeout \"2m\"", "timeout \"2m\"\n        retry max=4 on=any"),
        ("resources", "timeout \"2m\"", "timeout \"2m\"\n        resources cpu=4 memory=\"1GiB\""),
        ("holds", "        holds gpu\n", ""),
        ("order", "        after lib fetch\n", ""),
        ("concurrency", "concurrency 2", "concurrency 7"),
    ] {
        assert!(SPEC.contains(from));
        let after = plan(&SPEC.replace(from, to));
        assert_eq!(digests(&after), digests(&before), "after a change of {what}");
        assert_ne!(after.digest, before.digest, "after a change of {what}");
    }
}

/// A printed expansion compiles to the plan it was printed of.
fn same_plan_again(compiled: &Compiled, expansion: &Expansion, printed: &str) {
    let again = lang::compile(&MemoryWorld::single(printed), &[RelPath::new("partita.kdl").expect("a relative path")]);
    assert!(!again.diagnostics.has_errors(), "{}\n{printed}", super::rendered(&again, &again.diagnostics));
    let mut diagnostics = Diagnostics::default();
    let graph = again.program.root_graphs()[0];
    let second = lang::expand(&again.program, graph, &BTreeMap::new(), &mut diagnostics).expect("it expands again");
    assert_eq!(lower(&again.program, &second).digest, lower(&compiled.program, expansion).digest, "{printed}");
    let twice = print_expansion(&second, &again.program);
    let lines = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.trim_start().starts_with("//")).map(str::to_owned).collect()
    };
    assert_eq!(lines(&twice), lines(printed), "printing is not a fixed point");
}

#[test]
fn expansions_of_the_examples_are_specs_of_the_same_plan() {
    for folder in ["examples/hello", "examples/lua", "examples/services", "examples/site"] {
        let text =
            std::fs::read_to_string(crate::support::repository(folder).join("partita.kdl")).expect("it is there");
        let root = [RelPath::new("partita.kdl").expect("a relative path")];
        let compiled = lang::compile(&MemoryWorld::single(&text), &root);
        for graph in compiled.program.root_graphs() {
            let mut diagnostics = Diagnostics::default();
            let Some(expansion) = lang::expand(&compiled.program, graph, &BTreeMap::new(), &mut diagnostics) else {
                panic!("{folder} does not expand");
            };
            let printed = print_expansion(&expansion, &compiled.program);
            assert!(printed.contains("    // from "), "{printed}");
            same_plan_again(&compiled, &expansion, &printed);
        }
    }
}

#[test]
fn printed_expansions_are_kdl() {
    let nasty: &[&str] = &[
        "plain",
        "",
        " ",
        "true",
        "#true",
        "-1",
        "1e5",
        "a\\u{22}b",
        "a\\\\b",
        "line\\nbreak",
        "tab\\tx\\r",
        "\\u{202e}gnp\\u{2066}",
        "\\u{feff}",
        "\\u{85}\\u{2028}\\u{2029}",
        "\\u{7f}\\u{1b}[31m",
        "/* x */ // y",
        "a=b",
        "(var)x",
        "naïve ✓",
        "node \\u{7b}\\u{7d};",
    ];
    for text in nasty {
        let source = format!(
            "let open type=string \"{{{{\"
            let texts type=list<string> {{ - \"{text}x\"; - \"{{{{\" }}
            graph \"g-1\" {{
                param p type=string default=\"{text}\"
                node n class=volatile {{
                    for-each t in=(var)texts
                    run sh -c \"{{{{ p }}}}\" \"{text}\"
                    env A=\"{text}\"
                    input \"in put\" \"*.txt\" optional=#true
                    output \"out put\"
                    output d type=artifact.dir
                    timeout \"5s\"
                    retry max=1
                }}
                node w {{ write \"{text}\"; output \"a b\"; after n }}
                node r {{
                    input \"t.j2\"
                    input \"d\" from=(ref)\"n/*.d\" select=\"*.h\"
                    render t.j2 {{ set text=\"{text}\" list=(var)texts; file f d; json j d }}
                    output r
                }}
            }}"
        );
        let compiled = sound(&[("partita.kdl", &source)]);
        let mut diagnostics = Diagnostics::default();
        let graph = compiled.program.root_graphs()[0];
        let expansion = lang::expand(&compiled.program, graph, &BTreeMap::new(), &mut diagnostics).expect("it expands");
        let printed = print_expansion(&expansion, &compiled.program);
        let nodes = lang::parse(SourceId(0), &printed, &mut diagnostics);
        let found = diagnostics.sorted().first().map(|item| item.message.clone());
        assert_eq!(found, None, "{text:?} in\n{printed}");
        let graph = nodes.iter().find(|node| node.name.value == "graph");
        let children = graph.and_then(|node| node.children.as_ref()).expect("a graph has a block");
        assert_eq!(children.iter().filter(|node| node.name.value == "node").count(), 4, "{text:?} in\n{printed}");
        same_plan_again(&compiled, &expansion, &printed);
    }
}
