//! The compiler's operations: check, expand, plan, init. Leaves out execution.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::RelPath;
use crate::diag::{Diagnostics, did_you_mean};
use crate::lang::{Compiled, DeclId, Expansion, Program, expand, print_expansion};
use crate::ops::Error;
use crate::ops::places::plan_places;
use crate::ops::workspace::{DiskWorld, Locations, ROOT_FILE, Workspace, find, tidy};
use crate::plan::{Places, Plan, lower, to_dot, to_html, to_json_lines, to_mermaid, to_svg, to_text};

/// Checks the workspace, or the files given instead of its root file.
pub fn check(locations: &Locations, files: &[PathBuf]) -> Result<Compiled, Error> {
    let (world, roots) = chosen(locations, files)?;
    let mut compiled = world.compile(&roots);
    locations.levels.apply(&mut compiled.diagnostics);
    Ok(compiled)
}

/// The workspace with its root file, or the files given as roots.
pub(super) fn chosen(locations: &Locations, files: &[PathBuf]) -> Result<(DiskWorld, Vec<RelPath>), Error> {
    if files.is_empty() {
        let dir = find(locations)?;
        return Ok((DiskWorld::new(&dir, locations)?, vec![relative(Path::new(ROOT_FILE))?]));
    }
    for file in files {
        if !locations.current.join(file).exists() {
            let at = file.display();
            return Err(Error::usage_help(
                format!("there is no file `{at}`"),
                "name spec files, or none for the whole workspace".to_owned(),
            ));
        }
    }
    // Files are read relative to the workspace they lie in, so that their imports resolve; without
    // one, relative to the folder they lie in.
    let absolute: Vec<PathBuf> = files.iter().map(|file| locations.current.join(file)).collect();
    let parent = absolute[0].parent().unwrap_or(&locations.current);
    let around = Locations { workspace: None, current: parent.to_path_buf(), ..locations.clone() };
    let dir = find(&around).unwrap_or_else(|_| parent.to_path_buf());
    let dir = dir.canonicalize().map_err(Error::io("find", &dir))?;
    let mut roots = Vec::new();
    for (file, given) in absolute.iter().zip(files) {
        if file.is_dir() {
            return Err(Error::usage_help(
                format!("`{}` is a folder", given.display()),
                format!("name files in it, or the workspace: `-C {}`", given.display()),
            ));
        }
        let real = file.canonicalize().map_err(Error::io("read", given))?;
        let inside = real.strip_prefix(&dir).map_err(|_| {
            Error::usage(format!("`{}` lies outside the workspace `{}`", given.display(), dir.display()))
        })?;
        roots.push(relative(inside)?);
    }
    Ok((DiskWorld::new(&dir, locations)?, roots))
}

fn relative(path: &Path) -> Result<RelPath, Error> {
    let text = path.to_str().ok_or_else(|| Error::usage(format!("`{}` is not UTF-8", path.display())))?;
    RelPath::new(text).map_err(|error| Error::usage(error.to_string()))
}

/// The graph of a name among the root files'.
pub fn find_graph(compiled: &Compiled, name: &str) -> Result<DeclId, Error> {
    let graphs = compiled.program.root_graphs();
    let names: Vec<&str> = graphs.iter().map(|id| compiled.program.graph(*id).group.name.value.as_str()).collect();
    graphs.iter().copied().zip(&names).find(|(_, known)| **known == name).map(|(id, _)| id).ok_or_else(|| {
        let help = match did_you_mean(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => "the workspace declares no graph".to_owned(),
            None => format!("graphs: {}", names.join(", ")),
        };
        Error::usage_help(format!("there is no graph `{name}`"), help)
    })
}

/// Graphs, or bundles, that are named to somebody who names none.
const SHOWN: usize = 20;

/// Refuses a request that names no graph, with those that there are.
pub(super) fn no_target(compiled: &Compiled, verb: &str, targets: &[String]) -> Result<(), Error> {
    if !targets.is_empty() {
        return Ok(());
    }
    let graphs = compiled.program.root_graphs();
    let names: Vec<&str> = graphs.iter().map(|id| compiled.program.graph(*id).group.name.value.as_str()).collect();
    let done = if verb == "run" { "run" } else { "looked at" };
    Err(Error::usage_help(format!("which graph is to be {done}?"), which("graph", verb, &names)))
}

/// What somebody is told who named none of the graphs or bundles that there are.
pub(super) fn which(kind: &str, verb: &str, names: &[&str]) -> String {
    match names {
        [] => format!("the workspace declares no {kind}"),
        [only] => format!("there is one {kind}: `partita {verb} {only}`"),
        [first, ..] => {
            let more = if names.len() > SHOWN { ", …" } else { "" };
            let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
            format!("{kind}s: {shown}{more}; for one of them `partita {verb} {first}`")
        }
    }
}

/// A graph compiled to its plan.
pub struct Planned {
    /// The expansion, which knows places in specs.
    pub expansion: Arc<Expansion>,
    /// The plan.
    pub plan: Arc<Plan>,
}

