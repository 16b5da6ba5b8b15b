//! An expansion as canonical KDL: every tool and action with everything written out, sorted by name and
//! address, and a comment saying where it comes from. It is a spec of its own, which compiles to the
//! same plan. Leaves out keys.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::base::{RelPath, addresses};
use crate::diag::Span;
use crate::lang::ir::{ActionIr, BodyIr, Expansion, InputIr, ProbeIr, RenderIr, ServiceIr};
use crate::lang::program::Program;

/// Prints an expansion with its origins.
pub fn print_expansion(expansion: &Expansion, program: &Program) -> String {
    print(expansion, program, true)
}

/// Prints an expansion without its origins, so that moving a node changes nothing.
pub(crate) fn print_plan(expansion: &Expansion, program: &Program) -> String {
    print(expansion, program, false)
}

fn print(expansion: &Expansion, program: &Program, origins: bool) -> String {
    let mut out = String::from("partita edition=1\n");
    for (name, ir) in &expansion.tools {
        let Some(decl) = program.tool_of(ir.of) else { continue };
        let prop = |name: &str, value: &Option<String>| {
            value.as_ref().map_or(String::new(), |value| format!(" {name}={}", quote(value)))
        };
        let props = format!("{}{}", prop("version", &decl.version), prop("supplier", &decl.supplier));
        let fingerprint = prop("fingerprint", &decl.fingerprint.as_ref().map(|args| args.join(" ")));
        let _ = writeln!(out, "\ntool {}{props} {{\n    exec {}{fingerprint}", quote(name), quote(&decl.exec.value));
        for (word, names) in [("uses", &ir.uses), ("pass-env", &decl.pass_env)] {
            if !names.is_empty() {
                let _ = writeln!(out, "    {word}{}", quoted(names));
            }
        }
        out.push_str("}\n");
    }
    let mut constants = Constants::default();
    let graph = graph(expansion, program, origins, &mut constants);
    for (index, items) in constants.lists.iter().enumerate() {
        let _ = writeln!(out, "\nlet list-{index} type=list<string> {{");
        for item in items {
            let _ = writeln!(out, "    - {}", quote(item));
        }
        out.push_str("}\n");
    }
    out.push('\n');
    out.push_str(&graph);
    out
}

/// Two opening braces as a text.
const BRACES: &str = "{{ '{{' }}";

/// A string in a place where holes are read.
fn holed(text: &str) -> String {
    quote(&plain(text))
}

fn plain(text: &str) -> String {
    text.replace("{{", BRACES)
}

fn all_holed<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    texts.into_iter().fold(String::new(), |out, text| out + " " + &holed(text.as_ref()))
}

/// Constants that the printed graph needs: a variable of a template holds no list.
#[derive(Default)]
struct Constants {
    lists: Vec<Vec<String>>,
    /// What stands for the addresses of services in texts that processes are given.
    addresses: BTreeSet<String>,
}

impl Constants {
    /// A text that a process is given, which may hold addresses of services.
    fn given(&mut self, text: &str) -> String {
        let (mut out, mut rest) = (String::new(), text);
        for placeholder in addresses(text).iter().map(crate::base::Address::placeholder) {
            if self.addresses.contains(&placeholder)
                && let Some((before, after)) = rest.split_once(&placeholder)
            {
                out += &plain(before);
                out += &placeholder;
                rest = after;
            }
        }
        out += &plain(rest);
        quote(&out)
    }

    fn all_given(&mut self, texts: &[String]) -> String {
        texts.iter().fold(String::new(), |out, text| out + " " + &self.given(text))
    }

    fn list(&mut self, items: &[String]) -> String {
        let index = self.lists.iter().position(|known| known == items).unwrap_or_else(|| {
            self.lists.push(items.to_vec());
            self.lists.len() - 1
        });
        format!("(var)list-{index}")
    }
}

