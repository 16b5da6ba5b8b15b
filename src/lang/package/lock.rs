//! The lock file: which version of each package, from where, with what content. Written by the program
//! alone, sorted, and read strictly: what was changed by hand is refused by its root digest. Leaves out
//! the choice of versions: see `resolve`.
//!
//! The root digest is over the list of all packages in order, each as the list of its name, version,
//! source, revision, commit, tree digest, digest of its own lock file, and least version kept; what is
//! not there is an empty text.

use std::fmt::Write as _;

use crate::base::{Digest, DigestSink, Domain, FieldSink as _, Value};
use crate::diag::{Code, Diagnostic, Diagnostics, SourceId, Span};
use crate::lang::package::{Source, Version};
use crate::lang::print::quote;
use crate::lang::shape::{Child, Shape, Takes, check_children, many, needed, once};
use crate::lang::{Kind, Node, parse};

/// The name of the lock file, beside the root file.
pub const LOCK_FILE: &str = "partita.lock";

/// The folder of the workspace that holds packages made part of it.
pub const VENDOR: &str = "vendor/partita";

/// The version of the file's form.
const FORM: i128 = 1;

/// What the file says of one package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Locked {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// Where it comes from.
    pub source: Source,
    /// The revision that was asked for instead of a version.
    pub rev: Option<String>,
    /// The commit.
    pub commit: Option<String>,
    /// The digest of its canonical tree.
    pub tree: Digest,
    /// The digest of its own lock file.
    pub own_lock: Option<Digest>,
    /// A version from which on it is wanted, since `lock --update`.
    pub at_least: Option<Version>,
    /// Where the file says so; the beginning of nothing for one that was not read.
    pub span: Option<Span>,
}

/// A lock file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// The packages by name.
    pub packages: Vec<Locked>,
}

static SOURCE: Shape = Shape::new("source", "Where it comes from.").args(1, 1, Takes::Name, Takes::Name, "source URL");
static REV: Shape = Shape::new("rev", "The revision asked for.").args(1, 1, Takes::Name, Takes::Name, "rev NAME");
static COMMIT: Shape = Shape::new("commit", "The commit.").args(1, 1, Takes::Name, Takes::Name, "commit HASH");
static TREE: Shape = Shape::new("tree", "The digest of its files.").args(1, 1, Takes::Name, Takes::Name, "tree DIGEST");
static OWN_LOCK: Shape =
    Shape::new("own-lock", "The digest of its own lock file.").args(1, 1, Takes::Name, Takes::Name, "own-lock DIGEST");
static AT_LEAST: Shape = Shape::new("at-least", "The version `lock --update` asked for.").args(
    1,
    1,
    Takes::Name,
    Takes::Name,
    "at-least VERSION",
);
static PACKAGE: Shape = Shape::new("package", "A package.")
    .args(1, 1, Takes::Name, Takes::Name, "package NAME version=VERSION")
    .props(&[needed("version", Takes::Name, "the exact version")])
    .children(&[once(&SOURCE), once(&REV), once(&COMMIT), once(&TREE), once(&OWN_LOCK), once(&AT_LEAST)]);
static LOCK: Shape = Shape::new("lock", "The first node: the form of the file, and the digest of all of it.").props(&[
    needed("version", Takes::Number, "the form, 1"),
    needed("root", Takes::Name, "the digest of all that follows"),
]);
static TOP: &[Child] = &[once(&LOCK), many(&PACKAGE)];

impl Lock {
    /// The package of a source.
    pub fn of(&self, source: &Source) -> Option<&Locked> {
        self.packages.iter().find(|package| package.source == *source)
    }

    /// The package of a name.
    pub fn named(&self, name: &str) -> Option<&Locked> {
        self.packages.iter().find(|package| package.name == name)
    }

    /// The digest of everything: all packages with all they rest on.
    pub fn root(&self) -> Digest {
        let optional = |text: Option<&str>| Value::text(text.unwrap_or_default());
        let packages = self.packages.iter().map(|package| {
            Value::List(vec![
                Value::text(&package.name),
                Value::text(package.version.to_string()),
                Value::text(package.source.to_string()),
                optional(package.rev.as_deref()),
                optional(package.commit.as_deref()),
                Value::Digest(package.tree),
                optional(package.own_lock.map(|digest| digest.hex()).as_deref()),
                optional(package.at_least.as_ref().map(ToString::to_string).as_deref()),
            ])
        });
        let mut sink = DigestSink::default();
        sink.field(1, "packages", &Value::List(packages.collect()));
        sink.finish(Domain::Lock)
    }

