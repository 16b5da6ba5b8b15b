//! Blobs and trees by digest, results by action key. Knows keys and bytes only, not what an action
//! is. Leaves out execution.

mod ports;

pub use ports::{Cas, Claim, ClaimOutput, Claims, Error, Found};
