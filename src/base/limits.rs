//! Every limit with its unit and its reason. Leaves out enforcement.

/// Limits on what strangers may ask of us. All are inclusive upper bounds.
pub struct Limits;

impl Limits {
    /// Bytes of one spec file.
    pub const SPEC_BYTES: usize = 4 * 1024 * 1024;
    /// Depth of nested blocks: kdl 6.7 overflows a 2 MiB stack at 61 in an unoptimised build.
    pub const BLOCK_DEPTH: usize = 32;
    /// Depth of slash-dashed children: kdl 6.7 takes exponential time in it.
    pub const SLASHDASH_DEPTH: usize = 4;
    /// Depth of nested block comments.
    pub const COMMENT_DEPTH: usize = 8;
    /// `*` and `/` in one block comment: kdl 6.7 recurses on each.
    pub const COMMENT_STARS: usize = 128;
    /// Bytes of one JSON Schema.
    pub const SCHEMA_BYTES: usize = 256 * 1024;
    /// Bytes of a JSON document that is checked against a schema: parsed, it takes a hundred times as much.
    pub const DOCUMENT_BYTES: usize = 4 * 1024 * 1024;
    /// Diagnostics shown before only a count is.
    pub const DIAGNOSTICS: usize = 50;
    /// Nodes one graph may expand to.
    pub const EXPANDED_NODES: usize = 100_000;
    /// Bytes of text that expansion may generate.
    pub const EXPANDED_BYTES: usize = 64 * 1024 * 1024;
    /// Bytes of one interpolated string.
    pub const STRING_BYTES: usize = 16 * 1024;
    /// Bytes kept of each of stdout and stderr of an action; the rest is counted, not kept.
    pub const LOG_BYTES: usize = 4 * 1024 * 1024;
    /// Levels of a template, and links of a chain in a tag of it: minijinja takes stack for each.
    pub const TEMPLATE_DEPTH: usize = 128;
    /// Files in one action's outputs.
    pub const OUTPUT_FILES: usize = 200_000;
    /// Bytes of stack of the thread that parses.
    pub const PARSER_STACK_BYTES: usize = 64 * 1024 * 1024;
    /// Spec files one workspace may import.
    pub const SPEC_FILES: usize = 2_000;
    /// Versions of packages looked at to choose some.
    pub const PACKAGES: usize = 1_000;
    /// Files of one package.
    pub const PACKAGE_FILES: usize = 10_000;
    /// Bytes of one package.
    pub const PACKAGE_BYTES: usize = 64 * 1024 * 1024;
    /// Bytes of one file of a package.
    pub const PACKAGE_FILE_BYTES: usize = 16 * 1024 * 1024;
}