    /// The text of the file.
    pub fn write(&self) -> String {
        let mut out = format!(
            "// Written by `partita lock`. It is not meant to be edited.\nlock version={FORM} root=\"b3:{}\"\n",
            self.root().hex()
        );
        for package in &self.packages {
            let _ =
                writeln!(out, "package {} version={} {{", quote(&package.name), quote(&package.version.to_string()));
            let mut line = |word: &str, text: String| {
                let _ = writeln!(out, "    {word} {}", quote(&text));
            };
            line("source", package.source.to_string());
            for (word, text) in [("rev", &package.rev), ("commit", &package.commit)] {
                if let Some(text) = text {
                    line(word, text.clone());
                }
            }
            line("tree", format!("b3:{}", package.tree.hex()));
            if let Some(digest) = package.own_lock {
                line("own-lock", format!("b3:{}", digest.hex()));
            }
            if let Some(version) = &package.at_least {
                line("at-least", version.to_string());
            }
            out.push_str("}\n");
        }
        out
    }

    /// Reads the file. `None` if something is wrong with it, which has then been reported.
    pub fn read(source: SourceId, text: &str, diagnostics: &mut Diagnostics) -> Option<Self> {
        let mut own = Diagnostics::default();
        let nodes = parse(source, text, &mut own);
        check_children(&nodes, TOP, "a lock file", TOP, &mut own);
        let lock = (!own.has_errors()).then(|| decode(source, &nodes, &mut own)).flatten();
        let failed = own.has_errors();
        diagnostics.extend(own);
        lock.filter(|_| !failed)
    }
}

fn decode(source: SourceId, nodes: &[Node], diagnostics: &mut Diagnostics) -> Option<Lock> {
    const HELP: &str = "the file is written by `partita lock`: delete it and run that";
    let Some(head) = nodes.first().filter(|node| node.name.value == "lock") else {
        let span = nodes.first().map_or(Span::new(source, 0, 0), |node| node.name.span);
        diagnostics
            .push(Diagnostic::new(Code::P0104, span, "the file does not begin with `lock version=1`").with_help(HELP));
        return None;
    };
    if let Some(version) = head.props.iter().find(|prop| prop.name.value == "version")
        && version.value.kind != Kind::Int(FORM)
    {
        diagnostics.push(
            Diagnostic::new(Code::P0110, version.value.span, "this form of lock files is not known")
                .with_help("upgrade partita, or write the file anew by `partita lock`"),
        );
        return None;
    }
    let mut lock = Lock::default();
    for node in &nodes[1..] {
        let mut bad = |span, what: &str| {
            diagnostics.push(Diagnostic::new(Code::P0301, span, format!("this is not {what}")).with_help(HELP));
        };
        let value = |word: &str| {
            let child = node.children.iter().flatten().find(|child| child.name.value == word)?;
            Some((text(&child.args.first()?.kind)?, child.args[0].span))
        };
        let read = |word: &str| value(word).map(|(text, _)| text.to_owned());
        let (Some(name), Some(version)) = (
            node.args.first().and_then(|value| text(&value.kind)),
            node.props.iter().find(|prop| prop.name.value == "version"),
        ) else {
            continue;
        };
        let Some(exact) = text(&version.value.kind).and_then(Version::parse) else {
            bad(version.value.span, "a version");
            continue;
        };
        let Some((from, from_span)) = value("source") else {
            bad(node.name.span, "a package with a `source`");
            continue;
        };
        let Some(from) = Source::parse(from) else {
            bad(from_span, "where a package comes from");
            continue;
        };
        let digest = |word: &str| value(word).map(|(text, span)| (text.parse::<Digest>().ok(), span));
        let tree = match digest("tree") {
            Some((Some(tree), _)) => tree,
            found => {
                bad(found.map_or(node.name.span, |(_, span)| span), "a package with the digest of its tree");
                continue;
            }
        };
        let own_lock = match digest("own-lock") {
            Some((None, span)) => {
                bad(span, "a digest");
                continue;
            }
            found => found.and_then(|(digest, _)| digest),
        };
        let at_least = match value("at-least").map(|(text, span)| (Version::parse(text), span)) {
            Some((None, span)) => {
                bad(span, "a version");
                continue;
            }
            found => found.and_then(|(version, _)| version),
        };
        let commit = read("commit");
        let is_commit =
            |text: &str| matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if from.is_remote() != commit.as_deref().is_some_and(is_commit) {
            bad(node.name.span, "a package with the commit it was taken from");
            continue;
        }
        lock.packages.push(Locked {
            name: name.to_owned(),
            version: exact,
            source: from,
            rev: read("rev"),
            commit,
            tree,
            own_lock,
            at_least,
            span: Some(node.name.span.to(node.args[0].span)),
        });
    }
    let sorted = lock.packages.windows(2).all(|pair| pair[0].name < pair[1].name);
    let root = head.props.iter().find(|prop| prop.name.value == "root")?;
    let promised = text(&root.value.kind).and_then(|text| text.parse::<Digest>().ok());
    if !diagnostics.has_errors() && (!sorted || promised != Some(lock.root())) {
        diagnostics.push(
            Diagnostic::new(Code::P0207, root.value.span, "the lock file is not as it was written")
                .with_label("what follows has another digest")
                .with_help("take back the change, or write the file anew by `partita lock`"),
        );
    }
    Some(lock)
}

