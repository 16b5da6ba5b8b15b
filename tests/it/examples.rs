//! The examples and what their documents say of them: they check, their plans are golden files, and
//! the changes that are suggested do what is claimed. Leaves out the large example's build, which is
//! `repro`'s, and their console blocks, which are `book`'s.

use walkdir::WalkDir;

use crate::support::{Workspace, golden, repository, tool};

/// The names of the examples: their folders, which are named like their graph and bundle.
fn names() -> Vec<String> {
    let entries = WalkDir::new(repository("examples")).min_depth(1).max_depth(1).sort_by_file_name();
    let folders = entries.into_iter().map(|entry| entry.expect("the folder can be listed"));
    let names = folders.filter(|entry| entry.file_type().is_dir());
    names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn there_are_examples_and_each_has_its_documents() {
    let names = names();
    for expected in ["gates", "hello", "lua", "packages", "routing", "services", "site"] {
        assert!(names.iter().any(|name| name == expected), "{names:?}");
    }
    for name in names {
        let folder = repository("examples").join(&name);
        let readme = std::fs::read_to_string(folder.join("README.md")).expect("an example has a README.md");
        assert!(readme.starts_with(&format!("# {name}: ")), "{name}: its first line names it and its lesson");
        assert!(readme.contains(&format!("deliver {name}")), "{name}: how to run it is said");
        assert!(folder.join("partita.kdl").is_file(), "{name}: it is a workspace");
    }
}

#[test]
fn every_example_checks_without_a_word() {
    for name in names() {
        let outcome = Workspace::copy_of(&format!("examples/{name}")).run(&["check"]).ok();
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""), "{name}");
    }
}

#[test]
fn the_plans_of_examples_are_golden() {
    for name in names() {
        let workspace = Workspace::copy_of(&format!("examples/{name}"));
        let plan = workspace.run(&["plan", &name, "--format", "json"]).ok();
        golden(&format!("golden/plan/{name}.jsonl"), &plan.stdout);
        assert!(!workspace.store().exists() && !workspace.state().exists(), "a plan needs neither");
    }
}

#[test]
fn hello_behaves_as_its_document_says() {
    let hello = Workspace::copy_of("examples/hello");
    let spec = hello.read("partita.kdl");
    hello.run(&["deliver", "hello"]).ok();
    let zip = hello.bytes("out/bundles/hello-0.1.0.zip");

    // Another name: both run, and `why` names the file that changed.
    hello.write("partita.kdl", spec.replace("NAME=world", "NAME=there"));
    assert_eq!(hello.run(&["deliver", "hello"]).ok().counts(), [2, 0, 0, 0, 0]);
    assert_eq!(hello.read("out/hello/shout/shout.txt"), "HELLO, THERE\n");
    hello.run(&["why", "hello/shout"]).ok().prints("`greeting.txt`, made by `hello/greet`, changed");

    // Back: nothing runs.
    hello.write("partita.kdl", &spec);
    assert_eq!(hello.run(&["deliver", "hello"]).ok().counts(), [0, 2, 0, 0, 0]);

    // Another spelling: both run, and the bundle is the same.
    hello.write("partita.kdl", spec.replace("NAME=world", "NAME=World"));
    assert_eq!(hello.run(&["deliver", "hello"]).ok().counts(), [2, 0, 0, 0, 0]);
    assert_eq!(hello.read("out/hello/shout/shout.txt"), "HELLO, WORLD\n");
    assert!(hello.bytes("out/bundles/hello-0.1.0.zip") != zip, "the bundle names its plan");

    // Outputs that were deleted come back.
    hello.remove("out");
    assert_eq!(hello.run(&["run", "hello"]).ok().counts(), [0, 2, 0, 0, 0]);
    assert_eq!(hello.read("out/hello/shout/shout.txt"), "HELLO, WORLD\n");
}

