//! The table of signatures, with its bounds.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use uuid::Uuid;

use super::{Limits, Used, Verdict};
use crate::gateway::clock::Moment;
use crate::identity::PublicKey;

/// Signatures are kept for this long at least, where there is room: a clock that stood wrong by less than that and is corrected leaves no
/// device refused.
const KEPT: Duration = Duration::from_secs(2 * 60 * 60);
/// Between two looks for those that are older.
const SWEEP: Duration = Duration::from_secs(60);
/// Between two searches for room in the same full place, each of which looks at all that is there.
const RECLAIM: Duration = Duration::from_secs(1);
/// Of the account that loses some because all together are too many, the part that it loses: one in so many.
const LOST: usize = 8;

#[derive(Debug)]
pub(super) struct Table {
    devices: HashMap<PublicKey, Seen>,
    accounts: HashMap<Uuid, Share>,
    all: usize,
    limits: Limits,
    swept: Duration,
    reclaimed: Option<Duration>,
}

/// An account's part of the table.
#[derive(Debug, Default)]
struct Share {
    count: usize,
    reclaimed: Option<Duration>,
}

/// One device's signatures. It stays as long as the gateway runs, for its mark: there are no more than devices were approved.
#[derive(Debug)]
pub(super) struct Seen {
    account: Uuid,
    first_uses: HashMap<[u8; 16], FirstUse>,
    /// No signature in there is older.
    oldest: Duration,
    /// Those up to this Unix second may have been dropped.
    dropped: i64,
    /// The store holds that those up to this Unix second may have been used.
    pub(super) recorded: i64,
    reclaimed: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct FirstUse {
    address: IpAddr,
    ts: i64,
    elapsed: Duration,
}

impl Seen {
    fn new(account: Uuid, mark: i64) -> Self {
        Self {
            account,
            first_uses: HashMap::new(),
            oldest: Duration::MAX,
            dropped: mark,
            recorded: mark,
            reclaimed: None,
        }
    }

    /// Drops some, and gives their number.
    fn drop_where(&mut self, goes: impl Fn(&FirstUse) -> bool) -> usize {
        let before = self.first_uses.len();
        let (mut dropped, mut oldest) = (self.dropped, Duration::MAX);
        self.first_uses.retain(|_, first| {
            if goes(first) {
                dropped = dropped.max(first.ts);
                return false;
            }
            oldest = oldest.min(first.elapsed);
            true
        });
        (self.dropped, self.oldest) = (dropped, oldest);
        before - self.first_uses.len()
    }
}

/// Whether something may be done that was last done then; takes note of it.
fn is_due(last: &mut Option<Duration>, elapsed: Duration) -> bool {
    let due = last.is_none_or(|last| elapsed.saturating_sub(last) >= RECLAIM);
    if due {
        *last = Some(elapsed);
    }
    due
}

impl Table {
    pub(super) fn new(marks: HashMap<PublicKey, i64>, limits: Limits) -> Self {
        let devices = marks.into_iter().map(|(key, mark)| (key, Seen::new(Uuid::nil(), mark))).collect();
        Self { devices, accounts: HashMap::new(), all: 0, limits, swept: Duration::ZERO, reclaimed: None }
    }

    pub(super) fn seen(&mut self, key: &PublicKey) -> Option<&mut Seen> {
        self.devices.get_mut(key)
    }

    /// `oldest` is the Unix second before which signatures are not accepted any more, as far as the clock is right.
    pub(super) fn admit(&mut self, used: Used<'_>, digest: [u8; 16], at: Moment, oldest: i64) -> Verdict {
        let Used { key, account, ts, address, reuse, .. } = used;
        self.sweep(at.elapsed, oldest);
        if !self.devices.contains_key(key) {
            self.devices.insert(key.clone(), Seen::new(account, i64::MIN));
        }
        let Some(seen) = self.devices.get_mut(key) else { return Verdict::TooManyOfDevice };
        if seen.account != account {
            let count = seen.first_uses.len();
            let former = std::mem::replace(&mut seen.account, account);
            self.count(former, count, 0);
            self.count(account, 0, count);
        }
        let Some(seen) = self.devices.get_mut(key) else { return Verdict::TooManyOfDevice };
        if let Some(first) = seen.first_uses.get(&digest) {
            let age = at.elapsed.saturating_sub(first.elapsed);
            return reuse.verdict(first.address == address, age, first.address);
        }
        if ts <= seen.dropped {
            return Verdict::Forgotten(seen.dropped);
        }
        if seen.first_uses.len() >= self.limits.device && !self.make_room_of_device(key, at.elapsed, oldest) {
            return Verdict::TooManyOfDevice;
        }
        if self.share(account) >= self.limits.account && !self.make_room_of_account(account, at.elapsed, oldest) {
            return Verdict::TooManyOfAccount;
        }
        if self.all >= self.limits.all && !self.make_room(account, at.elapsed, oldest) {
            return Verdict::TooManyOfAccount;
        }
        if let Some(seen) = self.devices.get_mut(key) {
            // Making room may have dropped others of this device.
            if ts <= seen.dropped {
                return Verdict::Forgotten(seen.dropped);
            }
            seen.first_uses.insert(digest, FirstUse { address, ts, elapsed: at.elapsed });
            seen.oldest = seen.oldest.min(at.elapsed);
            self.count(account, 0, 1);
        }
        Verdict::First
    }

