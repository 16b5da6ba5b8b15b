//! How much a test has worked. Leaves out time on the clock, which is also that of whatever else the machine does.

use std::time::Duration;

/// Time of the processor that this process has taken so far; each test is a process of its own.
pub(crate) fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().expect("time goes on"), time.tv_nsec.try_into().expect("less than a second"))
}
