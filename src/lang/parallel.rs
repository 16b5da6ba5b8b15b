//! The same work for each of many things, on as many threads as the machine has. What comes of it is in the order
//! of the things, whoever did it. Leaves out what the work is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::base::Limits;

/// What the work gives for each number below a count. `many`: whether threads are worth it.
pub(super) fn in_turn<T: Send>(count: usize, many: bool, work: &(dyn Fn(usize) -> T + Sync)) -> Vec<T> {
    let workers = if many { thread::available_parallelism().map_or(1, usize::from).min(count) } else { 1 };
    if workers < 2 {
        return (0..count).map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let some = || {
        let numbers =
            std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < count));
        numbers.map(|number| (number, work(number))).collect::<Vec<_>>()
    };
    // As deep as that of the first thread, whatever the work goes into.
    let builder = || thread::Builder::new().stack_size(Limits::PARSER_STACK_BYTES);
    let mut all = thread::scope(|scope| {
        // A thread that cannot be had is one less.
        let others: Vec<_> = (1..workers).filter_map(|_| builder().spawn_scoped(scope, some).ok()).collect();
        let mut all = some();
        for other in others {
            match other.join() {
                Ok(more) => all.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    all.sort_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, found)| found).collect()
}

#[cfg(test)]
mod tests {
    use super::in_turn;

    #[test]
    fn what_comes_of_it_is_in_order() {
        let squares: Vec<usize> = (0..1_000).map(|number| number * number).collect();
        assert_eq!(in_turn(1_000, true, &|number| number * number), squares);
        assert_eq!(in_turn(1_000, false, &|number| number * number), squares);
        assert_eq!(in_turn(0, true, &|number| number), Vec::<usize>::new());
    }
}
