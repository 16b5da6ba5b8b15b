//! The one integration binary.

mod exec;
