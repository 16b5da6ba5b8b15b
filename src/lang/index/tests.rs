//! The index over small workspaces: what names stand for, across files and in half-typed text.

use crate::base::RelPath;
use crate::lang::{Compiled, FileId, Index, MemoryWorld, RenameError, compile};

/// A workspace; a place in it is written `|`, and is taken out.
struct Case {
    compiled: Compiled,
    index: Index,
    file: FileId,
    at: usize,
}

const TOOLS: &str = "partita edition=1\n\n// Compiles.\ntool gcc {\n    exec gcc\n}\nlet opt type=string fast\n";

fn case(text: &str) -> Case {
    let at = text.find('|').expect("a place is marked");
    let mut world = MemoryWorld::single(&format!("partita edition=1\n{}", text.replacen('|', "", 1)));
    world.insert(RelPath::new("lib/tools.kdl").unwrap(), TOOLS);
    let compiled = compile(&world, &[RelPath::new("partita.kdl").unwrap()]);
    let index = Index::of(&compiled.program);
    let file = index.file("partita.kdl").unwrap();
    Case { compiled, index, file, at: at + "partita edition=1\n".len() }
}

impl Case {
    fn place(&self, span: crate::diag::Span) -> String {
        let file = self.index.sources().file(span.source);
        let (line, _) = file.line_column(span.start as usize);
        // The line with a mark where the place begins.
        let range = file.line_range(line);
        let text = &file.text[range.start..span.start as usize];
        let rest = &file.text[span.start as usize..range.end];
        let name = file.name.rsplit('/').next().unwrap_or_default();
        format!("{name}: {}|{}", text.trim_start(), rest.trim_end())
    }

    fn definition(&self) -> Option<String> {
        let symbol = self.index.definition_at(self.file, self.at)?;
        Some(format!("{} {} {}", symbol.kind, symbol.name, self.place(symbol.span)))
    }

    fn labels(&self) -> Vec<String> {
        let found = self
            .index
            .completions_at(self.file, self.at, &|| vec!["lib/tools.kdl".to_owned(), "partita.kdl".to_owned()]);
        found.items.into_iter().map(|item| item.label).collect()
    }

    fn hover(&self) -> String {
        self.index.hover_at(self.file, self.at, &self.compiled.instances).map(|hover| hover.text).unwrap_or_default()
    }
}

const RECIPES: &str = "import \"lib/tools.kdl\" as=lib
let names type=list<string> {
    - a
    - b
}
// Makes one.
recipe make {
    param who type=string
    param mode type=enum default=fast {
        one-of fast slow
    }
    returns made type=artifact.file
    step first tool=lib.gcc {
        arg \"--{{ who }}\" (var)mode
        output made path=\"{{ who }}.o\"
    }
}
template pair {
    param who type=string
    node one recipe=make {
        with who=(var)who
    }
}
graph g {
    resource lamp capacity=1
    node all recipe=make {
        for-each name in=(var)names
        with who=(var)name
    }
    use pair as=p {
        with who=x
    }
    node last {
        holds lamp
        run cp a b
        input \"all/{{ node.name }}\" from=(ref)all.made
        input c from=(ref)\"p/one.made\"
        output b
        after \"p/one\"
    }
}
bundle done from=g {
    include last output=b
}
";

/// The workspace with a mark before the nth place of a text.
fn marked(text: &str, nth: usize) -> Case {
    let at = RECIPES.match_indices(text).nth(nth).unwrap_or_else(|| panic!("`{text}` is not there")).0;
    case(&format!("{}|{}", &RECIPES[..at], &RECIPES[at..]))
}

#[test]
fn the_example_is_right() {
    let case = marked("graph g", 0);
    assert!(!case.compiled.diagnostics.has_errors(), "{:?}", case.compiled.diagnostics.sorted());
}

#[test]
fn names_lead_to_their_declarations() {
    let expect = |text: &str, nth: usize, wanted: &str| {
        assert_eq!(marked(text, nth).definition().as_deref(), Some(wanted), "`{text}` {nth}");
    };
    expect("lib.gcc", 0, "import lib partita.kdl: import \"lib/tools.kdl\" as=|lib");
    expect("gcc {\n        arg", 0, "tool gcc tools.kdl: tool |gcc {");
    expect("make {\n        for-each", 0, "recipe make partita.kdl: recipe |make {");
    expect("who }}\" (var)", 0, "param who partita.kdl: param |who type=string");
    expect("mode\n", 0, "param mode partita.kdl: param |mode type=enum default=fast {");
    expect("made path", 0, "returns made partita.kdl: returns |made type=artifact.file");
    expect("who=(var)name", 0, "param who partita.kdl: param |who type=string");
    expect("name\n    }", 0, "for-each name partita.kdl: for-each |name in=(var)names");
    expect("names\n", 0, "let names partita.kdl: let |names type=list<string> {");
    expect("who=x", 0, "param who partita.kdl: param |who type=string");
    expect("lamp\n        run", 0, "resource lamp partita.kdl: resource |lamp capacity=1");
    expect("cp a b", 0, "tool cp posix: tool |cp { exec cp }");
    expect("all.made", 0, "node all partita.kdl: node |all recipe=make {");
    expect("made\n        input c", 0, "returns made partita.kdl: returns |made type=artifact.file");
    expect("p/one.made", 0, "use p partita.kdl: use pair as=|p {");
    expect("one.made", 0, "node one partita.kdl: node |one recipe=make {");
    expect("one\"\n", 0, "node one partita.kdl: node |one recipe=make {");
    expect("g {\n    include", 0, "graph g partita.kdl: graph |g {");
    expect("last output", 0, "node last partita.kdl: node |last {");
    expect("b\n}\n", 1, "output b partita.kdl: output |b");
}