/// The template that a node stands in.
fn template_at(program: &Program, at: Span) -> Option<&str> {
    let file = program.files.iter().find(|file| file.source == at.source)?;
    let inside = |span: Span| span.start <= at.start && at.end <= span.end;
    let template = file.decls.templates.iter().find(|template| inside(template.span))?;
    Some(&template.name.value)
}

fn graph(expansion: &Expansion, program: &Program, origins: bool, constants: &mut Constants) -> String {
    let mut out = format!("graph {} {{\n", quote(&expansion.graph));
    for (name, value) in &expansion.params {
        let _ = writeln!(out, "    // param {name}={value:?}");
    }
    if let Some(concurrency) = expansion.concurrency {
        let _ = writeln!(out, "    concurrency {concurrency}");
    }
    let policies = &expansion.policies;
    for (word, given) in [("schedule", &policies.schedule), ("cancel", &policies.cancel)] {
        if let Some(given) = given {
            let _ = writeln!(out, "    {word} {given}");
        }
    }
    if let Some(failures) = policies.breaker {
        let _ = writeln!(out, "    breaker failures={failures}");
    }
    if let Some(ms) = policies.deadline_ms {
        let _ = writeln!(out, "    deadline \"{ms}ms\"");
    }
    for (name, capacity) in &expansion.pools {
        let _ = writeln!(out, "    resource {} capacity={capacity}", quote(name));
    }
    for service in &expansion.services {
        for (port, _) in &service.ports {
            let address = format!("{}.{port}", service.name);
            constants.addresses.extend([format!("{{{{{address}}}}}"), format!("{{{{{address}.port}}}}")]);
        }
    }
    for service in &expansion.services {
        out.push('\n');
        if origins {
            let _ = writeln!(out, "    // from {}", program.sources.fixed_place(service.span));
        }
        print_service(&mut out, service, expansion, constants);
    }
    for instance in &expansion.instances {
        for index in &instance.actions {
            let action = &expansion.actions[*index];
            out.push('\n');
            if !origins {
                node(&mut out, action, expansion, constants);
                continue;
            }
            let mut keys = String::new();
            for (name, value) in &instance.keys {
                // A comment ends with its line, so that the value must not hold one.
                let _ = write!(keys, " {name}={}", quote(value));
            }
            let recipe = instance.recipe.as_ref().map_or(String::new(), |recipe| format!(" by recipe {recipe}"));
            let template =
                template_at(program, instance.span).map_or(String::new(), |name| format!("template {name} at "));
            let place = program.sources.fixed_place(instance.span);
            let _ = writeln!(out, "    // from {template}{place}{recipe}{keys}");
            node(&mut out, action, expansion, constants);
        }
    }
    out.push_str("}\n");
    out
}

/// An address within the graph, by which it names the node.
fn within<'a>(addr: &'a str, expansion: &Expansion) -> &'a str {
    addr.strip_prefix(&expansion.graph).and_then(|rest| rest.strip_prefix('/')).unwrap_or(addr)
}

