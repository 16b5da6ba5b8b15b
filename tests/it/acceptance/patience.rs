//! Agents behind APIs that take their time, or never answer: whose limit ends the wait, what is tried again, what is
//! asked where nobody waits any more, and what that is taken to have cost. Leaves out answers that came: see `agents`.

use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::api::{Answer, Api, message};
use crate::support::{Invocation, Outcome, Workspace};

/// A step of a recipe asks; beside it another may.
const SPEC: &str = r#"
tenant acme { allow-tier primary secondary }
provider hosted kind=http vendor=anthropic model=small {
    url "@url"
    price input="1.00" output="5.00" per=mtok
}
agent writer provider=hosted tier=secondary { uses summary other; limits tokens=1000 turns=1 wall="@wall" }
skill summary {
    prompt text="Sum this up:\n{{ text }}" {
        var text type=artifact.text
    }
}
capability summary {
    accepts text type=artifact.text
    returns summary type=artifact.text
    candidate writer skill=summary
}
skill other {
    prompt text="Say something of this:\n{{ text }}" {
        var text type=artifact.text
    }
}
capability other {
    accepts text type=artifact.text
    returns other type=artifact.text
    candidate writer skill=other
}
recipe brief {
    param text type=artifact.text
    returns summary type=artifact.text
    @beside
    step ask capability=summary {
        with text=(var)text
        @retry
    }
}
graph g tenant=acme {
    node text {
        write "A plan is read before it is run.\n"
        output text path="text.txt" type=artifact.text
    }
    node brief recipe=brief {
        with text=(ref)text.text
        timeout "@node"
    }
}
"#;

fn workspace(api: &Api, changes: &[(&str, &str)]) -> Workspace {
    let mut spec = SPEC.to_owned();
    let usual = [("@url", &*api.url()), ("@wall", "5m"), ("@beside", ""), ("@retry", ""), ("@node", "10m")];
    for (from, to) in changes.iter().chain(&usual) {
        spec = spec.replace(from, to);
    }
    Workspace::with_spec(&spec)
}

fn run(workspace: &Workspace, args: &[&str]) -> Invocation {
    workspace.partita(&[&["run", "g"], args].concat()).env("http_proxy", "http://127.0.0.1:9")
}

/// An API that tells that it was asked, and then does as it is told for that request.
fn telling(answer: impl Fn(usize) -> Answer + Send + 'static) -> (Api, Receiver<usize>) {
    let (told, heard) = channel();
    let api = Api::moody(move |number, _| {
        let _ = told.send(number);
        answer(number)
    });
    (api, heard)
}

fn good() -> Answer {
    Answer::Whole(200, message("Plans first.", 10, 5))
}

/// Only where there are several steps there is a time of all of them.
const BESIDE: (&str, &str) =
    ("@beside", "step first tool=sh { arg \"-c\" \"echo text > a\"; output a type=artifact.text }");
/// Asks only when the other step is done.
const AFTER: (&str, &str) = ("with text=(var)text\n        @", "with text=(ref)first.a\n        @");
const TRY_ALL: &str = r#"retry max=3 on=any backoff="1ms""#;

#[test]
fn a_step_of_a_recipe_asks_and_its_answer_is_kept() {
    let api = Api::moody(|_, _| good());
    let workspace = workspace(&api, &[]);
    workspace.run(&["plan", "g"]).ok().prints("asks http://127.0.0.1:");
    run(&workspace, &[]).run().ok();
    assert_eq!(workspace.read("out/g/brief/ask/summary.txt"), "Plans first.\n");
    let again = run(&workspace, &[]).run().ok().counts();
    assert_eq!([again[0], again[3], again[4]], [0, 0, 0]);
    workspace.drop_store();
    run(&workspace, &["--replay-only"]).run().ok();
    assert_eq!(api.asked().len(), 1);
    // What is printed of it asks the same.
    let printed = workspace.run(&["expand", "g"]).ok().stdout;
    let again = Workspace::with_spec(&printed);
    run(&again, &[]).run().ok();
    let asked = api.asked();
    assert_eq!(asked[0].body, asked[1].body);
}

#[test]
fn a_wait_for_an_answer_ends_with_the_time_of_the_node() {
    for part in [false, true] {
        let api = Api::moody(move |_, _| if part { Answer::Part } else { Answer::Nothing });
        let workspace = workspace(&api, &[("@node", "1s"), BESIDE, AFTER, ("@retry", TRY_ALL)]);
        let outcome = run(&workspace, &[]).run().expect(1);
        let outcome = outcome.says("error[E0207]: `g/brief/ask` failed: http://127.0.0.1:");
        outcome.says("had not answered when the steps of `g/brief` had taken their timeout of 1.0 s together");
        assert_eq!(api.asked().len(), 1, "there is no time to try again");
    }
}

