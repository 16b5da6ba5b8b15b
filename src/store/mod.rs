//! Blobs and trees by digest, results by action key. Knows keys and bytes only, not what an action
//! is. Leaves out execution.

mod code;
mod codec;
mod commit;
#[cfg(test)]
mod conformance;
mod damage;
mod database;
mod history;
mod index;
mod layout;
mod lease;
mod ledger;
mod local;
mod looking;
mod materialize;
mod memory;
mod ports;
mod read;
mod reading;
mod rekey;
mod shared;
mod spending;
mod statcache;
mod upkeep;
mod why;

pub use code::CODES;
pub use history::{Brief, History, LatestRow, OpenRun, RunEnd, RunRow, RunStatus};
pub use layout::network_of;
pub use ledger::{Begun, EffectRow, EffectState, Ledger, Page};
pub use local::{Durability, LocalStore, Notify, StoreOptions};
pub use looking::Looking;
pub use materialize::{materialize, materialize_below};
pub use memory::MemoryStore;
pub use ports::{Cas, Claim, ClaimOutput, Claims, Error, Found, Signed};
pub use reading::copy_database;
pub use rekey::{NewKey, RekeyReport};
pub use spending::{SetAside, Spending};
pub use statcache::{FileStat, StatCache};
pub use upkeep::{GcOptions, GcReport, StoreStat, VerifyReport};
pub use why::Holder;
