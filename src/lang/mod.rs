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
mod foreign;
mod gate;
mod guard;
mod index;
mod ir;
mod judged;
mod kdl1;
mod lex;
mod lex_string;
mod load;
mod names;
mod order;
mod overlap;
mod package;
mod parallel;
mod parse;
mod parse_check;
mod parse_lower;
mod parse_word;
mod parsed;
mod print;
mod program;
mod prompt;
mod reach;
mod reference;
mod route;
mod shape;
mod shapes;
mod signer;
mod slice;
mod stdlib;
mod syntax;
mod testing;
mod text;
mod trust;
mod ty;
mod world;

pub use allow::AllowDecl;
pub use ast::{
    AgentDecl, AskDecl, BudgetDecl, CandidateDecl, CapabilityDecl, CostDecl, CostPer, HowDecl, LimitsDecl, Money,
    NeedDecl, OfferDecl, Op, PoliciesDecl, PriceDecl, ProviderDecl, ProviderKind, ProvidesDecl, QuotaDecl, RetryDecl,
    SecretDecl, SkillDecl, SkillTrustDecl, TenantDecl, ToolDecl, WorkspaceDecl,
};
pub use compile::{Compiled, Instances, NodeInstances, compile, compile_for, compile_loaded};
pub use expand::{expand, expand_bundle};
pub use fix::{Fixed, FixedText, fix};
pub use fmt::{Error as FormatError, format};
pub use gate::{ApprovalIr, GateNoteIr, MemberIr, PredicateIr, SubjectIr, ValueIr};
pub use index::{
    Completion, CompletionKind, Completions, Hint, Hover, Index, Item, Lens, Link, Occurrence, RenameError, Symbol,
    SymbolId, TokenClass, TokenSpan,
};
pub use ir::{
    ActionIr, BodyIr, BundleIr, Expansion, HttpIr, IncludeIr, InputIr, InstanceIr, OutputIr, Outputs, ProbeIr, ROLES,
    RenderIr, SbomIr, ServiceIr, ToolIr, ToolOf,
};
pub use kdl1::upgrade;
pub use load::load;
pub use package::{
    Candidate, Catalog, CatalogError, Folder, FolderError, FolderFile, LOCK_FILE, Lock, Locked, Minimum, Pick, Power,
    Resolution, Resolver, Source, VENDOR, Version, resolve,
};
pub use parse::parse;
pub use parsed::ParsedSlices;
pub use print::{print_expansion, quote};
pub use program::{DeclId, DeclKind, FileId, PackageId, Program, ProgramPackage};
pub use reference::{
    TOPICS, reference_names, reference_node, reference_nodes, reference_property, reference_stdlib, reference_topic,
    reference_words,
};
pub use route::{Estimate, PackageTerms, Rejected, Route, SecretTerms, TenantTerms, Terms};
pub use signer::{SignerDecl, parse_signer};
pub use stdlib::find as stdlib_text;
pub use syntax::{Kind, Node, Property, Spanned, TypeNote, Value};
pub use testing::{Mock, TestOutcome, TestRun, Trial, TrialExpect, TrialWhat, run_tests, test_failure};
pub use trust::{TrustDecl, TrustKey, TrustRequire, TrustTenant, parse_trust};
pub use ty::SchemaTy;
pub use world::{MemoryWorld, World, WorldError};
