//! Facts everything agrees on: digests and the canonical encoding, relative paths, trees,
//! units, JSON Schemas, the clock, the environment and the limits. Leaves out every notion of the domain.

mod address;
mod canon;
mod clock;
mod decimal;
mod digest;
#[cfg(test)]
mod drawn;
mod env;
mod kind;
mod limits;
mod path;
mod period;
mod schema;
mod slug;
mod template;
mod tree;
mod units;
mod version;
mod ways;

#[cfg(test)]
pub(crate) use drawn::{drawn, listed};
pub(crate) use ways::{Becomes, ways};

pub use address::{Address, addresses, fill_addresses};
pub use canon::{
    DigestSink, Field, FieldSink, Fields, Manifest, ManifestError, TextSink, Value, digest_fields, manifest_of,
};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use decimal::Decimal;
pub use digest::{ActionKey, Digest, Domain, Hasher, ParseDigestError};
pub use env::{EnvVar, Environment, NETWORK_PASS};
pub use kind::ErrorKind;
pub use limits::Limits;
pub use path::{PathError, RelPath};
pub use period::Period;
pub use schema::{JsonSchema, SchemaFault, SchemaFaults};
pub use slug::slug;
pub use template::too_deep_template;
pub use tree::{Entry, Tree, TreeError};
pub use units::{
    format_bytes, format_duration, format_micro_usd, parse_duration_ms, parse_micro_usd, parse_size_bytes,
};
pub use version::{ToolVersion, meets, no_requirement};
