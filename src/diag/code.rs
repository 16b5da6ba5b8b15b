//! The registry of diagnostic codes: the one table behind rendering, `explain`, the book and the
//! tests. Each code has a page in `book/src/reference/codes/`, compiled in. Leaves out the places
//! that raise them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::diag::Severity;

/// What the registry knows of a code.
#[derive(Clone, Copy, Debug)]
pub struct CodeInfo {
    /// The severity unless the author changes it.
    pub severity: Severity,
    /// One line, as in the index of the book.
    pub title: &'static str,
    /// The page in Markdown: what it means, a failing and a mended example.
    pub page: &'static str,
}

/// An example of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example {
    /// Whether compiling it must raise the code of its page.
    pub fails: bool,
    /// The KDL text.
    pub text: &'static str,
}

macro_rules! codes {
    ($($code:ident $severity:ident $title:literal;)*) => {
        /// A stable diagnostic code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[expect(missing_docs, reason = "the title in the table is the documentation")]
        pub enum Code { $($code),* }

        impl Code {
            /// Every code, in order.
            pub const ALL: &[Code] = &[$(Code::$code),*];

            /// The registry entry.
            pub fn info(self) -> CodeInfo {
                match self {
                    $(Code::$code => CodeInfo {
                        severity: Severity::$severity,
                        title: $title,
                        page: include_str!(concat!("../../book/src/reference/codes/", stringify!($code), ".md")),
                    },)*
                }
            }

            /// The text form, `P0101`.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$code => stringify!($code)),* }
            }
        }
    };
}

codes! {
    P0001 Error "a spec file is larger than 4 MiB";
    P0002 Error "blocks are nested more than 32 deep";
    P0003 Error "a block is never closed";
    P0004 Error "a `}` closes nothing";
    P0005 Error "a KDL 1 keyword stands where a KDL 2 value is needed";
    P0006 Error "a string is never closed";
    P0007 Error "a block comment is never closed, or nested too deep, or holds too many `*` and `/`";
    P0008 Error "an `=` stands where it cannot";
    P0009 Error "a block has no node name";
    P0010 Error "an invisible control character";
    P0011 Error "the file is KDL 1";
    P0012 Error "a number is out of range";
    P0013 Error "this is not KDL";
    P0101 Error "unknown node";
    P0102 Error "unknown property";
    P0103 Error "a property is given twice";
    P0104 Error "a property is missing";
    P0105 Error "too few or too many arguments";
    P0106 Error "a node that may appear once appears again";
    P0107 Error "a node stands in the wrong place";
    P0108 Error "a value of the wrong kind";
    P0109 Error "unknown type annotation";
    P0110 Error "the edition is newer than this compiler";
    P0201 Error "a name cannot be found";
    P0202 Error "a name is defined twice";
    P0203 Error "a name is of another kind than is needed";
    P0204 Error "a declaration is private to its package";
    P0205 Error "an import or a prompt cannot be read";
    P0206 Error "imports form a cycle";
    P0207 Error "what is imported is not what was promised";
    P0208 Error "a package is not in the lock file";
    P0209 Error "no version of a package satisfies all who need it";
    P0210 Error "an import leaves the workspace";
    P0211 Error "a package asks for a power that it was not granted";
    P0212 Error "an import alias shadows a name that is built in";
    P0301 Error "a value is of the wrong type";
    P0302 Error "an argument or a field is missing";
    P0303 Error "there is no parameter or field of this name";
    P0304 Error "a value is outside its bounds";
    P0305 Error "a value is not one of those allowed";
    P0306 Error "not a duration, a size or an amount of money";
    P0307 Error "a number stands where an amount of money is written as text";
    P0308 Error "a variable, or what it should hold, is not there";
    P0309 Error "a list or an artifact cannot be put inside a string";
    P0310 Error "a filter is not allowed in specs";
    P0311 Error "a template uses a variable that is not declared";
    P0312 Error "a variable of a template is declared and never used";
    P0313 Error "a secret flows where it may not";
    P0314 Error "a default does not satisfy its own constraint";
    P0315 Error "a prompt is not a template";
    P0316 Error "a file that a type names is not a JSON Schema";
    P0317 Error "constraints that no value can meet";
    P0318 Error "a gate asks for what a schema does not promise";
    P0401 Error "an output is not produced by the node it is asked of";
    P0402 Error "an output is declared twice or never";
    P0403 Error "templates or records hold each other in a cycle";
    P0404 Error "a condition reads what is known only at run time";
    P0405 Error "the expansion is too large";
    P0406 Error "`for-each` over something known only at run time";
    P0407 Error "two instances share a key";
    P0408 Error "the list of a `for-each` is empty";
    P0501 Error "dependencies form a cycle";
    P0502 Error "a pattern matches no node";
    P0503 Warning "what a node makes reaches no bundle, gate or effect";
    P0504 Error "two inputs or outputs claim one path";
    P0505 Error "a node needs more of a resource than there is";
    P0506 Warning "an `after` says what follows already";
    P0507 Error "a path is not relative, or leaves the workspace";
    P0508 Error "a rule of an action's class is broken";
    P0601 Error "no route provides a capability";
    P0510 Error "the address of a service stands where it cannot be given";
    P0511 Error "the address of a service is given to a node that does not use it";
    P0602 Error "an agent uses a capability that is denied to it";
    P0603 Error "the cheapest route costs more than the budget";
    P0604 Error "a tool that uses the network in an action that is `pure`";
    P0605 Error "candidates of a capability lead back to itself";
    P0606 Error "a candidate does not provide the capability";
    P0701 Error "automatic work leads to an effect without a gate";
    P0702 Error "a gate needs more approvers than its group has";
    P0703 Error "a group is too small for its author not to count";
    P0704 Error "a predicate can never be true";
    P0705 Warning "a group of approvers is declared nowhere";
    P0706 Error "automatic work uses a skill that is not vetted";
    P0707 Warning "what publishes or delivers passes no gate";
    P0708 Warning "agents may change the same files at once";
    P0709 Error "a deploy does not name what takes it back";
    P0801 Error "a bundle includes two files at one path";
    P0802 Error "a path in a bundle is absolute or leaves the archive";
    P0803 Error "a bundle is signed by a key that its tenant does not sign with";
    P0804 Error "provenance claims isolation that is not required";
    P0901 Error "an expectation of a test does not hold";
    P0902 Error "a test expects a diagnostic that is not given";
    P1001 Warning "something is declared and never used";
    P1002 Warning "a word says what another says already";
    P1003 Warning "a tool that serves a capability is not pinned to versions";
    P1004 Warning "a prompt is long";
    P1005 Warning "an `allow` has nothing to allow";
    P1006 Warning "a tool of the primary tier costs money";
    P1007 Warning "a skill was changed after it was vetted";
    P1009 Warning "a tool that a bundle may name has no supplier";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Code {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let upper = text.to_ascii_uppercase();
        Self::ALL.iter().copied().find(|code| code.as_str() == upper).ok_or(())
    }
}

impl CodeInfo {
    /// The examples of the page: fenced blocks marked `kdl,fails` and `kdl,works`.
    pub fn examples(&self) -> Vec<Example> {
        let mut examples = Vec::new();
        let mut rest = self.page;
        while let Some(at) = rest.find("```kdl,") {
            let block = &rest[at + "```kdl,".len()..];
            let (Some(line), Some(end)) = (block.find('\n'), block.find("\n```")) else { break };
            examples.push(Example { fails: block[..line].trim() == "fails", text: &block[line + 1..=end] });
            rest = &block[end + 4..];
        }
        examples
    }
}
