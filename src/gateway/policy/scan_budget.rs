//! The memory that bodies occupy which are read in full: one budget for all requests together, of which each account has a share.
//!
//! An account also gets no more than what it leaves free. So with however many accounts that take all they can, something is left for
//! the next one: four of them leave at least an eighth.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::gateway::config::Config;
use crate::gateway::rejection::Rejection;

/// An account gets at most the budget divided by this, so that it does not lock out the others.
const ACCOUNT_SHARES: usize = 4;
/// What is read for counting alone may take the budget of the others divided by this, beside it.
const COUNTING_SHARE: u64 = 4;
/// What it takes to scan a body beside the body as it came and as it is read: mostly the window of zstd.
const SCAN_OVERHEAD: usize = 20 << 20;
/// The capacity that a buffer begins with.
const MIN_CAPACITY: usize = 4 * 1024;

/// What is occupied at the moment. All in bytes.
#[derive(Debug, Default)]
pub struct ScanBudget(Mutex<Occupied>);

#[derive(Debug, Default)]
struct Occupied {
    total: usize,
    by_account: HashMap<Uuid, usize>,
}

/// How much may be occupied.
#[derive(Clone, Copy, Debug)]
pub struct ScanLimits {
    total: usize,
    account: usize,
}

impl ScanLimits {
    /// As the configuration has it, but never less than twice what the largest body takes: an account that is alone can read it.
    pub fn new(config: &Config) -> Self {
        let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
        let one = bytes(config.max_scanned_body).saturating_mul(2).saturating_add(SCAN_OVERHEAD);
        let total = bytes(config.scan_memory).max(one.saturating_mul(2));
        Self { total, account: (total / ACCOUNT_SHARES).max(one) }
    }

    /// What all accounts together may occupy.
    pub fn total(self) -> usize {
        self.total
    }

    /// Of bodies that are read for counting alone. They have a budget of their own, so that none of them is in the way of a body that must be
    /// read.
    pub fn for_counting(config: &Config) -> Self {
        let total = usize::try_from(config.scan_memory / COUNTING_SHARE).unwrap_or(usize::MAX);
        Self { total, account: total / ACCOUNT_SHARES }
    }
}

/// What one request occupies; given back when it is dropped.
#[derive(Debug)]
pub struct Reservation {
    /// `None` where the little that a request takes is not counted.
    budget: Option<Arc<ScanBudget>>,
    account: Uuid,
    limits: ScanLimits,
    bytes: usize,
}

impl ScanBudget {
    /// A reservation of nothing yet.
    pub fn reserve(self: &Arc<Self>, account: Uuid, limits: ScanLimits) -> Reservation {
        Reservation { budget: Some(self.clone()), account, limits, bytes: 0 }
    }

    /// What all requests together occupy.
    pub fn used(&self) -> usize {
        self.occupied().total
    }

    fn occupied(&self) -> MutexGuard<'_, Occupied> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation {
    /// For a body that is limited to a few KiB.
    pub fn uncounted() -> Self {
        let limits = ScanLimits { total: usize::MAX, account: usize::MAX };
        Self { budget: None, account: Uuid::nil(), limits, bytes: 0 }
    }

    /// Takes more of the budget.
    ///
    /// # Errors
    /// 503 when the account has its share already, or would leave less free than it has.
    pub fn grow(&mut self, more: usize) -> Result<(), Rejection> {
        if let Some(budget) = &self.budget {
            let mut occupied = budget.occupied();
            let total = occupied.total.saturating_add(more);
            let account = occupied.by_account.get(&self.account).copied().unwrap_or_default().saturating_add(more);
            let is_fair = self.limits.total.checked_sub(total).is_some_and(|free| account <= free);
            if !is_fair || account > self.limits.account {
                return Err(exhausted());
            }
            occupied.total = total;
            occupied.by_account.insert(self.account, account);
        }
        self.bytes = self.bytes.saturating_add(more);
        Ok(())
    }

    /// Whether so much more would be granted now. A body that says how long it is need not be read first.
    ///
    /// # Errors
    /// As [`grow`](Self::grow).
    pub fn would_grow(&mut self, more: usize) -> Result<(), Rejection> {
        let before = self.bytes;
        self.grow(more)?;
        self.shrink_to(before);
        Ok(())
    }

