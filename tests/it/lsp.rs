//! The language server as an editor has it: the built program, spoken to over its standard input and
//! output. `client` is the editor, `session` asks each feature once, `life` is about beginnings, ends,
//! bursts and bad input, `follow` is about names inside other words, `costs` is about money, `soak` edits at random, `editors` checks what is shipped for editors, `neovim` is
//! a real one. Leaves out what names stand for: see the unit tests of `lang/index`.

mod blocks;
mod client;
mod costs;
mod editors;
mod follow;
mod life;
mod neovim;
mod session;
mod soak;
