//! The table of node shapes: the whole surface of the language, as data. Leaves out checking.

mod domain;

use crate::lang::shape::{Child, Prop, Shape, Takes, many, needed, once, prop};
use domain::{AGENT, CAPABILITY, COST, GRAPH_BUDGET, NEEDS_SECRET, PROVIDER, PROVIDES, SKILL, TENANT};

const MANY: usize = usize::MAX;
use Takes::{Any, Bool, Bound, Int, Name, Named, Number, Text};

static EDITION: Shape =
    Shape::new("partita", "The first node of every file: the edition of the language it is written in.")
        .props(&[needed("edition", Number, "the edition, 1")]);

static DASH: Shape = Shape::new("-", "Elements of a list; an element that is a record or a map has a block.")
    .args(0, MANY, Any, Any, "- VALUE…")
    .values();

static STORE: Shape =
    Shape::new("store", "The store directory, relative to the root.").args(1, 1, Name, Name, "store DIR");
static STATE: Shape =
    Shape::new("state", "The state directory, relative to the root.").args(1, 1, Name, Name, "state DIR");
static OUT: Shape = Shape::new("out", "Where outputs appear, relative to the root.").args(1, 1, Name, Name, "out DIR");
static ROOT: Shape = Shape::new("root", "The folder inputs are relative to, itself relative to this file's.")
    .args(1, 1, Name, Name, "root DIR");
static REQUIRE_ISOLATION: Shape = Shape::new(
    "require-isolation",
    "The least isolation that every result must have been made under.",
)
.args(1, 1, Name, Name, "require-isolation full|landlock|none");
static SOURCE: Shape = Shape::new("source", "Where the package of a name is found.")
    .args(1, 1, Name, Name, "source NAME git=\"https://…\"")
    .props(&[
        prop("git", Name, "the URL of its repository"),
        prop("path", Name, "its folder in the workspace, instead"),
    ]);
static WORKSPACE: Shape = Shape::new(
    "workspace",
    "In the root file only: where store, state and outputs lie, where packages are found, and what is required.",
)
.children(&[once(&STORE), once(&STATE), once(&OUT), once(&ROOT), once(&REQUIRE_ISOLATION), many(&SOURCE)]);

static INTEGRITY: Shape =
    Shape::new("integrity", "The digest that what is imported must have.").args(1, 1, Name, Name, "integrity \"b3:…\"");
static IMPORT: Shape =
    Shape::new("import", "Makes the declarations of another file, or of a package, visible under an alias.")
        .args(1, 1, Name, Name, "import \"PATH\" as=NAME")
        .props(&[
            needed("as", Name, "the alias its declarations are known under here"),
            prop("version", Name, "of a package: the least version that will do, as `1.3`"),
            prop("rev", Name, "of a package: a tag, a branch or a commit instead of a version"),
        ])
        .children(&[once(&INTEGRITY)]);

static EXPORT: Shape =
    Shape::new("export", "Declarations that importers may use.").args(1, MANY, Name, Name, "export NAME…");
static PACKAGE: Shape = Shape::new("package", "What a set of specs is published as. The rest of it is its own.")
    .args(1, 1, Name, Name, "package NAME version=\"1.0.0\"")
    .props(&[needed("version", Name, "its version, as `1.3.0`")])
    .children(&[many(&EXPORT)]);
static GRANT: Shape = Shape::new("grant", "In the root file only: what a package of others may do.").args(
    2,
    MANY,
    Name,
    Name,
    "grant PACKAGE POWER…",
);

static LET: Shape = Shape::new(
    "let",
    "A constant: a scalar after its name, a list of `-` children, or the named values of a map or a record.",
)
.args(1, 2, Name, Any, "let NAME type=TYPE VALUE")
.props(&[needed("type", Name, "the type, as `string`, `list<string>`, `map<int>` or the name of a record")])
.children(&[many(&DASH)])
.values();

static FIELD: Shape = parameter("field", "A typed field.", "field NAME type=TYPE");
static RECORD: Shape = Shape::new("record", "A type with named and typed fields.")
    .args(1, 1, Name, Name, "record NAME")
    .children(&[many(&FIELD)]);

