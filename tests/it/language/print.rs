//! Expansions as specs: every graph of the repository's own workspaces is printed, and what is printed is as the
//! formatter leaves it, compiles, and has the plan that the graph had. Leaves out how actions run.

use std::collections::BTreeMap;

use partita::diag::{Diagnostics, SourceId};
use partita::lang::{self, Compiled, DeclId, print_expansion};
use partita::plan::{lower, to_json_lines};

use super::rendered;
use super::same::{compiled, difference, plans, with_root, workspaces};

/// The printed expansion of a graph, and its plan; `None` if it needs values.
fn printed(compiled: &Compiled, graph: DeclId) -> Option<(String, String)> {
    let expansion = lang::expand(&compiled.program, graph, &BTreeMap::new(), &mut Diagnostics::default())?;
    let plan = to_json_lines(&lower(&compiled.program, &expansion));
    Some((print_expansion(&expansion, &compiled.program), plan))
}

fn without_comments(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect()
}

/// Whether a printed expansion is canonical, compiles beside the other files to the same plan, and is printed
/// the same again.
#[track_caller]
fn the_same_again(name: &str, files: &super::same::Files, printed_text: &str, plan: &str) {
    let formatted =
        lang::format(SourceId(0), printed_text).unwrap_or_else(|error| panic!("{name}: {error}\n{printed_text}"));
    assert_eq!(formatted, printed_text, "{name}: the formatter would change it");
    let again = compiled(&with_root(files, printed_text.to_owned()));
    let said = rendered(&again, &again.diagnostics);
    assert!(!again.diagnostics.has_errors(), "{name}:\n{said}\n{printed_text}");
    let all = plans(&again);
    let (before, after) = (BTreeMap::from([(String::new(), plan.to_owned())]), all);
    let same = after.len() == 1 && after.values().all(|other| other == plan);
    assert!(same, "{name}: {}\n{said}\n{printed_text}", difference(&before, &after));
    let (twice, _) = printed(&again, again.program.root_graphs()[0]).expect("it expands again");
    assert_eq!(without_comments(&twice), without_comments(printed_text), "{name}: printing is not a fixed point");
}

#[test]
fn every_workspace_expands_to_a_spec_of_the_same_plan() {
    let mut graphs = 0;
    for (name, files) in workspaces() {
        let before = compiled(&files);
        if before.diagnostics.has_errors() {
            // Packages of other places are not in memory.
            continue;
        }
        for graph in before.program.root_graphs() {
            let Some((text, plan)) = printed(&before, graph) else { continue };
            the_same_again(&name, &files, &text, &plan);
            graphs += 1;
        }
    }
    assert!(graphs >= 20, "only {graphs} graphs were looked at");
}

