//! Turns actions into results: keys, lookup, scheduling, processes, outputs. Knows the plan and the
//! ports of the store. Leaves out specs, bundles, and who asks.

mod builtin;
mod cancel;
mod capture;
mod engine;
mod error;
mod forecast;
mod glob;
mod hygiene;
mod inputs;
mod levels;
mod lookup;
mod outputs;
mod pools;
mod ports;
mod process;
mod reaper;
mod reason;
mod render;
mod report;
mod retry;
mod run;
mod sandbox;
mod sched;
mod stage;
mod state;
mod tools;
mod version;
mod workspace;

pub use cancel::CancelToken;
pub use error::{Error, Failure, FailureClass};
pub use forecast::{ActionForecast, Forecast, Prospect, forecast};
pub use ports::{Baseline, End, Ended, FileMeta, History, HistoryRow, Job, Ports, Runner, Snapshots, View};
pub use process::ProcessRunner;
pub use report::{ActionReport, OutputReport, RunReport, Seen};
pub use run::{Request, execute};
pub use sandbox::{Helper, Lack, Levels as IsolationLevels, SandboxRunner, sandbox_entry};