fn node(out: &mut String, action: &ActionIr, expansion: &Expansion, constants: &mut Constants) {
    let class = if action.class == "pure" { String::new() } else { format!(" class={}", action.class) };
    if let Some(route) = &action.route {
        let what = route.capability.as_ref().map_or(String::new(), |capability| format!(" {}", quote(capability)));
        // A comment ends with its line, so that no name may hold one.
        let _ = writeln!(out, "    // route{what}: {}", quote(&route.describe()));
        for rejected in &route.rejected {
            let _ = writeln!(out, "    // not {}: {}", quote(&rejected.candidate), quote(&rejected.why));
        }
    }
    let automation = action.automation.as_ref().map_or(String::new(), |level| format!(" automation={level}"));
    let take = action.take.map_or(String::new(), |take| format!(" take={take}"));
    let idempotent = if action.idempotent { " idempotent=#true" } else { "" };
    let _ =
        writeln!(out, "    node {}{class}{take}{idempotent}{automation} {{", quote(within(&action.addr, expansion)));
    match &action.body {
        BodyIr::Exec { tool, args } => {
            let _ = writeln!(out, "        run {}{}", quote(tool), constants.all_given(args));
        }
        BodyIr::Copy(from) => drop(writeln!(out, "        copy {}", holed(from.as_str()))),
        BodyIr::Write(text) => drop(writeln!(out, "        write {}", holed(text))),
        BodyIr::Render(template, vars) => {
            let _ = writeln!(out, "        render {} {{", holed(template.as_str()));
            for (name, value) in vars {
                let _ = match value {
                    RenderIr::Text(text) => writeln!(out, "            set {}={}", quote(name), holed(text)),
                    RenderIr::List(items) => {
                        writeln!(out, "            set {}={}", quote(name), constants.list(items))
                    }
                    RenderIr::File(path) => {
                        writeln!(out, "            file {} {}", quote(name), holed(path.as_str()))
                    }
                    RenderIr::Json(path) => {
                        writeln!(out, "            json {} {}", quote(name), holed(path.as_str()))
                    }
                };
            }
            out.push_str("        }\n");
        }
        BodyIr::Request { prompt, facts, .. } => {
            if let Some(prompt) = prompt {
                let _ = writeln!(out, "        // prompt {}", quote(prompt));
            }
            let _ = writeln!(out, "        request {}", quote(facts));
        }
        BodyIr::MergeJson(files) => {
            let _ = writeln!(out, "        merge-json{}", all_holed(files.iter().map(RelPath::as_str)));
        }
        // What a gate requires stands where it is declared; here it is told in a comment.
        BodyIr::Gate(subjects, _) => {
            for subject in subjects {
                let at: Vec<&str> = subject.at.iter().map(RelPath::as_str).collect();
                let _ = writeln!(out, "        // reads {} as {} at {}", subject.name, subject.reads, at.join(" "));
            }
        }
        // It is named by whoever looks at it.
        BodyIr::Sbom(_) | BodyIr::Http(_) => {}
        BodyIr::Approval(approval) => {
            let _ = writeln!(out, "        // waits for {} of {}", approval.min, quote(&approval.group));
        }
    }
    if let Some(gate) = &action.gate {
        let _ = writeln!(out, "        guard {} // kind={}", quote(&gate.name), gate.kind);
    }
    for (name, secret) in &action.secrets {
        let _ = writeln!(out, "        env {}=(secret){}", quote(name), quote(secret));
    }
    surroundings(out, &action.env, &action.tools, action.cwd.as_ref(), constants);
    inputs(out, &action.inputs, expansion);
    for output in &action.outputs {
        let kind = match (output.dir, &output.schema) {
            (true, _) => "artifact.dir".to_owned(),
            (false, None) => "artifact.file".to_owned(),
            (false, Some(schema)) => format!("artifact.json schema={}", quote(&schema.path)),
        };
        let digest = output.digest.map_or(String::new(), |digest| format!(" digest=\"b3:{digest}\""));
        let _ = writeln!(
            out,
            "        output {} path={} type={kind}{digest}",
            holed(&output.name),
            holed(output.path.as_str())
        );
    }
    if !action.services.is_empty() {
        let _ = writeln!(out, "        uses{}", quoted(&action.services));
    }
    for index in &action.after {
        let _ = writeln!(out, "        after {}", quote(within(&expansion.actions[*index].addr, expansion)));
    }
    let mut machine = String::new();
    for (pool, amount) in &action.holds {
        // Shares of the machine are said in one node of their own.
        if !expansion.pools.contains_key(pool) && matches!(pool.as_str(), "cpu" | "memory") {
            let amount = if pool == "memory" { format!("\"{amount}B\"") } else { amount.to_string() };
            let _ = write!(machine, " {pool}={amount}");
            continue;
        }
        let _ = writeln!(out, "        holds {} amount={amount}", quote(pool));
    }
    if !machine.is_empty() {
        let _ = writeln!(out, "        resources{machine}");
    }
    if !action.limits.is_empty() {
        let limit = |(name, most): (&String, &u64)| match name.as_str() {
            "memory" | "output" => format!(" {name}=\"{most}B\""),
            _ => format!(" {name}={most}"),
        };
        let _ = writeln!(out, "        limits{}", action.limits.iter().map(limit).collect::<String>());
    }
    if let Some(ms) = action.timeout_ms {
        let _ = writeln!(out, "        timeout \"{ms}ms\"");
    }
    if let Some(retry) = &action.retry {
        let strategy = if retry.exponential { "exponential" } else { "fixed" };
        let _ = writeln!(
            out,
            "        retry max={} on={} backoff=\"{}ms\" strategy={strategy}",
            retry.max, retry.on, retry.backoff_ms
        );
    }
    out.push_str("    }\n");
}

