//! Runs the graph of a test with recorded outputs in place of tools and agents: in a store and a state of its own, which go when
//! it ends, with everybody's consent. Leaves out which actions are stood in for: see `lang::testing`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{Clock, RelPath};
use crate::diag::Diagnostic;
use crate::event::NullSink;
use crate::exec::{
    Approver, CancelToken, End, Ended, Everyone, Job, NoSecrets, Ports, Request, RunReport, Runner, Standing, View,
    execute,
};
use crate::lang::{Program, Trial, TrialWhat, test_failure};
use crate::ops::Error;
use crate::ops::inventory::Inventories;
use crate::ops::ports::{Keep, notices};
use crate::ops::run::{RunContext, runner};
use crate::ops::workspace::Workspace;
use crate::plan::{ActionKind, Consent, Isolation, Tool, ToolExec, lower, seal};
use crate::store::{Cas, Found};

/// The tool in place of others. Nothing of it is started.
const STAND_IN: &str = "recorded outputs";
/// Bytes of an output that are shown.
const SHOWN: usize = 200;

/// What an action leaves, and how it ends.
struct Recorded {
    status: u8,
    files: Vec<(RelPath, Vec<u8>)>,
}

/// Gives what was recorded, and starts everything else.
struct Player<R> {
    inner: R,
    recorded: BTreeMap<String, Recorded>,
}

impl<R: Runner> Runner for Player<R> {
    fn isolation(&self) -> Isolation {
        self.inner.isolation()
    }

    fn lack(&self, level: Isolation) -> Option<String> {
        self.inner.lack(level)
    }

    fn view(&self, root: &Path, bin: &Path, demand: Isolation) -> View {
        self.inner.view(root, bin, demand)
    }

    fn run(&self, job: &Job<'_>, clock: &dyn Clock, cancel: &CancelToken) -> Ended {
        let Some(recorded) = self.recorded.get(job.addr) else { return self.inner.run(job, clock, cancel) };
        let leave = || {
            for (path, bytes) in &recorded.files {
                let file = path.under(&job.root.join("work"));
                if let Some(folder) = file.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                std::fs::write(file, bytes)?;
            }
            Ok(())
        };
        let end = match leave() {
            Ok(()) => End::Exited(i32::from(recorded.status)),
            Err(error) => End::NotStarted(error),
        };
        let isolation = self.inner.isolation();
        Ended { end, stdout: Vec::new(), stderr: Vec::new(), duration: Duration::ZERO, isolation, survivors: 0 }
    }
}

/// Everybody has consented.
struct Everybody;

impl Approver for Everybody {
    fn standing(&self, asked: &Consent<'_>) -> Standing {
        Standing::Given { by: vec![asked.approval.group.clone()] }
    }
}

