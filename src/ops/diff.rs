//! Comparing two states of a workspace: revisions of git, plan files and the working tree, both
//! compiled by this program. Leaves out how plans are compared and shown, which is the plan's.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use globset::GlobMatcher;

use crate::base::{Clock, Digest, RelPath};
use crate::diag::{Diagnostics, SourceMap};
use crate::lang::{Compiled, Folder, Locked, ParsedSlices, World, WorldError, compile_for, expand};
use crate::ops::Error;
use crate::ops::outlook::{Question, is_used, matcher};
use crate::ops::package_store::PackageStore;
use crate::ops::places::plan_places;
use crate::ops::revision::Repository;
use crate::ops::slices::SliceFile;
use crate::ops::workspace::{DiskWorld, Locations, ROOT_FILE, base_of, find, open as open_workspace, settings, settle};
use crate::plan::{
    InputSource, PLAN_BYTES, Places, Plan, Review, Side, ToolExec, diff, from_json_lines, lower, review_html,
    review_json, review_markdown, review_sarif, review_text,
};

/// Bytes of the stack of a thread that compiles: as a main thread has.
const COMPILER_STACK: usize = 8 << 20;

/// What to compare.
#[derive(Clone, Debug)]
pub struct DiffRequest {
    /// A git revision, a plan file, or `.`.
    pub before: String,
    /// The same.
    pub after: String,
    /// The only graph to compare; else all that either side has.
    pub graph: Option<String>,
    /// Values of parameters.
    pub params: BTreeMap<String, String>,
    /// Whether to look ahead at what running it will bring about; `None`: where that can be told.
    pub forecast: Option<bool>,
}

/// How a difference is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiffFormat {
    /// For people.
    Human,
    /// One JSON document.
    Json,
    /// For a pull request.
    Markdown,
    /// SARIF 2.1.0.
    Sarif,
    /// A page.
    Html,
}

/// A difference as text. `color` counts only for people.
pub fn write_diff(review: &Review, format: DiffFormat, full: bool, color: bool) -> String {
    match format {
        DiffFormat::Human => review_text(review, full, color),
        DiffFormat::Json => format!("{}\n", review_json(review, full)),
        DiffFormat::Markdown => review_markdown(review, full),
        DiffFormat::Sarif => review_sarif(review),
        DiffFormat::Html => review_html(review, full),
    }
}

/// Specs of one side that do not compile: what is wrong, and the texts.
pub struct DiffErrors {
    /// The side, as it was named.
    pub side: String,
    /// What is wrong.
    pub diagnostics: Diagnostics,
    /// The texts.
    pub sources: SourceMap,
}

/// One side, taken apart.
enum State {
    File(Arc<Plan>),
    Specs(Box<Specs>),
}

struct Specs {
    compiled: Compiled,
    /// The commit; `None` for the working tree.
    commit: Option<String>,
    /// The bytes of every file that was read.
    files: BTreeMap<RelPath, Vec<u8>>,
    /// Fetched packages.
    packages: BTreeMap<Digest, Arc<Folder>>,
}

/// A world that remembers what was read. The slices of all states are kept together: most are in both.
struct Recorded<'a> {
    world: &'a dyn World,
    slices: Option<&'a SliceFile>,
    files: std::cell::RefCell<BTreeMap<RelPath, Vec<u8>>>,
    folders: std::cell::RefCell<BTreeMap<RelPath, Vec<u8>>>,
    packages: std::cell::RefCell<BTreeMap<Digest, Arc<Folder>>>,
}

impl World for Recorded<'_> {
    fn read(&self, path: &RelPath) -> Result<Vec<u8>, WorldError> {
        let bytes = self.world.read(path)?;
        self.files.borrow_mut().insert(path.clone(), bytes.clone());
        Ok(bytes)
    }

    fn folder(&self, path: &RelPath) -> Result<Folder, WorldError> {
        let folder = self.world.folder(path)?;
        let files = folder.files().map(|(name, file)| (path.join(name), file.bytes.clone()));
        self.folders.borrow_mut().extend(files);
        Ok(folder)
    }

    fn package(&self, locked: &Locked) -> Result<Arc<Folder>, WorldError> {
        let folder = self.world.package(locked)?;
        self.packages.borrow_mut().insert(locked.tree, Arc::clone(&folder));
        Ok(folder)
    }

    fn locked(&self) -> bool {
        self.world.locked()
    }

    fn parsed(&self) -> Option<&dyn ParsedSlices> {
        self.slices.map(|slices| slices as &dyn ParsedSlices)
    }
}

