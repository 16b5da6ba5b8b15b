//! Results to a signed, reproducible archive, and its verification. Leaves out how results came to be.
