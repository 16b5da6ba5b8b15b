//! A plan as a picture: layers from left to right, what comes from one declaration drawn as one where
//! the plan is large, the longest way marked. One file without scripts, fonts or links, light and
//! dark. Leaves out times, which are of runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::plan::page::{code, html, page, tile};
use crate::plan::{Action, ActionKind, Class, Places, Plan, topological};

/// Actions that are drawn one by one; of a larger plan, those alike are drawn as one.
const ALONE: usize = 24;
/// How many are alike before they are drawn as one.
const ALIKE: usize = 4;
const WIDTH: usize = 190;
const HEIGHT: usize = 26;
const GAP_X: usize = 70;
const GAP_Y: usize = 10;
const MARGIN: usize = 16;

/// A box of the picture.
struct Cell {
    label: String,
    title: String,
    class: Class,
    in_process: bool,
    count: usize,
    layer: usize,
    row: usize,
    marked: bool,
}

struct Picture {
    cells: Vec<Cell>,
    /// Between boxes, with how many edges it stands for and whether it is of the longest way.
    edges: BTreeMap<(usize, usize), (usize, bool)>,
    /// Actions of the longest way.
    longest: usize,
}

/// A plan as SVG.
pub fn to_svg(plan: &Plan, places: &Places) -> String {
    draw(&Picture::of(plan, places))
}

/// A plan as an HTML page: the picture, what the colours mean, and all actions.
pub fn to_html(plan: &Plan, places: &Places) -> String {
    let picture = Picture::of(plan, places);
    let layers = picture.cells.iter().map(|cell| cell.layer + 1).max().unwrap_or(0);
    let longest = picture.longest;
    let mut out = format!(
        "<p class=\"kicker\">Plan</p>\n<h1>Graph {}</h1>\n<ul class=\"tiles\">\n{}{}{}{}</ul>\n\
         <p class=\"soft\">Plan <code>b3:{}</code>.</p>\n{LEGEND}<figure>\n{}</figure>\n",
        code(&plan.graph),
        tile(false, &plan.actions.len().to_string(), "actions"),
        tile(false, &layers.to_string(), "layers"),
        tile(false, &longest.to_string(), "actions on the longest way"),
        tile(false, &plan.tools.len().to_string(), "tools"),
        plan.digest,
        draw(&picture),
    );
    for service in &plan.services {
        let users = plan.actions.iter().filter(|action| action.spec.services.contains(&service.name)).count();
        let _ = writeln!(
            out,
            "<p>Service {} runs while {users} actions run that use it; ready: {}.</p>",
            code(&service.name),
            html(&service.ready.describe())
        );
    }
    out.push_str(
        "<details><summary>All actions</summary><div>\n<table class=\"stack\">\n<thead><tr><th>address</th>\
         <th>kind</th><th>class</th><th>depends on</th><th>declared</th></tr></thead>\n<tbody>\n",
    );
    for (id, action) in plan.iter() {
        let place =
            places.actions.get(id.index()).map_or(String::new(), |place| format!("{}:{}", place.file, place.line));
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"soft\">{}</td></tr>",
            code(&action.addr),
            action.spec.kind.versioned(),
            action.spec.class.word(),
            action.dependencies().len(),
            html(&place)
        );
    }
    out.push_str("</tbody>\n</table>\n</div></details>\n");
    page(&format!("Plan of {}", plan.graph), "body{max-width:none}\nfigure{max-width:max-content}\n", &out)
}

const LEGEND: &str = "<p class=\"soft\">From left to right: what is on the right takes in what is on the left. A box with a \
    number stands for actions of one declaration: instances of a node, or uses of a recipe or a template. Blue: network, by a \
    promised digest or recorded. Orange: volatile, or an effect. Dashed: done in-process. Thick red: the longest way.</p>\n";