#[test]
fn all_places_of_a_name_are_found() {
    let case = marked("who type=string\n    param mode", 0);
    let places: Vec<String> =
        case.index.references_of(case.file, case.at).into_iter().map(|found| case.place(found.span)).collect();
    assert_eq!(
        places,
        [
            "partita.kdl: param |who type=string",
            "partita.kdl: arg \"--{{ |who }}\" (var)mode",
            "partita.kdl: output made path=\"{{ |who }}.o\"",
            "partita.kdl: with |who=(var)who",
            "partita.kdl: with |who=(var)name",
        ]
    );
}

#[test]
fn hover_tells_type_value_and_instances() {
    let hover = marked("names\n", 0).hover();
    assert!(hover.contains("Value: `a b`") && hover.contains("list<string>"), "{hover}");
    let hover = marked("make {\n        for-each", 0).hover();
    assert!(hover.contains("Makes one.") && hover.contains("- `mode`: `enum` = `fast`"), "{hover}");
    let hover = marked("all recipe", 0).hover();
    assert!(hover.contains("Instances: 2: `g/all/a`, `g/all/b`"), "{hover}");
    let hover = marked("for-each", 0).hover();
    assert!(hover.contains("One instance for each element"), "{hover}");
    let hover = marked("capacity", 0).hover();
    assert!(hover.contains("how much there is"), "{hover}");
    let hover = marked("name\n    }", 0).hover();
    assert!(hover.contains("Each of: `a b`"), "{hover}");
}

#[test]
fn completions_fit_the_place() {
    let has = |text: &str, wanted: &[&str], unwanted: &[&str]| {
        let case = case(&format!("{RECIPES}{text}"));
        let labels = case.labels();
        for label in wanted {
            assert!(labels.iter().any(|found| found == label), "`{text}` lacks `{label}`: {labels:?}");
        }
        for label in unwanted {
            assert!(!labels.iter().any(|found| found == label), "`{text}` has `{label}`: {labels:?}");
        }
    };
    has("gra|", &["graph", "recipe", "bundle"], &["step", "partita", "workspace-x"]);
    has("graph h {\n    n|\n}\n", &["node", "use", "resource"], &["step", "graph"]);
    has("graph h {\n    node a recipe=|\n}\n", &["make"], &["pair", "cp"]);
    has("graph h {\n    node a {\n        run |\n    }\n}\n", &["cp", "lib.gcc"], &["make"]);
    has("graph h {\n    node a recipe=make {\n        with |\n    }\n}\n", &["who", "mode"], &[]);
    has("graph h {\n    node a recipe=make {\n        with who=(var)|\n    }\n}\n", &["names", "lib.opt"], &["who"]);
    has("graph h {\n    node a recipe=make {\n        with mode=|\n    }\n}\n", &["fast", "slow"], &["debug"]);
    has(
        "graph h {\n    node a recipe=make {}\n    node b {\n        input x from=(ref)|\n    }\n}\n",
        &["a.made"],
        &["all.made"],
    );
    has("graph h {\n    use pair as=q {}\n    node b {\n        after \"|\"\n    }\n}\n", &["q", "q/one"], &["p"]);
    has("graph h {\n    node b class=|\n}\n", &["pure", "fixed"], &["lib.opt"]);
    has("graph h {\n    node b {\n        retry max=1 on=|\n", &["transient", "any"], &[]);
    has("graph h {\n    node b {\n        when opt |\n", &["eq", "ge", "contains", "matches"], &["opt"]);
    has("provider p kind=|\n", &["command", "http"], &[]);
    has("tenant t {\n    budget usd=\"1.00\" per=|\n", &["run", "month"], &[]);
    has("tenant t {\n    budget usd=\"1.00\" on-exceed=|\n", &["stop", "pause"], &[]);
    has("tool t {\n    exec x\n    cost usd=\"1.00\" per=|\n", &["call", "minute"], &["opt"]);
    has("recipe r {\n    param p type=|\n}\n", &["string", "artifact.file"], &["cp"]);
    has(
        "recipe r {\n    param pp type=string\n    step s {\n        write \"{{ | }}\"\n    }\n}\n",
        &["pp", "names"],
        &[],
    );
    has("import \"|\" as=x\n", &["<std>/cc", "./lib/tools.kdl"], &["./partita.kdl"]);
    has("bundle b from=g {\n    include |\n}\n", &["all", "last", "p/one"], &["make"]);
    has("bundle b from=g {\n    include last output=|\n}\n", &["b"], &["made"]);
    has("graph h {\n    node b |\n}\n", &["recipe", "class"], &["cp"]);
    has("// gra|\n", &[], &["graph"]);
}