static EXEC: Shape = Shape::new("exec", "The executable: a name looked up on PATH, or a path in the workspace.")
    .args(1, 1, Name, Name, "exec NAME")
    .props(&[prop(
        "fingerprint",
        Name,
        "arguments whose output is the identity; without it the digest of the file is",
    )]);
static USES: Shape = Shape::new("uses", "Tools it starts itself.").args(1, MANY, Name, Name, "uses TOOL…");
static PASS_ENV: Shape = Shape::new("pass-env", "Variables of the caller handed through; they enter no key.").args(
    1,
    MANY,
    Name,
    Name,
    "pass-env NAME…",
);
static EFFECTS: Shape = Shape::new(
    "effects",
    "What it does besides leaving outputs: `net`, `exec`, `fs.read`, `fs.write`.",
)
.args(1, MANY, Name, Name, "effects EFFECT…");
static TOOL: Shape = Shape::new("tool", "An executable with an identity.")
    .args(1, 1, Name, Name, "tool NAME")
    .props(&[
        prop("version", Name, "the versions that will do, as `>=1.90, <2`"),
        prop("supplier", Name, "who supplies it, for the SBOM"),
        prop("tier", Name, "`primary` (default), or `secondary`: used where a tenant allows it"),
    ])
    .children(&[
        once(&EXEC),
        many(&USES),
        many(&PASS_ENV),
        many(&EFFECTS),
        many(&PROVIDES),
        many(&COST),
        many(&NEEDS_SECRET),
    ]);

static DEFAULT: Shape =
    Shape::new("default", "The value when none is given; named values of a map or a record stand in its block.")
        .args(0, MANY, Any, Any, "default VALUE…")
        .children(&[many(&DASH)])
        .values();
static ONE_OF: Shape = Shape::new("one-of", "The values of an `enum`, or all that a text or a number may be.").args(
    1,
    MANY,
    Bound,
    Bound,
    "one-of VALUE…",
);
static PARAM: Shape = parameter("param", "A typed parameter.", "param NAME type=TYPE");

/// What is said of a typed name.
const TYPED: &[Prop] = &[
    needed("type", Name, "the type, as `string` or `artifact.file`"),
    prop("schema", Name, "of `type=artifact.json`: the file of the JSON Schema it fits, relative to this spec"),
    prop("default", Any, "the value when none is given"),
    prop(
        "min",
        Bound,
        "the least: of an integer `1`, of a duration `\"10s\"`, of a size `\"1MiB\"`, of money `\"0.50\"`",
    ),
    prop("max", Bound, "the most"),
    prop("min-length", Number, "fewest characters"),
    prop("max-length", Number, "most characters"),
    prop("min-items", Number, "fewest elements of a list, or entries of a map"),
    prop("max-items", Number, "most of them"),
    prop("matches", Name, "a regular expression the whole text matches"),
    prop("distinct", Bool, "whether the elements of a list differ"),
    prop("doc", Name, "one line for people"),
];
const TYPED_BLOCK: &[Child] = &[once(&DEFAULT), once(&ONE_OF)];

/// The shape of what declares a typed name, under the word that its parent has for it.
const fn parameter(name: &'static str, doc: &'static str, usage: &'static str) -> Shape {
    Shape::new(name, doc).args(1, 1, Name, Name, usage).props(TYPED).children(TYPED_BLOCK)
}
static RETURNS: Shape = Shape::new("returns", "A typed artifact the recipe leaves; one step declares the output.")
    .args(1, 1, Name, Name, "returns NAME type=artifact.KIND")
    .props(&[
        needed("type", Name, "the artifact's type"),
        prop(
            "schema",
            Name,
            "of `type=artifact.json`: the file of the JSON Schema that it must fit, relative to this spec",
        ),
        prop("doc", Name, "one line for people"),
    ]);

static ARG: Shape = Shape::new("arg", "Arguments of the tool, in order.").args(1, MANY, Any, Any, "arg ARG…");
static RUN: Shape =
    Shape::new("run", "Starts a tool with arguments; no shell is between.").args(1, MANY, Named, Any, "run TOOL ARG…");
