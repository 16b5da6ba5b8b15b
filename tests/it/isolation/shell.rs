//! `partita shell`: what a visitor finds in the sandbox of an action, with a command, through pipes and on
//! a terminal. Leaves out what the sandbox keeps from it, which is the same for the action.

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::isolation::failed_closed;
use crate::support::Workspace;

const SPEC: &str = r#"partita edition=1
tool tr { exec tr }
graph g {
    node first {
        run sh -c "echo made > made.txt"
        output made.txt
    }
    node second {
        input made.txt from=(ref)"first.made.txt"
        input given.txt
        env WORD="a word"
        run sh -c "tr a b < given.txt > out.txt; exit 3" "two words"
        tools tr
        output out.txt
    }
    node copied {
        input given.txt
        copy given.txt
        output copy.txt
    }
    node pushed class=effect {
        input made.txt from=(ref)"first.made.txt"
        run sh -c "echo pushed >> made.txt; cp made.txt out.txt"
        output out.txt
    }
    node told class=effect {
        run sh -c "exit 9"
    }
    node later {
        after told
        run sh -c "echo x > z"
        output z
    }
    node latest {
        after later
        run sh -c "echo x > z"
        output z
    }
    node after {
        input out.txt from=(ref)"pushed.out.txt"
        run sh -c "true"
        output out.txt
    }
}
"#;

fn workspace() -> Workspace {
    Workspace::new().file("partita.kdl", SPEC).file("given.txt", "data").file("other.txt", "not declared")
}

#[test]
fn a_command_finds_inputs_variables_and_tools_of_the_action_and_no_more() {
    for level in ["full", "landlock", "none"] {
        let workspace = workspace();
        let show = "echo *; python3 -c pass 2>/dev/null || echo no python; echo $WORD; tr d D < given.txt; exit 7";
        let outcome = workspace.run(&["shell", "g/second", "--isolation", level, "--", "sh", "-c", show]);
        if failed_closed(&outcome, level) {
            continue;
        }
        let outcome = outcome.expect(7);
        assert_eq!(outcome.stdout, "given.txt made.txt\nno python\na word\nData", "{level}\n{}", outcome.describe());
        // What its inputs needed was run and is known from now on; the visit itself is not.
        workspace.run(&["run", "g/first", "--isolation", level]).ok().says("0 ran, 1 cached");
        workspace.run(&["run", "g/second", "--isolation", level]).expect(1).says("exited with status 3");
        workspace.run(&["runs"]).ok();
    }
}

#[test]
fn a_shell_reads_what_is_typed() {
    for level in ["full", "landlock", "none"] {
        let workspace = workspace();
        let mut child = workspace
            .partita(&["shell", "g/second", "--isolation", level])
            .command()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it can be started");
        child.stdin.take().expect("it is open").write_all(b"pwd\necho $0 $WORD\nexit 5\n").expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.code() == Some(33) {
            continue;
        }
        assert_eq!(output.status.code(), Some(5), "{level}: {stdout}\n{stderr}");
        assert!(stdout.ends_with("sh a word\n"), "{stdout}");
        assert!(stderr.contains(&format!("in the sandbox of g/second (isolation {level})")), "{stderr}");
        assert!(stderr.contains("its command: sh -c 'tr a b < given.txt > out.txt; exit 3' 'two words'"), "{stderr}");
        if level == "full" {
            assert!(stdout.starts_with("/build/work\n"), "{stdout}");
        }
    }
}

#[test]
fn a_shell_on_a_terminal_has_a_terminal_of_its_own() {
    for level in ["full", "landlock", "none"] {
        let workspace = workspace();
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("a terminal");
        let name = ptsname(&master, Vec::new()).expect("it has a name");
        let end =
            std::fs::File::options().read(true).write(true).open(name.to_str().expect("a path")).expect("a terminal");
        let mut command = workspace.partita(&["shell", "g/second", "--isolation", level]).command();
        command.env("TERM", "dumb").stdin(end.try_clone().expect("a file")).stdout(end.try_clone().expect("a file"));
        command.stderr(end);
        let mut child = command.spawn().expect("it can be started");
        drop(command);
        let mut terminal = std::fs::File::from(master);
        let typed = b"test -t 0 && test -t 1 && test -t 2 && echo it is $((40 + 2))\nexit 6\n";
        terminal.write_all(typed).expect("it can be typed");
        let mut shown = Vec::new();
        let mut buffer = [0; 1024];
        // An error: nobody has the other end any more.
        while let Ok(count @ 1..) = terminal.read(&mut buffer) {
            shown.extend_from_slice(&buffer[..count]);
        }
        let status = child.wait().expect("it ends");
        let text = String::from_utf8_lossy(&shown);
        if status.code() == Some(33) {
            continue;
        }
        assert_eq!(status.code(), Some(6), "{level}: {text}");
        assert!(text.contains("it is 42"), "{level}: {text}");
    }
}

#[test]
fn what_cannot_be_visited_is_said() {
    let workspace = workspace();
    workspace.run(&["shell", "g/copied"]).expect(2).says("`g/copied` starts no process");
    workspace.run(&["shell", "g"]).expect(2).says("`g` is several actions").says("`g/first`");
    workspace.run(&["shell", "g/secnd"]).expect(2).says("did you mean `g/second`");
    workspace.run(&["shell", "g/after"]).expect(2).says("effect `g/pushed`");
    // Nor does a visit do what an action only comes after, though it takes nothing in from there.
    for addr in ["g/later", "g/latest"] {
        workspace.run(&["shell", addr, "--", "sh", "-c", "exit 0"]).expect(2).says("comes after effect `g/told`");
    }
    workspace.run(&["shell", "g/second", "--", "gcc"]).expect(2).says("`gcc` is not among the tools of `g/second`");
}
