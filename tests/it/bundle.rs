//! Bundles from outside: their bytes, their verification, and other people's tools on both. Leaves out
//! how results come to be.

mod archives;
mod bytes;
mod support;
mod tools;
mod trust;