/// The files of one state with some taken from another.
struct Mixed<'a> {
    base: &'a BTreeMap<RelPath, Vec<u8>>,
    other: &'a BTreeMap<RelPath, Vec<u8>>,
    taken: &'a RelPath,
    slices: Option<&'a SliceFile>,
    packages: &'a BTreeMap<Digest, Arc<Folder>>,
}

impl World for Mixed<'_> {
    fn read(&self, path: &RelPath) -> Result<Vec<u8>, WorldError> {
        let from = if path == self.taken { self.other } else { self.base };
        from.get(path).cloned().ok_or(WorldError::NotFound)
    }

    fn folder(&self, _: &RelPath) -> Result<Folder, WorldError> {
        // Whether bytes are executable is not kept: a folder taken apart cannot be put together.
        Err(WorldError::NotFound)
    }

    fn package(&self, locked: &Locked) -> Result<Arc<Folder>, WorldError> {
        self.packages.get(&locked.tree).cloned().ok_or(WorldError::NotFound)
    }

    fn parsed(&self) -> Option<&dyn ParsedSlices> {
        self.slices.map(|slices| slices as &dyn ParsedSlices)
    }
}

/// A plan with its places; or why there is none.
enum Made {
    Plan(Arc<Plan>, Box<Places>),
    Skipped(String),
    Absent,
}

impl Made {
    fn side(&self) -> Option<Side<'_>> {
        match self {
            Self::Plan(plan, places) => Some(Side { plan, places }),
            Self::Skipped(_) | Self::Absent => None,
        }
    }

    fn plan(self) -> Option<Arc<Plan>> {
        match self {
            Self::Plan(plan, _) => Some(plan),
            Self::Skipped(_) | Self::Absent => None,
        }
    }
}

