//! What the program does to its own process before it touches a secret, and undoes before another program takes its place.

#[cfg(unix)]
use std::sync::OnceLock;

/// The soft limit on core dumps that we were started with; `None` is no limit.
#[cfg(unix)]
static CORE_LIMIT: OnceLock<Option<u64>> = OnceLock::new();

/// Keeps secrets out of core dumps, and on Linux other processes of the same account out of our memory and environment
/// (`ptrace`, `/proc/<pid>/mem`, `/proc/<pid>/environ`). Where the system refuses, the program works all the same.
pub fn harden() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        // The soft limit alone: what we start, such as the browser, may raise its own again.
        let Rlimit { current, maximum } = getrlimit(Resource::Core);
        let _ = CORE_LIMIT.set(current);
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
    }
}

/// Puts the limit on core dumps back to what it was: a program that takes our place is to find what it would have found without
/// us. Until then our memory stays undumpable by the other means of [`harden`].
#[cfg(unix)]
pub fn soften() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    if let Some(&current) = CORE_LIMIT.get() {
        let maximum = getrlimit(Resource::Core).maximum;
        let _ = setrlimit(Resource::Core, Rlimit { current, maximum });
    }
}
