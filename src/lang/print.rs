//! An expansion as canonical KDL: every action with everything written out, sorted by address, and a
//! comment saying where it comes from. Leaves out keys and reading it back.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::base::RelPath;
use crate::diag::SourceMap;
use crate::lang::ir::{ActionIr, BodyIr, Expansion, InputIr, ProbeIr, RenderIr, ServiceIr};

/// Prints an expansion.
pub fn print_expansion(expansion: &Expansion, sources: &SourceMap) -> String {
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
        let _ = writeln!(out, "\n    // from {}", sources.place(service.span));
        print_service(&mut out, service, expansion);
    }
    for instance in &expansion.instances {
        for index in &instance.actions {
            let action = &expansion.actions[*index];
            let mut keys = String::new();
            for (name, value) in &instance.keys {
                // A comment ends with its line, so that the value must not hold one.
                let _ = write!(keys, " {name}={}", quote(value));
            }
            let recipe = instance.recipe.as_ref().map_or(String::new(), |recipe| format!(" by recipe {recipe}"));
            let _ = writeln!(out, "\n    // from {}{recipe}{keys}", sources.place(instance.span));
            node(&mut out, action, expansion);
        }
    }
    out.push_str("}\n");
    out
}

fn node(out: &mut String, action: &ActionIr, expansion: &Expansion) {
    let class = if action.class == "pure" { String::new() } else { format!(" class={}", action.class) };
    let take = action.take.map_or(String::new(), |take| format!(" take={take}"));
    let idempotent = if action.idempotent { " idempotent=#true" } else { "" };
    let _ = writeln!(out, "    node {}{class}{take}{idempotent} {{", quote(&action.addr));
    match &action.body {
        BodyIr::Exec { tool, args } => {
            let _ = writeln!(out, "        run {}{}", quote(tool), quoted(args));
        }
        BodyIr::Copy(from) => drop(writeln!(out, "        copy {}", quote(from.as_str()))),
        BodyIr::Write(text) => drop(writeln!(out, "        write {}", quote(text))),
        BodyIr::Render(template, vars) => {
            let _ = writeln!(out, "        render {} {{", quote(template.as_str()));
            for (name, value) in vars {
                let _ = match value {
                    RenderIr::Text(text) => writeln!(out, "            set {}={}", quote(name), quote(text)),
                    RenderIr::List(items) => {
                        writeln!(out, "            set {}={}", quote(name), quote(&items.join(",")))
                    }
                    RenderIr::File(path) => writeln!(out, "            file {} {}", quote(name), quote(path.as_str())),
                    RenderIr::Json(path) => writeln!(out, "            json {} {}", quote(name), quote(path.as_str())),
                };
            }
            out.push_str("        }\n");
        }
        BodyIr::MergeJson(files) => {
            let _ = writeln!(out, "        merge-json{}", quoted(files.iter().map(RelPath::as_str)));
        }
    }
    surroundings(out, &action.env, &action.tools, action.cwd.as_ref());
    inputs(out, &action.inputs, expansion);
    for output in &action.outputs {
        let kind = if output.dir { "artifact.dir" } else { "artifact.file" };
        let digest = output.digest.map_or(String::new(), |digest| format!(" digest=\"b3:{digest}\""));
        let _ = writeln!(
            out,
            "        output {} path={} type={kind}{digest}",
            quote(&output.name),
            quote(output.path.as_str())
        );
    }
    if !action.services.is_empty() {
        let _ = writeln!(out, "        uses{}", quoted(&action.services));
    }
    for index in &action.after {
        let _ = writeln!(out, "        after {}", quote(&expansion.actions[*index].addr));
    }
    for (pool, amount) in &action.holds {
        let _ = writeln!(out, "        holds {} amount={amount}", quote(pool));
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

fn surroundings(out: &mut String, env: &BTreeMap<String, String>, tools: &[String], cwd: Option<&RelPath>) {
    for (name, value) in env {
        let _ = writeln!(out, "        env {}={}", quote(name), quote(value));
    }
    if !tools.is_empty() {
        let _ = writeln!(out, "        tools{}", quoted(tools));
    }
    if let Some(cwd) = cwd {
        let _ = writeln!(out, "        cwd {}", quote(cwd.as_str()));
    }
}

fn inputs(out: &mut String, inputs: &[InputIr], expansion: &Expansion) {
    for input in inputs {
        let _ = match input {
            InputIr::Workspace { pattern, optional, .. } => {
                let optional = if *optional { " optional=#true" } else { "" };
                writeln!(out, "        input {}{optional}", quote(pattern))
            }
            InputIr::Output { dest, action, output, select, .. } => {
                let dest = dest.as_ref().map_or(".", |dest| dest.as_str());
                let select = select.as_ref().map_or(String::new(), |select| format!(" select={}", quote(select)));
                let from = format!("{}.{output}", expansion.actions[*action].addr);
                writeln!(out, "        input {} from=(ref){}{select}", quote(dest), quote(&from))
            }
        };
    }
}

fn print_service(out: &mut String, service: &ServiceIr, expansion: &Expansion) {
    let _ = writeln!(out, "    service {} {{", quote(&service.name));
    if let BodyIr::Exec { tool, args } = &service.body {
        let _ = writeln!(out, "        run {}{}", quote(tool), quoted(args));
    }
    for (port, scheme) in &service.ports {
        let _ = writeln!(out, "        port {} scheme={}", quote(port), quote(scheme));
    }
    let sign = match &service.probe {
        ProbeIr::Http { port, path } => format!(" http={} port={}", quote(path), quote(port)),
        ProbeIr::Tcp { port } => format!(" tcp={}", quote(port)),
        ProbeIr::Log { pattern } => format!(" log={}", quote(pattern)),
        ProbeIr::Command { tool, args } => format!(" {}{}", quote(tool), quoted(args)),
    };
    let _ = writeln!(out, "        ready{sign} within=\"{}ms\"", service.within_ms);
    surroundings(out, &service.env, &service.tools, service.cwd.as_ref());
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