impl Planned {
    /// Where its parts are declared.
    pub fn places(&self, program: &Program) -> Places {
        plan_places(program, &self.expansion)
    }
}

/// Compiles a graph to its plan. Whatever is found is added to the workspace's diagnostics.
pub fn plan(workspace: &mut Workspace, graph: &str, params: &BTreeMap<String, String>) -> Result<Planned, Error> {
    if workspace.compiled.diagnostics.has_errors() {
        return Err(Error::Spec);
    }
    let id = find_graph(&workspace.compiled, graph)?;
    if let (true, Some(expansion)) = (params.is_empty(), workspace.compiled.expansions.get(&id)) {
        // What there is to say of it is among what the workspace has to say.
        let expansion = Arc::clone(expansion);
        let plan = Arc::new(lower(&workspace.compiled.program, &expansion));
        return Ok(Planned { expansion, plan });
    }
    let mut found = Diagnostics::default();
    let expansion = expand(&workspace.compiled.program, id, params, &mut found);
    workspace.compiled.program.allow(&mut found);
    workspace.levels.apply(&mut found);
    let denied = found.has_errors();
    workspace.compiled.diagnostics.extend(found);
    if denied {
        return Err(Error::Spec);
    }
    let expansion = Arc::new(expansion.ok_or(Error::Spec)?);
    let plan = Arc::new(lower(&workspace.compiled.program, &expansion));
    Ok(Planned { expansion, plan })
}

/// How a plan is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanFormat {
    /// For people.
    Human,
    /// JSON Lines.
    Json,
    /// Graphviz.
    Dot,
    /// Mermaid.
    Mermaid,
    /// A picture.
    Svg,
    /// A page with the picture.
    Html,
}

/// A plan as text.
pub fn write_plan(plan: &Plan, places: &Places, format: PlanFormat) -> String {
    match format {
        PlanFormat::Human => to_text(plan),
        PlanFormat::Json => to_json_lines(plan),
        PlanFormat::Dot => to_dot(plan),
        PlanFormat::Mermaid => to_mermaid(plan),
        PlanFormat::Svg => to_svg(plan, places),
        PlanFormat::Html => to_html(plan, places),
    }
}

/// A graph, expanded, as canonical KDL.
pub fn expand_graph(
    workspace: &mut Workspace,
    graph: &str,
    params: &BTreeMap<String, String>,
) -> Result<String, Error> {
    let planned = plan(workspace, graph, params)?;
    Ok(print_expansion(&planned.expansion, &workspace.compiled.program))
}

/// A name for a graph, after that of its folder: one that needs no quotes in KDL.
fn name_of(folder: &str) -> String {
    // A bundle takes the name too, and there only what every system knows.
    let ascii: String = folder.chars().map(|c| if c.is_ascii() { c } else { '-' }).collect();
    let name = crate::base::slug(&ascii).trim_matches('-').to_owned();
    let is_keyword = matches!(name.as_str(), "true" | "false" | "null" | "inf" | "nan");
    match name.chars().next() {
        None => "hello".to_owned(),
        Some(first) if first.is_numeric() || is_keyword => format!("my-{name}"),
        Some(_) => name,
    }
}

/// What `init` writes is made of.
const INIT: &str = include_str!("init.kdl");

/// A `.gitignore` to which is added what git should leave alone, unless it says so already.
fn ignoring(before: &str) -> String {
    let mut text = before.to_owned();
    for line in ["/.partita/", "/out/"] {
        let bare = line.trim_matches('/');
        if before.lines().any(|known| known.trim().trim_matches('/') == bare) {
            continue;
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// The spec that `init` writes. What is told beside a command, after a tab there, stands in one column however long
/// the name is.
fn first_spec(name: &str) -> String {
    let text = INIT.replace("NAME", name);
    let beside = text.lines().filter_map(|line| line.split_once('\t'));
    let width = beside.map(|(command, _)| command.chars().count()).max().unwrap_or_default();
    let line = |line: &str| match line.split_once('\t') {
        Some((command, told)) => format!("{command:<width$}    {told}\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// Makes a workspace that runs. Refuses to touch one that is there.
pub fn init(locations: &Locations, dir: &Path) -> Result<PathBuf, Error> {
    let dir = tidy(&locations.current.join(dir));
    let file = dir.join(ROOT_FILE);
    if file.exists() {
        return Err(Error::usage_help(
            format!("`{}` exists already", file.display()),
            "it is a workspace: try `partita check`",
        ));
    }
    std::fs::create_dir_all(&dir).map_err(Error::io("make", &dir))?;
    let name = dir.canonicalize().ok().and_then(|dir| dir.file_name().map(|name| name.to_string_lossy().into_owned()));
    let name = name_of(&name.unwrap_or_default());
    std::fs::write(&file, first_spec(&name)).map_err(Error::io("write", &file))?;
    let ignore = dir.join(".gitignore");
    let before = match std::fs::read_to_string(&ignore) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Error::io("read", &ignore)(error)),
    };
    let text = ignoring(&before);
    if text != before {
        std::fs::write(&ignore, text).map_err(Error::io("write", &ignore))?;
    }
    Ok(file)
}
