//! Trust policies as written in KDL: a table of shapes and the decoded declaration. What a policy
//! means is the bundle's; this only reads it. Leaves out key files.

use crate::diag::{Code, Diagnostic, Diagnostics, SourceId, Span};
use crate::lang::ast::Name;
use crate::lang::parse;
use crate::lang::shape::{Child, Shape, Takes, check_children, many, needed, once, prop};
use crate::lang::{Kind, Node, Spanned};

const MANY: usize = usize::MAX;

static SIGNER: Shape = Shape::new("signer", "Keys by name.").args(1, MANY, Takes::Name, Takes::Name, "signer KEY…");
static BUILDER_NAME: Shape =
    Shape::new("builder", "Builders by URI.").args(1, MANY, Takes::Name, Takes::Name, "builder \"URI\"");
static VALID: Shape = Shape::new("valid", "The epochs of the policy in which the key counts.")
    .props(&[prop("from-epoch", Takes::Number, "the first"), prop("until-epoch", Takes::Number, "the last")]);
static REVOKED: Shape = Shape::new("revoked", "The key counts no more.")
    .props(&[needed("at-epoch", Takes::Number, "from which epoch on"), needed("reason", Takes::Name, "why")]);
static KEY: Shape = Shape::new("key", "A key that is known.")
    .args(1, 1, Takes::Name, Takes::Name, "key NAME file=\"NAME.pub.pem\"")
    .props(&[
        needed("file", Takes::Name, "the public key, relative to the policy"),
        prop("alg", Takes::Name, "`ed25519` or `p256`; the file must hold such a key"),
    ])
    .children(&[once(&VALID), once(&REVOKED)]);
static BUILDER: Shape = Shape::new("builder", "A builder, and who may sign for it.")
    .args(1, 1, Takes::Name, Takes::Name, "builder \"URI\"")
    .children(&[many(&SIGNER)]);
static REQUIRE: Shape = Shape::new("require", "An attestation that must be there.")
    .args(1, 1, Takes::Name, Takes::Name, "require \"PREDICATE-TYPE\"")
    .props(&[prop("threshold", Takes::Number, "how many different keys must have signed, 1 if not given")])
    .children(&[many(&SIGNER), many(&BUILDER_NAME)]);
static SOURCE: Shape = Shape::new("source", "Where specs may come from.")
    .args(1, 1, Takes::Name, Takes::Name, "source \"git+https://…\"")
    .props(&[prop("refs", Takes::Name, "a branch or tag, as `refs/heads/main`")]);
static MINIMUM: Shape = Shape::new("minimum", "The oldest version of a bundle that is accepted.").args(
    2,
    2,
    Takes::Name,
    Takes::Name,
    "minimum BUNDLE VERSION",
);
static LOG: Shape = Shape::new("log", "A transparency log.").args(1, 1, Takes::Name, Takes::Name, "log NAME").props(&[
    prop("required", Takes::Bool, "whether a proof must be there"),
    prop("file", Takes::Name, "the log's public key, relative to the policy"),
]);
static TENANT: Shape = Shape::new("tenant", "What bundles of a tenant must show.")
    .args(1, 1, Takes::Name, Takes::Name, "tenant NAME")
    .children(&[many(&REQUIRE), many(&SOURCE), many(&MINIMUM), many(&LOG)]);
static TRUST: Shape = Shape::new("trust", "Who is believed what. What is not allowed is refused.")
    .props(&[
        needed("version", Takes::Number, "the version of this form, 1"),
        prop("epoch", Takes::Number, "only rises; 0 if not given"),
    ])
    .children(&[many(&KEY), many(&BUILDER), many(&TENANT)]);
static TOP: &[Child] = &[once(&TRUST)];

/// A policy as written.
#[derive(Clone, Debug)]
pub struct TrustDecl {
    /// The epoch.
    pub epoch: u64,
    /// Keys.
    pub keys: Vec<TrustKey>,
    /// Builders and their signers.
    pub builders: Vec<(Name, Vec<Name>)>,
    /// Tenants.
    pub tenants: Vec<TrustTenant>,
}

/// A key as written.
#[derive(Clone, Debug)]
pub struct TrustKey {
    /// The name.
    pub name: Name,
    /// The file.
    pub file: Name,
    /// The algorithm, if given.
    pub alg: Option<Name>,
    /// First and last epoch, and where that is said.
    pub valid: Option<(Option<u64>, Option<u64>, Span)>,
    /// Epoch and reason of the revocation, and where that is said.
    pub revoked: Option<(u64, String, Span)>,
}

