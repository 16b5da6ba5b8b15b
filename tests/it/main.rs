//! The integration tests, one binary. Leaves out what can be tested beside the code.

mod store;
