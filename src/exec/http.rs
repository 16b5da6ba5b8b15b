//! Asks an API that serves an agent: builds what is sent, keeps to the limits, takes the answer apart into the outputs, and
//! counts what it cost. An answer that is not what was asked for is sent back with the reason, as long as there
//! are turns. Leaves out who is asked and with which prompt.

use std::cell::Cell;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use minijinja::{Environment, UndefinedBehavior, context};
use serde_json::{Value as Json, json};

use crate::base::{Entry, Environment as Surroundings, Tree, format_duration, format_micro_usd};
use crate::event::Spent;
use crate::exec::builtin::{Staged, content};
use crate::exec::due::Bound;
use crate::exec::engine::{Attempted, Engine};
use crate::exec::error::{Failure, FailureClass, Trouble};
use crate::exec::ports::Ports;
use crate::exec::render::shallow;
use crate::exec::scrub::Given;
use crate::plan::{Action, HttpAsk, Isolation, Output, Vendor};
use crate::store::ClaimOutput;

/// The longest that one exchange may take where nothing else bounds it.
const PATIENCE: Duration = Duration::from_mins(10);
/// How soon a wait for an answer notices that the run was cancelled.
const TICK: Duration = Duration::from_millis(50);
/// Bytes of an answer.
const ANSWER_BYTES: u64 = 16 << 20;
/// Tokens that may be made where nothing limits them, for vendors that want to be told.
const MADE: u64 = 8_192;
/// Bytes that make a token, about; fewer rather than more, so that a prompt is not taken for too short.
const TOKEN_BYTES: u64 = 3;
/// Characters of an answer that are shown in messages.
const SHOWN: usize = 300;

/// An API about to be asked.
struct Asking<'a> {
    action: &'a Action,
    ask: &'a HttpAsk,
    staged: &'a Staged,
    ports: &'a Ports,
    /// How long all of it may take.
    bound: Option<Bound>,
    /// Whether something was asked of which nobody knows what it cost, as no answer came.
    unsettled: Cell<bool>,
}

/// What came of it.
struct Asked {
    result: Result<Vec<ClaimOutput>, Trouble>,
    /// What was sent and came back, one JSON object a line; and what it cost.
    transcript: [Vec<u8>; 2],
    spent: Option<Spent>,
    unsettled: bool,
}

/// A message of the conversation.
struct Message {
    role: &'static str,
    text: String,
}

/// What one exchange gave.
struct Reply {
    text: String,
    input: u64,
    output: u64,
}

fn failed(transient: bool, text: impl Into<String>) -> Trouble {
    Trouble::Fail(Failure::new(FailureClass::Http { transient }, text))
}

/// Makes one attempt of an action that an API serves, and keeps what was said as logs.
pub(super) fn attempt(engine: &Engine<'_>, action: &Action, ask: &HttpAsk, inputs: &Arc<Tree>) -> Attempted {
    let ports = engine.ports;
    let begun = ports.clock.elapsed();
    let (cas, levels, root) = (Arc::clone(&ports.cas), Arc::clone(&engine.levels), Arc::clone(inputs));
    let staged = Staged { cas, levels, root };
    let overdue = engine.overdue(action);
    let bound = engine.time_for(action, true);
    let asking = Asking { action, ask, staged: &staged, ports, bound, unsettled: Cell::new(false) };
    let nothing = |trouble| {
        let transcript = [Vec::new(), Vec::new()];
        Asked { result: Err(trouble), transcript, spent: None, unsettled: false }
    };
    let given =
        overdue.map_or_else(|| Given::read(&action.spec, &engine.plan.terms, &*ports.secrets), |late| Err(late.into()));
    let Asked { result, transcript, spent, unsettled } = match given {
        Ok(given) => asking.ask(&given),
        Err(trouble) => nothing(trouble),
    };
    let logs = match (engine.keep_log(&transcript[0]), engine.keep_log(&transcript[1])) {
        (Ok(out), Ok(err)) => Some([out, err]),
        _ => None,
    };
    let result = result.and_then(|outputs| engine.measured(outputs));
    let duration = ports.clock.elapsed().saturating_sub(begun);
    // Nothing foreign is executed here.
    Attempted { logs, spent, unsettled, ..Attempted::free(result, duration, Isolation::Full) }
}