/// A tenant as written.
#[derive(Clone, Debug)]
pub struct TrustTenant {
    /// The name.
    pub name: Name,
    /// Attestations.
    pub requires: Vec<TrustRequire>,
    /// Repositories with a ref.
    pub sources: Vec<(Name, Option<String>)>,
    /// Bundles with their minimum versions.
    pub minimums: Vec<(Name, String)>,
    /// Logs, whether a proof is required, and the files of their keys.
    pub logs: Vec<(Name, bool, Option<Name>)>,
}

/// A requirement as written.
#[derive(Clone, Debug)]
pub struct TrustRequire {
    /// The predicate type.
    pub predicate: Name,
    /// How many keys.
    pub threshold: u64,
    /// Which keys count.
    pub signers: Vec<Name>,
    /// Which builders count.
    pub builders: Vec<Name>,
}

/// Reads a policy. `None` if something is wrong, which has then been reported.
pub fn parse_trust(source: SourceId, kdl: &str, diagnostics: &mut Diagnostics) -> Option<TrustDecl> {
    let nodes = parse(source, kdl, diagnostics);
    check_children(&nodes, TOP, "a trust policy", TOP, diagnostics);
    let Some(root) = nodes.iter().find(|node| node.name.value == "trust") else {
        if !diagnostics.has_errors() {
            let span = Span::new(source, 0, 0);
            diagnostics.push(
                Diagnostic::new(Code::P0104, span, "the policy needs a `trust` node")
                    .with_help("write `trust version=1 { … }`"),
            );
        }
        return None;
    };
    if let Some(version) = root.props.iter().find(|property| property.name.value == "version")
        && version.value.kind != Kind::Int(1)
    {
        diagnostics.push(
            Diagnostic::new(Code::P0110, version.value.span, "this version of trust policies is not known")
                .with_help("write `version=1`"),
        );
    }
    if diagnostics.has_errors() {
        return None;
    }
    let natural = |node: &Node, name: &str| {
        node.props.iter().find(|p| p.name.value == name).and_then(|p| match p.value.kind {
            Kind::Int(int) => u64::try_from(int).ok(),
            _ => None,
        })
    };
    let keys = children(root, "key")
        .filter_map(|node| {
            let part = |name| children(node, name).next();
            Some(TrustKey {
                name: first(node)?,
                file: text_prop(node, "file")?,
                alg: text_prop(node, "alg"),
                valid: part("valid").map(|node| (natural(node, "from-epoch"), natural(node, "until-epoch"), node.span)),
                revoked: part("revoked")
                    .and_then(|node| Some((natural(node, "at-epoch")?, text_prop(node, "reason")?.value, node.span))),
            })
        })
        .collect();
    let tenants = children(root, "tenant")
        .filter_map(|node| {
            let requires = children(node, "require")
                .filter_map(|node| {
                    Some(TrustRequire {
                        predicate: first(node)?,
                        threshold: natural(node, "threshold").unwrap_or(1),
                        signers: names(node, "signer"),
                        builders: names(node, "builder"),
                    })
                })
                .collect();
            Some(TrustTenant {
                name: first(node)?,
                requires,
                sources: children(node, "source")
                    .filter_map(|node| Some((first(node)?, text_prop(node, "refs").map(|name| name.value))))
                    .collect(),
                minimums: children(node, "minimum")
                    .filter_map(|node| Some((first(node)?, text(node.args.get(1)?)?.value)))
                    .collect(),
                logs: children(node, "log")
                    .filter_map(|node| {
                        let required =
                            node.props.iter().any(|p| p.name.value == "required" && p.value.kind == Kind::Bool(true));
                        Some((first(node)?, required, text_prop(node, "file")))
                    })
                    .collect(),
            })
        })
        .collect();
    let builders = children(root, "builder").filter_map(|node| Some((first(node)?, names(node, "signer")))).collect();
    Some(TrustDecl { epoch: natural(root, "epoch").unwrap_or(0), keys, builders, tenants })
}

fn children<'a>(node: &'a Node, name: &'a str) -> impl Iterator<Item = &'a Node> {
    node.children.iter().flatten().filter(move |child| child.name.value == name)
}

fn text(value: &crate::lang::Value) -> Option<Name> {
    match &value.kind {
        Kind::Text(text) => Some(Spanned { value: text.clone(), span: value.span }),
        _ => None,
    }
}

fn first(node: &Node) -> Option<Name> {
    node.args.first().and_then(text)
}

fn text_prop(node: &Node, name: &str) -> Option<Name> {
    node.props.iter().find(|property| property.name.value == name).and_then(|property| text(&property.value))
}

fn names(node: &Node, name: &str) -> Vec<Name> {
    children(node, name).flat_map(|child| child.args.iter()).filter_map(text).collect()
}
