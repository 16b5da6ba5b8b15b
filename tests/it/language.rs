//! What the compiler makes of specs without mistakes: instances, conditions, templates, recipes,
//! references, strings, parameters, policies, names; and what it refuses because it would be too
//! much. Leaves out what is said about mistakes: see `ui`.

mod bounds;
mod compare;
mod given;
mod params;
mod print;
mod routing;
mod same;
mod stable;
mod written;

use std::collections::BTreeMap;
use std::fs;

use partita::base::RelPath;
use partita::diag::{Code, Diagnostics, MessageFormat, RenderOptions, Severity, render_all};
use partita::lang::{self, Compiled, MemoryWorld, compile};
use partita::plan::{ActionKind, ActionSpec, InputSource, Plan, RenderValue, Retry, lower};
use walkdir::WalkDir;

use crate::support::repository;

/// Files by path; `partita.kdl` is the root. The edition line is put first everywhere.
fn compiled(files: &[(&str, &str)]) -> Compiled {
    let mut world = MemoryWorld::default();
    for (path, text) in files {
        world.insert(RelPath::new(path).expect("a relative path"), &format!("partita edition=1\n{text}"));
    }
    compile(&world, &[RelPath::new("partita.kdl").expect("a relative path")])
}

fn rendered(compiled: &Compiled, diagnostics: &Diagnostics) -> String {
    let options = RenderOptions { format: MessageFormat::Human, color: false, width: 100 };
    render_all(diagnostics, &compiled.program.sources, options)
}

/// Compiles without mistakes.
#[track_caller]
fn sound(files: &[(&str, &str)]) -> Compiled {
    let compiled = compiled(files);
    assert!(!compiled.diagnostics.has_errors(), "{}", rendered(&compiled, &compiled.diagnostics));
    compiled
}

/// Expands and lowers the first graph with values for its parameters, or gives the codes of what is
/// wrong with them.
fn planned(compiled: &Compiled, given: &[(&str, &str)]) -> Result<Plan, Vec<Code>> {
    let given: BTreeMap<String, String> =
        given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let graph = compiled.program.root_graphs()[0];
    let mut diagnostics = Diagnostics::default();
    let expansion = lang::expand(&compiled.program, graph, &given, &mut diagnostics);
    let errors = diagnostics.sorted().into_iter().filter(|item| item.severity == Severity::Error);
    let codes: Vec<Code> = errors.map(|item| item.code).collect();
    match expansion {
        Some(expansion) if codes.is_empty() => Ok(lower(&compiled.program, &expansion)),
        _ => {
            assert!(!codes.is_empty(), "nothing was planned and nothing was said");
            Err(codes)
        }
    }
}

#[track_caller]
fn plan_of(files: &[(&str, &str)], given: &[(&str, &str)]) -> Plan {
    planned(&sound(files), given).expect("the graph expands")
}

#[track_caller]
fn plan(text: &str) -> Plan {
    plan_of(&[("partita.kdl", text)], &[])
}

fn addrs(plan: &Plan) -> Vec<&str> {
    plan.actions.iter().map(|action| action.addr.as_str()).collect()
}

#[track_caller]
fn spec<'a>(plan: &'a Plan, addr: &str) -> &'a ActionSpec {
    let id = plan.find(addr).unwrap_or_else(|| panic!("no `{addr}` among {:?}", addrs(plan)));
    &plan.action(id).spec
}

/// The text that a `write` writes.
#[track_caller]
fn written<'a>(plan: &'a Plan, addr: &str) -> &'a str {
    match &spec(plan, addr).kind {
        ActionKind::Write { text } => text,
        other => panic!("`{addr}` writes nothing: {other:?}"),
    }
}

#[track_caller]
fn arguments(plan: &Plan, addr: &str) -> Vec<String> {
    match &spec(plan, addr).kind {
        ActionKind::Exec { args, .. } => args.clone(),
        other => panic!("`{addr}` starts nothing: {other:?}"),
    }
}

/// Inputs as `place = producer.output [selection]` or as the pattern, sorted.
#[track_caller]
fn inputs(plan: &Plan, addr: &str) -> Vec<String> {
    let shown = spec(plan, addr).inputs.iter().map(|input| match &input.source {
        InputSource::Workspace { pattern, .. } => pattern.clone(),
        InputSource::Output { action, output, select } => {
            let place = input.dest.as_ref().map_or(".", RelPath::as_str);
            let select = select.as_ref().map_or(String::new(), |select| format!(" [{select}]"));
            format!("{place} = {}.{output}{select}", plan.action(*action).addr)
        }
    });
    let mut shown: Vec<String> = shown.collect();
    shown.sort();
    shown
}

