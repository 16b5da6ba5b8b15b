//! The shapes of tenants, capabilities, providers, agents, skills, and of what a tool says of what it
//! serves. Leaves out checking.

use crate::lang::shape::{Prop, Shape, many, needed, once, prop};
use crate::lang::shapes::{ARG, ENV, EXEC, MANY, PASS_ENV, RETURNS, USES, parameter};

use crate::lang::shape::Takes::{Any, Name, Number, Text};

static TENANT_BUDGET: Shape = Shape::new("budget", "What its runs may cost together.").props(&[
    needed("usd", Name, "dollars, as `\"120.00\"`"),
    prop("per", Name, "`run`, `day`, `week` or `month` (default): for which time"),
    prop("on-exceed", Name, "`stop` (default) or `pause`: what happens when it is used up"),
]);
static ALLOW_CAPABILITY: Shape = Shape::new("allow-capability", "Capabilities that may be used; without it, any.")
    .args(1, MANY, Name, Name, "allow-capability CAPABILITY…");
static DENY_CAPABILITY: Shape = Shape::new("deny-capability", "Capabilities that may not be used.").args(
    1,
    MANY,
    Name,
    Name,
    "deny-capability CAPABILITY…",
);
static ALLOW_TIER: Shape = Shape::new("allow-tier", "Tiers that may be used; without it, `primary` alone.").args(
    1,
    2,
    Name,
    Name,
    "allow-tier primary secondary",
);
static TENANT_TRUST: Shape = Shape::new(
    "trust",
    "Levels of trust that skills may have: `vetted`, `community`, `experimental`; without it, any.",
)
.args(1, 3, Name, Name, "trust LEVEL…");
static QUOTA: Shape = Shape::new("quota", "Limits of its runs.").props(&[
    prop("jobs", Number, "jobs at once"),
    prop("runtime", Name, "the longest an action may take, as `\"10m\"`"),
    prop("artifacts", Name, "size of all outputs, as `\"1GiB\"`"),
    prop("work-items", Number, "work items"),
    prop("cpu", Number, "processors an action may hold"),
    prop("memory", Name, "memory an action may hold, as `\"96GiB\"`"),
]);
static WEIGHT: Shape =
    Shape::new("weight", "Its share when tenants compete, 1 if not given.").args(1, 1, Number, Number, "weight N");
static SECRET: Shape = Shape::new("secret", "A value that is read when an action runs, and is written nowhere.")
    .args(1, 1, Name, Name, "secret NAME from=env key=VARIABLE")
    .props(&[
        needed("from", Name, "`env`, `file` or `command`"),
        needed("key", Name, "the variable, the path of the file, or the command with its arguments"),
    ]);
static SIGN_KEY: Shape = Shape::new("sign-key", "Keys that its bundles may be signed by; without it, any.").args(
    1,
    MANY,
    Name,
    Name,
    "sign-key KEY…",
);
pub(super) static TENANT: Shape =
    Shape::new("tenant", "Who owns runs, and the limits.").args(1, 1, Name, Name, "tenant NAME").children(&[
        once(&TENANT_BUDGET),
        many(&ALLOW_CAPABILITY),
        once(&ALLOW_TIER),
        once(&TENANT_TRUST),
        once(&QUOTA),
        once(&WEIGHT),
        many(&SECRET),
        many(&SIGN_KEY),
    ]);

static PROVIDES_OUTPUT: Shape = Shape::new("output", "Where it leaves what the capability returns.")
    .args(1, 1, Name, Name, "output NAME path=\"PATH\"")
    .props(&[needed("path", Text, "the path below the action's folder")]);
pub(super) static PROVIDES: Shape = Shape::new(
    "provides",
    "Capabilities it serves. The block says how; without it, each parameter is given as `--NAME VALUE`.",
)
.args(1, MANY, Name, Name, "provides CAPABILITY…")
.children(&[many(&ARG), many(&ENV), many(&PROVIDES_OUTPUT)]);
pub(super) static COST: Shape = Shape::new("cost", "What it costs.").props(&[
    needed("usd", Name, "dollars, as `\"0.004\"`"),
    prop("per", Name, "`call` (default): each start; `run`: once in a run; `minute`: each begun minute"),
]);
pub(super) static NEEDS_SECRET: Shape = Shape::new("needs-secret", "A secret of the tenant that it is given.")
    .args(1, 1, Name, Name, "needs-secret NAME")
    .props(&[prop("env", Name, "the variable it is given in; without it, the name in capitals")]);

static ACCEPTS: Shape = parameter("accepts", "A typed parameter of the capability.", "accepts NAME type=TYPE");
static CANDIDATE: Shape = Shape::new("candidate", "Who may serve it: a tool, an agent, or another capability.")
    .args(1, 1, Name, Name, "candidate NAME")
    .props(&[
        prop("max-usd", Name, "the most one use of it may cost, as `\"0.01\"`"),
        prop("skill", Name, "of an agent with several skills: the one it serves by"),
    ]);
pub(super) static CAPABILITY: Shape = Shape::new("capability", "A typed interface and who may serve it, in order.")
    .args(1, 1, Name, Name, "capability NAME")
    .props(&[prop("doc", Name, "one line for people")])
    .children(&[many(&ACCEPTS), many(&RETURNS), many(&CANDIDATE)]);