#[test]
fn a_wait_for_an_answer_ends_with_the_nearest_of_its_limits() {
    let api = Api::moody(|_, _| Answer::Nothing);
    let own = workspace(&api, &[("@wall", "500ms")]);
    run(&own, &[]).run().expect(1).says("did not answer within the timeout of 500 ms");
    let tried = workspace(&api, &[("@wall", "500ms"), ("@retry", r#"retry max=1 on=timeout backoff="1ms""#)]);
    run(&tried, &[]).run().expect(1).says("did not answer within the timeout of 500 ms");
    assert_eq!(api.asked().len(), 3);
    let whole = workspace(&api, &[]);
    run(&whole, &["--timeout", "1s"]).run().expect(1).says("had not answered at the timeout of the run, 1.0 s");
}

#[test]
fn nobody_waits_for_what_would_come_too_late() {
    let api = Api::moody(|_, _| Answer::Whole(503, "later".to_owned()));
    let late = r#"retry max=3 on=any backoff="1h""#;
    let workspace = workspace(&api, &[("@node", "10m"), BESIDE, AFTER, ("@retry", late)]);
    let outcome = run(&workspace, &[]).run().expect(1).says("answers with status 503: later");
    outcome
        .says("it is not tried again, as the steps of `g/brief` would have taken their timeout of 10 m 00 s by then");
    assert_eq!(api.asked().len(), 1);
}

#[test]
fn what_is_overdue_is_not_asked() {
    let api = Api::moody(|_, _| Answer::Nothing);
    let beside = "returns other type=artifact.text\n    step beside capability=other { with text=(var)text }";
    let workspace = workspace(&api, &[("@node", "1s"), ("@beside", beside)]);
    let outcome = run(&workspace, &["--jobs", "1", "--keep-going"]).run().expect(1);
    let outcome = outcome.says("did not answer within the timeout of 1.0 s");
    outcome.says("failed: it was not started, as the steps of `g/brief` have taken their timeout of 1.0 s");
    assert_eq!(api.asked().len(), 1);
}

#[test]
fn an_interrupt_ends_a_wait_for_an_answer() {
    let (api, heard) = telling(|number| match number {
        1 => Answer::Nothing,
        2 => Answer::Part,
        _ => good(),
    });
    let workspace = workspace(&api, &[("@retry", TRY_ALL)]);
    for _ in 0..2 {
        let mut command = run(&workspace, &[]).command();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child: Child = command.spawn().expect("the program starts");
        heard.recv_timeout(Duration::from_mins(1)).expect("it asks");
        kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
        let ended = child.wait_with_output().expect("it can be waited for");
        let outcome = Outcome::new("partita run g".to_owned(), ended).expect(130);
        let [_, _, _, failed, skipped] = outcome.counts();
        assert_eq!((failed, skipped), (0, 1), "{}", outcome.describe());
        assert_eq!(workspace.unfinished(), [""; 0]);
        workspace.run(&["why", "g/brief/ask"]).ok().prints("the run was stopped");
    }
    run(&workspace, &[]).run().ok();
    assert_eq!(api.asked().len(), 3);
    workspace.run(&["store", "verify"]).ok();
}

#[test]
fn what_was_asked_and_not_answered_may_have_cost_all_that_it_might() {
    // A request costs half a cent at most, and nobody says what one did cost that was not answered.
    let budget = "primary secondary; budget usd=\"0.008\" per=month }";
    let lost: [(&str, fn() -> Answer); 3] =
        [("5m", || Answer::Gone), ("300ms", || Answer::Nothing), ("300ms", || Answer::Part)];
    for (wall, answer) in lost {
        let api = Api::moody(move |number, _| if number == 1 { answer() } else { good() });
        let poor = workspace(&api, &[("primary secondary }", budget), ("@wall", wall)]);
        run(&poor, &[]).run().expect(1).says("`g/brief/ask` failed");
        let outcome = run(&poor, &[]).run().expect(50);
        outcome.says("and $0.003 is left of the budget of tenant `acme` for this month");
        assert_eq!(api.asked().len(), 1, "{wall}");
    }
    // What was refused, or found nobody, did cost nothing.
    let api = Api::moody(|number, _| if number == 1 { Answer::Whole(503, "later".to_owned()) } else { good() });
    let poor = workspace(&api, &[("primary secondary }", budget)]);
    let spec = poor.read("partita.kdl");
    poor.write("partita.kdl", spec.replace(&api.url(), "http://127.0.0.1:9/v1"));
    run(&poor, &[]).run().expect(1).says("cannot ask http://127.0.0.1:9/v1/messages");
    poor.write("partita.kdl", spec);
    run(&poor, &[]).run().expect(1).says("answers with status 503");
    run(&poor, &[]).run().ok();
}