impl Picture {
    fn of(plan: &Plan, places: &Places) -> Self {
        let (layers, marked) = layers(plan);
        let mut alike: BTreeMap<(usize, String), Vec<usize>> = BTreeMap::new();
        for (index, action) in plan.actions.iter().enumerate() {
            let declaration = places.declarations.get(index).cloned().unwrap_or_else(|| shape(action));
            alike.entry((layers[index], declaration)).or_default().push(index);
        }
        let mut cells: Vec<Cell> = Vec::new();
        let mut cell_of = vec![0; plan.actions.len()];
        for ((layer, _), members) in alike {
            let together = plan.actions.len() > ALONE && members.len() >= ALIKE;
            let groups: Vec<Vec<usize>> =
                if together { vec![members] } else { members.into_iter().map(|index| vec![index]).collect() };
            for members in groups {
                let first = &plan.actions[members[0]];
                let addresses: Vec<&str> = members.iter().map(|index| plan.actions[*index].addr.as_str()).collect();
                let label = common(&addresses, &plan.graph);
                let mut title = format!("{}\n{}", first.addr, first.spec.kind.versioned());
                if !first.spec.services.is_empty() {
                    let _ = write!(title, "\nuses {}", first.spec.services.join(", "));
                }
                if members.len() > 1 {
                    let _ = write!(title, "\nand {} more alike", members.len() - 1);
                }
                for index in &members {
                    cell_of[*index] = cells.len();
                }
                cells.push(Cell {
                    label,
                    title,
                    class: first.spec.class,
                    in_process: !matches!(first.spec.kind, ActionKind::Exec { .. }),
                    count: members.len(),
                    layer,
                    row: 0,
                    marked: members.iter().any(|index| marked.contains(index)),
                });
            }
        }
        let mut edges: BTreeMap<(usize, usize), (usize, bool)> = BTreeMap::new();
        for (index, action) in plan.actions.iter().enumerate() {
            for producer in action.dependencies() {
                let edge = edges.entry((cell_of[producer.index()], cell_of[index])).or_default();
                edge.0 += 1;
                edge.1 |= marked.contains(&index)
                    && marked.contains(&producer.index())
                    && layers[producer.index()] + 1 == layers[index];
            }
        }
        let mut picture = Self { cells, edges, longest: marked.len() };
        picture.arrange();
        picture
    }

    /// Puts boxes of a layer in the order of the middle of what they take in, twice.
    fn arrange(&mut self) {
        let last = self.cells.iter().map(|cell| cell.layer).max().unwrap_or(0);
        let mut by_layer: Vec<Vec<usize>> = vec![Vec::new(); last + 1];
        for (index, cell) in self.cells.iter().enumerate() {
            by_layer[cell.layer].push(index);
        }
        let mut above: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut below: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (from, to) in self.edges.keys() {
            above.entry(*to).or_default().push(*from);
            below.entry(*from).or_default().push(*to);
        }
        let forth: Vec<usize> = (0..=last).collect();
        let back: Vec<usize> = (0..=last).rev().collect();
        for (order, near) in [(&forth, &above), (&back, &below), (&forth, &above)] {
            for layer in order {
                let mut keyed: Vec<(usize, usize)> = by_layer[*layer]
                    .iter()
                    .map(|index| {
                        let near = near.get(index).map_or(&[][..], Vec::as_slice);
                        let sum: usize = near.iter().map(|other| self.cells[*other].row * 1_000).sum();
                        (sum.checked_div(near.len()).unwrap_or(self.cells[*index].row * 1_000), *index)
                    })
                    .collect();
                keyed.sort_unstable();
                for (row, (_, index)) in keyed.iter().enumerate() {
                    self.cells[*index].row = row;
                }
            }
        }
    }
}

/// The layer of each action, and the actions of the longest way.
fn layers(plan: &Plan) -> (Vec<usize>, BTreeSet<usize>) {
    let mut layers = vec![0_usize; plan.actions.len()];
    let mut before: Vec<Option<usize>> = vec![None; plan.actions.len()];
    for id in topological(plan) {
        for producer in plan.action(id).dependencies() {
            if layers[producer.index()] + 1 > layers[id.index()] {
                layers[id.index()] = layers[producer.index()] + 1;
                before[id.index()] = Some(producer.index());
            }
        }
    }
    let deepest = layers.iter().copied().max().unwrap_or(0);
    let mut marked = BTreeSet::new();
    let mut at = layers.iter().position(|layer| *layer == deepest).filter(|_| deepest > 0);
    while let Some(index) = at {
        marked.insert(index);
        at = before[index];
    }
    (layers, marked)
}

/// What actions of one declaration have in common where places are not known: node and step.
fn shape(action: &Action) -> String {
    let parts: Vec<&str> = action.addr.split('/').skip(1).collect();
    match parts.as_slice() {
        [node, _, .., step] => format!("{node}/*/{step}/{}", parts.len()),
        [node, _] => format!("{node}/*"),
        _ => action.addr.clone(),
    }
}

/// What addresses have in common, segment by segment, with `*` for what they have not; without the graph.
fn common(addresses: &[&str], graph: &str) -> String {
    let split = |addr: &&str| -> Vec<String> {
        let rest = addr.strip_prefix(graph).and_then(|rest| rest.strip_prefix('/')).unwrap_or(addr);
        rest.split('/').map(str::to_owned).collect()
    };
    let mut all = addresses.iter().map(split);
    let Some(mut label) = all.next() else { return String::new() };
    for other in all {
        if other.len() == label.len() {
            for (part, found) in label.iter_mut().zip(&other) {
                if part != found {
                    "*".clone_into(part);
                }
            }
        } else {
            // They lie at different depths: only the ends can be alike.
            let same = |a: &String, b: &String| a == b && a != "*";
            let head = label.iter().zip(&other).take_while(|(a, b)| same(a, b)).count();
            let rest = label.len().min(other.len()) - head;
            let tail = label.iter().rev().zip(other.iter().rev()).take(rest).take_while(|(a, b)| same(a, b)).count();
            let mut parts = label[..head].to_vec();
            parts.push("*".to_owned());
            parts.extend_from_slice(&label[label.len() - tail..]);
            label = parts;
        }
    }
    label.join("/")
}