fn text(kind: &Kind) -> Option<&str> {
    match kind {
        Kind::Text(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Lock, Locked};
    use crate::base::Digest;
    use crate::diag::{Diagnostics, SourceMap};
    use crate::lang::package::{Source, Version};

    fn lock() -> Lock {
        let package = |name: &str, source: Source| Locked {
            name: name.to_owned(),
            version: Version::parse("1.2.3").unwrap(),
            rev: None,
            commit: source.is_remote().then(|| "0123456789".repeat(4)),
            source,
            tree: Digest::of_blob(name.as_bytes()),
            own_lock: Some(Digest::of_blob(b"lock")),
            at_least: Version::parse("1.2.0"),
            span: None,
        };
        Lock {
            packages: vec![
                package("a b", Source::parse("./packages/a").unwrap()),
                package("gates", Source::git("https://git.example.org/gates").unwrap()),
            ],
        }
    }

    fn read(text: &str) -> (Option<Lock>, Vec<String>) {
        let mut sources = SourceMap::default();
        let source = sources.add("partita.lock", text);
        let mut found = Diagnostics::default();
        let mut lock = Lock::read(source, text, &mut found);
        for package in lock.iter_mut().flat_map(|lock| &mut lock.packages) {
            package.span = None;
        }
        (lock, found.sorted().iter().map(|item| item.code.to_string()).collect())
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(&lock().write()), (Some(lock()), Vec::new()));
        assert_eq!(read(&Lock::default().write()).0, Some(Lock::default()));
    }

    #[test]
    fn no_byte_of_meaning_can_be_changed() {
        let text = lock().write();
        for (before, after) in [
            ("1.2.3", "1.2.4"),
            ("gates", "gatez"),
            ("0123", "1123"),
            ("\"a b\"", "\"a c\""),
            ("1.2.0", "1.3.0"),
            ("package gates", "package aa"),
        ] {
            let (lock, codes) = read(&text.replacen(before, after, 1));
            assert_eq!((lock, codes), (None, vec!["P0207".to_owned()]), "{before} {after}");
        }
        for (before, after, code) in [
            ("version=1 ", "version=2 ", "P0110"),
            ("    tree", "    tree2", "P0101"),
            ("git+https", "git+ext", "P0301"),
            ("lock version", "lok version", "P0101"),
            ("\"b3:", "\"b3:0", "P0207"),
        ] {
            let (lock, codes) = read(&text.replacen(before, after, 1));
            assert_eq!(lock, None, "{before}");
            assert!(codes.contains(&code.to_owned()), "{before}: {codes:?}");
        }
    }
}
