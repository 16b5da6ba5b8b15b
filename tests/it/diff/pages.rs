//! Pages: of a difference, and of a run with its time line. Leaves out how they look, which a person has
//! to judge.

use crate::support::Workspace;

/// A page stands alone, and nothing of a spec breaks out of it.
fn stands_alone(page: &str) {
    for outside in ["<script", "<link", "href=", "src=", "url(", "@import", "http://", "https://"] {
        assert!(!page.contains(outside), "`{outside}` reaches outside of the page");
    }
    assert!(page.contains("prefers-color-scheme:dark") && page.contains("name=\"viewport\""));
    assert!(!page.contains('\u{1b}') && !page.contains('\u{202e}'), "nothing steers the reader");
    for tag in ["details", "table", "ul", "section", "pre", "p", "li", "div"] {
        let (open, close) = (
            page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count(),
            page.matches(&format!("</{tag}>")).count(),
        );
        assert_eq!(open, close, "<{tag}>");
    }
}

#[test]
fn a_difference_is_a_page_with_privileged_changes_first() {
    let spec = "graph g {\n    node a {\n        run sh -c \"echo 1 > o\"\n        env MODE=plain\n        output o\n    }\n}\n";
    let workspace = Workspace::with_spec(spec);
    workspace.run(&["plan", "g", "-o", "../before"]).ok();
    let hostile = "MODE=\"</pre></details><script>x</script> \\u{1b}[31m \\u{202e}\"";
    let spec =
        workspace.read("partita.kdl").replace("MODE=plain", hostile).replace("node a {", "node a class=volatile {");
    workspace.write("partita.kdl", spec);
    let page = workspace.run(&["diff", "../before", ".", "--format", "html"]).ok().stdout;
    stands_alone(&page);
    let (first, then) = (page.find("It widens what the plans may do"), page.find("definition changed"));
    assert!(first.is_some() && first < then, "{page}");
    assert!(page.contains("&lt;script&gt;"), "{page}");
    assert!(page.contains("<b>1</b><span>privileged</span>"), "{page}");
    workspace.run(&["diff", "../before", ".", "--format", "svg"]).expect(2).says("sarif or html");
}

#[test]
fn a_run_is_a_page_with_its_critical_path() {
    // The fast one is done first, so that the way goes by the slow one.
    let spec = "graph g {\n    concurrency 1\n    node fast {\n        write x\n        output o\n    }\n    node slow {\n        run sh -c \"i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo x > o\"\n        output o\n    }\n    node end {\n        input i from=(ref)slow.o\n        input j from=(ref)fast.o\n        run sh -c \"cat i j > p\"\n        output p\n    }\n}\n";
    let workspace = Workspace::with_spec(spec);
    workspace.run(&["log", "--format", "html"]).expect(2).says("nothing has been run in this workspace yet");
    workspace.run(&["run", "g"]).ok();
    let page = workspace.run(&["log", "--format", "html"]).ok().stdout;
    stands_alone(&page);
    let (_, path) = page.split_once("<h2>Critical path</h2>").expect("it has one");
    let (path, _) = path.split_once("</table>").expect("a table ends");
    assert!(path.contains("each waited for the one before"), "{path}");
    let at = |addr: &str| path.find(&format!("<code>{addr}</code>"));
    assert!(at("g/end").is_some() && at("g/slow") < at("g/end") && at("g/slow").is_some(), "{path}");
    // A later plan is another: what waited for what is then not known of an earlier run.
    let first = workspace.run(&["runs", "--format", "json"]).ok().json_lines()[0]["run"].clone();
    workspace.write("partita.kdl", workspace.read("partita.kdl").replace("cat i j > p", "cat j i > p"));
    workspace.run(&["run", "g"]).ok();
    let run = first.as_str().expect("an id is text");
    let page = workspace.run(&["log", run, "--format", "html"]).ok().stdout;
    assert!(page.contains("is not that of the specs at hand"), "{page}");
    let page = workspace.run(&["log", "--format", "html"]).ok().stdout;
    assert!(page.contains("2 known: nothing it depends on has changed"), "{page}");
    workspace.run(&["log", "ffffffff", "--format", "html"]).expect(2).says("there is no run");
}

#[test]
fn a_failure_is_on_its_page() {
    let workspace = Workspace::with_spec(
        "graph g {\n    node a {\n        run sh -c \"echo '<b>broken' >&2; exit 3\"\n        output o\n    }\n    node b {\n        input o from=(ref)a.o\n        copy o\n        output p\n    }\n}\n",
    );
    workspace.run(&["run", "g"]).expect(1);
    let page = workspace.run(&["log", "--format", "html"]).ok().stdout;
    stands_alone(&page);
    assert!(page.contains("exited with status 3") && page.contains("&lt;b&gt;broken"), "{page}");
    assert!(page.contains("1 not tried"), "{page}");
}
