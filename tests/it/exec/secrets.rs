//! Secrets: read when an action runs, given to its process alone, and in nothing that is kept. Leaves
//! out where they may be written in specs: see `ui`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use partita::event::Outcome;
use partita::exec::Secrets;
use partita::plan::{OutputKind, Plan, SecretTerms};

use super::support::{Draft, World, failure, outcome, plan};

/// One secret, and how often it was read.
struct One {
    value: Result<String, String>,
    reads: AtomicU32,
}

impl Secrets for One {
    fn read(&self, name: &str, terms: &SecretTerms) -> Result<String, String> {
        assert_eq!((name, terms.from.as_str(), terms.key.as_str()), ("token", "env", "TOKEN"));
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.value.clone()
    }
}

fn one(value: Result<&str, &str>) -> Arc<One> {
    Arc::new(One { value: value.map(str::to_owned).map_err(str::to_owned), reads: AtomicU32::new(0) })
}

/// A plan whose one action is given the secret.
fn given(script: &str) -> Plan {
    let mut plan = plan([Draft::sh("g/a", script).output("o")]).build();
    plan.actions[0].spec.secrets.insert("TOKEN_OF_MINE".to_owned(), "token".to_owned());
    let terms = SecretTerms { from: "env".to_owned(), key: "TOKEN".to_owned() };
    plan.terms.secrets.insert("token".to_owned(), terms);
    plan
}

#[test]
fn a_secret_reaches_the_process_and_nothing_that_is_kept() {
    let mut world = World::new();
    let secret = one(Ok("s3cret-value"));
    world.secrets = secret.clone();
    let script =
        "test \"$TOKEN_OF_MINE\" = s3cret-value && echo it is $TOKEN_OF_MINE. && echo $TOKEN_OF_MINE >&2 && : > o";
    let script = script.replace("= s3cret-value", "!= other");
    let report = world.execute(world.request(given(&script))).unwrap();
    assert_eq!(outcome(&report, "g/a"), Outcome::Ran);
    let logs = report.action("g/a").unwrap().logs.expect("a process has logs");
    let text = |digest| String::from_utf8(world.memory.blob(digest)).unwrap();
    assert_eq!(text(logs[0]), "it is [secret token].\n");
    assert_eq!(text(logs[1]), "[secret token]\n");
    let told = format!("{:?}", world.events());
    assert!(!told.contains("s3cret"), "{told}");

    // Another value is the same action: the reference is in the key, and a hit reads nothing.
    let other = one(Ok("another-value"));
    world.secrets = other.clone();
    let report = world.execute(world.request(given(&script))).unwrap();
    assert_eq!(outcome(&report, "g/a"), Outcome::Cached);
    assert_eq!((secret.reads.load(Ordering::Relaxed), other.reads.load(Ordering::Relaxed)), (1, 0));
}

#[test]
fn a_failure_does_not_tell_the_secret() {
    let mut world = World::new();
    world.secrets = one(Ok("s3cret-value"));
    let report = world.execute(world.request(given("echo no $TOKEN_OF_MINE >&2; exit 3"))).unwrap();
    let failure = failure(&report, "g/a");
    assert!(failure.contains("no [secret token]") && !failure.contains("s3cret"), "{}", failure);
}

#[test]
fn what_is_said_of_outputs_does_not_tell_the_secret() {
    for script in ["mkdir o; ln -s /x/$TOKEN_OF_MINE o/l", "mkdir o; mkfifo \"o/$TOKEN_OF_MINE\""] {
        let mut world = World::new();
        world.secrets = one(Ok("s3cret-value"));
        let mut plan = given(script);
        plan.actions[0].spec.outputs[0].kind = OutputKind::Dir;
        let report = world.execute(world.request(plan)).unwrap();
        let failure = failure(&report, "g/a");
        assert!(failure.contains("[secret token]") && !failure.contains("s3cret"), "{script}: {failure}");
    }
}

#[test]
fn a_secret_that_cannot_be_read_fails_the_action_before_it_starts() {
    let mut world = World::new();
    world.secrets = one(Err("variable `TOKEN` is not set"));
    let report = world.execute(world.request(given(": > o"))).unwrap();
    let failure = failure(&report, "g/a");
    assert!(failure.contains("cannot read secret `token`: variable `TOKEN` is not set"), "{}", failure);
}
