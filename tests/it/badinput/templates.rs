//! Templates that are nested so deep that whoever reads them would run out of stack: refused at `check` where they
//! are prompts, at run time where they are rendered. Leaves out mistakes of templates: see `ui`.

use std::fmt::Write as _;

use crate::badinput::{ACTION_FAILED, SPEC};
use crate::support::Workspace;

/// As many as fit into a file that nobody would look at twice.
const MANY: usize = 50_000;

fn shapes() -> Vec<String> {
    let of = |part: &str| part.repeat(MANY);
    vec![
        format!("{{{{ {}a }}}}", of("+")),
        format!("{{{{ {}a }}}}", of("-")),
        format!("{{{{ {}a }}}}", of("not ")),
        format!("{{{{ a{} }}}}", of(".b")),
        format!("{{{{ a{} }}}}", of("|lower")),
        format!("{{{{ a{} }}}}", of("+a")),
        format!("{{{{ a{} }}}}", of(" ~ a")),
        format!("{{{{ a{} }}}}", of(" and a")),
        format!("{{{{ a{} }}}}", of(" is none")),
        format!("{{{{ a{} }}}}", of(" if a else a")),
        format!("{{{{ a{} }}}}", of("()")),
        format!("{{{{ a{} }}}}", of("[0]")),
        format!("{{{{ {}a{} }}}}", of("("), of(")")),
        format!("{{{{ {}a{} }}}}", of("["), of("]")),
        format!("{{{{ {} }}}}", of("{'a': ")),
        format!("{{% if a %}}{}{{% endif %}}", of("{% elif a %}")),
        format!("{}{}", of("{% if a %}"), of("{% endif %}")),
        of("{% for a in b %}"),
    ]
}

#[test]
fn prompts_and_pages_that_are_nested_without_end() {
    let (mut skills, mut nodes) = (String::new(), String::new());
    let mut workspace = Workspace::new();
    let shapes = shapes();
    for (number, text) in shapes.iter().enumerate() {
        workspace = workspace.file(&format!("t/{number}.j2"), text);
        let _ = writeln!(skills, "skill s{number} {{ prompt \"t/{number}.j2\" {{ var a type=string }} }}");
        let _ = writeln!(
            nodes,
            "node n{number} {{ input \"t/{number}.j2\"; render \"t/{number}.j2\" {{ set a=x }}; output o }}"
        );
    }
    workspace.write("partita.kdl", format!("partita edition=1\n{skills}"));
    let outcome = workspace.run(&["check"]).expect(SPEC);
    assert_eq!(outcome.stderr.matches("is nested too deep").count(), shapes.len(), "{}", outcome.describe());
    workspace.write("partita.kdl", format!("partita edition=1\ngraph g {{\n{nodes}}}\n"));
    let outcome = workspace.run(&["run", "g", "--keep-going"]).expect(ACTION_FAILED);
    assert!(outcome.stderr.contains("is nested more than 128 levels deep in line 1"), "{}", outcome.describe());
    assert_eq!(outcome.stderr.matches("error[E0211]").count(), shapes.len(), "{}", outcome.describe());
}

#[test]
fn what_is_as_deep_as_may_be_is_rendered() {
    let links = 100;
    let text = format!(
        "{{% set b = {{'b': 1}} %}}{{{{ {}1 }}}} {{{{ a{} }}}} {{{{ 1{} }}}} {{% if not a %}}{}{{% else %}}e{{% endif %}}",
        "- ".repeat(links),
        "|lower".repeat(links),
        "+1".repeat(links),
        "{% elif not a %}".repeat(links)
    );
    let spec = "graph g { node n { input page.j2; render page.j2 { set a=X }; output o } }\n";
    let workspace = Workspace::with_spec(spec).file("page.j2", &text);
    workspace.run(&["run", "g"]).ok();
    assert_eq!(workspace.read("out/g/n/o"), "1 x 101 e");
}