static URL: Shape = Shape::new("url", "The address of the API.").args(1, 1, Name, Name, "url \"https://…\"");
static HEADER: Shape = Shape::new("header", "A header of requests to the API: a text, or a secret of the tenant.")
    .args(2, 2, Name, Any, "header NAME (secret)KEY")
    .props(&[prop("scheme", Name, "what stands before a secret: `header authorization (secret)key scheme=Bearer`")]);
static BODY: Shape = Shape::new(
    "body",
    "The template of what is sent, JSON with `{{ model }}`, `{{ system }}`, `{{ prompt }}`, `{{ messages }}` and `{{ max_tokens }}`, each \
     already as JSON.",
)
.args(1, 1, Name, Name, "body #\"{…}\"#");
static ANSWER: Shape = Shape::new("answer", "Where the answer is in what comes back: a JSON pointer.").args(
    1,
    1,
    Name,
    Name,
    "answer \"/output/text\"",
);
static USAGE: Shape =
    Shape::new("usage", "Where the numbers of tokens are in what comes back: JSON pointers.").props(&[
        needed("input", Name, "of what was given, as `\"/usage/in\"`"),
        needed("output", Name, "of what was made"),
    ]);
static PRICE: Shape = Shape::new("price", "What tokens cost.").props(&[
    needed("input", Name, "dollars for what it is given"),
    needed("output", Name, "dollars for what it makes"),
    prop("per", Name, "`mtok` (default): a million tokens; `ktok`: a thousand"),
    prop("model", Name, "of which model; without it, of the provider's own"),
]);
pub(super) static PROVIDER: Shape = Shape::new("provider", "How an agent is reached.")
    .args(1, 1, Name, Name, "provider NAME kind=command")
    .props(&[
        needed("kind", Name, "`command`: a program; `http`: an API"),
        prop("model", Name, "the model, as the provider calls it"),
        prop("vendor", Name, "of `kind=http`: how it is spoken to, `anthropic` or `openai`; without it, by `body`"),
        prop("supplier", Name, "who supplies it, for the SBOM"),
    ])
    .children(&[
        once(&EXEC),
        many(&USES),
        many(&PASS_ENV),
        once(&URL),
        many(&PRICE),
        many(&NEEDS_SECRET),
        many(&HEADER),
        once(&BODY),
        once(&ANSWER),
        once(&USAGE),
    ]);

static ALLOW_TOOL: Shape =
    Shape::new("allow-tool", "Tools it may use; without it, any.").args(1, MANY, Name, Name, "allow-tool TOOL…");
static SKILLS: Shape = Shape::new("uses", "Skills it has.").args(1, MANY, Name, Name, "uses SKILL…");
static AGENT_BUDGET: Shape =
    Shape::new("budget", "What it may cost in a run.").props(&[needed("usd", Name, "dollars, as `\"0.50\"`")]);
static SCOPE: Shape = Shape::new("scope", "Files it may change.").args(1, MANY, Name, Name, "scope \"PATTERN\"…");
static LIMITS: Shape = limits("limits");
static LIMIT: Shape = limits("limit");
static MODEL: Shape = Shape::new("model", "The model for work up to a complexity, instead of the provider's.")
    .args(1, 1, Name, Name, "model NAME max-complexity=N")
    .props(&[needed("max-complexity", Number, "1 to 10")]);
pub(super) static AGENT: Shape = Shape::new("agent", "A machine worker with limits.")
    .args(1, 1, Name, Name, "agent NAME provider=PROVIDER")
    .props(&[
        needed("provider", Name, "how it is reached"),
        prop("tier", Name, "`primary` (default) or `secondary`"),
        prop("doc", Name, "one line for people"),
    ])
    .children(&[
        many(&ALLOW_TOOL),
        many(&ALLOW_CAPABILITY),
        many(&DENY_CAPABILITY),
        many(&SKILLS),
        once(&AGENT_BUDGET),
        many(&SCOPE),
        once(&LIMITS),
        once(&LIMIT),
        many(&MODEL),
    ]);

const LIMITED: &[Prop] = &[
    prop("turns", Number, "exchanges with the model"),
    prop("wall", Name, "time, as `\"20m\"`"),
    prop("tokens", Number, "tokens, given and made"),
];

const fn limits(name: &'static str) -> Shape {
    Shape::new(name, "Limits of one attempt.").props(LIMITED)
}

static VAR: Shape = parameter("var", "A variable of the template.", "var NAME type=TYPE");
static PROMPT: Shape = Shape::new("prompt", "The template of what the agent is told, and its variables.")
    .args(0, 1, Name, Name, "prompt \"FILE\"")
    .props(&[prop("text", Name, "the template itself, where it is short")])
    .children(&[many(&VAR)]);
static TRUST: Shape = Shape::new("trust", "Who vouches for it; bound to its content.")
    .args(1, 1, Name, Name, "trust vetted by=\"PERSON\" digest=\"b3:…\"")
    .props(&[prop("by", Name, "who vouches"), prop("digest", Name, "the content vouched for; `vetted` needs it")]);
pub(super) static SKILL: Shape = Shape::new("skill", "A prompt with typed variables.")
    .args(1, 1, Name, Name, "skill NAME")
    .props(&[prop("doc", Name, "one line for people"), prop("version", Name, "its version")])
    .children(&[once(&PROMPT), once(&TRUST)]);

pub(super) static GRAPH_BUDGET: Shape =
    Shape::new("budget", "What a run of the graph may cost.").props(&[needed("usd", Name, "dollars, as `\"2.00\"`")]);