static COPY: Shape = Shape::new("copy", "Gives a staged file on as the output.").args(1, 1, Text, Text, "copy FILE");
static WRITE: Shape = Shape::new("write", "Writes a text to the output.").args(1, 1, Text, Text, "write TEXT");
static SET: Shape = Shape::new("set", "Variables of the template.").open(Any);
static FILE: Shape =
    Shape::new("file", "A variable holding the text of a staged file.").args(2, 2, Name, Text, "file NAME PATH");
static JSON: Shape =
    Shape::new("json", "A variable holding the parsed JSON of a staged file.").args(2, 2, Name, Text, "json NAME PATH");
static RENDER: Shape = Shape::new("render", "Renders a staged template to the output.")
    .args(1, 1, Text, Text, "render TEMPLATE")
    .children(&[many(&SET), many(&FILE), many(&JSON)]);
static MERGE_JSON: Shape = Shape::new("merge-json", "Merges staged JSON files, later over earlier.").args(
    1,
    MANY,
    Text,
    Text,
    "merge-json FILE…",
);
static INPUT: Shape = Shape::new(
    "input",
    "Files of the workspace by path or pattern, `(var)list` for several; or with `from` an output of another node at \
     the given place.",
)
.args(1, MANY, Text, Text, "input PATH…")
.props(&[
    prop("from", Any, "the output taken, as `(ref)node.output` or `(var)param`"),
    prop("select", Text, "of a folder, only what matches this pattern"),
    prop("optional", Bool, "whether matching nothing is fine"),
]);
static OUTPUT: Shape =
    Shape::new("output", "Something the action must leave.").args(1, 1, Text, Text, "output NAME").props(&[
        prop("path", Text, "where it lies; without it, the name is the path"),
        prop("type", Name, "`artifact.file` (default), `artifact.dir`, or another kind of file"),
        prop(
            "schema",
            Name,
            "of `type=artifact.json`: the file of the JSON Schema that it must fit, relative to this spec",
        ),
        prop("digest", Text, "for `class=fixed`: the digest it must have"),
    ]);
static ENV: Shape = Shape::new("env", "Variables of the environment, besides the fixed ones.")
    .args(0, 0, Any, Any, "env NAME=VALUE…")
    .open(Any);
static WITH: Shape =
    Shape::new("with", "Arguments of the recipe or the capability; a list, a map or a record may stand in its block.")
        .args(0, 0, Any, Any, "with NAME=VALUE…")
        .open(Any)
        .values();
static AFTER: Shape = Shape::new("after", "Nodes that must have succeeded before: order alone.")
    .args(1, MANY, Text, Text, "after NODE…")
    .props(&[prop("optional", Bool, "whether matching nothing is fine")]);
static ROLLBACK: Shape = Shape::new(
    "rollback",
    "The node that takes back what this one does outside. It is no part of a run of the graph: it is run by its address. \
     What asks for a capability `deploy` or `deploy.*` must name it.",
)
.args(1, 1, Text, Text, "rollback NODE");
static HOLDS: Shape = Shape::new("holds", "A share of a resource, held while it runs.")
    .args(1, 1, Name, Name, "holds RESOURCE")
    .props(&[prop("amount", Int, "how much, 1 if not given")]);
static TIMEOUT: Shape =
    Shape::new("timeout", "The longest an attempt may take.").args(1, 1, Text, Text, "timeout \"20m\"");
static RETRY: Shape =
    Shape::new("retry", "When to try again.").args(0, 0, Any, Any, "retry max=N on=transient backoff=\"5s\"").props(&[
        needed("max", Number, "how many times after the first"),
        prop("on", Name, "`transient` (default), `timeout` or `any`"),
        prop("backoff", Text, "how long to wait, 1s if not given"),
        prop("strategy", Name, "`exponential` (default) or `fixed`"),
    ]);
static FOR_EACH: Shape = Shape::new(
    "for-each",
    "One instance for each element of a list, or for each entry of a map: `for-each KEY VALUE …`.",
)
.args(1, 2, Name, Name, "for-each NAME in=(var)LIST")
.props(&[
    prop("in", Any, "the list or map, as `(var)files`; without it, the elements stand in the block"),
    prop("key", Name, "of a list of records: the field whose value names the instance"),
    prop("optional", Bool, "whether an empty list is fine"),
])
.children(&[many(&DASH)])
.values();
static CWD: Shape = Shape::new("cwd", "The folder it starts in, below its own.").args(1, 1, Text, Text, "cwd DIR");
static TOOLS: Shape = Shape::new("tools", "Further tools on its PATH.").args(1, MANY, Named, Named, "tools TOOL…");
static LIMITS: Shape =
    Shape::new("limits", "What it may use at most; one that uses more is ended, and fails.").props(&[
        prop("processes", Int, "processes and threads at once"),
        prop("memory", Text, "memory of all its processes, as `1GiB`"),
        prop("output", Text, "bytes of its outputs, and of any file it writes, as `100MiB`"),
        prop("files", Int, "files of its outputs"),
    ]);