#[track_caller]
fn after<'a>(plan: &'a Plan, addr: &str) -> Vec<&'a str> {
    let id = plan.find(addr).unwrap_or_else(|| panic!("no `{addr}` among {:?}", addrs(plan)));
    plan.action(id).after.iter().map(|id| plan.action(*id).addr.as_str()).collect()
}

/// Every `.kdl` file of a folder of the repository.
fn folder(name: &str) -> MemoryWorld {
    let folder = repository(name);
    let mut world = MemoryWorld::default();
    for entry in WalkDir::new(&folder).sort_by_file_name().into_iter().filter_map(Result::ok) {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "kdl") {
            let below = path.strip_prefix(&folder).ok().and_then(|path| path.to_str()).expect("the path is UTF-8");
            let text = fs::read_to_string(path).expect("the file can be read");
            world.insert(RelPath::new(below).expect("a relative path"), &text);
        }
    }
    world
}

#[test]
fn nothing_is_said_about_what_the_repository_holds() {
    for name in ["specs", "examples/hello", "examples/lua", "examples/site"] {
        let found = compile(&folder(name), &[RelPath::new("partita.kdl").expect("a relative path")]);
        assert!(found.diagnostics.is_empty(), "{name}\n{}", rendered(&found, &found.diagnostics));
    }
}

const LISTS: &str = r#"
let files type=list<string> { - lapi.c; - "l code.c" }
let modes type=list<string> { - debug; - release }
let sizes type=list<int> { - 1 2 30 }
"#;

