//! What the program does to its own process before it touches a secret.

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
        let maximum = getrlimit(Resource::Core).maximum;
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
    }
}