static CPU_MEMORY: Shape = Shape::new("resources", "How much of the machine it needs.")
    .props(&[prop("cpu", Int, "processors"), prop("memory", Text, "memory, as `4GiB`")]);

static ANY: Shape = Shape::new("any", "One of these must hold.").children(&[many(&IF)]);
static ALL: Shape = Shape::new("all", "All of these must hold.").children(&[many(&IF)]);
static NOT: Shape = Shape::new("not", "None of these may hold.").children(&[many(&IF)]);
static IF: Shape = Shape::new("-", "Triples of a variable, one of `eq ne lt le gt ge`, and a value; all must hold.")
    .args(3, MANY, Name, Any, "- VARIABLE OP VALUE…");
static WHEN: Shape = Shape::new("when", "Instances exist only where this holds.")
    .args(0, MANY, Name, Any, "when VARIABLE OP VALUE…")
    .children(&[once(&ANY), once(&ALL), once(&NOT)]);
static UNLESS: Shape = Shape::new("unless", "Instances exist only where this does not hold.")
    .args(0, MANY, Name, Any, "unless VARIABLE OP VALUE…")
    .children(&[once(&ANY), once(&ALL), once(&NOT)]);
static GUARD: Shape = Shape::new("guard", "A gate that must say yes before the node starts, with its arguments.")
    .args(1, 1, Name, Name, "guard GATE PARAM=(ref)node.output")
    .open(Any);
static SERVICE_USES: Shape =
    Shape::new("uses", "Services that run while it does.").args(1, MANY, Name, Name, "uses SERVICE…");

/// What `automation` says, on recipes and nodes.
const AUTOMATION: &str = "`auto`, `notify`, `assist` or `manual`: how much of it starts by itself; nothing said starts too, and promises nothing";

static STEP: Shape = Shape::new("step", "One action of a recipe.")
    .args(1, 1, Name, Name, "step NAME tool=TOOL")
    .props(&[
        prop("tool", Named, "the tool it starts, or `(var)` of one"),
        prop("class", Name, "`pure` (default), `fixed`, `record`, `volatile` or `effect`"),
        prop("take", Int, "of `class=record`: which of several samples it is"),
        prop("idempotent", Bool, "of `class=effect`: whether doing it twice does no harm"),
        prop("capability", Name, "the capability it asks for"),
        prop("agent", Name, "the agent that asks, or does the work itself"),
        prop("skill", Name, "which of the agent's skills"),
        prop("complexity", Number, "how hard it is, 1 to 10, for estimates and the choice of models"),
    ])
    .children(&[
        many(&ARG),
        many(&WITH),
        many(&INPUT),
        many(&OUTPUT),
        many(&ENV),
        many(&TOOLS),
        once(&CWD),
        once(&TIMEOUT),
        once(&RETRY),
        once(&CPU_MEMORY),
        once(&LIMITS),
        many(&HOLDS),
        once(&COPY),
        once(&WRITE),
        once(&RENDER),
        once(&MERGE_JSON),
    ]);
static RECIPE: Shape = Shape::new("recipe", "A total function: typed parameters in, typed artifacts out.")
    .args(1, 1, Name, Name, "recipe NAME")
    .props(&[prop("automation", Name, AUTOMATION)])
    .children(&[many(&PARAM), many(&RETURNS), many(&STEP), many(&GATE)]);