    pub(super) fn share(&self, account: Uuid) -> usize {
        self.accounts.get(&account).map_or(0, |share| share.count)
    }

    fn count(&mut self, account: Uuid, less: usize, more: usize) {
        let share = self.accounts.entry(account).or_default();
        share.count = share.count.saturating_sub(less) + more;
        self.all = self.all.saturating_sub(less) + more;
        if share.count == 0 {
            self.accounts.remove(&account);
        }
    }

    /// Drops those that are too old by both clocks.
    fn sweep(&mut self, elapsed: Duration, oldest: i64) {
        if elapsed.saturating_sub(self.swept) < SWEEP {
            return;
        }
        self.swept = elapsed;
        let goes = |first: &FirstUse| elapsed.saturating_sub(first.elapsed) >= KEPT && first.ts < oldest;
        self.drop_of(|seen| elapsed.saturating_sub(seen.oldest) >= KEPT, goes);
    }

    /// Drops some of some devices, and says whether there were any.
    fn drop_of(&mut self, of: impl Fn(&Seen) -> bool, goes: impl Fn(&FirstUse) -> bool + Copy) -> bool {
        let mut gone: HashMap<Uuid, usize> = HashMap::new();
        for seen in self.devices.values_mut().filter(|seen| !seen.first_uses.is_empty() && of(seen)) {
            *gone.entry(seen.account).or_default() += seen.drop_where(goes);
        }
        let any = gone.values().any(|count| *count > 0);
        for (account, count) in gone {
            self.count(account, count, 0);
        }
        any
    }

    /// Drops what is too old by the clock, without waiting for the other one.
    fn make_room_of_device(&mut self, key: &PublicKey, elapsed: Duration, oldest: i64) -> bool {
        let Some(seen) = self.devices.get_mut(key) else { return false };
        if !is_due(&mut seen.reclaimed, elapsed) {
            return false;
        }
        let (account, gone) = (seen.account, seen.drop_where(|first| first.ts < oldest));
        self.count(account, gone, 0);
        gone > 0
    }

    fn make_room_of_account(&mut self, account: Uuid, elapsed: Duration, oldest: i64) -> bool {
        let share = self.accounts.entry(account).or_default();
        is_due(&mut share.reclaimed, elapsed) && self.drop_of(|seen| seen.account == account, |first| first.ts < oldest)
    }

    /// Drops what is too old by the clock; where that is nothing, the oldest of the account that has most. `false` when that is the one
    /// that wants room.
    fn make_room(&mut self, account: Uuid, elapsed: Duration, oldest: i64) -> bool {
        if is_due(&mut self.reclaimed, elapsed) && self.drop_of(|_| true, |first| first.ts < oldest) {
            return true;
        }
        let most = self.accounts.iter().max_by_key(|(_, share)| share.count).map(|(account, _)| *account);
        let Some(loser) = most.filter(|loser| *loser != account) else { return false };
        let of_loser = self.devices.values().filter(|seen| seen.account == loser);
        let mut ages: Vec<Duration> =
            of_loser.flat_map(|seen| seen.first_uses.values()).map(|first| first.elapsed).collect();
        let part = ages.len() / LOST;
        let (_, last, _) = ages.select_nth_unstable(part);
        let last = *last;
        self.drop_of(|seen| seen.account == loser, |first| first.elapsed <= last)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let counted: usize = self.devices.values().map(|seen| seen.first_uses.len()).sum();
        let shared: usize = self.accounts.values().map(|share| share.count).sum();
        assert_eq!((counted, shared), (self.all, self.all));
        counted
    }
}
