//! How a key signs whose private half is not a file here, as written in KDL: `NAME.signer.kdl` beside the
//! public key. Leaves out starting anything.

use crate::diag::{Code, Diagnostic, Diagnostics, SourceId, Span};
use crate::lang::Kind;
use crate::lang::parse;
use crate::lang::shape::{Child, Shape, Takes, check_children, needed, once};

static COMMAND: Shape =
    Shape::new("command", "A program that takes what is to be signed on standard input and writes the signature.")
        .args(1, usize::MAX, Takes::Name, Takes::Name, "command PROGRAM ARGUMENT…");
static VARIABLE: Shape = Shape::new("variable", "A variable of the environment that holds the private key in PEM.")
    .args(1, 1, Takes::Name, Takes::Name, "variable NAME");
static SIGNER: Shape = Shape::new("signer", "How a key signs.")
    .props(&[needed("version", Takes::Int, "the version of this form, 1")])
    .children(&[once(&COMMAND), once(&VARIABLE)]);
static TOP: &[Child] = &[once(&SIGNER)];

/// How a key signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignerDecl {
    /// By a program: itself and its arguments. There is no shell between.
    Command(Vec<String>),
    /// By a private key in a variable of the environment.
    Variable(String),
}

/// Reads it. `None` if something is wrong, which has then been reported.
pub fn parse_signer(source: SourceId, kdl: &str, diagnostics: &mut Diagnostics) -> Option<SignerDecl> {
    let nodes = parse(source, kdl, diagnostics);
    check_children(&nodes, TOP, "a signer", TOP, diagnostics);
    if diagnostics.has_errors() {
        return None;
    }
    let missing = |diagnostics: &mut Diagnostics, span: Span| {
        diagnostics.push(
            Diagnostic::new(Code::P0104, span, "a signer needs one `command` or one `variable`")
                .with_help("write `signer version=1 { command PROGRAM ARGUMENT… }`"),
        );
        None
    };
    let Some(root) = nodes.iter().find(|node| node.name.value == "signer") else {
        return missing(diagnostics, Span::new(source, 0, 0));
    };
    let version = root.props.iter().find(|property| property.name.value == "version");
    if let Some(version) = version.filter(|version| version.value.kind != Kind::Int(1)) {
        diagnostics.push(
            Diagnostic::new(Code::P0110, version.value.span, "this version of signers is not known")
                .with_help("write `version=1`"),
        );
        return None;
    }
    let texts = |name: &str| -> Option<Vec<String>> {
        let node = root.children.iter().flatten().find(|child| child.name.value == name)?;
        Some(
            node.args
                .iter()
                .filter_map(|arg| if let Kind::Text(text) = &arg.kind { Some(text.clone()) } else { None })
                .collect(),
        )
    };
    match (texts("command"), texts("variable")) {
        (Some(command), None) => Some(SignerDecl::Command(command)),
        (None, Some(variable)) => variable.into_iter().next().map(SignerDecl::Variable),
        _ => missing(diagnostics, root.span),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::SourceMap;

    fn read(text: &str) -> Option<SignerDecl> {
        let mut sources = SourceMap::default();
        let source = sources.add("k.signer.kdl".to_owned(), text.to_owned());
        let text = sources.file(source).text.clone();
        parse_signer(source, &text, &mut Diagnostics::default())
    }

    #[test]
    fn commands_and_variables() {
        let command = read("signer version=1 {\n    command kms sign \"--key=a b\"\n}\n");
        assert_eq!(command, Some(SignerDecl::Command(vec!["kms".into(), "sign".into(), "--key=a b".into()])));
        assert_eq!(read("signer version=1 { variable KEY; }"), Some(SignerDecl::Variable("KEY".into())));
        for bad in [
            "",
            "signer version=1",
            "signer version=2 { variable K; }",
            "signer version=1 { command; }",
            "signer version=1 { variable K; command c; }",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
