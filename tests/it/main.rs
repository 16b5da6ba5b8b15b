//! t
mod guard;
