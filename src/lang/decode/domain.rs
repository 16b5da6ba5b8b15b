//! Tenants, capabilities, providers, agents, skills and what a tool offers to their declarations.
//! Leaves out names.

use crate::base::{Digest, parse_duration_ms, parse_micro_usd, parse_size_bytes};
use crate::diag::{Applicability, Code, Diagnostic, Span, did_you_mean};
use crate::lang::ast::{
    AgentDecl, AskDecl, BudgetDecl, CandidateDecl, CapabilityDecl, CostDecl, CostPer, Expr, HeaderDecl, HowDecl,
    HttpDecl, LimitsDecl, ModelPriceDecl, Money, Name, NeedDecl, OfferDecl, PriceDecl, ProviderDecl, ProviderKind,
    ProvidesDecl, QuotaDecl, ReturnsDecl, SecretDecl, SkillDecl, SkillTrustDecl, TenantDecl, ToolDecl,
};
use crate::lang::decode::{Decoder, child, children, first_name, name_of, names_of_children, prop, prop_name};
use crate::lang::{Kind, Node, Spanned, Value};

/// The tiers of those who serve.
pub(crate) const TIERS: &[&str] = &["primary", "secondary"];

/// Vendors whose way of speaking is known.
const VENDORS: &[&str] = &["anthropic", "openai"];
/// Headers that requests have by themselves.
const OWN_HEADERS: &[&str] = &["content-length", "content-type", "host", "transfer-encoding", "connection"];

/// The levels of trust in a skill, best first.
pub(crate) const TRUST: &[&str] = &["vetted", "community", "experimental"];

/// What a tool may do besides leaving outputs.
const EFFECTS: &[&str] = &["net", "exec", "fs.read", "fs.write"];