    /// How much this request occupies.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives back what is more than that.
    pub fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.bytes -= less;
        let Some(budget) = self.budget.as_ref().filter(|_| less > 0) else { return };
        let mut occupied = budget.occupied();
        occupied.total -= less;
        if let Some(account) = occupied.by_account.get_mut(&self.account) {
            *account -= less;
            if *account == 0 {
                occupied.by_account.remove(&self.account);
            }
        }
    }

    /// Makes room for so many bytes more in a buffer, whose capacity is reserved.
    ///
    /// # Errors
    /// As [`grow`](Self::grow).
    pub fn make_room(&mut self, buffer: &mut Vec<u8>, more: usize) -> Result<(), Rejection> {
        let (capacity, needed) = (buffer.capacity(), buffer.len().saturating_add(more));
        if needed <= capacity {
            return Ok(());
        }
        // Small ones double; of large ones less is left empty.
        let step = if capacity < 1 << 20 { capacity.max(MIN_CAPACITY) } else { capacity / 4 };
        let wanted = needed.max(capacity + step);
        self.grow(wanted - capacity)?;
        buffer.try_reserve_exact(wanted - buffer.len()).map_err(|_| exhausted())
    }

    /// Appends to a buffer, whose capacity is reserved.
    ///
    /// # Errors
    /// As [`grow`](Self::grow).
    pub fn append(&mut self, buffer: &mut Vec<u8>, data: &[u8]) -> Result<(), Rejection> {
        self.make_room(buffer, data.len())?;
        buffer.extend_from_slice(data);
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

fn exhausted() -> Rejection {
    let message = "too many request bodies that must be checked whole are in memory (scan-memory); try again in 2 s";
    Rejection::new(503, message).header("retry-after", "2")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ScanLimits = ScanLimits { total: 100, account: 40 };

    #[test]
    fn all_accounts_together_get_no_more_than_the_budget() {
        let budget = Arc::<ScanBudget>::default();
        let mut held: Vec<Reservation> = (1..=3).map(|n| budget.reserve(Uuid::from_u128(n), LIMITS)).collect();
        // Each leaves at least as much free as it takes.
        for (reservation, most) in held.iter_mut().zip([40, 30, 15]) {
            assert_eq!(reservation.grow(most + 1).unwrap_err().status(), 503);
            reservation.grow(most).unwrap();
            assert_eq!(reservation.grow(1).unwrap_err().status(), 503);
        }
        held.remove(0);
        held[1].grow(20).unwrap();
        assert_eq!(budget.occupied().total, 65);
        held.clear();
        let occupied = budget.occupied();
        assert_eq!((occupied.total, occupied.by_account.len()), (0, 0));
    }

    /// An account that fills its share leaves the rest to others, with however many requests.
    #[test]
    fn one_account_gets_its_share() {
        let budget = Arc::<ScanBudget>::default();
        let mut mine: Vec<Reservation> = (0..5).map(|_| budget.reserve(Uuid::from_u128(1), LIMITS)).collect();
        let granted = mine.iter_mut().filter_map(|reservation| reservation.grow(15).ok()).count();
        assert_eq!(granted, 2);
        assert!(budget.reserve(Uuid::from_u128(2), LIMITS).grow(35).is_ok());
        assert!(mine[0].would_grow(10).is_ok() && mine[0].would_grow(11).is_err());
        assert_eq!(mine[0].bytes(), 15);
    }

    #[test]
    fn accounts_that_take_all_they_can_leave_some_to_the_next() {
        let budget = Arc::<ScanBudget>::default();
        let limits = ScanLimits { total: 1000, account: 250 };
        let fill = |id| {
            let mut reservation = budget.reserve(Uuid::from_u128(id), limits);
            while reservation.grow(1).is_ok() {}
            reservation
        };
        let held: Vec<Reservation> = (1..=4).map(fill).collect();
        let next = fill(5);
        assert!(next.bytes() >= 60, "{held:?} {next:?}");
        // Taking turns they get the same.
        drop((held, next));
        let mut held: Vec<Reservation> = (1..=4).map(|id| budget.reserve(Uuid::from_u128(id), limits)).collect();
        while held.iter_mut().filter_map(|reservation| reservation.grow(1).ok()).count() > 0 {}
        assert!(held.iter().all(|reservation| reservation.bytes() == 200), "{held:?}");
        assert_eq!(fill(5).bytes(), 100);
    }

    #[test]
    fn the_capacity_of_a_buffer_is_counted() {
        let budget = Arc::<ScanBudget>::default();
        let limits = ScanLimits { total: 20 << 20, account: 10 << 20 };
        let (mut reservation, mut buffer) = (budget.reserve(Uuid::nil(), limits), Vec::new());
        let mut refused = None;
        for _ in 0..20 << 10 {
            refused = reservation.append(&mut buffer, &[0; 1024]).err();
            assert_eq!(reservation.bytes(), buffer.capacity());
            if refused.is_some() {
                break;
            }
        }
        assert_eq!(refused.unwrap().status(), 503);
        assert!(buffer.len() > 7 << 20);
    }

    #[test]
    fn the_budget_is_enough_for_the_largest_body() {
        for (memory, body) in [(1 << 20, 1 << 30), (256 << 20, 16 << 20), (1 << 40, 1024)] {
            let config = Config { scan_memory: memory, max_scanned_body: body, ..Config::default() };
            let limits = ScanLimits::new(&config);
            assert!(limits.account as u64 >= 2 * body && limits.total >= 2 * limits.account, "{limits:?}");
            assert!(limits.total as u64 >= memory, "{limits:?}");
        }
    }
}
