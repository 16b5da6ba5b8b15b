//! KDL text to a checked program: guard, slices, shapes, names, types, expansion. Pure: all outside
//! facts come through [`World`]. Leaves out digests and everything that happens at run time.

mod fmt;
mod guard;
mod lex;
mod lex_string;
mod parse;
mod parse_check;
mod parse_lower;
mod parse_word;
mod slice;
mod syntax;

pub use fmt::{Error as FormatError, format};
pub use parse::parse;
pub use syntax::{Kind, Node, Property, Spanned, TypeNote, Value};