fn surroundings(
    out: &mut String,
    env: &BTreeMap<String, String>,
    tools: &[String],
    cwd: Option<&RelPath>,
    constants: &mut Constants,
) {
    for (name, value) in env {
        let _ = writeln!(out, "        env {}={}", quote(name), constants.given(value));
    }
    if !tools.is_empty() {
        let _ = writeln!(out, "        tools{}", quoted(tools));
    }
    if let Some(cwd) = cwd {
        let _ = writeln!(out, "        cwd {}", holed(cwd.as_str()));
    }
}

fn inputs(out: &mut String, inputs: &[InputIr], expansion: &Expansion) {
    for input in inputs {
        let _ = match input {
            InputIr::Workspace { pattern, optional, .. } => {
                let optional = if *optional { " optional=#true" } else { "" };
                writeln!(out, "        input {}{optional}", holed(pattern))
            }
            InputIr::Output { dest, action, output, select, .. } => {
                let dest = dest.as_ref().map_or(".", |dest| dest.as_str());
                let select = select.as_ref().map_or(String::new(), |select| format!(" select={}", holed(select)));
                let from = format!("{}.{output}", within(&expansion.actions[*action].addr, expansion));
                writeln!(out, "        input {} from=(ref){}{select}", holed(dest), quote(&from))
            }
        };
    }
}

fn print_service(out: &mut String, service: &ServiceIr, expansion: &Expansion, constants: &mut Constants) {
    let _ = writeln!(out, "    service {} {{", quote(&service.name));
    if let BodyIr::Exec { tool, args } = &service.body {
        let _ = writeln!(out, "        run {}{}", quote(tool), constants.all_given(args));
    }
    for (port, scheme) in &service.ports {
        let _ = writeln!(out, "        port {} scheme={}", quote(port), quote(scheme));
    }
    let sign = match &service.probe {
        ProbeIr::Http { port, path } => format!(" http={} port={}", holed(path), quote(port)),
        ProbeIr::Tcp { port } => format!(" tcp={}", quote(port)),
        ProbeIr::Log { pattern } => format!(" log={}", quote(pattern)),
        ProbeIr::Command { tool, args } => format!(" {}{}", quote(tool), constants.all_given(args)),
    };
    let _ = writeln!(out, "        ready{sign} within=\"{}ms\"", service.within_ms);
    surroundings(out, &service.env, &service.tools, service.cwd.as_ref(), constants);
    inputs(out, &service.inputs, expansion);
    out.push_str("    }\n");
}

/// Arguments of a node, each after a space.
fn quoted<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    texts.into_iter().fold(String::new(), |out, text| out + " " + &quote(text.as_ref()))
}

/// A KDL string: bare where it is surely one datum, else quoted.
pub fn quote(text: &str) -> String {
    let bare = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        && !matches!(text, "true" | "false" | "null" | "inf" | "nan");
    if bare {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control()
                || c == '\u{feff}'
                || ('\u{2066}'..='\u{2069}').contains(&c)
                || ('\u{200e}'..='\u{202e}').contains(&c) =>
            {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
