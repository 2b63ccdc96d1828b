//! Scans bodies beside the threads that serve: a few at a time, and one at a time for each credential and each account.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::scan_budget::{Reservation, ScanBudget, ScanLimits};
use crate::gateway::authn::Caller;
use crate::gateway::rejection::Rejection;

/// A body that is not longer, in bytes, and not packed, is scanned on the thread that serves: that takes less time than to hand it over.
pub const MAX_SCANNED_INLINE: usize = 64 * 1024;

/// The budget and the queue. There is one for the whole gateway.
pub struct Scanner {
    budget: Arc<ScanBudget>,
    /// Of bodies that are read for counting alone.
    counting: Arc<ScanBudget>,
    /// Scans at a time: half of the processors are left to those who serve.
    slots: Arc<Semaphore>,
    turns: Turns,
}

impl Default for Scanner {
    fn default() -> Self {
        let slots = std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2));
        Self {
            budget: Arc::default(),
            counting: Arc::default(),
            slots: Arc::new(Semaphore::new(slots)),
            turns: Turns::default(),
        }
    }
}

impl Scanner {
    /// A reservation for a request of that caller, of nothing yet.
    pub fn reserve(&self, caller: &Caller, limits: ScanLimits) -> Reservation {
        self.budget.reserve(caller.user().id, limits)
    }

    /// The same for counting alone.
    pub fn reserve_for_counting(&self, caller: &Caller, limits: ScanLimits) -> Reservation {
        self.counting.reserve(caller.user().id, limits)
    }

    /// The memory that bodies occupy which are read in full, in bytes.
    pub fn memory(&self) -> usize {
        self.budget.used()
    }

    /// Does such work on a thread of its own, after the work of the same credential and the same account that came before. The wait is
    /// for the work alone, not for what becomes of the request.
    ///
    /// # Errors
    /// Those of the work; 500 when it panics.
    pub async fn run<T: Send + 'static>(
        &self,
        caller: &Caller,
        work: impl FnOnce() -> Result<T, Rejection> + Send + 'static,
    ) -> Result<T, Rejection> {
        // In this order, so that an account with many requests or keys is in the queue for a slot only once.
        let credential = self.turns.take(Owner::Credential(caller.name())).await;
        let account = self.turns.take(Owner::Account(caller.user().id)).await;
        let slot = self.slots.clone().acquire_owned().await;
        // Held until the work is done, even if the caller leaves.
        let done = tokio::task::spawn_blocking(move || {
            let _held = (credential, account, slot);
            work()
        });
        done.await.unwrap_or_else(|error| {
            tracing::error!(%error, "request body could not be scanned");
            Err(Rejection::new(500, "the request body could not be read"))
        })
    }
}

/// Who waits for a turn.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Owner {
    Credential(String),
    Account(Uuid),
}

/// One turn at a time for each owner, in the order of asking. Clones share it.
#[derive(Clone, Default)]
struct Turns(Arc<Mutex<HashMap<Owner, Arc<Semaphore>>>>);

/// The turn of an owner, or the wait for it.
struct Turn {
    turns: Turns,
    owner: Owner,
    permit: Option<OwnedSemaphorePermit>,
}

impl Turns {
    async fn take(&self, owner: Owner) -> Turn {
        let semaphore = {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.entry(owner.clone()).or_insert_with(|| Arc::new(Semaphore::new(1))).clone()
        };
        // Made before the wait, so that one who leaves while waiting is removed too.
        let mut turn = Turn { turns: self.clone(), owner, permit: None };
        turn.permit = semaphore.acquire_owned().await.ok();
        turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        drop(self.permit.take());
        let mut waiting = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The map alone has it: all others have left.
        if waiting.get(&self.owner).is_some_and(|semaphore| Arc::strong_count(semaphore) == 1) {
            waiting.remove(&self.owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn owner(name: &str) -> Owner {
        Owner::Credential(name.to_owned())
    }

    #[tokio::test]
    async fn each_owner_has_one_turn_at_a_time() {
        let turns = Turns::default();
        let first = turns.take(owner("a")).await;
        let other = turns.take(owner("b")).await;
        {
            let mut second = std::pin::pin!(turns.take(owner("a")));
            assert!(futures_util::FutureExt::now_or_never(second.as_mut()).is_none());
            drop(first);
            drop(second.await);
        }
        drop(other);
        assert!(turns.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_owner_who_leaves_the_queue_is_removed() {
        let turns = Turns::default();
        let first = turns.take(owner("a")).await;
        let mut second = Box::pin(turns.take(owner("a")));
        assert!(futures_util::FutureExt::now_or_never(second.as_mut()).is_none());
        drop(first);
        drop(second);
        assert!(turns.0.lock().unwrap().is_empty());
    }

    /// On a single thread: what serves others goes on while a scan takes its time, and the same key's next scan waits for it.
    #[tokio::test]
    async fn others_are_served_during_a_scan() {
        let scanner = Scanner::default();
        let [ada, bob] = ["ada", "bob"].map(Caller::for_tests);
        let (finish, gate) = mpsc::channel::<()>();
        let order = Mutex::new(Vec::new());
        let note = |what: &'static str| order.lock().unwrap().push(what);
        let slow = async {
            let work = move || gate.recv().map_err(|_| Rejection::new(400, "the test ended"));
            scanner.run(&ada, work).await.unwrap();
            note("slow");
        };
        let queued = async {
            scanner.run(&ada, || Ok(())).await.unwrap();
            note("queued");
        };
        let other = async {
            tokio::task::yield_now().await;
            let _ = bob;
            note("other");
            finish.send(()).unwrap();
        };
        tokio::join!(slow, queued, other);
        assert_eq!(*order.lock().unwrap(), ["other", "slow", "queued"]);
    }

    #[tokio::test]
    async fn a_scan_that_panics_is_a_rejection() {
        let scanner = Scanner::default();
        let ada = Caller::for_tests("ada");
        let scan = scanner.run(&ada, || -> Result<(), Rejection> { panic!("as a library might") }).await;
        assert_eq!(scan.unwrap_err().status(), 500);
        assert!(scanner.run(&ada, || Ok(())).await.is_ok());
    }
}
