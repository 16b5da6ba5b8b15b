//! The sandbox: what an action may see and do is enforced by the kernel, without other programs. Knows
//! processes and jobs, not plans or keys. Leaves out isolation `none`, which is `process`.
//!
//! | level | by | an action sees |
//! | --- | --- | --- |
//! | `full` | namespaces, Landlock, seccomp | its folder at `/build`, declared tools, the system's libraries |
//! | `landlock` | Landlock, seccomp | the same files at their places on the machine, and its processes |
//! | `none` | nothing | everything that the user does |
//!
//! This program is started again as its own helper (`helper`), which has one thread. It makes the root
//! once for each set of tools (`template`) and for each action a copy of itself in new namespaces, whose
//! first process (`inner`) gives up every right and starts the tool. The runner (`runner`) waits for it
//! by a descriptor, so that all of it is dead when the runner goes on. Where no namespace ends an action with the runner,
//! the `warden` does.

mod cgroup;
mod clone;
mod fence;
mod helper;
mod inner;
mod launch;
mod probe;
mod root;
mod runner;
mod seccomp;
mod template;
mod trace;
mod visit;
mod warden;
mod wire;

pub use cgroup::Cgroups;
pub use helper::enter as sandbox_entry;
pub use launch::Helper;
pub use probe::{Lack, Levels};
pub use runner::SandboxRunner;
pub use visit::Visit;

pub(super) use launch::is_own;
pub(super) use root::named_paths;
pub(super) use warden::{Noted, is_warden, note, set_busy};