/// Compares. The inner error tells what is wrong in the specs of a side.
pub fn compare(
    locations: &Locations,
    request: &DiffRequest,
    clock: &Arc<dyn Clock>,
) -> Result<Result<Review, DiffErrors>, Error> {
    let ground = Ground::of(locations, [&request.before, &request.after])?;
    let (before, after) = std::thread::scope(|scope| {
        let before = std::thread::Builder::new()
            .stack_size(COMPILER_STACK)
            .spawn_scoped(scope, || ground.open(&request.before))
            .map_err(|error| Error::Internal(format!("no thread: {error}")))?;
        let after = ground.open(&request.after);
        let before = before.join().map_err(|_| Error::Internal("the reading of a side broke off".to_owned()))?;
        Ok::<_, Error>((before?, after?))
    })?;
    let (before, after) = match (before, after) {
        (Ok(before), Ok(after)) => (before, after),
        (Err(errors), _) | (_, Err(errors)) => return Ok(Err(errors)),
    };
    let mut review = Review {
        before: request.before.clone(),
        after: shown(&request.after),
        graphs: Vec::new(),
        skipped: Vec::new(),
        cosmetic: Vec::new(),
        inputs: Vec::new(),
        unforeseen: None,
        prefix: ground.repository.as_ref().map_or(String::new(), |found| found.prefix().to_owned()),
    };
    review.before = shown(&review.before);
    let names = graphs(request, &before, &after)?;
    let mut plans = Vec::new();
    for name in &names {
        let (old, new) = (made(&before, name, request), made(&after, name, request));
        if let (Made::Skipped(why), _) | (_, Made::Skipped(why)) = (&old, &new) {
            review.skipped.push((name.clone(), why.clone()));
            continue;
        }
        review.graphs.push(diff(old.side(), new.side()));
        plans.push((old.plan(), new.plan()));
    }
    let mut changed = None;
    if let (State::Specs(old), State::Specs(new)) = (&before, &after) {
        review.cosmetic = cosmetic(old, new, &review, request, ground.slices.as_ref());
        if let Some(files) = Files::of(locations, &new.compiled, &plans)? {
            let found = files.changed(old.commit.as_deref(), new.commit.as_deref())?;
            review.inputs = files.taken(&found);
            changed = Some(found);
        }
    }
    if let Some(slices) = &ground.slices {
        slices.keep();
    }
    if request.forecast != Some(false) {
        let known = plans.iter().filter_map(|(old, _)| old.as_ref()).flat_map(|plan| &plan.tools).collect();
        let changed = changed.as_deref();
        let question = Question { locations, clock, known, changed, ask_all: request.forecast == Some(true) };
        match foretell(&question, after, &plans, &mut review.graphs) {
            Ok(()) => {}
            // What was not asked for may be missing.
            Err(error) if request.forecast.is_none() => review.unforeseen = Some(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok(Ok(review))
}

/// Looks ahead at every graph that changed, where the files that its actions take in are at hand.
fn foretell(
    question: &Question<'_>,
    after: State,
    plans: &[Plans],
    graphs: &mut [crate::plan::PlanDiff],
) -> Result<(), Error> {
    let asked = question.ask_all;
    let workspace = match after {
        // Where a plan file comes from is not known: its files may be others than those here.
        State::File(_) if !asked => return Ok(()),
        State::File(_) => open_workspace(question.locations)?,
        State::Specs(specs) => {
            if let (Some(commit), Some(files)) = (&specs.commit, Files::of(question.locations, &specs.compiled, plans)?)
            {
                let others = files.changed(Some(commit), None)?;
                match others.first() {
                    Some(first) if asked => {
                        return Err(Error::usage_help(
                            format!(
                                "what it will run cannot be told: `{first}`, which it takes in, is another file here"
                            ),
                            "check the revision out, or compare with the working tree: `.`",
                        ));
                    }
                    Some(_) => return Ok(()),
                    None => {}
                }
            }
            let dir = find(question.locations)?;
            settle(question.locations, dir.canonicalize().map_err(Error::io("find", &dir))?, specs.compiled)?
        }
    };
    if !asked && !is_used(&workspace) {
        return Ok(());
    }
    for (graph, (_, plan)) in graphs.iter_mut().zip(plans) {
        if let Some(plan) = plan {
            graph.outlook = question.answer(&workspace, plan, graph)?;
        }
    }
    Ok(())
}

fn shown(name: &str) -> String {
    let is_hash = name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    match name {
        "." => "working tree".to_owned(),
        // What a service of continuous integration gives.
        hash if is_hash => hash[..12].to_owned(),
        other => other.to_owned(),
    }
}

/// Where the sides of a comparison are found.
struct Ground<'a> {
    locations: &'a Locations,
    /// The workspace's folder; `None` if both sides are plan files.
    dir: Option<PathBuf>,
    repository: Option<Repository>,
    slices: Option<SliceFile>,
}

impl<'a> Ground<'a> {
    fn of(locations: &'a Locations, names: [&str; 2]) -> Result<Self, Error> {
        let mut ground = Self { locations, dir: None, repository: None, slices: None };
        let specs: Vec<&str> = names.into_iter().filter(|name| ground.plan_file(name).is_none()).collect();
        if specs.is_empty() {
            return Ok(ground);
        }
        let dir = find(locations)?;
        let dir = dir.canonicalize().map_err(Error::io("find", &dir))?;
        match Repository::around(&dir, &locations.environment) {
            Ok(found) => ground.repository = Some(found),
            Err(error) if specs.iter().any(|name| *name != ".") => return Err(error),
            Err(_) => {}
        }
        ground.slices = SliceFile::of(&dir, &locations.environment);
        ground.dir = Some(dir);
        Ok(ground)
    }

    /// The plan file that a side is.
    fn plan_file(&self, name: &str) -> Option<PathBuf> {
        let file = self.locations.current.join(name);
        (name != "." && file.is_file()).then_some(file)
    }

    /// Reads or compiles a side.
    fn open(&self, name: &str) -> Result<Result<State, DiffErrors>, Error> {
        if let Some(file) = self.plan_file(name) {
            return Ok(Ok(State::File(Arc::new(read_plan(&file)?))));
        }
        let Some(dir) = &self.dir else {
            return Err(Error::Internal(format!("`{name}` was a plan file a moment ago")));
        };
        let locations = self.locations;
        let root = RelPath::new(ROOT_FILE).map_err(|error| Error::usage(error.to_string()))?;
        let (world, commit): (Box<dyn World>, _) = match &self.repository {
            Some(repository) if name != "." => {
                let commit = repository.commit(name)?;
                (Box::new(repository.world(&commit, PackageStore::new(locations, dir))?), Some(commit))
            }
            _ => (Box::new(DiskWorld::new(dir, locations)?), None),
        };
        if commit.is_some() && matches!(world.read(&root), Err(WorldError::NotFound)) {
            // Before its first spec a workspace has no graph, which is a state like any other.
            return Ok(Ok(State::Specs(Box::new(Specs {
                compiled: Compiled {
                    program: crate::lang::Program::default(),
                    diagnostics: Diagnostics::default(),
                    instances: crate::lang::Instances::default(),
                    expansions: BTreeMap::new(),
                },
                commit,
                files: BTreeMap::new(),
                packages: BTreeMap::new(),
            }))));
        }
        let recorded = Recorded {
            world: world.as_ref(),
            slices: self.slices.as_ref(),
            files: std::cell::RefCell::default(),
            folders: std::cell::RefCell::default(),
            packages: std::cell::RefCell::default(),
        };
        let compiled = compile_for(&recorded, &[root], locations.tenant.as_deref());
        if compiled.diagnostics.has_errors() {
            let Compiled { mut program, diagnostics, .. } = compiled;
            program.sources.set_base(base_of(dir, &locations.current));
            return Ok(Err(DiffErrors { side: shown(name), diagnostics, sources: program.sources }));
        }
        let (mut files, packages) = (recorded.files.into_inner(), recorded.packages.into_inner());
        // A spec that was only guessed at is none of these.
        let specs: BTreeSet<&str> = compiled.program.sources.iter().map(|(_, source)| source.name.as_str()).collect();
        let is_spec = |path: &RelPath| Path::new(path.as_str()).extension().is_some_and(|found| found == "kdl");
        files.retain(|path, _| !is_spec(path) || specs.contains(path.as_str()));
        files.extend(recorded.folders.into_inner());
        Ok(Ok(State::Specs(Box::new(Specs { compiled, commit, files, packages }))))
    }
}

/// Reads a plan file of bounded size.
pub fn read_plan(path: &Path) -> Result<Plan, Error> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(Error::io("read", path))?;
    file.take(PLAN_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    let refuse = |why: String| {
        Error::usage_help(
            format!("`{}` is not a plan that can be read: {why}", path.display()),
            "write one: `partita plan GRAPH -o FILE`",
        )
    };
    let text = String::from_utf8(bytes).map_err(|_| refuse("it is not UTF-8 text".to_owned()))?;
    from_json_lines(&text).map_err(|error| refuse(error.to_string()))
}

fn graphs(request: &DiffRequest, before: &State, after: &State) -> Result<BTreeSet<String>, Error> {
    let of = |state: &State| -> BTreeSet<String> {
        match state {
            State::File(plan) => BTreeSet::from([plan.graph.clone()]),
            State::Specs(specs) => {
                let program = &specs.compiled.program;
                program.root_graphs().iter().map(|id| program.graph(*id).group.name.value.clone()).collect()
            }
        }
    };
    let (old, new) = (of(before), of(after));
    if let Some(graph) = &request.graph {
        if !old.contains(graph) && !new.contains(graph) {
            let known: Vec<&str> = old.union(&new).map(String::as_str).collect();
            let help = match crate::diag::did_you_mean(graph, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("graphs: {}", known.join(", ")),
            };
            return Err(Error::usage_help(format!("neither side has a graph `{graph}`"), help));
        }
        return Ok(BTreeSet::from([graph.clone()]));
    }
    // A plan file stands for its graph alone.
    Ok(match (before, after) {
        (State::File(_), State::Specs(_)) => old,
        (State::Specs(_), State::File(_)) => new,
        _ => old.union(&new).cloned().collect(),
    })
}

fn made(state: &State, graph: &str, request: &DiffRequest) -> Made {
    match state {
        State::File(plan) if plan.graph == graph => Made::Plan(Arc::clone(plan), Box::default()),
        State::File(_) => Made::Absent,
        State::Specs(specs) => plan_of(&specs.compiled, graph, request),
    }
}

fn plan_of(compiled: &Compiled, graph: &str, request: &DiffRequest) -> Made {
    let program = &compiled.program;
    let found = program.root_graphs().into_iter().find(|id| program.graph(*id).group.name.value == graph);
    let Some(id) = found else { return Made::Absent };
    let group = &program.graph(id).group;
    // A parameter of one graph is none of another.
    let declared = |name: &str| group.params.iter().any(|param| param.name.value == name);
    let params: BTreeMap<String, String> =
        request.params.iter().filter(|(name, _)| declared(name)).map(|(n, v)| (n.clone(), v.clone())).collect();
    let mut found = Diagnostics::default();
    let known = compiled.expansions.get(&id).filter(|_| params.is_empty()).cloned();
    let Some(expansion) = known.or_else(|| expand(program, id, &params, &mut found).map(Arc::new)) else {
        let why = found.sorted().first().map_or("it cannot be expanded".to_owned(), |first| first.message.clone());
        return Made::Skipped(why);
    };
    let plan = lower(program, &expansion);
    let places = plan_places(program, &expansion);
    Made::Plan(Arc::new(plan), Box::new(places))
}

/// Spec files whose bytes differ, and that change nothing if they alone are taken back.
fn cosmetic(
    old: &Specs,
    new: &Specs,
    review: &Review,
    request: &DiffRequest,
    slices: Option<&SliceFile>,
) -> Vec<String> {
    /// Files that are tried one by one; each try is a compilation.
    const TRIED: usize = 32;
    let paths: BTreeSet<&RelPath> = old.files.keys().chain(new.files.keys()).collect();
    let changed: Vec<&RelPath> =
        paths.into_iter().filter(|path| old.files.get(*path) != new.files.get(*path)).collect();
    if review.is_empty() {
        return changed.into_iter().map(ToString::to_string).collect();
    }
    if changed.len() < 2 || changed.len() > TRIED {
        return Vec::new();
    }
    let Ok(root) = RelPath::new(ROOT_FILE) else { return Vec::new() };
    let plans = |compiled: &Compiled| -> Option<Vec<Arc<Plan>>> {
        let of = |graph: &crate::plan::PlanDiff| match plan_of(compiled, &graph.graph, request) {
            Made::Plan(plan, _) => Some(Some(plan)),
            Made::Absent => Some(None),
            Made::Skipped(_) => None,
        };
        let all: Option<Vec<Option<Arc<Plan>>>> = review.graphs.iter().map(of).collect();
        Some(all?.into_iter().flatten().collect())
    };
    let Some(now) = plans(&new.compiled) else { return Vec::new() };
    let is_cosmetic = |path: &&RelPath| {
        // A file that is new or gone is imported or not by another, which is then the cause.
        if !old.files.contains_key(*path) || !new.files.contains_key(*path) {
            return false;
        }
        let packages = old.packages.iter().chain(&new.packages).map(|(tree, folder)| (*tree, Arc::clone(folder)));
        let packages = packages.collect();
        let mixed = Mixed { base: &new.files, other: &old.files, taken: path, slices, packages: &packages };
        let tenant = new.compiled.program.tenant.as_deref();
        let compiled = compile_for(&mixed, std::slice::from_ref(&root), tenant);
        !compiled.diagnostics.has_errors() && plans(&compiled).is_some_and(|before| before == now)
    };
    changed.into_iter().filter(is_cosmetic).map(ToString::to_string).collect()
}

/// The plans of a graph, before and now.
type Plans = (Option<Arc<Plan>>, Option<Arc<Plan>>);

/// Files of a repository that actions take in, and that tools are.
struct Files {
    /// The repository around the folder that patterns are relative to.
    repository: Repository,
    /// Patterns, with how many actions have each.
    patterns: Vec<(GlobMatcher, usize)>,
    programs: BTreeSet<String>,
}

impl Files {
    /// Those of plans as they are now; `None`: the workspace is in no repository.
    fn of(locations: &Locations, compiled: &Compiled, plans: &[Plans]) -> Result<Option<Self>, Error> {
        let dir = find(locations)?;
        let root = settings(compiled).and_then(|settings| settings.root.as_ref());
        let root = root.map_or_else(|| dir.clone(), |root| dir.join(&root.value));
        let root = root.canonicalize().map_err(Error::io("find", &root))?;
        let Ok(repository) = Repository::around(&root, &locations.environment) else { return Ok(None) };
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut programs = BTreeSet::new();
        for plan in plans.iter().filter_map(|(_, new)| new.as_ref()) {
            let services = plan.services.iter().flat_map(|service| &service.spec.inputs);
            for input in plan.actions.iter().flat_map(|action| &action.spec.inputs).chain(services) {
                if let InputSource::Workspace { pattern, .. } = &input.source {
                    *counts.entry(pattern).or_default() += 1;
                }
            }
            programs.extend(plan.tools.iter().filter_map(|tool| match &tool.exec {
                ToolExec::Workspace(path) => Some(path.to_string()),
                ToolExec::Lookup(_) => None,
            }));
        }
        let patterns = counts.into_iter().filter_map(|(pattern, count)| Some((matcher(pattern)?, count))).collect();
        Ok(Some(Self { repository, patterns, programs }))
    }

    /// Those that differ between two commits, or a commit and the working tree.
    fn changed(&self, before: Option<&str>, after: Option<&str>) -> Result<Vec<String>, Error> {
        let wanted =
            |path: &str| self.programs.contains(path) || self.patterns.iter().any(|(glob, _)| glob.is_match(path));
        match (before, after) {
            (Some(before), after) => self.repository.changed(before, after, &wanted),
            (None, Some(after)) => self.repository.changed(after, None, &wanted),
            (None, None) => Ok(Vec::new()),
        }
    }

    /// Each with how many actions take it in.
    fn taken(&self, changed: &[String]) -> Vec<(String, usize)> {
        let one = |path: &String| {
            let count: usize =
                self.patterns.iter().filter(|(glob, _)| glob.is_match(path)).map(|(_, count)| count).sum();
            (count > 0).then(|| (path.clone(), count))
        };
        changed.iter().filter_map(one).collect()
    }
}
