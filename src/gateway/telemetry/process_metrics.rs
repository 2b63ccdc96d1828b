//! The metrics of the process that Prometheus' own libraries have, by their names. They are read at each scrape, and only on Linux.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

/// See the module.
#[derive(Debug)]
pub struct ProcessMetrics;

impl Collector for ProcessMetrics {
    #[cfg(target_os = "linux")]
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        linux::metrics().iter().try_for_each(|metric| metric.encode(&mut encoder))
    }

    #[cfg(not(target_os = "linux"))]
    fn encode(&self, _: DescriptorEncoder<'_>) -> std::fmt::Result {
        Ok(())
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;

    use prometheus_client::registry::Unit;
    use rustix::param::{clock_ticks_per_second, page_size};
    use rustix::process::{Resource, getrlimit};

    use crate::gateway::telemetry::state_metrics::StateMetric;

    /// Where in `/proc/self/stat` the fields behind the name are, counted from the state: see proc(5).
    const USER_TIME: usize = 11;
    const SYSTEM_TIME: usize = 12;
    const START_TIME: usize = 19;
    const VIRTUAL: usize = 20;
    const RESIDENT: usize = 21;

    pub fn metrics() -> Vec<StateMetric> {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The name may contain spaces and brackets.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let field = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
        let ticks = clock_ticks_per_second() as f64;
        let cpu = field(USER_TIME).zip(field(SYSTEM_TIME)).map(|(user, system)| (user + system) / ticks);
        let started = field(START_TIME).zip(boot_time()).map(|(ticks_since, boot)| boot + ticks_since / ticks);
        let open = fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
        let most = getrlimit(Resource::Nofile).current.map(|limit| limit as f64);
        let gauge = StateMetric::gauge;
        vec![
            StateMetric::counter("process_cpu", "Processor time of the process").unit(Unit::Seconds).value(cpu),
            gauge("process_start_time", "When the process started, as Unix time").unit(Unit::Seconds).value(started),
            gauge("process_resident_memory", "Resident memory of the process")
                .unit(Unit::Bytes)
                .value(field(RESIDENT).map(|pages| pages * page_size() as f64)),
            gauge("process_virtual_memory", "Virtual memory of the process").unit(Unit::Bytes).value(field(VIRTUAL)),
            gauge("process_open_fds", "Open files of the process").value(open),
            gauge("process_max_fds", "How many files the process may open").value(most),
        ]
    }

    /// When the system started, as Unix time in seconds.
    fn boot_time() -> Option<f64> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
    }
}