impl Decoder<'_> {
    /// What a node or step asks for.
    pub(super) fn ask(&mut self, node: &Node) -> Option<AskDecl> {
        let (capability, agent) = (prop_name(node, "capability"), prop_name(node, "agent"));
        let skill = prop_name(node, "skill");
        let complexity = prop(node, "complexity");
        let Some(at) = capability.as_ref().or(agent.as_ref()).map(|name| name.span) else {
            for (word, given) in [("skill", skill.map(|name| name.span)), ("complexity", complexity.map(|v| v.span))] {
                if let Some(span) = given.filter(|_| prop(node, "capability").or(prop(node, "agent")).is_none()) {
                    self.push(
                        Diagnostic::new(
                            Code::P0104,
                            span,
                            format!("`{word}` is about work that an agent does, and none is asked here"),
                        )
                        .with_help(format!("add `agent=NAME` or `capability=NAME`, or remove `{word}`")),
                    );
                }
            }
            return None;
        };
        if let (Some(skill), None) = (&skill, &agent) {
            self.push(
                Diagnostic::new(Code::P0104, skill.span, "a skill is an agent's, and no agent is named here")
                    .with_help("add `agent=NAME`"),
            );
        }
        let complexity = complexity.and_then(|value| self.bounded(value, 1, 10)).map(|number| number as u8);
        let with = self.with(node);
        Some(AskDecl { capability, agent, skill, complexity, with, at })
    }

    /// An integer within bounds.
    pub(super) fn bounded(&mut self, value: &Value, least: u64, most: u64) -> Option<u64> {
        let Kind::Int(int) = value.kind else { return None };
        let found = u64::try_from(int).ok().filter(|number| (least..=most).contains(number));
        if found.is_none() {
            self.push(
                Diagnostic::new(Code::P0304, value.span, format!("{int} is out of bounds"))
                    .with_help(format!("write a whole number from {least} to {most}")),
            );
        }
        found
    }

    /// A property that is an amount of money.
    pub(super) fn money(&mut self, node: &Node, name: &str) -> Option<Money> {
        let given = prop_name(node, name)?;
        match parse_micro_usd(&given.value) {
            Some(value) => Some(Spanned { value, span: given.span }),
            None => {
                self.push(
                    Diagnostic::new(Code::P0306, given.span, format!("`{}` is not an amount of money", given.value))
                        .with_help("write dollars as text, with at most six decimals and no sign: `\"1.50\"`"),
                );
                None
            }
        }
    }

    fn duration(&mut self, node: &Node, name: &str) -> Option<u64> {
        let given = prop_name(node, name)?;
        let found = parse_duration_ms(&given.value);
        if found.is_none() {
            self.bad_unit(given.span, &given.value, "duration", "`90s`, `20m` or `1h30m`");
        }
        found
    }

    pub(super) fn size(&mut self, node: &Node, name: &str) -> Option<u64> {
        let given = prop_name(node, name)?;
        let found = parse_size_bytes(&given.value);
        if found.is_none() {
            self.bad_unit(given.span, &given.value, "size", "`512MiB` or `4GiB`");
        }
        found
    }

    pub(super) fn count(&mut self, node: &Node, name: &str) -> Option<u64> {
        self.natural(prop(node, name)?, 1)
    }

    /// Names, each of which is one of a closed set.
    fn words(&mut self, names: Vec<Name>, what: &str, known: &[&str]) -> Vec<Name> {
        names.into_iter().filter(|name| self.is_word(name, what, known)).collect()
    }

    fn is_word(&mut self, name: &Name, what: &str, known: &[&str]) -> bool {
        let fine = known.contains(&name.value.as_str());
        if !fine {
            self.push(
                Diagnostic::new(Code::P0305, name.span, format!("`{}` is not {what}", name.value))
                    .with_suggestion(did_you_mean(&name.value, known.iter().copied()))
                    .with_help(format!("known: {}", known.join(", "))),
            );
        }
        fine
    }

    /// A property that is one of a closed set; `None` where it is not given or not one of them.
    fn word_of(&mut self, node: &Node, name: &str, what: &str, known: &[&str]) -> Option<Name> {
        prop_name(node, name).filter(|given| self.is_word(given, what, known))
    }

    pub(super) fn tenant(&mut self, node: &Node) -> Option<TenantDecl> {
        let name = first_name(node)?;
        let budget = child(node, "budget").and_then(|budget| {
            let per = self.word_of(budget, "per", "a time budgets are for", &["run", "day", "week", "month"]);
            let on_exceed = self.word_of(budget, "on-exceed", "what may happen", &["stop", "pause"]);
            let or = |given: Option<Name>, default: &str| given.map_or_else(|| default.to_owned(), |name| name.value);
            Some(BudgetDecl {
                usd: self.money(budget, "usd")?,
                per: or(per, "month"),
                on_exceed: or(on_exceed, "stop"),
            })
        });
        let quota = child(node, "quota").map(|quota| QuotaDecl {
            jobs: self.count(quota, "jobs"),
            runtime_ms: self.duration(quota, "runtime"),
            artifacts: self.size(quota, "artifacts"),
            work_items: self.count(quota, "work-items"),
            cpu: self.count(quota, "cpu"),
            memory: self.size(quota, "memory"),
        });
        let allow_tier = child(node, "allow-tier").map(|_| names_of_children(node, "allow-tier"));
        let allow_tier = allow_tier.map(|names| self.words(names, "a tier", TIERS));
        let trust = child(node, "trust").map(|_| names_of_children(node, "trust"));
        let trust = trust.map(|names| self.words(names, "a level of trust", TRUST));
        let weight = child(node, "weight").and_then(|weight| self.natural(weight.args.first()?, 1)).unwrap_or(1);
        let secrets = children(node, "secret").filter_map(|node| self.secret(node)).collect();
        Some(TenantDecl {
            name,
            budget,
            allow_capability: listed(node, "allow-capability"),
            allow_tier,
            trust,
            quota: quota.unwrap_or_default(),
            weight,
            secrets,
            sign_keys: listed(node, "sign-key"),
            span: node.span,
        })
    }

    fn secret(&mut self, node: &Node) -> Option<SecretDecl> {
        let name = first_name(node)?;
        let from = self.word_of(node, "from", "a place secrets come from", &["env", "file", "command"])?.value;
        let key = prop_name(node, "key")?;
        if key.value.trim().is_empty() || key.value.contains('\0') || (from == "env" && key.value.contains('=')) {
            let what = match from.as_str() {
                "env" => "the name of a variable",
                "file" => "the path of a file",
                _ => "a command",
            };
            let example = match from.as_str() {
                "env" => "`key=REGISTRY_TOKEN`",
                "file" => "`key=\"secrets/token\"`",
                _ => "`key=\"pass show registry\"`",
            };
            self.push(
                Diagnostic::new(Code::P0301, key.span, format!("this cannot be {what}"))
                    .with_help(format!("write {example}")),
            );
            return None;
        }
        Some(SecretDecl { name, from, key })
    }

    /// What a tool says of what it serves.
    pub(super) fn offer(&mut self, node: &Node) -> OfferDecl {
        let provides = children(node, "provides").flat_map(|node| self.provides(node)).collect();
        let effects = self.words(names_of_children(node, "effects"), "an effect", EFFECTS);
        let costs = children(node, "cost").filter_map(|node| self.cost(node)).collect();
        let tier = self.word_of(node, "tier", "a tier", TIERS);
        OfferDecl { tier, provides, effects, costs, secrets: self.needs(node) }
    }

    fn provides(&mut self, node: &Node) -> Vec<ProvidesDecl> {
        let names: Vec<Name> = node.args.iter().filter_map(name_of).collect();
        let block = node.children.as_ref().filter(|block| !block.is_empty());
        if let (Some(block), [_, second, ..]) = (block, names.as_slice()) {
            self.push(
                Diagnostic::new(Code::P0105, second.span, "a block says how one capability is served, several named")
                    .with_secondary(block[0].span, "the block")
                    .with_help("write one `provides CAPABILITY { … }` for each"),
            );
            return Vec::new();
        }
        let how = block.map(|_| HowDecl {
            args: children(node, "arg").flat_map(|arg| arg.args.iter()).filter_map(|value| self.expr(value)).collect(),
            env: children(node, "env")
                .flat_map(|env| env.props.iter())
                .filter_map(|property| Some((property.name.clone(), self.expr(&property.value)?)))
                .collect(),
            outputs: children(node, "output")
                .filter_map(|output| {
                    let path = self.prop_text(output, "path")?;
                    Some((first_name(output)?, path))
                })
                .collect(),
        });
        names.into_iter().map(|capability| ProvidesDecl { capability, how: how.clone() }).collect()
    }

    fn cost(&mut self, node: &Node) -> Option<CostDecl> {
        let usd = self.money(node, "usd");
        let per = self.word_of(node, "per", "what a price is for", &["call", "run", "minute"]);
        let per = match per.as_ref().map(|name| name.value.as_str()) {
            Some("run") => CostPer::Run,
            Some("minute") => CostPer::Minute,
            _ => CostPer::Call,
        };
        Some(CostDecl { usd: usd?, per })
    }

    fn needs(&mut self, node: &Node) -> Vec<NeedDecl> {
        let mut needs = Vec::new();
        for need in children(node, "needs-secret") {
            let Some(secret) = first_name(need) else { continue };
            let given = prop_name(need, "env");
            if let Some(given) =
                given.as_ref().filter(|given| given.value.is_empty() || given.value.contains(['=', '\0']))
            {
                self.push(
                    Diagnostic::new(
                        Code::P0301,
                        given.span,
                        "this cannot be the name of a variable of the environment",
                    )
                    .with_help("write `env=API_KEY`: letters, digits and `_`"),
                );
            }
            let env = given.map_or_else(|| variable(&secret.value), |name| name.value);
            needs.push(NeedDecl { secret, env });
        }
        needs
    }

    pub(super) fn capability(&mut self, node: &Node) -> Option<CapabilityDecl> {
        let name = first_name(node)?;
        let (accepts_known, returns_known) = (self.intact(node, "accepts"), self.intact(node, "returns"));
        let accepts = children(node, "accepts").filter_map(|node| self.param(node)).collect();
        let returns = children(node, "returns")
            .filter_map(|node| Some(ReturnsDecl { name: first_name(node)?, ty: self.ty(node) }))
            .collect();
        let candidates = children(node, "candidate")
            .filter_map(|node| {
                let max_usd = self.money(node, "max-usd");
                Some(CandidateDecl { name: first_name(node)?, skill: prop_name(node, "skill"), max_usd })
            })
            .collect();
        if child(node, "candidate").is_none() && self.sound(node) {
            self.push(
                Diagnostic::new(Code::P0104, name.span, format!("capability `{}` needs a `candidate`", name.value))
                    .with_help("say who may serve it, in order of preference: `candidate TOOL`"),
            );
        }
        Some(CapabilityDecl { name, accepts, returns, candidates, accepts_known, returns_known, span: node.span })
    }

    pub(super) fn provider(&mut self, node: &Node) -> Option<ProviderDecl> {
        let name = first_name(node)?;
        let kind = self.word_of(node, "kind", "a kind of provider", &["command", "http"])?;
        let (exec, url) = (child(node, "exec"), child(node, "url"));
        let (kind, needed, other) = match kind.value.as_str() {
            "http" => (ProviderKind::Http, ("url", url), exec),
            _ => (ProviderKind::Command, ("exec", exec), url),
        };
        let (word, given) = needed;
        if let Some(other) = other {
            self.push(
                Diagnostic::new(
                    Code::P0107,
                    other.name.span,
                    format!("`{}` does not belong to a provider of this kind", other.name.value),
                )
                .with_help(format!("it is reached by `{word}`")),
            );
        }
        if given.is_none() && self.sound(node) {
            let example = if word == "url" { "url \"https://…\"" } else { "exec \"tools/agent.sh\"" };
            self.push(
                Diagnostic::new(Code::P0104, name.span, format!("provider `{}` needs `{word}`", name.value))
                    .with_help(format!("add `{example}` to its block")),
            );
        }
        let model = prop_name(node, "model");
        if kind == ProviderKind::Http && model.is_none() && self.sound(node) {
            self.push(
                Diagnostic::new(Code::P0104, name.span, format!("provider `{}` needs `model`", name.value))
                    .with_help("an API serves many models, and none is chosen by itself: add `model=NAME`"),
            );
        }
        let prices = children(node, "price").filter_map(|price| {
            let (input, output) = (self.money(price, "input"), self.money(price, "output"));
            let per = self.word_of(price, "per", "a number of tokens", &["mtok", "ktok"]);
            let tokens = if per.is_some_and(|name| name.value == "ktok") { 1_000 } else { 1_000_000 };
            let (model, span) = (prop_name(price, "model"), price.span);
            Some(ModelPriceDecl {
                model,
                price: PriceDecl { input: input?.value, output: output?.value, tokens },
                span,
            })
        });
        let prices = prices.collect();
        let supplier = prop_name(node, "supplier").map(|name| name.value);
        let command = exec.and_then(first_name).map(|program| ToolDecl {
            name: name.clone(),
            exec: program,
            fingerprint: exec
                .and_then(|exec| prop_name(exec, "fingerprint"))
                .map(|text| text.value.split_whitespace().map(str::to_owned).collect()),
            uses: names_of_children(node, "uses"),
            pass_env: names_of_children(node, "pass-env").into_iter().map(|name| name.value).collect(),
            supplier,
            version: None,
            offer: OfferDecl::default(),
        });
        let url = url.and_then(first_name);
        if let Some(url) =
            url.as_ref().filter(|url| !url.value.starts_with("https://") && !url.value.starts_with("http://"))
        {
            self.push(
                Diagnostic::new(Code::P0301, url.span, format!("`{}` is not the address of an API", url.value))
                    .with_help("write it whole: `url \"https://…\"`"),
            );
        }
        let mut secrets = self.needs(node);
        let http = self.http(node, kind);
        let headers = http
            .headers
            .iter()
            .filter_map(|header| Some(NeedDecl { secret: header.secret.clone()?, env: header.name.value.clone() }));
        secrets.extend(headers);
        Some(ProviderDecl { name, kind, command, url, model: model.map(|name| name.value), prices, secrets, http })
    }

    /// How an API is spoken to. Reports what does not go together.
    fn http(&mut self, node: &Node, kind: ProviderKind) -> HttpDecl {
        let vendor = self.word_of(node, "vendor", "a vendor", VENDORS);
        let only = ["header", "body", "answer", "usage"].into_iter().find_map(|word| Some((word, child(node, word)?)));
        let given = prop(node, "vendor").map(|value| ("vendor", value.span));
        if kind == ProviderKind::Command {
            if let Some((word, span)) = given.or(only.map(|(word, child)| (word, child.name.span))) {
                self.push(
                    Diagnostic::new(Code::P0107, span, format!("`{word}` is of providers of kind http"))
                        .with_help("a program is given what it needs by `needs-secret` and in `request.json`"),
                );
            }
            return HttpDecl::default();
        }
        if let Some(need) = child(node, "needs-secret") {
            self.push(
                Diagnostic::new(Code::P0107, need.name.span, "an API is given secrets in headers")
                    .with_help("write `header NAME (secret)KEY`, with `scheme=Bearer` where one is due"),
            );
        }
        let body = child(node, "body").and_then(first_name);
        if let (Some(vendor), Some(body)) = (&vendor, &body) {
            self.push(
                Diagnostic::new(Code::P0106, body.span, "the way to speak to it is said twice")
                    .with_secondary(vendor.span, "a vendor has a body of its own")
                    .with_help("keep one of the two"),
            );
        }
        if vendor.is_none() && body.is_none() && given.is_none() && self.sound(node) {
            let span = node.args.first().map_or(node.name.span, |name| name.span);
            self.push(
                Diagnostic::new(Code::P0104, span, "nothing says how this API is spoken to")
                    .with_help(format!("add `vendor=NAME`, one of: {}", VENDORS.join(", ")))
                    .with_help("or say it yourself: `body #\"{…}\"#` and `answer \"/…\"`"),
            );
        }
        let answer = child(node, "answer").and_then(first_name);
        if let (Some(body), None) = (&body, &answer)
            && self.sound(node)
        {
            self.push(
                Diagnostic::new(Code::P0104, body.span, "nothing says where the answer is in what comes back")
                    .with_help("add a JSON pointer: `answer \"/output/text\"`"),
            );
        }
        let usage =
            child(node, "usage").and_then(|usage| Some([prop_name(usage, "input")?, prop_name(usage, "output")?]));
        for pointer in answer.iter().chain(usage.iter().flatten()) {
            if !pointer.value.is_empty() && !pointer.value.starts_with('/') {
                self.push(
                    Diagnostic::new(Code::P0301, pointer.span, format!("`{}` is not a JSON pointer", pointer.value))
                        .with_help("a pointer begins with `/`, and numbers elements from 0: `/choices/0/text`"),
                );
            }
        }
        let headers = children(node, "header").filter_map(|node| self.header(node)).collect();
        HttpDecl { vendor, headers, body, answer, usage }
    }

    fn header(&mut self, node: &Node) -> Option<HeaderDecl> {
        let mut name = first_name(node)?;
        name.value.make_ascii_lowercase();
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.value.is_empty() || !name.value.chars().all(token) || OWN_HEADERS.contains(&name.value.as_str()) {
            self.push(
                Diagnostic::new(Code::P0301, name.span, format!("`{}` cannot be a header here", name.value))
                    .with_help("letters, digits and `-`; length, type and host of a request are not the author's"),
            );
            return None;
        }
        let value = node.args.get(1)?;
        let scheme = prop_name(node, "scheme");
        match self.expr(value)? {
            Expr::Secret(secret) => {
                Some(HeaderDecl { name, text: None, secret: Some(secret), scheme: scheme.map(|name| name.value) })
            }
            Expr::Text(text)
                if text.as_literal().is_some_and(|text| text.chars().all(|c| (' '..='~').contains(&c))) =>
            {
                if let Some(scheme) = scheme {
                    self.push(
                        Diagnostic::new(
                            Code::P0107,
                            scheme.span,
                            "`scheme` stands before a secret, and this is a text",
                        )
                        .with_help("write it into the text"),
                    );
                }
                Some(HeaderDecl { name, text: text.as_literal().map(str::to_owned), secret: None, scheme: None })
            }
            other => {
                self.push(
                    Diagnostic::new(Code::P0301, other.span(), "a header is a plain text or a secret")
                        .with_help("write `header NAME \"TEXT\"` or `header NAME (secret)KEY`"),
                );
                None
            }
        }
    }

    pub(super) fn agent(&mut self, node: &Node) -> Option<AgentDecl> {
        let name = first_name(node)?;
        let limits = child(node, "limits");
        let limit = child(node, "limit");
        if let (Some(limits), Some(limit)) = (limits, limit) {
            self.push(
                Diagnostic::new(Code::P0106, limit.name.span, "`limit` and `limits` are one thing, given twice")
                    .with_secondary(limits.name.span, "first given here")
                    .with_help("keep `limits`"),
            );
        } else if let Some(limit) = limit {
            self.push(
                Diagnostic::new(Code::P1002, limit.name.span, "`limit` is written `limits`")
                    .with_help("write `limits`")
                    .with_fix(Applicability::MachineApplicable, limit.name.span, "limits"),
            );
        }
        let limits = limits.or(limit).map(|node| LimitsDecl {
            turns: self.count(node, "turns"),
            wall_ms: self.duration(node, "wall"),
            tokens: self.count(node, "tokens"),
        });
        let models = children(node, "model")
            .filter_map(|node| {
                let most = self.bounded(prop(node, "max-complexity")?, 1, 10)?;
                Some((first_name(node)?, most as u8))
            })
            .collect();
        let budget = child(node, "budget").and_then(|budget| self.money(budget, "usd"));
        Some(AgentDecl {
            provider: prop_name(node, "provider")?,
            tier: self.word_of(node, "tier", "a tier", TIERS),
            allow_tool: listed(node, "allow-tool"),
            allow_capability: listed(node, "allow-capability"),
            deny_capability: names_of_children(node, "deny-capability"),
            skills: names_of_children(node, "uses"),
            budget,
            scope: names_of_children(node, "scope"),
            limits: limits.unwrap_or_default(),
            models,
            name,
        })
    }

    pub(super) fn skill(&mut self, node: &Node) -> Option<SkillDecl> {
        let name = first_name(node)?;
        let prompt = child(node, "prompt");
        if prompt.is_none() && self.sound(node) {
            self.push(
                Diagnostic::new(Code::P0104, name.span, format!("skill `{}` needs a `prompt`", name.value))
                    .with_help("name the file of its template: `prompt \"prompts/NAME.md.j2\"`"),
            );
        }
        let text = prompt.and_then(|prompt| prop_name(prompt, "text"));
        match (prompt, prompt.and_then(first_name), &text) {
            (Some(prompt), None, None) if self.sound(prompt) => self.push(
                Diagnostic::new(Code::P0104, prompt.name.span, "a prompt is a file, or a text written here")
                    .with_help("name the file: `prompt \"prompts/NAME.md.j2\"`, or write `prompt text=\"…\"`"),
            ),
            (_, Some(file), Some(text)) => self.push(
                Diagnostic::new(Code::P0106, text.span, "the prompt is given twice")
                    .with_secondary(file.span, "first given here, as a file")
                    .with_help("keep one"),
            ),
            _ => {}
        }
        let vars_known = prompt.is_none_or(|prompt| self.intact(prompt, "var"));
        let vars =
            prompt.into_iter().flat_map(|prompt| children(prompt, "var")).filter_map(|var| self.param(var)).collect();
        let trust = child(node, "trust").and_then(|trust| self.trust(trust));
        Some(SkillDecl { name, prompt: prompt.and_then(first_name), text, vars, vars_known, trust, span: node.span })
    }

    fn trust(&mut self, node: &Node) -> Option<SkillTrustDecl> {
        let level = first_name(node).filter(|level| self.is_word(level, "a level of trust", TRUST))?;
        let written = prop_name(node, "digest");
        let digest = written.as_ref().and_then(|text| match text.value.parse::<Digest>() {
            Ok(value) => Some(Spanned { value, span: text.span }),
            Err(error) => {
                self.push(
                    Diagnostic::new(Code::P0301, text.span, error.to_string())
                        .with_help("not known yet? write 64 zeros and check: the warning shows the right one"),
                );
                None
            }
        });
        if level.value == "vetted" && written.is_none() {
            let zeros = format!("b3:{}", "0".repeat(64));
            self.push(
                Diagnostic::new(Code::P0104, level.span, "a vetted skill needs the digest of what was vetted")
                    .with_help("trust is in content, not in a name: add `digest=\"b3:…\"`")
                    .with_help(format!("not known yet? write `{zeros}` and check: the warning shows the right one")),
            );
        }
        Some(SkillTrustDecl { level, by: prop_name(node, "by").map(|name| name.value), digest })
    }

    /// Reports what a node or step that asks cannot say, because whoever serves says it.
    pub(super) fn of_the_ask(&mut self, node: &Node, at: Span) {
        for word in ["arg", "run", "copy", "write", "render", "merge-json", "cwd", "tools"] {
            if let Some(child) = child(node, word) {
                self.push(
                    Diagnostic::new(
                        Code::P0106,
                        child.name.span,
                        format!("`{word}` says what to do, and this asks somebody else to do it"),
                    )
                    .with_secondary(at, "asked here")
                    .with_help("keep one of the two; what differs from use to use is given by `with`"),
                );
            }
        }
    }
}

/// The names of all children of a kind; `None` without such a child.
fn listed(node: &Node, name: &str) -> Option<Vec<Name>> {
    child(node, name).map(|_| names_of_children(node, name))
}

/// The variable a secret is given in where none is named: its name in capitals.
fn variable(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}
