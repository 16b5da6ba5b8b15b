//! The help of every command is a golden file, so that a change of the command line is seen in review.
//! Leaves out what commands do.

use crate::support::{Workspace, golden, repository};

/// The commands that a help lists.
fn commands_of(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = lines.take_while(|line| line.starts_with("  "));
    // Deeper lines continue the description above them.
    let names = listed.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    // `help` is clap's own, and says what `--help` says.
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// Compares the help of a command and of those below it; returns how many.
fn compare(workspace: &Workspace, path: &[&str]) -> usize {
    let outcome = workspace.run(&[path, &["--help"]].concat()).ok();
    assert_eq!(outcome.stderr, "", "help is data");
    let name = if path.is_empty() { "partita".to_owned() } else { path.join("-") };
    let lines: Vec<&str> = outcome.stdout.lines().map(str::trim_end).collect();
    golden(&format!("golden/cli/{name}.txt"), &(lines.join("\n") + "\n"));
    let below = commands_of(&outcome.stdout);
    1 + below.iter().map(|command| compare(workspace, &[path, &[command.as_str()]].concat())).sum::<usize>()
}

#[test]
fn the_help_of_every_command_is_golden() {
    let workspace = Workspace::new();
    let compared = compare(&workspace, &[]);
    assert!(compared >= 22, "{compared} commands have a help");
    assert_eq!(workspace.list("."), [""; 0], "help writes nothing");
}

#[test]
fn every_option_has_a_description() {
    let workspace = Workspace::new();
    let help = workspace.run(&["--help"]).ok().stdout;
    for command in commands_of(&help) {
        let help = workspace.run(&[&command, "--help"]).ok().stdout;
        let lines: Vec<&str> = help.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let is_option =
                line.starts_with("  ") && line.trim_start().starts_with('-') && !line.trim_start().starts_with("- ");
            let has_text = line.trim().split("  ").count() > 1
                || lines.get(index + 1).is_some_and(|next| next.starts_with("       "));
            assert!(!is_option || has_text, "`{command}`: `{}` says nothing", line.trim());
        }
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let version = Workspace::new().run(&["--version"]).ok();
    assert_eq!(version.stdout, format!("partita {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_reference_names_every_command_and_option() {
    let reference = std::fs::read_to_string(repository("book/src/reference/cli.md")).expect("the page can be read");
    let readme = std::fs::read_to_string(repository("README.md")).expect("the page can be read");
    let workspace = Workspace::new();
    let mut open = vec![Vec::<String>::new()];
    while let Some(path) = open.pop() {
        let mut args: Vec<&str> = path.iter().map(String::as_str).collect();
        args.push("--help");
        let help = workspace.run(&args).ok().stdout;
        let below = commands_of(&help);
        if !path.is_empty() && below.is_empty() {
            assert!(reference.contains(&format!("`{}", path.join(" "))), "`{}` is not in cli.md", path.join(" "));
            assert!(readme.contains(&format!("`{}", path[0])), "`{}` is not in README.md", path[0]);
        }
        for word in help.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2) {
            let option = word.trim_end_matches([',', ']', '.']);
            let is_known = reference.contains(option) || matches!(option, "--help" | "--version");
            assert!(is_known, "`{option}` of `{}` is not in cli.md", path.join(" "));
        }
        open.extend(below.into_iter().map(|command| [path.clone(), vec![command]].concat()));
    }
}
