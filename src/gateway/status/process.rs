//! What the process uses, as far as the system says.

use super::report::MemoryStatus;

/// Reads it. Takes some milliseconds if thousands of files are open.
#[cfg(target_os = "linux")]
pub fn memory() -> MemoryStatus {
    use rustix::process::{Resource, getrlimit};

    MemoryStatus {
        resident: std::fs::read_to_string("/proc/self/status").ok().and_then(|text| resident(&text)),
        open_files: std::fs::read_dir("/proc/self/fd").ok().map(|files| files.count().saturating_sub(1) as u64),
        open_files_limit: getrlimit(Resource::Nofile).current,
    }
}

/// Other systems say it in other ways.
#[cfg(not(target_os = "linux"))]
pub fn memory() -> MemoryStatus {
    MemoryStatus::default()
}

/// Of the text of `/proc/self/status`: `VmRSS:     1234 kB`.
#[cfg(any(target_os = "linux", test))]
fn resident(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_the_process_is_read() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t   2048 kB\nThreads:\t1\n"), Some(2 << 20));
        assert_eq!((resident(""), resident("VmRSS: many kB")), (None, None));
        if cfg!(target_os = "linux") {
            let MemoryStatus { resident, open_files, .. } = memory();
            assert!(resident.is_some_and(|bytes| bytes > 1 << 20) && open_files.is_some_and(|files| files > 2));
        }
    }
}