#[test]
fn gates_behave_as_their_document_says() {
    let gates = Workspace::copy_of("examples/gates");
    assert_eq!(gates.run(&["run", "gates"]).ok().counts(), [10, 0, 0, 0, 0]);
    let changes = gates.read("notes/changes.md");
    gates.write("notes/changes.md", changes.replace("## Known", "Known"));
    gates.run(&["run", "gates"]).expect(12).says("gate `complete` says no").says("skipped gates/release");
    gates.write("notes/changes.md", changes);
    let lock = gates.read("package-lock.json");
    gates.write("package-lock.json", lock.replace("kleur", "left-pad"));
    gates.run(&["run", "gates"]).expect(15).says("left-pad is in it");
    gates.write("package-lock.json", lock);
    let spec = gates.read("partita.kdl");
    gates.write("partita.kdl", spec.replace("    include notes", "    include release\n    include notes"));
    gates.run(&["check"]).expect(3).says("error[P0501]").says("`gates/gates` needs `gates/release`");
    let consent = "gate consent kind=approval {\n    approvers everybody\n}\ngraph gates {";
    let asked =
        spec.replace("graph gates {", consent).replace("guard reviewed", "guard consent\n        guard reviewed");
    gates.write("partita.kdl", asked);
    gates.run(&["run", "gates"]).expect(4);
    gates.run(&["key", "generate", "default"]).ok();
    gates.run(&["approve", "gates"]).ok();
    gates.run(&["run", "gates"]).ok();
}

#[test]
fn packages_behave_as_their_document_says() {
    let packages = Workspace::copy_of("examples/packages");
    packages.run(&["lock", "--check"]).ok();
    packages.run(&["run", "packages"]).ok();
    let spec = packages.read("partita.kdl");
    packages.write("partita.kdl", spec.replace("cat in/*.txt", "echo {{ words.salutation }}; cat in/*.txt"));
    packages.run(&["check"]).expect(3).says("salutation");
    packages.write("partita.kdl", spec.replace("version=\"1.2\"", "version=\"1.3\""));
    packages.run(&["check"]).expect(3).says("error[P0209]");
    packages.write("partita.kdl", &spec);
    packages.append("vendored/words/partita.kdl", "\n// A word.\n");
    packages.run(&["check"]).ok();
    packages.run(&["check", "--locked"]).expect(3).says("error[P0207]");
}

#[test]
fn services_behave_as_their_document_says() {
    if tool("node").is_none() {
        return;
    }
    let services = Workspace::copy_of("examples/services");
    assert_eq!(services.run(&["run", "services"]).ok().counts(), [4, 0, 0, 0, 0]);
    let server = services.read("web/server.mjs");
    services.write("web/server.mjs", server.replace("name.length * 10", "name.length * 20"));
    // The list of what is in stock comes out equal.
    assert_eq!(services.run(&["run", "services"]).ok().counts(), [3, 1, 0, 0, 0]);
    services.run(&["why", "services/prices"]).ok().prints("the service `shop`, or what it takes in, changed");
    let spec = services.read("partita.kdl");
    services.write("partita.kdl", spec.replace("\"/health\" within=\"20s\"", "\"/nowhere\" within=\"300ms\""));
    services.run(&["run", "services"]).expect(14).says("/nowhere is answered with status 404");
}

