//! Empty: this package exists to pin a crate by its lock file.