static NODE: Shape =
    Shape::new("node", "A node of a graph: it names a recipe, asks for a capability, or says itself what to run.")
        .args(1, 1, Name, Name, "node NAME")
        .props(&[
            prop("recipe", Name, "the recipe it applies"),
            prop("class", Name, "`pure` (default), `fixed`, `record`, `volatile` or `effect`"),
            prop("take", Int, "of `class=record`: which of several samples it is"),
            prop("idempotent", Bool, "of `class=effect`: whether doing it twice does no harm"),
            prop("capability", Name, "the capability it asks for"),
            prop("agent", Name, "the agent that asks, or does the work itself"),
            prop("skill", Name, "which of the agent's skills"),
            prop("automation", Name, AUTOMATION),
            prop("complexity", Number, "how hard it is, 1 to 10, for estimates and the choice of models"),
        ])
        .children(&[
            many(&FOR_EACH),
            once(&WHEN),
            once(&UNLESS),
            many(&WITH),
            once(&RUN),
            once(&COPY),
            once(&WRITE),
            once(&RENDER),
            once(&MERGE_JSON),
            many(&INPUT),
            many(&OUTPUT),
            many(&ENV),
            many(&TOOLS),
            once(&CWD),
            many(&AFTER),
            once(&ROLLBACK),
            many(&HOLDS),
            once(&TIMEOUT),
            once(&RETRY),
            once(&CPU_MEMORY),
            once(&LIMITS),
            many(&GUARD),
            many(&SERVICE_USES),
        ]);
static USE: Shape = Shape::new("use", "Puts the nodes of a template here, under an alias.")
    .args(1, 1, Name, Name, "use TEMPLATE as=NAME")
    .props(&[needed("as", Name, "the alias in addresses")])
    .children(&[many(&WITH), many(&SERVICE_USES)]);
static TEMPLATE: Shape = Shape::new("template", "A reusable group of nodes.")
    .args(1, 1, Name, Name, "template NAME")
    .children(&[many(&PARAM), many(&NODE), many(&USE)]);
static CONCURRENCY: Shape = Shape::new("concurrency", "How many actions of this graph may run at once.").args(
    1,
    1,
    Number,
    Number,
    "concurrency N",
);
static DEFAULTS: Shape =
    Shape::new("defaults", "Policies of nodes that do not set their own.").children(&[once(&TIMEOUT), once(&RETRY)]);
static RESOURCE: Shape = Shape::new("resource", "A pool that nodes hold shares of.")
    .args(1, 1, Name, Name, "resource NAME capacity=N")
    .props(&[needed("capacity", Number, "how much there is")]);
static PORT: Shape = Shape::new("port", "A port it listens at: a free one is found for each run.")
    .args(1, 1, Name, Name, "port NAME")
    .props(&[prop("scheme", Name, "of its address: `http` if not given, `none` for host and port alone")]);
static READY: Shape = Shape::new("ready", "The sign by which it is ready: one of these, or a command that succeeds.")
    .args(0, MANY, Name, Any, "ready http=\"/health\"")
    .props(&[
        prop("http", Text, "a path of it that is answered with a good status"),
        prop("port", Name, "the port `http` asks, where there are several"),
        prop("tcp", Name, "a port that takes connections"),
        prop("log", Name, "a regular expression that a line it prints matches"),
        prop("within", Text, "the longest to wait, 30s if not given"),
    ]);
static SERVICE: Shape = Shape::new("service", "A process that lives while its dependants run.")
    .args(1, 1, Name, Name, "service NAME")
    .children(&[once(&RUN), many(&PORT), once(&READY), many(&ENV), many(&INPUT), many(&TOOLS), once(&CWD)]);
static SCHEDULE: Shape =
    Shape::new("schedule", "Which of the actions that could start does: `critical` (default), `fair` or `shortest`.")
        .args(1, 1, Name, Name, "schedule fair");
static CANCEL: Shape = Shape::new(
    "cancel",
    "What a failure means for what does not depend on it: `cascading` or `isolated`; without it, `--keep-going` decides.",
)
.args(1, 1, Name, Name, "cancel isolated");
static BREAKER: Shape = Shape::new("breaker", "When a tool is not started again in a run.").props(&[needed(
    "failures",
    Number,
    "how many failures in a row",
)]);
static DEADLINE: Shape =
    Shape::new("deadline", "The longest a run may take.").args(1, 1, Name, Name, "deadline \"30m\"");
static SERIALIZE: Shape = Shape::new("serialize", "Outputs that are made one after the other: lock files, migrations.")
    .args(1, MANY, Name, Name, "serialize PATTERN…");
