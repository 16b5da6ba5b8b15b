//! Renders template files. The result is a function of template, variables and staged inputs:
//! there is no clock, no randomness, no environment. Leaves out templates inside of specs, which
//! are another, smaller language.
//!
//! Settings, which are part of the meaning of `render/1`: an undefined variable is an error even
//! where it is only tested; nothing is escaped unless the template says so (`| escape`); blocks
//! leave the whitespace around them alone (`{%- … -%}` trims), and the last newline of a file is
//! kept; `include`, `import` and `extends` name staged inputs by their path from the top.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};

use crate::base::{Limits, RelPath, too_deep_template};
use crate::exec::builtin::{Staged, content};
use crate::exec::error::Trouble;
use crate::plan::RenderValue;

/// Instructions one rendering may take: a second at most, far more than any page needs.
const FUEL: u64 = 10_000_000;
/// Bytes one rendering may write.
const BYTES: usize = 256 << 20;

/// Renders a template to text.
pub(super) fn render(
    template: &RelPath,
    vars: &BTreeMap<String, RenderValue>,
    staged: &Staged,
) -> Result<String, Trouble> {
    rendered(template.as_str(), None, vars, staged)
}

/// Renders a template that is given as text.
pub(super) fn render_text(
    text: &str,
    vars: &BTreeMap<String, RenderValue>,
    staged: &Staged,
) -> Result<String, Trouble> {
    rendered("the prompt", Some(text), vars, staged)
}

fn rendered(
    template: &str,
    text: Option<&str>,
    vars: &BTreeMap<String, RenderValue>,
    staged: &Staged,
) -> Result<String, Trouble> {
    let mut context = BTreeMap::new();
    for (name, value) in vars {
        let value = match value {
            RenderValue::Text(text) => Value::from(text.as_str()),
            RenderValue::List(texts) => texts.iter().map(String::as_str).collect(),
            RenderValue::File(path) => Value::from(staged.text(path)?),
            RenderValue::Json(path) => {
                let json: serde_json::Value = serde_json::from_slice(&staged.bytes(path)?)
                    .map_err(|error| content(format!("`{path}` is not JSON: {error}")))?;
                value_of(json)
            }
        };
        context.insert(name.clone(), value);
    }
    // A blob lost while an include is loaded must reach the caller as such, not as a bad template.
    let trouble: Arc<Mutex<Option<Trouble>>> = Arc::default();
    let environment = environment(staged.clone(), Arc::clone(&trouble));
    let mut out = Bounded(Vec::new());
    if let Some(text) = text {
        shallow(template, text).map_err(content)?;
    }
    let loaded = match text {
        Some(text) => environment.template_from_named_str(template, text),
        None => environment.get_template(template),
    };
    let rendered = loaded.and_then(|loaded| loaded.render_captured_to(Value::from(context), &mut out).map(|_| ()));
    if let Some(trouble) = trouble.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(trouble);
    }
    rendered.map_err(|error| content(format!("cannot render `{template}`: {}", chain(&error))))?;
    String::from_utf8(out.0).map_err(|_| content(format!("`{template}` renders to what is not UTF-8")))
}

/// JSON as a value of the template language; members come in the order of their names.
fn value_of(json: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::from(()),
        Json::Bool(flag) => Value::from(flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(int), _, _) => Value::from(int),
            (None, Some(int), _) => Value::from(int),
            (None, None, Some(float)) => Value::from(float),
            (None, None, None) => Value::from(number.to_string()),
        },
        Json::String(text) => Value::from(text),
        Json::Array(items) => items.into_iter().map(value_of).collect(),
        Json::Object(members) => {
            let members: BTreeMap<String, Value> =
                members.into_iter().map(|(name, value)| (name, value_of(value))).collect();
            Value::from(members)
        }
    }
}

fn environment(staged: Staged, trouble: Arc<Mutex<Option<Trouble>>>) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(false).lstrip_blocks(false).keep_trailing_newline(true);
    if let Ok(syntax) = syntax.build() {
        environment.set_syntax(syntax);
    }
    // It prints the whole state, of which the form is the library's and changes with it.
    environment.remove_global("debug");
    environment.set_loader(move |name| {
        let Ok(path) = RelPath::new(name) else { return Ok(None) };
        match staged.text(&path) {
            Ok(text) => match shallow(name, &text) {
                Ok(()) => Ok(Some(text)),
                Err(why) => Err(minijinja::Error::new(ErrorKind::SyntaxError, why)),
            },
            Err(Trouble::Fail(failure)) => Err(minijinja::Error::new(ErrorKind::TemplateNotFound, failure.text)),
            Err(other) => {
                *trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(other);
                Err(minijinja::Error::new(ErrorKind::TemplateNotFound, "the store has lost it"))
            }
        }
    });
    environment
}

/// Refuses a template that is nested deeper than the library's stack. The error is a message.
pub(super) fn shallow(name: &str, text: &str) -> Result<(), String> {
    let Some(at) = too_deep_template(text) else { return Ok(()) };
    let line = text[..at].matches('\n').count() + 1;
    Err(format!("template `{name}` is nested more than {} levels deep in line {line}", Limits::TEMPLATE_DEPTH))
}

fn chain(error: &minijinja::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// A buffer that refuses to grow without end.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > BYTES {
            return Err(std::io::Error::other(format!("the result is longer than {BYTES} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