impl Asking<'_> {
    /// Asks, as often as turns allow.
    fn ask(&self, given: &Given) -> Asked {
        let mut transcript = [Vec::new(), Vec::new()];
        let mut spent = Spent::default();
        let result = self.converse(given, &mut transcript, &mut spent);
        let asked = spent != Spent::default();
        if asked {
            let line = format!(
                "{} tokens given, {} made: ${}\n",
                spent.input_tokens,
                spent.output_tokens,
                format_micro_usd(spent.micro_usd)
            );
            transcript[1].extend_from_slice(line.as_bytes());
        }
        let transcript = transcript.map(|log| given.scrub(log));
        Asked { result, transcript, spent: asked.then_some(spent), unsettled: self.unsettled.get() }
    }

    fn converse(
        &self,
        given: &Given,
        transcript: &mut [Vec<u8>; 2],
        spent: &mut Spent,
    ) -> Result<Vec<ClaimOutput>, Trouble> {
        let ask = self.ask;
        let told: Json = serde_json::from_str(&self.staged.text(&ask.request)?)
            .map_err(|error| content(format!("`{}` is not JSON: {error}", ask.request)))?;
        let system = system(&self.action.spec.outputs, &told);
        let prompt = match told.get("prompt").and_then(Json::as_str) {
            Some(prompt) => prompt.to_owned(),
            None => told.to_string(),
        };
        let mut messages = vec![Message { role: "user", text: prompt }];
        let begun = self.ports.clock.elapsed();
        let mut used = 0_u64;
        let mut wrong = String::new();
        for turn in 1..=ask.turns {
            let length = messages.iter().map(|message| message.text.len()).sum::<usize>() + system.len();
            let expected = (length as u64).div_ceil(TOKEN_BYTES);
            let most = match ask.tokens {
                Some(limit) => {
                    let left = limit.saturating_sub(used);
                    if left <= expected {
                        let text = format!(
                            "there are {left} of {limit} tokens left, and about {expected} would be given: raise \
                             `limits tokens=`, or shorten the prompt{}",
                            after(&wrong)
                        );
                        return Err(failed(false, text));
                    }
                    Some(left - expected)
                }
                None => None,
            };
            let body = self.body(&system, &messages, most)?;
            let taken = self.ports.clock.elapsed().saturating_sub(begun);
            let left = self.bound.as_ref().map(|bound| bound.left.saturating_sub(taken));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(self.late());
            }
            let (status, answer) = self.post(given, &body, left)?;
            let line = json!({"turn": turn, "sent": body, "status": status, "answer": parsed(&answer)});
            transcript[0].extend_from_slice(format!("{line}\n").as_bytes());
            let reply = self.read(status, &answer)?;
            used = used.saturating_add(reply.input).saturating_add(reply.output);
            let cost = self.action.policy.price.map_or(0, |price| price.of(reply.input, reply.output));
            *spent = spent.plus(Spent { input_tokens: reply.input, output_tokens: reply.output, micro_usd: cost });
            if let Some(limit) = ask.tokens.filter(|limit| used > *limit) {
                return Err(failed(false, format!("{used} tokens were used, and the limit is {limit}")));
            }
            match parts(&self.action.spec.outputs, &reply.text) {
                Ok(parts) => {
                    let mut made = Vec::with_capacity(parts.len());
                    for (name, text) in parts {
                        let digest = self.staged.cas.put_bytes(text.as_bytes())?;
                        let entry = Entry::File { digest, size: text.len() as u64, exec: false };
                        made.push(ClaimOutput { name, entry });
                    }
                    return Ok(made);
                }
                Err(why) => {
                    wrong = why;
                    let text = format!("That cannot be used: {wrong}. Answer again, with nothing else.");
                    messages.push(Message { role: "assistant", text: reply.text });
                    messages.push(Message { role: "user", text });
                }
            }
        }
        let turns = if ask.turns == 1 { "in its one turn".to_owned() } else { format!("in {} turns", ask.turns) };
        Err(failed(false, format!("model `{}` gave no answer that can be used {turns}: {wrong}", ask.model)))
    }

    /// What is sent.
    fn body(&self, system: &str, messages: &[Message], most: Option<u64>) -> Result<Json, Trouble> {
        let ask = self.ask;
        let one = |message: &Message| json!({"role": message.role, "content": message.text});
        let own: Vec<Json> = messages.iter().map(one).collect();
        Ok(match ask.vendor {
            Vendor::Anthropic => json!({
                "model": ask.model,
                "max_tokens": most.unwrap_or(MADE),
                "system": system,
                "messages": own,
            }),
            Vendor::OpenAi => {
                let mut all = vec![json!({"role": "system", "content": system})];
                all.extend(own);
                let mut body = json!({"model": ask.model, "messages": all});
                if let Some(most) = most {
                    body["max_completion_tokens"] = json!(most);
                }
                body
            }
            Vendor::Custom => {
                let template = ask.body.as_deref().unwrap_or_default();
                shallow("body", template).map_err(content)?;
                let mut environment = Environment::new();
                environment.set_undefined_behavior(UndefinedBehavior::Strict);
                environment.set_fuel(Some(10_000));
                environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
                let text = |value: &Json| value.to_string();
                let prompt = messages.iter().map(|message| message.text.as_str()).collect::<Vec<_>>().join("\n\n");
                let rendered = environment.render_str(
                    template,
                    context! {
                        model => text(&json!(ask.model)),
                        system => text(&json!(system)),
                        prompt => text(&json!(prompt)),
                        messages => text(&json!(own)),
                        max_tokens => most.unwrap_or(MADE).to_string(),
                    },
                );
                let rendered = rendered.map_err(|error| content(format!("`body` of the provider: {error:#}")))?;
                serde_json::from_str(&rendered)
                    .map_err(|error| content(format!("`body` of the provider does not come to JSON: {error}")))?
            }
        })
    }

    /// That no answer came while there was time.
    fn late(&self) -> Trouble {
        let patience = || format!("{} did not answer within {}", self.ask.url, format_duration(PATIENCE));
        let bound = self.bound.as_ref().filter(|bound| bound.left <= PATIENCE);
        let text = bound.map_or_else(patience, |bound| bound.unanswered(&self.ask.url));
        Failure::new(FailureClass::Timeout, text).into()
    }

    /// Sends it. Blocks until the answer is there, the time that is left is up, or the run is cancelled; in the last case
    /// the exchange is left to its own timeout, as it cannot be interrupted.
    fn post(&self, given: &Given, body: &Json, left: Option<Duration>) -> Result<(u16, Vec<u8>), Trouble> {
        let timeout = left.unwrap_or(PATIENCE).min(PATIENCE);
        let ask = self.ask;
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            // Whoever is led elsewhere would take the key along.
            .max_redirects(0)
            .proxy(self.proxy())
            .user_agent(concat!("partita/", env!("CARGO_PKG_VERSION")))
            .build();
        let agent = ureq::Agent::new_with_config(config);
        let mut request = agent.post(&ask.url).header("content-type", "application/json");
        if ask.vendor == Vendor::Anthropic && !ask.headers.contains_key("anthropic-version") {
            request = request.header("anthropic-version", "2023-06-01");
        }
        for (name, value) in &ask.headers {
            request = request.header(name.as_str(), value.as_str());
        }
        for (name, value) in given.variables() {
            let value = value.trim();
            let value = ask.schemes.get(name).map_or_else(|| value.to_owned(), |scheme| format!("{scheme} {value}"));
            request = request.header(name, value);
        }
        let bytes = body.to_string().into_bytes();
        let (told, heard) = mpsc::channel();
        let send = move || {
            let exchange = || -> Result<(u16, Vec<u8>), ureq::Error> {
                let mut response = request.send(&bytes[..])?;
                let status = response.status().as_u16();
                let answer = response.body_mut().with_config().limit(ANSWER_BYTES).read_to_vec()?;
                Ok((status, answer))
            };
            // Whoever no longer listens has been cancelled.
            let _ = told.send(exchange());
        };
        let spawned = std::thread::Builder::new().name("asking".to_owned()).spawn(send);
        spawned.map_err(|error| failed(true, format!("cannot start a thread for asking: {error}")))?;
        loop {
            match heard.recv_timeout(TICK) {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => {
                    self.unsettled.set(was_asked(&error));
                    if matches!(error, ureq::Error::Timeout(_)) {
                        return Err(self.late());
                    }
                    let transient =
                        matches!(error, ureq::Error::Io(_) | ureq::Error::ConnectionFailed | ureq::Error::HostNotFound);
                    return Err(failed(transient, format!("cannot ask {}: {error}", ask.url)));
                }
                Err(mpsc::RecvTimeoutError::Timeout) if self.ports.cancel.is_cancelled() => {
                    self.unsettled.set(true);
                    return Err(Trouble::Cancelled);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(failed(false, format!("asking {} ended without an answer", ask.url)));
                }
            }
        }
    }

    /// The proxy of the caller's environment, which is not asked about this machine itself.
    fn proxy(&self) -> Option<ureq::Proxy> {
        let rest = self.ask.url.split_once("://").map_or("", |(_, rest)| rest);
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        let environment: &Surroundings = &self.ports.environment;
        let value = |names: [&str; 2]| {
            let found = names.iter().find_map(|name| environment.raw(name));
            found.map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
        };
        let direct = value(["no_proxy", "NO_PROXY"]).unwrap_or_default();
        let is_direct = |known: &str| {
            let known = known.trim().trim_start_matches("*.").trim_start_matches('.');
            known == "*" || !known.is_empty() && (host == known || host.ends_with(&format!(".{known}")))
        };
        let own = matches!(host, "localhost" | "[::1]") || host.starts_with("127.");
        if own || direct.split(',').any(is_direct) {
            return None;
        }
        let names = if self.ask.url.starts_with("https:") {
            ["https_proxy", "HTTPS_PROXY"]
        } else {
            ["http_proxy", "HTTP_PROXY"]
        };
        ureq::Proxy::new(&value(names).or_else(|| value(["all_proxy", "ALL_PROXY"]))?).ok()
    }

    /// Takes out of an answer what was said and what it took.
    fn read(&self, status: u16, answer: &[u8]) -> Result<Reply, Trouble> {
        let ask = self.ask;
        let shown = || String::from_utf8_lossy(answer).chars().take(SHOWN).collect::<String>();
        if !(200..300).contains(&status) {
            // Too many, too early, too slow, or its own fault: the next time it may be otherwise.
            let transient = matches!(status, 408 | 425 | 429 | 500..=599);
            return Err(failed(transient, format!("{} answers with status {status}: {}", ask.url, shown())));
        }
        let json: Json = serde_json::from_slice(answer)
            .map_err(|error| failed(false, format!("{} does not answer with JSON ({error}): {}", ask.url, shown())))?;
        let text = match (ask.vendor, &ask.answer) {
            (_, Some(pointer)) => json.pointer(pointer).and_then(Json::as_str).map(str::to_owned),
            (Vendor::Anthropic, None) => json.get("content").and_then(Json::as_array).map(|blocks| {
                let texts = blocks.iter().filter(|block| block["type"] == "text");
                texts.filter_map(|block| block["text"].as_str()).collect::<String>()
            }),
            (_, None) => json.pointer("/choices/0/message/content").and_then(Json::as_str).map(str::to_owned),
        };
        let text = text.ok_or_else(|| {
            failed(false, format!("the answer of {} is not where it should be: {}", ask.url, shown()))
        })?;
        let count = |pointer: &str| json.pointer(pointer).and_then(Json::as_u64);
        let (input, output) = match (&ask.usage, ask.vendor) {
            (Some([input, output]), _) => (count(input), count(output)),
            (None, Vendor::Anthropic) => {
                let cached = count("/usage/cache_creation_input_tokens").unwrap_or(0)
                    + count("/usage/cache_read_input_tokens").unwrap_or(0);
                (count("/usage/input_tokens").map(|input| input + cached), count("/usage/output_tokens"))
            }
            (None, _) => (count("/usage/prompt_tokens"), count("/usage/completion_tokens")),
        };
        // What is not told is counted as its length, so that no limit is passed unseen.
        let by_length = |text: usize| (text as u64).div_ceil(TOKEN_BYTES);
        Ok(Reply {
            input: input.unwrap_or_else(|| by_length(answer.len())),
            output: output.unwrap_or_else(|| by_length(text.len())),
            text,
        })
    }
}

