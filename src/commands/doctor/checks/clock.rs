//! This machine's clock, compared with the hosts': signatures carry the time.

use super::super::finding::{Finding, Group, Level};
use super::super::view::View;
use super::super::view::hosts::HostState;

/// Up to so many seconds nothing is said: a request takes time, and a `Date` has whole seconds.
const FINE: u64 = 10;
/// Beyond so many seconds a gateway refuses signatures (its setting `clock-tolerance`); what ollama.com allows is unknown.
const TOLERATED: u64 = 60;

/// See the module.
pub fn check(view: &View<'_>) -> Vec<Finding> {
    let signs = |host: &HostState| {
        let mut there = view.each().filter(|(_, profile)| profile.url.origin() == host.url.origin());
        there.any(|(_, profile)| profile.device.is_some())
    };
    view.hosts.iter().filter_map(|host| one(host, offset(host)?, signs(host))).collect()
}

fn offset(host: &HostState) -> Option<i64> {
    host.look.as_ref().ok()?.as_ref()?.clock_offset
}

/// `signs`: a device key is used there. An API key knows no time.
fn one(host: &HostState, ahead: i64, signs: bool) -> Option<Finding> {
    let off = ahead.unsigned_abs();
    if off <= FINE {
        return None;
    }
    let level = if off > TOLERATED && signs { Level::Error } else { Level::Warning };
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    let what = format!("this machine's clock is {} {direction} that of {}", span(off), host.url);
    let finding = Finding::new(level, Group::Hosts, "clock", what).why(
        "signatures carry the time, and certificates and keys end at one: a host refuses what seems too old or too new",
    );
    Some(finding.remedy("sudo timedatectl set-ntp true"))
}

fn span(seconds: u64) -> String {
    match seconds {
        ..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::BaseUrl;
    use crate::api::Look;

    #[test]
    fn a_clock_that_is_off_is_said_in_a_unit_that_fits() {
        let host = |ahead| HostState {
            url: BaseUrl::ollama_com(),
            look: Ok(Some(Look { clock_offset: Some(ahead), gateway: None })),
            verdicts: Vec::new(),
        };
        let found = |ahead, signs| one(&host(ahead), offset(&host(ahead)).unwrap(), signs);
        let of = |ahead| found(ahead, true).map(|finding| (finding.level, finding.what));
        assert_eq!(of(10), None);
        assert_eq!(of(-10), None);
        let (level, what) = of(-11).unwrap();
        assert_eq!((level, what.contains("11 seconds behind")), (Level::Warning, true));
        let (level, what) = of(61).unwrap();
        assert_eq!((level, what.contains("61 seconds ahead of that of https://ollama.com")), (Level::Error, true));
        assert_eq!(found(61, false).unwrap().level, Level::Warning, "an API key knows no time");
        assert!(of(7200).unwrap().1.contains("2 hours"));
        assert!(of(i64::MIN).unwrap().1.contains("days"));
    }
}