static GRAPH: Shape = Shape::new("graph", "What to run.")
    .args(1, 1, Name, Name, "graph NAME")
    .props(&[prop("tenant", Name, "who owns its runs; without it, the tenant `default` where there is one")])
    .children(&[
        many(&PARAM),
        once(&CONCURRENCY),
        once(&GRAPH_BUDGET),
        once(&SCHEDULE),
        once(&CANCEL),
        once(&BREAKER),
        once(&DEADLINE),
        many(&SERIALIZE),
        once(&DEFAULTS),
        many(&RESOURCE),
        many(&NODE),
        many(&USE),
        many(&SERVICE),
    ]);

static INCLUDE: Shape = Shape::new("include", "An output that goes into the bundle.")
    .args(1, 1, Name, Name, "include NODE output=NAME to=\"PATH\"")
    .props(&[
        prop("output", Name, "which output; without it, the only one"),
        prop("to", Text, "its path in the bundle; without it, the output's own path"),
        prop(
            "role",
            Name,
            "what it is for: `guide`, `card`, `tests`, `performance`, `security`, `screenshots`, `report`",
        ),
    ]);
static EXCLUDE: Shape = Shape::new("exclude", "Patterns of paths in the bundle that are left out.").args(
    1,
    MANY,
    Name,
    Name,
    "exclude \"PATTERN\"…",
);
static SIGN: Shape =
    Shape::new("sign", "A key that signs; several sign together.").props(&[needed("key", Name, "the key's name")]);
static SBOM: Shape =
    Shape::new("sbom", "Which SBOMs it carries; SPDX 2.3 and a CycloneDX document always are.").props(&[
        needed("format", Name, "`spdx` or `cyclonedx`"),
        prop("version", Name, "of SPDX 2.3; of CycloneDX 1.6, which is taken if nothing is said, or 1.7"),
    ]);
static PROVENANCE: Shape = Shape::new("provenance", "Which provenance it carries; SLSA v1 always is.").props(&[
    needed("format", Name, "`slsa`"),
    prop("level", Int, "the SLSA build level it must be good for, 1 to 3; 3 needs a workspace that requires isolation"),
]);
static BUNDLE: Shape = Shape::new("bundle", "What to deliver, signed.")
    .args(1, 1, Name, Name, "bundle NAME from=GRAPH")
    .props(&[
        needed("from", Name, "the graph its outputs come from"),
        prop("version", Text, "its version, 0.0.0 if not given"),
        prop("level", Int, "how far what is delivered has come, by the reckoning of its tenant"),
    ])
    .children(&[many(&INCLUDE), many(&EXCLUDE), many(&SBOM), many(&PROVENANCE), many(&SIGN)]);

pub(crate) static ALLOW: Shape = Shape::new(
    "allow",
    "Warnings that are not said: in the whole file at its top, else in the block it stands in. May stand in any block.",
)
.args(1, MANY, Name, Name, "allow CODE… reason=\"…\"")
.props(&[needed("reason", Name, "why, for the next reader")]);

static REQUIRE: Shape =
    Shape::new("require", "What must hold: triples of a path, a comparison and a value; all of them, and all lines.")
        .args(0, MANY, Name, Any, "require PATH OP VALUE… else=\"MESSAGE\"")
        .props(&[prop("else", Name, "what is said if it does not hold")])
        .children(&[once(&ANY), once(&ALL), once(&NOT)]);
static SECTION: Shape =
    Shape::new("section", "Headings that must be there.").args(1, MANY, Name, Name, "section HEADING…");
static APPROVERS: Shape =
    Shape::new("approvers", "The group that approves.").args(1, 1, Name, Name, "approvers GROUP min=N").props(&[
        prop("min", Number, "how many people, 1 if not given"),
        prop("distinct", Bool, "whether the author of the change does not count"),
    ]);
static EXPIRES: Shape = Shape::new("expires", "How long an approval is good for.")
    .args(1, 1, Name, Name, "expires \"72h\"")
    .props(&[prop("then", Name, "`reject`: what an approval that is too old counts as")]);