/// Runs what a test asks for. Gives what does not hold.
pub(super) fn run_trial(
    workspace: &Workspace,
    program: &Program,
    trial: &Trial,
    context: &RunContext,
) -> Result<Vec<Diagnostic>, Error> {
    let folder = tempfile::tempdir().map_err(Error::io("make a folder for", Path::new("a test")))?;
    let mut plan = lower(program, &trial.expansion);
    let mut recorded = BTreeMap::new();
    let mut replaced: Vec<String> = Vec::new();
    for mock in &trial.mocks {
        for index in &mock.actions {
            let Some(action) = plan.actions.get_mut(*index) else { continue };
            let spec = &mut action.spec;
            let files = spec
                .outputs
                .iter()
                .filter_map(|output| Some((output.path.clone(), mock.outputs.get(&output.name)?.clone())));
            recorded.insert(action.addr.clone(), Recorded { status: mock.status, files: files.collect() });
            replaced.append(&mut spec.tools);
            spec.kind = ActionKind::Exec { tool: STAND_IN.to_owned(), args: vec![mock.status.to_string()] };
            spec.tools = vec![STAND_IN.to_owned()];
            spec.env.clear();
            spec.secrets.clear();
            spec.services.clear();
        }
    }
    for action in &mut plan.actions {
        if let ActionKind::Sbom(_) = action.spec.kind {
            action.spec.tools.retain(|name| !replaced.contains(name));
        }
    }
    let used: Vec<String> = plan.actions.iter().flat_map(|action| action.spec.services.clone()).collect();
    plan.services.retain(|service| used.contains(&service.name));
    if !recorded.is_empty() {
        plan.tools.push(Tool {
            name: STAND_IN.to_owned(),
            exec: ToolExec::Lookup("sh".to_owned()),
            fingerprint: None,
            uses: Vec::new(),
            pass_env: Vec::new(),
            supplier: None,
            version: None,
        });
        plan.tools.sort_by(|a, b| a.name.cmp(&b.name));
    }
    seal(&mut plan);
    let sink: Arc<dyn crate::event::Sink> = Arc::new(NullSink);
    let notify = notices(&sink, &context.clock, "test");
    let keep = Keep::open(&folder.path().join("store"), &folder.path().join("state"), &context.clock, &notify)?;
    let plan = Arc::new(plan);
    let request = Request {
        excluded: [&workspace.store, &workspace.state, &workspace.out]
            .into_iter()
            .chain(&workspace.excluded)
            .cloned()
            .collect(),
        keep_going: true,
        ..Request::new(Arc::clone(&plan), &workspace.root, "test")
    };
    let ports = Ports {
        cas: keep.store.clone(),
        claims: keep.store.clone(),
        history: keep.history.clone(),
        snapshots: keep.snapshots.clone(),
        clock: Arc::clone(&context.clock),
        sink,
        environment: context.environment.clone(),
        cancel: context.cancel.clone(),
        runner: Arc::new(Player { inner: runner(None, &context.environment), recorded }),
        secrets: Arc::new(NoSecrets),
        approver: Arc::new(Everybody),
        inventory: Arc::new(Inventories),
        writers: Arc::new(Everyone),
    };
    let report = execute(request, ports).map_err(|error| Error::Exec { error, place: None })?;
    let mut failures = Vec::new();
    for expect in &trial.expects {
        let failure = match &expect.what {
            TrialWhat::Status(wanted) => {
                let status = report.error_kind().map_or(0, crate::base::ErrorKind::exit_status);
                (i128::from(status) != *wanted).then(|| {
                    test_failure(expect.span, format!("the run ended with status {status}"))
                        .with_label(format!("expected {wanted}"))
                        .with_help(why(&report))
                })
            }
            TrialWhat::Output(action, output, op, wanted) => {
                let addr = &plan.actions[*action].addr;
                match left(&report, addr, output, keep.store.as_ref())? {
                    None => Some(
                        test_failure(expect.span, format!("`{addr}` left no `{output}`"))
                            .with_label("expected one")
                            .with_help(why(&report)),
                    ),
                    Some(text) if expect.what.holds(&text) => None,
                    Some(text) => {
                        let more = if text.chars().count() > SHOWN { "…" } else { "" };
                        let shown: String = text.chars().take(SHOWN).collect();
                        Some(
                            test_failure(expect.span, format!("`{output}` of `{addr}` was {shown:?}{more}"))
                                .with_label(format!("expected {} {wanted:?}", op.word()))
                                .with_help("change what is expected, or what makes it"),
                        )
                    }
                }
            }
        };
        failures.extend(failure);
    }
    Ok(failures)
}

/// The text of an output, if there is one.
fn left(report: &RunReport, addr: &str, output: &str, store: &dyn Cas) -> Result<Option<String>, Error> {
    let found = report.action(addr).and_then(|action| action.outputs.iter().find(|found| found.name == output));
    let Some(digest) = found.and_then(crate::exec::OutputReport::digest) else { return Ok(None) };
    Ok(match store.get(digest)? {
        Found::Whole(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Found::Missing | Found::Corrupt => None,
    })
}

/// What went wrong in a run, in a few lines.
fn why(report: &RunReport) -> String {
    let failed = report.actions.iter().filter_map(|action| Some((&action.addr, action.failure.as_ref()?)));
    let lines: Vec<String> = failed
        .take(4)
        .map(|(addr, failure)| format!("`{addr}`: {}", failure.text.lines().next().unwrap_or_default()))
        .collect();
    if lines.is_empty() { "nothing failed in it".to_owned() } else { lines.join("\n") }
}