#[test]
fn renames_reach_every_place() {
    let case = marked("made type", 0);
    let edits = case.index.rename(case.file, case.at, "built").unwrap();
    let places: Vec<String> = edits.iter().map(|edit| case.place(edit.span)).collect();
    assert_eq!(
        places,
        [
            "partita.kdl: returns |made type=artifact.file",
            "partita.kdl: output |made path=\"{{ who }}.o\"",
            "partita.kdl: input \"all/{{ node.name }}\" from=(ref)all.|made",
            "partita.kdl: input c from=(ref)\"p/one.|made\"",
        ]
    );

    let case = marked("gcc {\n        arg", 0);
    let edits = case.index.rename(case.file, case.at, "cc").unwrap();
    let places: Vec<String> = edits.iter().map(|edit| case.place(edit.span)).collect();
    assert_eq!(places, ["partita.kdl: step first tool=lib.|gcc {", "tools.kdl: tool |gcc {"]);
}

#[test]
fn renames_that_would_change_meaning_are_refused() {
    let refused = |text: &str, nth: usize, name: &str| {
        let case = marked(text, nth);
        case.index.rename(case.file, case.at, name).unwrap_err()
    };
    assert_eq!(refused("graph g", 0, "h"), RenameError::Nothing);
    assert_eq!(refused("make {\n    param", 0, "1x"), RenameError::NoName("1x".to_owned()));
    assert!(matches!(refused("all recipe", 0, "last"), RenameError::Taken(_, "node", _)));
    assert!(matches!(refused("all recipe", 0, "p"), RenameError::Taken(_, "use", _)));
    assert!(matches!(refused("who type=string\n    param mode", 0, "mode"), RenameError::Taken(..)));
    // The loop variable would hide the constant it goes over, and a constant be hidden by it.
    assert!(matches!(refused("name in=", 0, "names"), RenameError::Taken(_, "let", _)));
    assert!(matches!(refused("names type", 0, "name"), RenameError::Taken(_, "for-each", _)));
    assert!(matches!(refused("cp a b", 0, "copy"), RenameError::Foreign(..)));
}

#[test]
fn mistakes_do_not_hide_what_is_there() {
    let case = case(
        "recipe r {\n    param p type=string\n    step s tool=sh {\n        arg (var)|p \"unclosed\n    }\n}\ngraph g {\n",
    );
    assert!(case.compiled.diagnostics.has_errors());
    assert_eq!(case.definition().as_deref(), Some("param p partita.kdl: param |p type=string"));
}

#[test]
fn views_of_a_file() {
    let case = marked("graph g", 0);
    let outline: Vec<String> =
        case.index.outline(case.file).iter().map(|item| case.index.symbol(item.symbol).name.clone()).collect();
    assert_eq!(outline, ["lib", "names", "make", "pair", "g", "done"]);
    let hints: Vec<String> = case
        .index
        .hints(case.file, 0..RECIPES.len(), &case.compiled.instances)
        .into_iter()
        .map(|hint| hint.text)
        .collect();
    assert_eq!(hints, ["mode=fast", "×2", "mode=fast"]);
    let links = case.index.links(case.file);
    assert_eq!(links[0].import.map(|file| case.index.path(file).to_owned()).as_deref(), Some("lib/tools.kdl"));
    let folds = case.index.folds(case.file);
    assert!(folds.len() > 8, "{folds:?}");
    let tokens = case.index.tokens(case.file);
    assert!(tokens.windows(2).all(|pair| pair[0].span.end <= pair[1].span.start), "tokens lie over each other");
    let lenses = case.index.lenses(case.file);
    let of_make = lenses.iter().find(|lens| case.index.sources().text(lens.span) == "make").unwrap();
    assert_eq!(of_make.uses.len(), 2);
}

#[test]
fn a_rename_follows_into_gates_tests_and_loops() {
    let text = "gate big kind=file {\n    param f type=artifact.file\n    require f.size ge 1\n}\n\
                graph g {\n    param mode type=string default=full\n    node c {\n        for-each lang in=(var)ls\n        \
                when mode eq full\n        output o path=o\n    }\n    node sum {\n        \
                input \"\\u{65}{{ node.lang }}\" from=(ref)c.o\n        output s\n    }\n}\n\
                test t {\n    given g { mode full }\n    expect path from=\"c/*\" to=sum\n}\n\
                test u {\n    given h { mode full }\n    expect nodes sum\n}\n";
    for (name, count) in [("f type", 2), ("mode type", 3), ("lang in", 2), ("sum {", 2), ("c {\n        for", 3)] {
        let at = text.find(name).unwrap();
        let case = case(&format!("{}|{}", &text[..at], &text[at..]));
        let edits = case.index.rename(case.file, case.at, "fresh").unwrap();
        assert_eq!(edits.len(), count, "{name}: {edits:?}");
    }
}