/// A workspace of everything that an expansion keeps: each kind of gate, guards on recipes of several steps and by
/// patterns, gates of recipes, consent, agents behind programs and APIs, tenants, constants of one name in two
/// files, tools that hide those of the prelude, services, records and lists as arguments, inventories.
const ALL: &[(&str, &str)] = &[
    (
        "partita.kdl",
        r#"partita edition=1
workspace {
    require-isolation landlock
    out "made"
}
import "./lib/lib.kdl" as=lib
import "<std>/cc" as=cc

let most type=int 3
let limit type=string "1MiB"

tool cat {
    exec cat
}
tool node {
    exec "tools/node.sh"
    uses cat sh
}
tool publish {
    exec "tools/publish.sh"
    effects net
    needs-secret token env=TOKEN
}

// The graph's owner.
tenant acme {
    budget usd="50.00" per=week on-exceed=pause
    allow-tier primary secondary
    allow-capability text.count lib.text.sum
    secret token from=env key=TOKEN
    secret api-key from=file key="keys/api"
    quota runtime="5m" cpu=8 memory="16GiB"
}

group people {
    member ana key="1111111111111111111111111111111111111111111111111111111111111111" email="ana@example.com"
    member ben key="2222222222222222222222222222222222222222222222222222222222222222"
    member cas key="4444444444444444444444444444444444444444444444444444444444444444"
}

gate small kind=file else="it is large" {
    param file type=artifact.file
    param bytes type=size default="64KiB"
    require file.size le (var)bytes file.empty eq #false
    require file.size le (var)limit else="larger than {{ '{{' }}"
}
gate few kind=artifact {
    param files type=artifact.file
    require {
        any {
            - files.size ge 1
        }
        not {
            - files.empty eq #true
        }
    }
}
gate headed kind=content {
    param text type=artifact.text
    section Goals "Known limits"
}
gate linted kind=command {
    param text type=artifact.text
    run node -c "{{ most }}" "--all"
    input "text.txt" from=(var)text
    timeout "90s"
}
gate known kind=check {
    param sbom type=artifact.sbom
    require sbom.components.@count ge 0
}
gate both kind=approval {
    approvers people min=2 distinct=#true
    expires "36h" then=reject
}

capability text.count {
    accepts text type=artifact.text
    accepts words type=list<string>
    accepts most type=int default=9
    returns report type=artifact.json
    candidate counter max-usd="0.05"
    candidate lib.text.sum
}
tool counter tier=secondary version=">=1" {
    exec "tools/count.sh" fingerprint="--version"
    provides text.count {
        arg (var)text "--most={{ most }}" (var)words
        env MODE="{{ most }}"
        output report path="out/count.json"
    }
    cost usd="0.02" per=call
    cost usd="0.10" per=run
}

recipe checked automation=notify {
    param text type=artifact.text
    param least type=int min=1
    param tool type=tool default=cat
    param at type=lib.place
    param extra type=list<string> {
        default "{{ limit }}" b
    }
    returns out type=artifact.text
    returns count type=artifact.json
    step first tool=(var)tool {
        input a.txt from=(var)text
        arg a.txt "{{ least }}" "{{ most }}" "{{ at.town }}" (var)extra
        output mid path="mid.txt"
        retry max=1 backoff="250ms"
    }
    step second tool=sh {
        input mid.txt from=(ref)first.mid
        arg -c """
            cat mid.txt > out.txt
            echo '{"n": 3}' > n.json
            """
        output out path="out.txt" type=artifact.text
        output count path="n.json" type=artifact.json
        limits processes=8 memory="64MiB"
    }
    gate enough kind=metric {
        require count.n ge (var)least else="too few"
    }
}
recipe twice {
    param text type=artifact.text
    returns out type=artifact.file
    step a tool=cc.gcc {
        input a.txt from=(var)text
        arg --version a.txt
        output b path="b.txt"
    }
    step b tool=cat {
        input b.txt from=(ref)a.b
        arg b.txt
        output out path="out/c.txt"
    }
}

recipe asked {
    param text type=artifact.text
    param words type=list<string>
    param more type=list<string> {
        default {}
    }
    returns report type=artifact.json
    returns sum type=artifact.text
    step first tool=cat {
        input a.txt from=(var)text
        arg a.txt (var)words
        output text path="t.txt" type=artifact.text
    }
    step count capability=text.count {
        with text=(ref)first.text {
            words {
                - "{{ limit }}"
                - "{{ '{{' }} b"
            }
        }
        timeout "1m"
    }
    step sum agent=lib.writer skill=lib.sum complexity=2 {
        with text=(var)text words=(var)more
    }
}

let names type=list<string> {
    - "v1.x"
    - two
}
let here type=lib.place {
    town Ghent
    roads north south
}

graph all tenant=acme {
    concurrency 3
    budget usd="9.50"
    cancel isolated
    deadline "90m"
    serialize "*.lock"
    resource gpu capacity=2
    defaults {
        timeout "2m"
        retry max=2
    }
    service web {
        run node "--port={{ web.http.port }}" "{{ '{{' }}"
        port http
        ready http="/health" within="10s"
        input settings.txt from=(ref)text.text
    }
    node text {
        write "Goals {{ '{{' }} and {{ most }}\nKnown limits"
        output text path="text.txt" type=artifact.text
    }
    node each {
        for-each name in=(var)names
        input text.txt from=(ref)text.text
        run cat text.txt "{{ name }}"
        output out path="o.txt"
        output "{{ name | slug }}.lock"
        holds gpu
        resources cpu=2 memory="1GiB"
    }
    node made recipe=checked {
        with text=(ref)text.text least=2 at=(var)here
        guard small file=(ref)"each/two.out"
        guard headed text=(ref)text.text
    }
    node many recipe=twice {
        for-each name {
            - "v1.x"
            - "{{ limit }}"
        }
        with text=(ref)text.text
        after each
    }
    node judged automation=manual {
        guard few files=(ref)many.out
        guard few files=(ref)"each/*.out"
        guard linted text=(ref)text.text
        guard lib.people
        guard lib.sound change=(ref)text.text
        guard small file=(ref)text.text bytes="2KiB"
        run node "{{ web.http }}"
        uses web
        output judged
    }
    node count capability=text.count complexity=3 {
        with text=(ref)made.out words=(var)names
        env EXTRA="{{ most }}"
        retry max=1
    }
    node asked recipe=asked automation=assist {
        with text=(ref)text.text words=(var)names
    }
    node sum agent=lib.writer {
        with text=(ref)made.out words=(var)names style="short {{ '{{' }}"
        output sum path="sum.txt" type=artifact.text
        timeout "30m"
    }
    node send class=effect automation=assist {
        after judged "each/*"
        guard both
        guard known sbom=(ref)shipped.sbom
        run publish "{{ most }}"
        output receipt
    }
}
graph plain tenant=acme {
    node text {
        write x
        output text path="text.txt" type=artifact.text
    }
    node asked recipe=asked {
        with text=(ref)text.text {
            words {
                - one
                - "{{ '{{' }} two"
            }
        }
    }
    node both recipe=twice {
        with text=(ref)asked.sum
        after asked
    }
    node seen {
        guard headed text=(ref)asked.sum
        guard known sbom=(ref)told.sbom
    }
}
bundle told from=plain {
    include asked output=sum to="sum.txt"
}
bundle shipped from=all version="1.{{ most }}.0" level=2 {
    include many output=out to="{{ node.name }}/"
    include made output=out role=guide
    exclude "**/*.tmp"
    sbom format=cyclonedx version="1.7"
    sign key=release
}
"#,
    ),
    (
        "lib/lib.kdl",
        r#"partita edition=1
let most type=int 40
let tone type=string "kind"

tool cat {
    exec "tools/other-cat.sh"
}
record place {
    field town type=string
    field roads type=list<string>
    field open type=bool default=#true
}
group people {
    member cem key="3333333333333333333333333333333333333333333333333333333333333333"
}
gate people kind=approval {
    approvers people
}
gate sound kind=agent agent=writer skill=judge {
    param change type=artifact.text
    with text=(var)change
    require verdict.score ge (var)most
}
capability text.sum {
    accepts text type=artifact.text
    accepts words type=list<string>
    accepts most type=int
    returns report type=artifact.json
    candidate hosted
}
provider local kind=command model=tiny {
    exec "tools/agent.sh"
    uses cat
    price input="1.00" output="2.00" per=mtok
}
provider api kind=http vendor=openai model=small {
    url "https://api.example.org/v1"
    header authorization (secret)api-key scheme=Bearer
    price input="0.10" output="0.20"
}
agent writer provider=local {
    allow-tool cat
    uses judge sum
    limits turns=3 tokens=1000 wall="5m"
    scope "src/**"
    budget usd="8.00"
}
agent hosted provider=api tier=secondary {
    uses sum
    limits tokens=2000
}
skill judge {
    prompt "judge.md.j2" {
        var text type=artifact.text
    }
}
skill sum {
    prompt text="Sum up {{ text }} in the style {{ style }}, of {{ words }}" {
        var text type=artifact.text
        var words type=list<string>
        var style type=string default=plain
    }
}
"#,
    ),
    ("lib/judge.md.j2", "Is this right?\n\n{{ text }}\n"),
];