static GATE: Shape =
    Shape::new("gate", "A predicate that must hold, a command that must succeed, or people's consent.")
        .args(1, 1, Name, Name, "gate NAME kind=KIND")
        .props(&[
            needed("kind", Name, "`file`, `content`, `artifact`, `check`, `metric`, `command`, `agent` or `approval`"),
            prop("else", Name, "what is said if it does not hold"),
            prop("agent", Name, "of `kind=agent`: who gives a verdict"),
            prop("skill", Name, "of `kind=agent`: which of the agent's skills"),
            prop("complexity", Number, "of `kind=agent`: how hard it is, 1 to 10"),
            prop("doc", Name, "one line for people"),
        ])
        .children(&[
            many(&PARAM),
            many(&WITH),
            many(&REQUIRE),
            many(&SECTION),
            once(&RUN),
            many(&INPUT),
            many(&ENV),
            many(&TOOLS),
            once(&CWD),
            once(&TIMEOUT),
            once(&RETRY),
            once(&CPU_MEMORY),
            once(&APPROVERS),
            once(&EXPIRES),
        ]);
static MEMBER: Shape =
    Shape::new("member", "A person of the group.").args(1, 1, Name, Name, "member NAME key=\"KEYID\"").props(&[
        prop("key", Name, "the id of their key, as `partita key show` prints it"),
        prop("email", Name, "what their commits are signed with, by which an author is known"),
    ]);
static PEOPLE: Shape = Shape::new("group", "People by name, with the keys they sign with.")
    .args(1, 1, Name, Name, "group NAME")
    .children(&[many(&MEMBER)]);
static GIVEN: Shape = Shape::new("given", "The graph a test is about, and values for its parameters.")
    .args(1, 1, Name, Name, "given GRAPH { PARAM VALUE… }")
    .values();
static EXPECT: Shape = Shape::new(
    "expect",
    "What must hold: so many nodes at a pattern, a way or none between nodes, the type of an output, a diagnostic, \
     of which the block changes values, the most a run may cost; and of a run with mocks its status and what is left.",
)
.args(1, 4, Name, Any, "expect nodes|path|no-path|type|diagnostic|cost|status|output …")
.props(&[
    prop("count", Number, "how many nodes there are"),
    prop("min", Number, "how many nodes there are at least"),
    prop("max", Number, "how many nodes there are at most"),
    prop("from", Name, "the node or pattern that is depended on"),
    prop("to", Name, "the node or pattern that depends on it"),
])
.values();
static EXPECT_PLAN: Shape = Shape::new("expect-plan", "The plan must be as it was kept in a file beside the spec.")
    .args(1, 1, Name, Name, "expect-plan \"FILE.kdl\"");
static MOCK_OUTPUT: Shape = Shape::new("output", "What is left under a name: a text, or a file beside the spec.")
    .args(1, 2, Name, Name, "output NAME \"TEXT\"")
    .props(&[prop("file", Name, "the file that holds it, instead of a text")]);
static MOCK: Shape =
    Shape::new("mock", "What a tool or an agent leaves when the test runs the graph, instead of being started.")
        .args(2, 2, Name, Name, "mock tool|agent NAME { output NAME \"TEXT\" }")
        .props(&[
            prop("at", Name, "only at this node or pattern"),
            prop("status", Number, "the status it ends with, 0 if not given"),
        ])
        .children(&[many(&MOCK_OUTPUT)]);
static TEST: Shape =
    Shape::new("test", "Checks on the compiled result, or on a run with recorded outputs: see `partita test`.")
        .args(1, 1, Name, Name, "test NAME")
        .children(&[once(&GIVEN), many(&MOCK), many(&EXPECT), many(&EXPECT_PLAN)]);

/// What may stand at the top of a file.
pub(crate) static TOP: &[Child] = &[
    once(&EDITION),
    once(&PACKAGE),
    once(&WORKSPACE),
    many(&GRANT),
    many(&IMPORT),
    many(&LET),
    many(&RECORD),
    many(&TOOL),
    many(&RECIPE),
    many(&TEMPLATE),
    many(&GRAPH),
    many(&BUNDLE),
    many(&TENANT),
    many(&CAPABILITY),
    many(&PROVIDER),
    many(&AGENT),
    many(&SKILL),
    many(&GATE),
    many(&PEOPLE),
    many(&TEST),
    many(&ALLOW),
];