#[test]
fn site_behaves_as_its_document_says() {
    if tool("cmark").is_none() {
        return;
    }
    let site = Workspace::copy_of("examples/site");
    site.run(&["deliver", "site"]).ok();
    let page = site.read("out/site/page/index/index.html");
    assert!(page.contains("<title>") && page.contains("href=\"keys.html\""), "{page}");
    let style = site.read("out/site/style/style.css");
    assert!(!style.contains("/*") && !style.contains('\n'), "comments and blanks are gone: {style}");
    assert!(!site.read("out/site/mark/mark.svg").contains("INK"), "the drawing has the colour of the theme");
    assert!(site.read("out/site/links/links.txt").contains("index.html keys.html"));

    // Another author: the theme comes out equal, so style and drawing stay; the pages are made anew.
    let author = site.read("data/site.json").replace("\"author\": \"", "\"author\": \"Dr. ");
    site.write("data/site.json", author);
    let report = site.run(&["run", "site", "--format", "json"]).ok().json();
    let ended = |addr: &str| {
        let actions = report["actions"].as_array().expect("a report lists actions");
        let action = actions.iter().find(|action| action["addr"] == addr).expect("the address is in the report");
        action["outcome"].as_str().expect("an outcome is a word").to_owned()
    };
    for addr in ["site/data", "site/theme", "site/page/index", "site/page/keys", "site/page/colophon"] {
        assert_eq!(ended(addr), "ran", "{addr}");
    }
    for addr in ["site/style", "site/mark"] {
        assert_eq!(ended(addr), "cut-off", "{addr}");
    }
    assert_eq!(ended("site/body/index"), "cached");

    // A link that leads nowhere stops the delivery.
    site.append("content/index.md", "\n[lost](nowhere.html)\n");
    site.remove("out/bundles");
    let refused = site.run(&["deliver", "site"]).expect(1).says("index.html: there is no nowhere.html");
    refused.says("error[E0205]: `site/links` failed: ").says("--> partita.kdl:");
    assert!(!site.has("out/bundles"), "nothing is bundled");
}

#[test]
fn routing_behaves_as_its_document_says() {
    const KEY: &[u8] = b"not-a-real-key-7f3a";
    let routing = Workspace::copy_of("examples/routing");
    let plan = routing.run(&["plan", "routing"]).ok();
    plan.prints("not ghostwriter: it may cost $0.02").prints("(max-usd)").prints("route text.translation");
    assert_eq!(routing.run(&["run", "routing", "routing/summary"]).ok().counts(), [5, 0, 0, 0, 0]);
    assert_eq!(routing.read("out/routing/summary/summary.txt"), "In short: A plan is read before it is run.\n");
    let german = routing.read("out/routing/german/out/translated.txt");
    assert_eq!(german, "Kurz (de): A plan is read before it is run.\n");
    assert_eq!(routing.run(&["run", "routing"]).ok().counts(), [0, 5, 0, 0, 0]);

    // What the agent was told went to its log; the key of the service went nowhere.
    routing
        .run(&["log", "--addr", "routing/summary"])
        .ok()
        .prints("Sum up this text for readers in one sentence. It has 27 words.");
    routing.run(&["log", "--addr", "routing/german"]).ok().prints("using key [secret translator-key]");
    for folder in [routing.state(), routing.store()] {
        for entry in WalkDir::new(folder).sort_by_file_name().into_iter().filter_map(Result::ok) {
            if entry.file_type().is_file() {
                let bytes = std::fs::read(entry.path()).expect("a file of ours can be read");
                let found = bytes.windows(KEY.len()).any(|window| window == KEY);
                assert!(!found, "{} holds the key", entry.path().display());
            }
        }
    }

    // Another rule, another route.
    let spec = routing.read("partita.kdl");
    let dearer = spec.replace("max-usd=\"0.01\"", "max-usd=\"0.10\"");
    routing.write("partita.kdl", dearer.replace("    candidate editor\n", ""));
    routing.run(&["plan", "routing"]).ok().prints("route text.summary: tool wire-service (secondary), at most $0.05");
    routing.write("partita.kdl", spec.replace("budget usd=\"0.50\"", "budget usd=\"0.003\""));
    routing
        .run(&["check"])
        .expect(3)
        .says("the cheapest route costs $0.004, and the budget of graph `routing` is $0.003");

    // No tenant allows the second tier: nobody translates, and the reason is said.
    routing.write("partita.kdl", spec.replace("allow-tier primary secondary", "allow-tier primary"));
    routing.run(&["check"]).expect(3).says("tenant `press` does not allow the secondary tier");
}