#[test]
fn everything_that_a_graph_may_hold_is_printed() {
    let mut files: super::same::Files =
        ALL.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    // The agent has two skills, so that a node says which.
    let root = files["partita.kdl"].replace("node sum agent=lib.writer {", "node sum agent=lib.writer skill=lib.sum {");
    files = with_root(&files, root);
    let before = compiled(&files);
    let said = rendered(&before, &before.diagnostics);
    assert!(!before.diagnostics.has_errors(), "{said}");
    let graphs = before.program.root_graphs();
    for graph in &graphs {
        let (text, plan) = printed(&before, *graph).expect("it expands");
        the_same_again("all", &files, &text, &plan);
    }
    let (text, _) = printed(&before, graphs[0]).expect("it expands");
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("no `{what}` in\n{text}"));
    assert!(at("graph all tenant=acme {") < at("gate small") && at("gate small") < at("\ntool "), "{text}");
    assert!(!text.contains("tool mkdir"), "only what is needed is printed:\n{text}");
    for part in ["deadline \"90m\"", "serialize \"*.lock\"", "within=\"10s\"", "memory=\"1GiB\"", "backoff=\"250ms\""] {
        at(part);
    }
}

/// A value for a parameter of the library.
#[test]
fn what_takes_others_back_is_printed() {
    let spec = r#"partita edition=1
tool pusher { exec sh; provides deploy notify }
capability deploy { candidate pusher }
capability notify { candidate pusher }
gate there kind=file { param page type=artifact.file; require page.size gt 0 }
recipe push-and-tell {
    step tell capability=notify
    step push capability=deploy class=effect
}
recipe pull-and-tell {
    step pull tool=sh class=effect { arg "-c" "true" }
    step tell capability=notify
}
template regional {
    node push recipe=push-and-tell { rollback pull }
    node pull recipe=pull-and-tell
}
graph g {
    node ship class=effect capability=deploy {
        for-each region { - eu; - us }
        rollback "undo/{{ region }}"
    }
    node undo class=effect {
        for-each region { - eu; - us }
        run sh -c "true" (var)region
    }
    use regional as=asia
    node page { write x; output page }
    node last class=effect {
        guard there page=(ref)page.page
        after "*/*"
        run sh -c "true"
        rollback "asia/pull"
    }
}
"#;
    let files = with_root(&super::same::Files::new(), spec.to_owned());
    let before = compiled(&files);
    let said = rendered(&before, &before.diagnostics);
    assert!(!before.diagnostics.has_errors(), "{said}");
    let (text, plan) = printed(&before, before.program.root_graphs()[0]).expect("it expands");
    assert_eq!(text.matches("\n        rollback ").count(), 4, "{text}");
    the_same_again("rollbacks", &files, &text, &plan);
}

