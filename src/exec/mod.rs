//! Turns actions into results: keys, lookup, scheduling, processes, outputs. Knows the plan and the
//! ports of the store. Leaves out specs, bundles, and who asks.

mod attempts;
mod bounds;
mod budget;
mod builtin;
mod cancel;
mod capture;
mod check;
mod code;
mod due;
mod effects;
mod engine;
mod error;
mod explain;
mod facts;
mod fitting;
mod flights;
mod forecast;
mod gate;
mod glob;
mod guard;
mod held;
mod http;
mod hygiene;
mod inputs;
mod judge;
mod junit;
mod known;
mod levels;
mod listeners;
mod lookup;
mod memory;
mod outputs;
mod parallel;
mod pools;
mod ports;
mod probe;
mod process;
mod purse;
mod reaper;
mod reason;
mod render;
mod report;
mod retry;
mod run;
mod sandbox;
mod sbom;
mod sched;
mod scrub;
mod service_state;
mod services;
mod shell;
mod signals;
mod stage;
mod state;
mod tools;
mod undeclared;
mod workspace;

pub use bounds::{Bounds, Breach, Folders};
pub use cancel::CancelToken;
pub use check::unfit;
pub use code::CODES;
pub use error::{Error, Failure, FailureClass};
pub use forecast::{ActionForecast, Cost, Expense, Forecast, Prospect, forecast};
pub use known::{Before, Known, Part, is_there};
pub use parallel::{
    Agent, Merged, Metrics, PROMPT, ParallelResult, RunPolicy, TaskResult, TaskSpec, TaskStatus, run_graph,
    run_parallel,
};
pub use ports::{
    Approver, Baseline, Contents, End, Ended, Everyone, FileMeta, History, HistoryRow, Inventory, Job, Missed, Network,
    NoInventory, NoSecrets, Nobody, Packed, Ports, RunLife, Runner, Secrets, Snapshots, Standing, Stream, Tap, View,
    Writers,
};
pub use process::ProcessRunner;
pub use purse::Purse;
pub use report::{ActionReport, OutputReport, RunReport, Seen, ServiceReport, gravest};
pub use run::{Leavings, Request, execute, execute_in_parts, execute_together};
pub use sandbox::{Cgroups, Helper, Lack, Levels as IsolationLevels, SandboxRunner, Visit, sandbox_entry};
pub use shell::{Announce, VisitRunner};
pub use tools::{interpreter_of, look_up};
