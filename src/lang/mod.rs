//! KDL text to a checked program: guard, slices, shapes, names, types, expansion. Pure: all outside
//! facts come through [`World`]. Leaves out digests and everything that happens at run time.

mod syntax;

pub use syntax::{Kind, Node, Property, Spanned, TypeNote, Value};
