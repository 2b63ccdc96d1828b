//! How many connections the system has files for. Each caller may need a second one, to the upstream server; callers who only connect and
//! say nothing must not take those.

/// What there is besides connections: the database, the listener, the log, and what each thread waits with.
#[cfg(unix)]
const OTHERS: u64 = 28;
#[cfg(unix)]
const OF_A_THREAD: u64 = 4;

/// Raises the process's limit of open files as far as `wanted` connections of callers need and the system allows. Returns how many it
/// has room for: at least one, at most `wanted`.
#[cfg(unix)]
pub fn room_for(wanted: usize, threads: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let others = OF_A_THREAD.saturating_mul(threads as u64).saturating_add(OTHERS);
    let needed = (wanted as u64).saturating_mul(2).saturating_add(others);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let mut limit = current.unwrap_or(u64::MAX);
    if limit < needed {
        let raised = maximum.map_or(needed, |maximum| maximum.min(needed));
        if setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }).is_ok() {
            limit = raised;
        }
    }
    let room = usize::try_from(limit.saturating_sub(others) / 2).unwrap_or(usize::MAX);
    room.clamp(1, wanted.max(1))
}

/// Elsewhere there is no such limit.
#[cfg(not(unix))]
pub fn room_for(wanted: usize, _threads: usize) -> usize {
    wanted.max(1)
}