/// Whether a request may have reached whom it was for.
fn was_asked(error: &ureq::Error) -> bool {
    use ureq::{Error, Timeout};
    match error {
        Error::Io(error) => error.kind() != std::io::ErrorKind::ConnectionRefused,
        Error::Timeout(at) => !matches!(at, Timeout::Resolve | Timeout::Connect),
        Error::Protocol(_) | Error::BodyExceedsLimit(_) => true,
        _ => false,
    }
}

fn after(wrong: &str) -> String {
    if wrong.is_empty() { String::new() } else { format!("; the last answer could not be used: {wrong}") }
}

/// Bytes as JSON, where they are some.
fn parsed(bytes: &[u8]) -> Json {
    serde_json::from_slice(bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(bytes)))
}

/// What an output is, in the words of whoever is told to make it.
fn form(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, end)| end) {
        Some("json") => "JSON",
        Some("diff") => "a unified diff, as `git apply` takes it",
        Some("xml") => "XML",
        _ => "plain text",
    }
}

/// What is said before the prompt: in which form to answer.
fn system(outputs: &[Output], told: &Json) -> String {
    let schema = |name: &str| {
        let schema = told.get("schema").and_then(|all| all.get(name));
        schema.map_or(String::new(), |schema| format!(" that fits this JSON Schema: {schema}"))
    };
    match outputs {
        [] => "Do what is asked.".to_owned(),
        [only] => format!(
            "Answer with {}{} and nothing else: no introduction, no explanation, no code fence.",
            form(only.path.as_str()),
            schema(&only.name)
        ),
        several => {
            let members: Vec<String> = several
                .iter()
                .map(|output| format!("- `{}`: {}{}", output.name, form(output.path.as_str()), schema(&output.name)))
                .collect();
            format!(
                "Answer with one JSON object and nothing else, with these members (texts as strings, JSON as it \
                 is):\n{}",
                members.join("\n")
            )
        }
    }
}