fn draw(picture: &Picture) -> String {
    let x = |layer: usize| MARGIN + layer * (WIDTH + GAP_X);
    let mut rows: BTreeMap<usize, usize> = BTreeMap::new();
    for cell in &picture.cells {
        *rows.entry(cell.layer).or_default() += 1;
    }
    let most = rows.values().copied().max().unwrap_or(0);
    // Layers stand around one middle line.
    let y = |cell: &Cell| MARGIN + cell.row * (HEIGHT + GAP_Y) + (most - rows[&cell.layer]) * (HEIGHT + GAP_Y) / 2;
    let width = picture.cells.iter().map(|cell| x(cell.layer) + WIDTH).max().unwrap_or(0) + MARGIN;
    let height = picture.cells.iter().map(|cell| y(cell) + HEIGHT).max().unwrap_or(0) + MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} \
         {height}\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n<style>\n\
         .back {{ fill: #fff }} .box {{ fill: #f3f5f7; stroke: #8a949e }} .text {{ fill: #1c2024 }}\n\
         .fixed {{ fill: #dcebfb; stroke: #2f6fb3 }} .volatile {{ fill: #fde7cf; stroke: #b5651d }}\n\
         .own {{ stroke-dasharray: 4 3 }} .edge {{ fill: none; stroke: #8a949e; stroke-opacity: .55 }}\n\
         .long {{ stroke: #b3261e; stroke-opacity: .9; stroke-width: 2.5 }}\n\
         @media (prefers-color-scheme: dark) {{\n.back {{ fill: #15181b }} .box {{ fill: #22272b; stroke: #77818b }} \
         .text {{ fill: #e4e7ea }}\n.fixed {{ fill: #17324f; stroke: #6aa7e8 }} .volatile {{ fill: #4a2f12; stroke: \
         #e0a060 }}\n.edge {{ stroke: #77818b }} .long {{ stroke: #ff8a80 }}\n}}\n</style>\n\
         <rect class=\"back\" width=\"{width}\" height=\"{height}\"/>\n"
    );
    for ((from, to), (count, long)) in &picture.edges {
        let (a, b) = (&picture.cells[*from], &picture.cells[*to]);
        let (x1, y1) = (x(a.layer) + WIDTH, y(a) + HEIGHT / 2);
        let (x2, y2) = (x(b.layer), y(b) + HEIGHT / 2);
        let bend = GAP_X * 2 / 3;
        let class = if *long { "edge long" } else { "edge" };
        let _ = writeln!(
            out,
            "<path class=\"{class}\" d=\"M{x1} {y1}C{} {y1} {} {y2} {x2} {y2}\"><title>{} -&gt; {}{}</title></path>",
            x1 + bend,
            x2.saturating_sub(bend),
            html(&a.label),
            html(&b.label),
            if *count > 1 { format!(" ({count})") } else { String::new() }
        );
    }
    for cell in &picture.cells {
        let class = match cell.class {
            Class::Pure => "box",
            Class::Fixed | Class::Record => "box fixed",
            Class::Volatile | Class::Effect => "box volatile",
        };
        let own = if cell.in_process { " own" } else { "" };
        let long = if cell.marked { " long" } else { "" };
        let (x, y) = (x(cell.layer), y(cell));
        let count = if cell.count > 1 { format!("{} × ", cell.count) } else { String::new() };
        let _ = writeln!(
            out,
            "<g><title>{}</title><rect class=\"{class}{own}{long}\" x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" \
             height=\"{HEIGHT}\" rx=\"5\"/><text class=\"text\" x=\"{}\" y=\"{}\">{}</text></g>",
            html(&cell.title),
            x + 8,
            y + HEIGHT / 2 + 4,
            html(&shortened(&format!("{count}{}", cell.label)))
        );
    }
    out.push_str("</svg>\n");
    out
}

/// A label that fits its box: the end of an address tells more than its middle.
fn shortened(label: &str) -> String {
    const FITS: usize = 27;
    let count = label.chars().count();
    if count <= FITS {
        return label.to_owned();
    }
    let head: String = label.chars().take(9).collect();
    let tail: String = label.chars().skip(count - (FITS - 10)).collect();
    format!("{head}…{tail}")
}
