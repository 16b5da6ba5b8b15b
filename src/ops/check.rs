//! The compiler's operations: check, expand, plan, explain, init. Leaves out execution.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::RelPath;
use crate::diag::{Code, Diagnostics, did_you_mean};
use crate::lang::{Compiled, DeclId, Expansion, Program, expand, print_expansion, reference_names, reference_node};
use crate::ops::Error;
use crate::ops::places::plan_places;
use crate::ops::workspace::{DiskWorld, Locations, ROOT_FILE, Workspace, find};
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
    // Files are read relative to the workspace they lie in, so that their imports resolve; without
    // one, relative to the folder they lie in.
    let absolute: Vec<PathBuf> = files.iter().map(|file| locations.current.join(file)).collect();
    let parent = absolute[0].parent().unwrap_or(&locations.current);
    let around = Locations { workspace: None, current: parent.to_path_buf(), ..locations.clone() };
    let dir = find(&around).unwrap_or_else(|_| parent.to_path_buf());
    let dir = dir.canonicalize().map_err(Error::io("find", &dir))?;
    let mut roots = Vec::new();
    for (file, given) in absolute.iter().zip(files) {
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

/// A graph compiled to its plan.
pub struct Planned {
    /// The expansion, which knows places in specs.
    pub expansion: Expansion,
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
    let mut found = Diagnostics::default();
    let expansion = expand(&workspace.compiled.program, id, params, &mut found);
    workspace.compiled.program.allow(&mut found);
    workspace.levels.apply(&mut found);
    let denied = found.has_errors();
    workspace.compiled.diagnostics.extend(found);
    if denied {
        return Err(Error::Spec);
    }
    let expansion = expansion.ok_or(Error::Spec)?;
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

/// The page of a code, or the reference of a node: `P0101`, `for-each`, `bundle.include`.
pub fn explain(name: &str) -> Result<String, Error> {
    if let Ok(code) = name.parse::<Code>() {
        return Ok(code.info().page.to_owned());
    }
    if let Some(section) = reference_node(name) {
        return Ok(section);
    }
    let is_code =
        name.starts_with(['P', 'p']) && name.get(1..2).is_some_and(|next| next.as_bytes()[0].is_ascii_digit());
    let known: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).chain(reference_names()).collect();
    let wanted = if is_code { name.to_ascii_uppercase() } else { name.to_owned() };
    let help = match did_you_mean(&wanted, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            format!("codes run from {} to {}; nodes are those of specs", Code::ALL[0], Code::ALL[Code::ALL.len() - 1])
        }
    };
    let what = if is_code { "code" } else { "code or node" };
    Err(Error::usage_help(format!("there is no {what} `{name}`"), help))
}

/// A name for a graph, after that of its folder: one that needs no quotes in KDL.
fn name_of(folder: &str) -> String {
    let name = crate::base::slug(folder).trim_matches('-').to_owned();
    let is_keyword = matches!(name.as_str(), "true" | "false" | "null" | "inf" | "nan");
    match name.chars().next() {
        None => "hello".to_owned(),
        Some(first) if first.is_numeric() || is_keyword => format!("my-{name}"),
        Some(_) => name,
    }
}

/// The spec that `init` writes.
const INIT: &str = include_str!("init.kdl");

/// Makes a workspace that runs. Refuses to touch one that is there.
pub fn init(locations: &Locations, dir: &Path) -> Result<PathBuf, Error> {
    let dir = locations.current.join(dir);
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
    std::fs::write(&file, INIT.replace("NAME", &name)).map_err(Error::io("write", &file))?;
    let ignore = dir.join(".gitignore");
    if !ignore.exists() {
        std::fs::write(&ignore, "/.partita/\n/out/\n").map_err(Error::io("write", &ignore))?;
    }
    Ok(file)
}