#[test]
fn loops_multiply_in_order_and_keys_name_the_instances() {
    let plan = plan(&format!(
        "{LISTS}
        graph g {{
            node one {{ for-each file in=(var)files; write \"{{{{ file }}}}\"; output out }}
            node two {{
                for-each mode in=(var)modes
                for-each size in=(var)sizes
                write \"{{{{ mode }}}}{{{{ size }}}}\"
                output out
            }}
        }}"
    ));
    assert_eq!(
        addrs(&plan),
        [
            "g/one/l-code-c",
            "g/one/lapi-c",
            "g/two/debug/1",
            "g/two/debug/2",
            "g/two/debug/30",
            "g/two/release/1",
            "g/two/release/2",
            "g/two/release/30",
        ]
    );
    assert_eq!(written(&plan, "g/one/l-code-c"), "l code.c");
    assert_eq!(written(&plan, "g/two/release/30"), "release30");
}

#[test]
fn conditions_choose_instances() {
    let cases: &[(&str, &[&str])] = &[
        ("when mode eq debug", &["debug/1", "debug/2", "debug/30"]),
        ("when mode eq debug size gt 1", &["debug/2", "debug/30"]),
        ("when size lt 30", &["debug/1", "debug/2", "release/1", "release/2"]),
        ("when size le 1", &["debug/1", "release/1"]),
        ("when size ge 2 mode ne debug", &["release/2", "release/30"]),
        ("unless mode eq debug", &["release/1", "release/2", "release/30"]),
        ("unless mode eq debug size eq 30", &["debug/1", "debug/2", "release/1", "release/2", "release/30"]),
        ("when { any { - size eq 1; - mode eq release size eq 30 } }", &["debug/1", "release/1", "release/30"]),
        ("when { not { - size eq 1; - size eq 2 } }", &["debug/30", "release/30"]),
        ("when mode eq debug { any { - size eq 1; - size eq 2 } }", &["debug/1", "debug/2"]),
        ("when { all { - size eq 1 mode eq debug } }", &["debug/1"]),
        ("when size gt 1; unless mode eq debug", &["release/2", "release/30"]),
        ("when mode eq (var)only", &["debug/1", "debug/2", "debug/30"]),
        ("when mode eq \"{{ only | lower }}\"", &["debug/1", "debug/2", "debug/30"]),
        ("when on eq #true", &["debug/1", "debug/2", "debug/30", "release/1", "release/2", "release/30"]),
        ("when on ne #true", &[]),
    ];
    for (condition, expected) in cases {
        let plan = plan(&format!(
            "{LISTS}
            graph g {{
                param only type=string default=debug
                param on type=bool default=#true
                node always {{ write \"{{{{ only }}}} {{{{ on }}}}\"; output out }}
                node n {{
                    for-each mode in=(var)modes
                    for-each size in=(var)sizes
                    {condition}
                    write x
                    output out
                }}
                node all {{
                    input \"{{{{ node.mode }}}}-{{{{ node.size }}}}\" from=(ref)n.out optional=#true
                    after \"n/**\" optional=#true
                    run sh -c \"ls\"
                    output out
                }}
            }}"
        ));
        let found: Vec<&str> = addrs(&plan).iter().filter_map(|addr| addr.strip_prefix("g/n/")).collect();
        assert_eq!(found, *expected, "{condition}");
        assert_eq!(inputs(&plan, "g/all").len(), expected.len(), "{condition}");
        assert_eq!(after(&plan, "g/all").len(), expected.len(), "{condition}");
    }
}

#[test]
fn templates_put_their_nodes_under_an_alias() {
    let plan = plan(&format!(
        "{LISTS}
        template leaf {{
            param text type=string
            param from type=artifact.file
            node copy {{ input in from=(var)from; copy in; output out }}
            node say {{ write \"{{{{ text }}}}\"; output said }}
            node both {{
                input a from=(ref)copy.out
                input b from=(ref)say.said
                run sh -c \"cat a b > c\"
                output c
            }}
        }}
        template pair {{
            param from type=artifact.file
            param word type=string default=\"none\"
            use leaf as=left {{ with text=\"left {{{{ word }}}}\" from=(var)from }}
            use leaf as=right {{ with text=right from=(ref)\"left/both.c\" }}
            node each {{
                for-each file in=(var)files
                input x from=(ref)\"right/say.said\"
                run sh -c \"cat x; echo {{{{ file }}}}\"
                output out
            }}
        }}
        graph g {{
            node seed {{ write seed; output seed.txt }}
            use pair as=one {{ with from=(ref)seed.seed.txt word=first }}
            use pair as=two {{ with from=(ref)\"one/right/both.c\" }}
            node end {{
                input \"{{{{ node.file }}}}\" from=(ref)\"two/each.out\"
                run sh -c \"ls\"
                after \"one/**\"
            }}
        }}"
    ));
    assert_eq!(
        addrs(&plan),
        [
            "g/end",
            "g/one/each/l-code-c",
            "g/one/each/lapi-c",
            "g/one/left/both",
            "g/one/left/copy",
            "g/one/left/say",
            "g/one/right/both",
            "g/one/right/copy",
            "g/one/right/say",
            "g/seed",
            "g/two/each/l-code-c",
            "g/two/each/lapi-c",
            "g/two/left/both",
            "g/two/left/copy",
            "g/two/left/say",
            "g/two/right/both",
            "g/two/right/copy",
            "g/two/right/say",
        ]
    );
    assert_eq!(written(&plan, "g/one/left/say"), "left first");
    assert_eq!(written(&plan, "g/two/left/say"), "left none");
    // A reference means what it means where it was written.
    assert_eq!(inputs(&plan, "g/one/left/copy"), ["in = g/seed.seed.txt"]);
    assert_eq!(inputs(&plan, "g/one/right/copy"), ["in = g/one/left/both.c"]);
    assert_eq!(inputs(&plan, "g/two/left/copy"), ["in = g/one/right/both.c"]);
    assert_eq!(inputs(&plan, "g/two/right/both"), ["a = g/two/right/copy.out", "b = g/two/right/say.said"]);
    assert_eq!(inputs(&plan, "g/end"), ["l code.c = g/two/each/l-code-c.out", "lapi.c = g/two/each/lapi-c.out"]);
    assert_eq!(after(&plan, "g/end").len(), 8);
}

#[test]
fn recipes_are_functions_of_their_parameters() {
    let plan = plan(&format!(
        "{LISTS}
        let outside type=string constant
        recipe build {{
            param file type=string
            param src type=artifact.dir
            param extra type=list<string> {{ default -g \"-W all\" }}
            param jobs type=int default=2
            returns obj type=artifact.file
            returns log type=artifact.file
            step gen {{ write \"{{{{ file }}}} {{{{ outside }}}}\"; output list path=list.txt }}
            step cc tool=sh class=volatile {{
                input list.txt from=(ref)gen.list
                input src from=(var)src select=\"{{{{ file }}}}\"
                arg -c \"{{{{ file }}}}\" (var)extra
                arg (var)jobs
                env JOBS=(var)jobs NAME=\"{{{{ file | upper }}}}\"
                cwd src
                output obj path=\"{{{{ file | slug }}}}.o\"
                output scratch path=scratch
                resources cpu=(var)jobs memory=\"64MiB\"
            }}
            step report {{
                input obj from=(ref)cc.obj
                copy obj
                output log path=log.txt
            }}
        }}
        graph g {{
            node fetch {{ run sh -c \"mkdir d\"; output d type=artifact.dir }}
            node obj recipe=build {{
                for-each file in=(var)files
                with file=(var)file src=(ref)fetch.d
                after fetch
            }}
            node one recipe=build {{ with file=x src=(ref)fetch.d jobs=7 extra=(var)files }}
            node lib {{
                input \"{{{{ node.file | slug }}}}.o\" from=(ref)obj.obj
                input x.o from=(ref)one.obj
                input log from=(ref)\"obj/lapi-c.log\"
                run sh -c ls
            }}
        }}"
    ));
    assert_eq!(
        addrs(&plan),
        [
            "g/fetch",
            "g/lib",
            "g/obj/l-code-c/cc",
            "g/obj/l-code-c/gen",
            "g/obj/l-code-c/report",
            "g/obj/lapi-c/cc",
            "g/obj/lapi-c/gen",
            "g/obj/lapi-c/report",
            "g/one/cc",
            "g/one/gen",
            "g/one/report",
        ]
    );
    assert_eq!(arguments(&plan, "g/obj/l-code-c/cc"), ["-c", "l code.c", "-g", "-W all", "2"]);
    assert_eq!(arguments(&plan, "g/one/cc"), ["-c", "x", "lapi.c", "l code.c", "7"]);
    assert_eq!(inputs(&plan, "g/obj/lapi-c/cc"), ["list.txt = g/obj/lapi-c/gen.list", "src = g/fetch.d [lapi.c]"]);
    assert_eq!(written(&plan, "g/one/gen"), "x constant");
    let cc = spec(&plan, "g/obj/l-code-c/cc");
    assert_eq!(cc.env.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>(), ["JOBS=2", "NAME=L CODE.C"]);
    assert_eq!(cc.cwd.as_ref().map(RelPath::as_str), Some("src"));
    assert_eq!(cc.class.word(), "volatile");
    assert_eq!(
        cc.outputs.iter().map(|output| (output.name.as_str(), output.path.as_str())).collect::<Vec<_>>(),
        [("obj", "l-code-c.o"), ("scratch", "scratch")]
    );
    assert_eq!(
        inputs(&plan, "g/lib"),
        [
            "l-code-c.o = g/obj/l-code-c/cc.obj",
            "lapi-c.o = g/obj/lapi-c/cc.obj",
            "log = g/obj/lapi-c/report.log",
            "x.o = g/one/cc.obj",
        ]
    );
    // Order holds for every step.
    for step in ["cc", "gen", "report"] {
        assert_eq!(after(&plan, &format!("g/obj/lapi-c/{step}")), ["g/fetch"]);
    }
    let holds = |addr: &str| {
        let action = plan.action(plan.find(addr).expect("the action is there"));
        action.policy.holds.iter().map(|need| (need.pool.clone(), need.amount)).collect::<Vec<_>>()
    };
    assert_eq!(holds("g/one/cc"), [("cpu".to_owned(), 7), ("memory".to_owned(), 64 << 20)]);
    assert_eq!(holds("g/one/gen"), []);
}

#[test]
fn references_name_one_instance_or_all_of_them() {
    let cases: &[(&str, &[&str])] = &[
        (r#"input "{{ node.file }}" from=(ref)n.out"#, &["l code.c = g/n/l-code-c.out", "lapi.c = g/n/lapi-c.out"]),
        (
            r#"input "d/{{ node.file | slug }}" from=(ref)"n/*.out""#,
            &["d/l-code-c = g/n/l-code-c.out", "d/lapi-c = g/n/lapi-c.out"],
        ),
        (r#"input "{{ node.file }}" from=(ref)"n/la*.out""#, &["lapi.c = g/n/lapi-c.out"]),
        (r#"input "{{ node.file }}" from=(ref)"**/lapi-c.out""#, &["lapi.c = g/n/lapi-c.out"]),
        (r#"input x from=(ref)"n/lapi-c.out""#, &["x = g/n/lapi-c.out"]),
        (r#"input x from=(ref)"n/{{ first }}.out""#, &["x = g/n/lapi-c.out"]),
        (r#"input x from=(ref)"n/{{ first | slug }}.out""#, &["x = g/n/lapi-c.out"]),
        (r#"input "." from=(ref)dir.d"#, &[". = g/dir.d"]),
        (
            r#"input d from=(ref)dir.d select="*.h"; input d from=(ref)dir.d select="*.c""#,
            &["d = g/dir.d [*.c]", "d = g/dir.d [*.h]"],
        ),
        (r#"input "{{ first }}" "b/*.txt""#, &["b/*.txt", "lapi.c"]),
        ("input (var)first from=(ref)dir.d", &["lapi.c = g/dir.d"]),
    ];
    for (input, expected) in cases {
        let plan = plan(&format!(
            "{LISTS}
            graph g {{
                param first type=string default=\"lapi.c\"
                node n {{ for-each file in=(var)files; write \"{{{{ first }}}}{{{{ file }}}}\"; output out }}
                node dir {{ run sh -c \"mkdir d\"; output d type=artifact.dir }}
                node taker {{ {input}; run sh -c ls }}
            }}"
        ));
        assert_eq!(inputs(&plan, "g/taker"), *expected, "{input}");
    }
}

#[test]
fn strings_are_filled_by_name_and_filter() {
    let cases: &[(&str, &str)] = &[
        ("plain", "plain"),
        ("", ""),
        ("{{ name }}", "Ünï Code"),
        ("{{name}}", "Ünï Code"),
        ("a{{ name }}b{{ count }}c", "aÜnï Codeb-7c"),
        ("{{ name | lower }} {{ name | upper }}", "ünï code ÜNÏ CODE"),
        ("{{ name | slug }}", "Ünï-Code"),
        ("{{ name | lower | slug }}", "ünï-code"),
        ("{{ list | join \",\" }}", "a,b c,"),
        ("{{ list | join }}", "ab c"),
        ("{{ list | join ' | ' | upper }}", "A | B C | "),
        ("{{ empty | default 'none at all' }}", "none at all"),
        ("{{ name | default \"x\" }}", "Ünï Code"),
        ("{{ flag }}{{ numbers | join '+' }}", "true1+2"),
        ("{ name } {", "{ name } {"),
        ("{{ open }} .ID }}", "{{ .ID }}"),
        ("}} {{ name }} }}", "}} Ünï Code }}"),
        ("line\n{{ name }}\n\ttab", "line\nÜnï Code\n\ttab"),
    ];
    for (text, expected) in cases {
        let plan = plan(&format!(
            "let name type=string \"Ünï Code\"
            let count type=int -7
            let flag type=bool #true
            let empty type=string \"\"
            let open type=string \"{{{{\"
            let list type=list<string> {{ - a; - \"b c\"; - \"\" }}
            let numbers type=list<int> {{ - 1; - 2 }}
            graph g {{ node n {{ write #\"\"\"\n{text}\n\"\"\"#; output out }} }}"
        ));
        assert_eq!(written(&plan, "g/n"), *expected, "{text}");
    }
}

#[test]
fn variables_stand_wherever_values_do() {
    let plan = plan(
        r#"
        let where type=path "deep/down"
        let wait type=dur "90s"
        let room type=size "2GiB"
        let share type=int 3
        graph g {
            resource gpu capacity=4
            node a {
                run sh (var)where (var)share
                output out path=(var)where
                timeout (var)wait
                resources memory=(var)room cpu=(var)share
                holds gpu amount=(var)share
                cwd (var)where
            }
            node b { input (var)where from=(ref)a.out; copy (var)where; output b; after "{{ later }}" optional=#true }
            node c { render (var)where { set n=(var)share; file f (var)where }; input (var)where; output c }
            param later type=string default=none
        }"#,
    );
    let a = plan.action(plan.find("g/a").expect("it is there"));
    assert_eq!(arguments(&plan, "g/a"), ["deep/down", "3"]);
    assert_eq!(a.spec.outputs[0].path.as_str(), "deep/down");
    assert_eq!(a.spec.cwd.as_ref().map(RelPath::as_str), Some("deep/down"));
    assert_eq!(a.policy.timeout_ms, Some(90_000));
    let holds: Vec<(&str, u64)> = a.policy.holds.iter().map(|need| (need.pool.as_str(), need.amount)).collect();
    assert_eq!(holds, [("cpu", 3), ("gpu", 3), ("memory", 2 << 30)]);
    assert_eq!(inputs(&plan, "g/b"), ["deep/down = g/a.out"]);
    let ActionKind::Render { template, vars } = &spec(&plan, "g/c").kind else { panic!("`c` renders") };
    assert_eq!(template.as_str(), "deep/down");
    assert_eq!(vars["n"], RenderValue::Text("3".to_owned()));
    assert_eq!(vars["f"], RenderValue::File(template.clone()));
}

#[test]
fn imports_bring_declarations_under_their_alias() {
    let part = r#"
        import "./lists.kdl" as=lists
        let word type=string hello
        tool gcc { exec "tools/gcc.sh" }
        recipe say {
            param text type=string default="{{ word }} {{ lists.items | join ' ' }}"
            returns said type=artifact.file
            step say { write "{{ text }}"; output said path=said }
            step compile tool=gcc { input said from=(ref)say.said; arg (var)lists.items; output obj path=o }
        }
        template twice {
            param text type=string default=(var)word
            node a recipe=say { with text="{{ text }} a" }
        }
    "#;
    let root = r#"
        import "./parts/part.kdl" as=p
        import "<std>/cc" as=cc
        let word type=string mine
        graph g {
            node d recipe=p.say
            node e recipe=p.say { with text="{{ word }} {{ p.word }}" }
            node f { for-each item in=(var)p.items-of; run cc.gcc "{{ item }}" }
            use p.twice as=t
        }
    "#;
    let part = format!("{part}\nlet items-of type=list<string> {{ - x; - y }}");
    let plan = plan_of(
        &[
            ("partita.kdl", root),
            ("parts/part.kdl", &part),
            ("parts/lists.kdl", "let items type=list<string> { - one; - two }"),
        ],
        &[],
    );
    assert_eq!(written(&plan, "g/d/say"), "hello one two");
    assert_eq!(written(&plan, "g/e/say"), "mine hello");
    assert_eq!(written(&plan, "g/t/a/say"), "hello a");
    assert_eq!(arguments(&plan, "g/d/compile"), ["one", "two"]);
    assert_eq!(arguments(&plan, "g/f/x"), ["x"]);
    // Two tools of one name are told apart by their files, whichever is met first: the workspace's own has
    // the better claim, as it would have in one file.
    let of = |addr: &str| spec(&plan, addr).tools.clone();
    assert_eq!(of("g/f/x"), ["<std>/cc#gcc"]);
    assert_eq!(of("g/d/compile"), ["gcc"]);
    assert!(plan.tool("ld").is_some() && plan.tool("as").is_some(), "what a tool uses comes along");
}

#[test]
fn the_nearest_policy_holds() {
    let plan = plan(
        r#"
        recipe r {
            returns out type=artifact.file
            step own { write a; output out path=a; timeout "1s"; retry max=1 }
            step none tool=sh { arg -c ls }
        }
        graph g {
            param limit type=dur default="5m"
            defaults { timeout "{{ limit }}"; retry max=9 on=any backoff="2s" strategy=fixed }
            node plain { run sh -c ls }
            node own { run sh -c ls; timeout "7s"; retry max=3 on=timeout }
            node applied recipe=r { timeout "3s"; retry max=2 backoff="250ms" }
            node bare recipe=r
        }"#,
    );
    let policy = |addr: &str| {
        let policy = &plan.action(plan.find(addr).expect("it is there")).policy;
        (policy.timeout_ms, policy.retry.as_ref().map(Retry::describe).unwrap_or_default())
    };
    assert_eq!(policy("g/plain"), (Some(300_000), "9 on any, 2000ms fixed".to_owned()));
    assert_eq!(policy("g/own"), (Some(7_000), "3 on timeout, 1000ms exponential".to_owned()));
    assert_eq!(policy("g/applied/own"), (Some(1_000), "1 on transient, 1000ms exponential".to_owned()));
    assert_eq!(policy("g/applied/none"), (Some(3_000), "2 on transient, 250ms exponential".to_owned()));
    assert_eq!(policy("g/bare/none"), (Some(300_000), "9 on any, 2000ms fixed".to_owned()));
}

#[test]
fn the_same_values_are_checked_wherever_they_come_from() {
    let recipe = "recipe r {
            param n type=int min=1 max=3
            param kind type=enum { one-of a b }
            param names type=list<ident> { default x }
            returns out type=artifact.file
            step s { write \"{{ n }}{{ kind }}{{ names | join }}\"; output out path=o }
        }";
    let cases: &[(&str, &[Code])] = &[
        ("n=3 kind=a", &[]),
        ("n=(var)three kind=(var)good names=(var)fine", &[]),
        ("n=(var)nine kind=a", &[Code::P0304]),
        ("n=1 kind=(var)bad", &[Code::P0305]),
        ("n=1 kind=\"{{ good }}{{ bad }}\"", &[Code::P0305]),
        ("n=1 kind=a names=(var)poor", &[Code::P0301]),
        ("n=(var)nine kind=(var)bad names=(var)poor", &[Code::P0301, Code::P0304, Code::P0305]),
    ];
    for (with, expected) in cases {
        let found = compiled(&[(
            "partita.kdl",
            &format!(
                "{recipe}
                let three type=int 3
                let nine type=int 9
                let good type=string a
                let bad type=string c
                let fine type=list<string> {{ - p; - q }}
                let poor type=list<string> {{ - p; - \"2 q\" }}
                graph g {{ node n recipe=r {{ with {with} }} }}"
            ),
        )]);
        let errors = found.diagnostics.sorted().into_iter().filter(|item| item.severity == Severity::Error);
        let mut codes: Vec<Code> = errors.map(|item| item.code).collect();
        codes.sort_unstable();
        assert_eq!(codes, *expected, "{with}\n{}", rendered(&found, &found.diagnostics));
    }
}

#[test]
fn bundles_take_outputs_by_node_and_by_pattern() {
    let source = format!(
        "{LISTS}
        let version type=string \"5.4.7\"
        graph g {{
            node obj {{ for-each file in=(var)files; write \"{{{{ file }}}}\"; output obj path=\"out/x.o\" }}
            node lib {{ run sh -c \"mkdir d\"; output d type=artifact.dir; output lib.a }}
            use t as=u
        }}
        template t {{ node n {{ write x; output n.txt }} }}
        bundle b from=g version=\"{{{{ version }}}}+1\" {{
            include obj output=obj to=\"obj/{{{{ node.file | slug }}}}.o\"
            include \"obj/la*\" to=\"first/\"
            include lib output=lib.a
            include lib output=d to=\"share/{{{{ version }}}}\"
            include \"u/**\"
            sign key=release
        }}"
    );
    let compiled = sound(&[("partita.kdl", &source)]);
    let mut diagnostics = Diagnostics::default();
    let graph = compiled.program.root_graphs()[0];
    let expansion = lang::expand(&compiled.program, graph, &BTreeMap::new(), &mut diagnostics).expect("it expands");
    let bundle = compiled.program.root_bundles()[0];
    let bundle = lang::expand_bundle(&compiled.program, bundle, &expansion, &mut diagnostics).expect("it resolves");
    let includes: Vec<String> = bundle
        .includes
        .iter()
        .map(|include| format!("{} = {}.{}", include.to, expansion.actions[include.action].addr, include.output))
        .collect();
    assert_eq!(
        includes,
        [
            "first/x.o = g/obj/lapi-c.obj",
            "lib.a = g/lib.lib.a",
            "n.txt = g/u/n.n.txt",
            "obj/l-code-c.o = g/obj/l-code-c.obj",
            "obj/lapi-c.o = g/obj/lapi-c.obj",
            "share/5.4.7 = g/lib.d",
        ]
    );
    assert_eq!((bundle.version.as_str(), bundle.keys.as_slice()), ("5.4.7+1", &["release".to_owned()][..]));
}

#[test]
fn a_list_of_patterns_is_spliced_into_inputs() {
    let compiled = sound(&[(
        "partita.kdl",
        r#"
        let sources type=list<string> { - "src/**"; - Cargo.toml }
        recipe r {
            param files type=list<string>
            param one type=string
            returns o type=artifact.file
            step s tool=sh {
                input (var)files
                input (var)one
                arg -c ":"
                output o
            }
        }
        graph g {
            node n recipe=r {
                with files=(var)sources one="x.txt"
            }
        }
        "#,
    )]);
    let plan = planned(&compiled, &[]).expect("it is planned");
    let patterns: Vec<&str> = plan.actions[0]
        .spec
        .inputs
        .iter()
        .map(|input| match &input.source {
            InputSource::Workspace { pattern, .. } => pattern.as_str(),
            InputSource::Output { .. } => panic!("no output is taken"),
        })
        .collect();
    assert_eq!(patterns, ["Cargo.toml", "src/**", "x.txt"]);
}

const VALUES: &str = r#"
record target {
    field triple type=ident
    field jobs type=int default=4 min=1 max=64
    field flags type=list<string> { default "-a" "-b" }
}
let targets type=list<target> {
    - { triple x86; jobs 8 }
    - { triple arm; flags "-c" }
}
let ports type=map<int> { http 80; https 443 }
recipe build {
    param target type=target
    param tool type=tool default=sh
    returns out type=artifact.file
    step make tool=(var)tool {
        arg "{{ target.triple }}" (var)target.flags "{{ '{{' }}x"
        env JOBS="{{ target.jobs }}"
        output out
    }
}
template later {
    param first type=node
    node last { after (var)first; write last; output last.txt }
}
graph g {
    param own type=target { default { triple wasm } }
    param extra type=map<int> { default { a 1 } }
    node each recipe=build {
        for-each t in=(var)targets key=triple
        with target=(var)t
    }
    node port {
        for-each name port in=(var)ports
        unless port eq 443
        write "{{ name }} {{ port }} {{ extra.a | default 'none' }}"
        output out
    }
    node own recipe=build { with target=(var)own tool=cat }
    use later as=end { with first=each }
}
"#;

#[test]
fn records_and_maps_are_values() {
    let compiled = sound(&[("partita.kdl", VALUES)]);
    let plan = planned(&compiled, &[]).expect("the graph expands");
    assert_eq!(
        addrs(&plan),
        ["g/each/arm/make", "g/each/x86/make", "g/end/last", "g/own/make", "g/port/http"],
        "instances are named by a field, or by the key of a map"
    );
    let args = |addr: &str| match &spec(&plan, addr).kind {
        ActionKind::Exec { tool, args, .. } => (tool.clone(), args.clone()),
        other => panic!("{addr} is {other:?}"),
    };
    assert_eq!(args("g/each/x86/make"), ("sh".to_owned(), ["x86", "-a", "-b", "{{x"].map(str::to_owned).to_vec()));
    assert_eq!(args("g/each/arm/make").1, ["arm", "-c", "{{x"]);
    assert_eq!(spec(&plan, "g/each/arm/make").env["JOBS"], "4");
    assert_eq!(args("g/own/make"), ("cat".to_owned(), ["wasm", "-a", "-b", "{{x"].map(str::to_owned).to_vec()));
    let last = plan.action(plan.find("g/end/last").expect("it is there"));
    assert_eq!(last.after.len(), 2, "a node that is given is one where it was given");

    // From outside, as JSON; what a record leaves out has its default.
    let given =
        planned(&compiled, &[("own", r#"{"triple": "riscv", "jobs": 2}"#), ("extra", "{}")]).expect("it expands");
    let ActionKind::Exec { args, .. } = &spec(&given, "g/own/make").kind else { panic!("it runs a tool") };
    assert_eq!(args, &["riscv", "-a", "-b", "{{x"]);
    assert_eq!(spec(&given, "g/own/make").env["JOBS"], "2");
    let ActionKind::Write { text } = &spec(&given, "g/port/http").kind else { panic!("it writes") };
    assert_eq!(text, "http 80 none");
    for (own, code) in [
        ("{", Code::P0301),
        (r#"{"triple": 1}"#, Code::P0301),
        (r#"{"triple": "x", "jobs": 100}"#, Code::P0304),
        (r#"{"triple": "x", "job": 1}"#, Code::P0303),
        ("{}", Code::P0302),
        (r#"{"triple": null}"#, Code::P0301),
        ("x", Code::P0301),
    ] {
        assert_eq!(planned(&compiled, &[("own", own)]).err(), Some(vec![code]), "{own}");
    }
}
