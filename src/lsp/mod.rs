//! The language server: the protocol of editors to questions of `ops`, answers to the protocol.
//! Leaves out every piece of knowledge about the language, which is `lang`'s index.

mod answers;
mod capabilities;
mod convert;
mod documents;
mod position;
mod server;
mod uri;
mod watch;
mod worker;

pub use server::serve;