fn value_for(name: &str, ty: &str) -> String {
    match (name, ty) {
        (_, "list<string>") => "(var)words".to_owned(),
        ("digest", _) => format!("\"b3:{}\"", "0".repeat(64)),
        ("commit", _) => format!("\"{}\"", "a".repeat(40)),
        ("url", _) => "\"https://example.org/x\"".to_owned(),
        (_, ty) => match ty.strip_prefix("artifact.") {
            Some(kind) => format!("(ref)source.{kind}"),
            None => format!("\"{name}.x\""),
        },
    }
}

/// A graph that starts every tool, applies every recipe and is guarded by every gate of a file of the library.
fn uses_all_of(name: &str, text: &str) -> String {
    let prefix = if name == "posix" { "" } else { "it." };
    let mut nodes = String::new();
    for (index, node) in lang::parse(SourceId(0), text, &mut Diagnostics::default()).iter().enumerate() {
        let word = |value: &lang::Value| match &value.kind {
            lang::Kind::Text(text) => text.clone(),
            other => panic!("{other:?} is no word"),
        };
        let own = node.args.first().map(word).unwrap_or_default();
        let mut with = String::new();
        for param in node.children.iter().flatten().filter(|child| child.name.value == "param") {
            let property = |name: &str| param.props.iter().find(|property| property.name.value == name);
            let has_default = param.children.iter().flatten().any(|child| child.name.value == "default");
            if property("default").is_none() && !has_default {
                let name = word(&param.args[0]);
                let ty = property("type").map(|property| word(&property.value)).unwrap_or_default();
                with.push_str(&format!(" {name}={}", value_for(&name, &ty)));
            }
        }
        let with_node = if with.is_empty() { String::new() } else { format!("with{with};") };
        nodes.push_str(&match node.name.value.as_str() {
            "tool" => format!("node n{index} {{ run \"{prefix}{own}\" --x; output o }}\n"),
            "recipe" => format!("node n{index} recipe={prefix}{own} {{ {with_node} }}\n"),
            "gate" => format!("node n{index} {{ guard {prefix}{own}{with}; write x; output o }}\n"),
            _ => String::new(),
        });
    }
    let import = if prefix.is_empty() { String::new() } else { format!("import \"<std>/{name}\" as=it\n") };
    let kinds = ["file", "text", "diff", "json", "junit", "sbom"];
    let outputs: String =
        kinds.iter().map(|kind| format!("output {kind} path=\"a.{kind}\" type=artifact.{kind}\n")).collect();
    format!(
        "partita edition=1\n{import}let words type=list<string> {{ - a; - \"b c\" }}\ngraph g {{\nnode source {{ run sh -c x\n\
         {outputs}output dir type=artifact.dir }}\n{nodes}}}\n"
    )
}

#[test]
fn everything_of_the_library_is_printed() {
    for (name, _) in lang::reference_stdlib() {
        let text = lang::stdlib_text(&format!("<std>/{name}")).expect("the library has it");
        let files = with_root(&super::same::Files::new(), uses_all_of(name, text));
        let before = compiled(&files);
        let said = rendered(&before, &before.diagnostics);
        assert!(!before.diagnostics.has_errors(), "{name}: {said}");
        let (text, plan) = printed(&before, before.program.root_graphs()[0]).expect("it expands");
        the_same_again(name, &files, &text, &plan);
    }
}
