//! KDL text to a checked program: guard, slices, shapes, names, types, expansion. Pure: all outside
//! facts come through [`World`]. Leaves out digests and everything that happens at run time.

mod allow;
mod ast;
mod check;
mod compile;
mod decode;
mod eval;
mod expand;
mod fix;
mod fmt;
mod guard;
mod ir;
mod kdl1;
mod lex;
mod lex_string;
mod load;
mod package;
mod parse;
mod parse_check;
mod parse_lower;
mod parse_word;
mod parsed;
mod print;
mod program;
mod reference;
mod shape;
mod shapes;
mod signer;
mod slice;
mod stdlib;
mod syntax;
mod text;
mod trust;
mod ty;
mod world;

pub use allow::AllowDecl;
pub use ast::{
    AgentDecl, AskDecl, BudgetDecl, CandidateDecl, CapabilityDecl, CostDecl, CostPer, GroupDecl, HowDecl, LimitsDecl,
    Money, NeedDecl, OfferDecl, PriceDecl, ProviderDecl, ProviderKind, ProvidesDecl, QuotaDecl, RetryDecl, SecretDecl,
    SkillDecl, SkillTrustDecl, TenantDecl, ToolDecl, WorkspaceDecl,
};
pub use compile::{Compiled, compile};
pub use expand::{expand, expand_bundle};
pub use fix::{Fixed, FixedText, fix};
pub use fmt::{Error as FormatError, format};
pub use ir::{
    ActionIr, BodyIr, BundleIr, Expansion, IncludeIr, InputIr, InstanceIr, OutputIr, ROLES, RenderIr, ToolIr,
};
pub use kdl1::upgrade;
pub use package::{
    Candidate, Catalog, CatalogError, Folder, FolderError, FolderFile, LOCK_FILE, Lock, Locked, Minimum, Pick, Power,
    Resolution, Resolver, Source, VENDOR, Version, resolve,
};
pub use parse::parse;
pub use parsed::ParsedSlices;
pub use print::{print_expansion, quote};
pub use program::{DeclId, DeclKind, FileId, PackageId, Program, ProgramPackage};
pub use reference::{reference_names, reference_node, reference_nodes, reference_stdlib};
pub use signer::{SignerDecl, parse_signer};
pub use syntax::{Kind, Node, Property, Spanned, TypeNote, Value};
pub use trust::{TrustDecl, TrustKey, TrustRequire, TrustTenant, parse_trust};
pub use world::{MemoryWorld, World, WorldError};
