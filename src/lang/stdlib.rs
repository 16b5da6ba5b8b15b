//! The standard library: KDL inside the binary, under `<std>/…` pseudo paths so that errors in it
//! point somewhere. Leaves out what its declarations mean.

/// The file whose declarations are visible everywhere without an import.
pub(crate) const PRELUDE: &str = "<std>/posix";

/// Every file of the standard library: pseudo path and text.
pub(crate) const FILES: &[(&str, &str)] = &[
    ("<std>/posix", include_str!("../../stdlib/posix.kdl")),
    ("<std>/cc", include_str!("../../stdlib/cc.kdl")),
    ("<std>/cargo", include_str!("../../stdlib/cargo.kdl")),
    ("<std>/git", include_str!("../../stdlib/git.kdl")),
    ("<std>/node", include_str!("../../stdlib/node.kdl")),
    ("<std>/python", include_str!("../../stdlib/python.kdl")),
];

/// The text of a pseudo path.
pub(crate) fn find(path: &str) -> Option<&'static str> {
    FILES.iter().find(|(name, _)| *name == path).map(|(_, text)| *text)
}
