//! The integration tests, in one binary: one module per part of the house.

mod bundle;