/// The text without a code fence that is around all of it.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inner = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    match inner.and_then(|inner| inner.split_once('\n')) {
        Some((tag, inner)) if tag.chars().all(char::is_alphanumeric) && !inner.contains("\n```") => inner.trim(),
        _ => text,
    }
}

/// An answer taken apart into outputs, by their names. The error says what is wrong with it.
fn parts(outputs: &[Output], answer: &str) -> Result<Vec<(String, String)>, String> {
    let text_of = |output: &Output, text: &str| {
        let is_json = std::path::Path::new(output.path.as_str()).extension().is_some_and(|ending| ending == "json");
        if text.trim().is_empty() {
            return Err(format!("`{}` is empty", output.name));
        }
        if is_json {
            serde_json::from_str::<Json>(text).map_err(|error| format!("`{}` is not JSON: {error}", output.name))?;
        }
        let end = if text.ends_with('\n') { "" } else { "\n" };
        Ok((output.name.clone(), format!("{text}{end}")))
    };
    match outputs {
        [] => Ok(Vec::new()),
        [only] => Ok(vec![text_of(only, unfenced(answer))?]),
        several => {
            let json: Json =
                serde_json::from_str(unfenced(answer)).map_err(|error| format!("it is not JSON: {error}"))?;
            let one = |output: &Output| match json.get(&output.name) {
                None | Some(Json::Null) => Err(format!("`{}` is missing", output.name)),
                Some(Json::String(text)) => text_of(output, text),
                Some(other) => text_of(output, &other.to_string()),
            };
            several.iter().map(one).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::RelPath;
    use crate::plan::OutputKind;

    fn output(name: &str, path: &str) -> Output {
        Output {
            name: name.to_owned(),
            path: RelPath::new(path).unwrap(),
            kind: OutputKind::File,
            digest: None,
            schema: None,
        }
    }

    #[test]
    fn fences_around_an_answer_are_taken_off() {
        assert_eq!(unfenced("```json\n{\"a\": 1}\n```\n"), "{\"a\": 1}");
        assert_eq!(unfenced("see\n```\nx\n```"), "see\n```\nx\n```");
        assert_eq!(unfenced("```\na\n```\nb\n```\nc\n```"), "```\na\n```\nb\n```\nc\n```");
    }

    #[test]
    fn answers_are_taken_apart() {
        let verdict = output("verdict", "verdict.json");
        let made = |answer: &str| parts(std::slice::from_ref(&verdict), answer);
        assert_eq!(made("```\n{\"pass\": true}\n```"), Ok(vec![("verdict".into(), "{\"pass\": true}\n".into())]));
        assert!(made("yes").unwrap_err().starts_with("`verdict` is not JSON"));
        assert_eq!(made(" "), Err("`verdict` is empty".to_owned()));
        let both = [output("log", "log.txt"), verdict.clone()];
        let answer = r#"{"verdict": {"pass": false}, "log": "a\nb\n"}"#;
        let wanted = vec![("log".into(), "a\nb\n".into()), ("verdict".into(), "{\"pass\":false}\n".into())];
        assert_eq!(parts(&both, answer), Ok(wanted));
        assert_eq!(parts(&both, r#"{"log": "a"}"#), Err("`verdict` is missing".to_owned()));
    }

    #[test]
    fn the_form_of_the_answer_is_told() {
        let told = json!({"schema": {"verdict": {"type": "object"}}});
        let one = system(&[output("verdict", "verdict.json")], &told);
        assert!(one.contains("Answer with JSON that fits this JSON Schema: {\"type\":\"object\"}"), "{one}");
        assert!(system(&[output("a", "a.txt"), output("b", "b.diff")], &told).contains("- `b`: a unified diff"));
    }
}
