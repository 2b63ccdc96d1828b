//! How many tokens subjects with a budget have used in this hour, day and month.
//!
//! What is used is what the database has, what this gateway has not written yet, and what its running requests have used so far. Nothing
//! is asked of the database for a request, and nothing reserved there: what other gateways have written is read beside, after each batch
//! that this one writes and now and then. So a budget can be exceeded by what all of them use in that time.
//!
//! Gateways that share a database also write what running requests have used so far: others then know of streams that last long. The real
//! count replaces it at the end, in the window in which the request ends.
//!
//! While the database cannot be reached, each gateway may use its part of what was left.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use smallvec::SmallVec;

use super::applicable::{Subject, key_subject};
use super::applicable_budgets::{ApplicableBudget, ApplicableBudgets, BudgetOwner};
use super::budget_usage::BudgetUsage;
use super::budget_window::BudgetWindow;
use crate::gateway::active_config::ConfigHandle;
use crate::gateway::clock::Clock;
use crate::gateway::store::{Actor, BudgetNews, BudgetTotal, BudgetUse, Event};
use crate::keyspec::{KeyId, Limit, LimitUse, RequestLimits};

/// The parts of a budget of whose use is told, in percent.
const TOLD_AT: [u64; 2] = [80, 100];

/// Budgets in which a request counts.
pub(super) type HeldBudgets = SmallVec<[(ApplicableBudget, Arc<BudgetUsage>); 4]>;

/// What is used of a budget, and when it renews.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetState {
    /// Whose it is.
    pub owner: BudgetOwner,
    /// The name by which its use is found.
    pub subject: String,
    /// Which of [`Limit::BUDGETS`].
    pub budget: Limit,
    /// Tokens.
    pub limit: u64,
    /// Tokens, of all gateways together.
    pub used: u64,
    /// In Unix seconds.
    pub renews_at: i64,
}

impl BudgetState {
    /// The tokens that are left.
    pub fn left(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

/// A part of a budget of whose use is told was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetWarning {
    /// The name by which its use is found.
    pub subject: String,
    /// Which of [`Limit::BUDGETS`].
    pub budget: Limit,
    /// Tokens.
    pub limit: u64,
    /// Tokens, when it was told.
    pub used: u64,
    /// The part that was reached, in percent.
    pub percent: u64,
    /// In Unix seconds.
    pub renews_at: i64,
}

impl BudgetWarning {
    /// What the event log says of it.
    pub fn event(&self, now: i64) -> Event {
        let Self { subject, budget, limit, used, percent, renews_at } = self;
        let action = if *percent < 100 { "budget.low" } else { "budget.used-up" };
        Event::new(now, Actor::Gateway, action, subject)
            .with("budget", budget.name())
            .with("limit", *limit)
            .with("used", *used)
            .with("renews_at", Timestamp::from_second(*renews_at).unwrap_or_default().to_string())
    }
}

/// See the module. There is one for the whole gateway.
pub struct Budgets {
    config: Arc<ConfigHandle>,
    clock: Clock,
    /// By subject. A subject is here once it has used anything.
    subjects: Mutex<HashMap<String, Arc<BudgetUsage>>>,
    /// What of the database was read.
    version: AtomicI64,
    /// Whether the database answered last.
    is_offline: AtomicBool,
    /// The gateways that share the budgets, this one among them.
    gateways: AtomicU32,
    /// Counts what was taken to be written, so that each subject has its turn.
    turn: AtomicU64,
}

impl Budgets {
    /// Nothing is used, and nothing was read.
    pub fn new(config: Arc<ConfigHandle>, clock: Clock) -> Self {
        Self {
            config,
            clock,
            subjects: Mutex::default(),
            version: AtomicI64::default(),
            is_offline: AtomicBool::default(),
            gateways: AtomicU32::new(1),
            turn: AtomicU64::default(),
        }
    }

    /// The first budget that is used up, if one is. That is the one which renews last.
    pub fn used_up(&self, budgets: &ApplicableBudgets) -> Option<BudgetState> {
        if budgets.is_empty() {
            return None;
        }
        let windows = self.windows();
        let all = budgets.iter().filter_map(|budget| {
            let usage = self.known(&budget.subject)?;
            usage.lock().set_budget(budget);
            self.used_up_of(budget, &usage, windows)
        });
        all.reduce(|one, other| if other.renews_at > one.renews_at { other } else { one })
    }

    /// The places in which a request counts that is admitted.
    pub(super) fn places(&self, budgets: ApplicableBudgets) -> HeldBudgets {
        let place = |budget: ApplicableBudget| {
            let usage = self.usage(&budget.subject);
            usage.lock().set_budget(&budget);
            (budget, usage)
        };
        budgets.into_iter().map(place).collect()
    }

    /// What is used of each budget.
    pub fn states(&self, budgets: &ApplicableBudgets) -> Vec<BudgetState> {
        let windows = self.windows();
        let mut states = Vec::new();
        for budget in budgets {
            let usage = self.known(&budget.subject).unwrap_or_default();
            states.extend(self.states_of(budget, &usage, windows).map(|(state, _)| state));
        }
        states
    }

    /// What is used of the budgets of which most is used, of keys and people that made requests since this gateway began.
    pub fn most_used(&self, most: usize) -> Vec<BudgetState> {
        let is_one = |owner: &BudgetOwner| {
            matches!(owner, BudgetOwner::Subject(Subject::Key | Subject::Person | Subject::PersonIn(_)))
        };
        let known = self.lock().clone();
        let budgets: ApplicableBudgets = known
            .into_iter()
            .filter_map(|(subject, usage)| {
                let windows = usage.lock();
                let (owner, limits) = (windows.owner.clone().filter(is_one)?, windows.limits);
                Some(ApplicableBudget { owner, subject, limits })
            })
            .collect();
        let mut states = self.states(&budgets);
        states.sort_by_cached_key(|state| {
            let share = u128::from(state.used) * 1000 / u128::from(state.limit.max(1));
            (std::cmp::Reverse(share), state.subject.clone(), state.renews_at)
        });
        states.truncate(most);
        states
    }

    /// What a key, named by the first of its line of replacements, has used of its budgets.
    pub fn used_by_key(&self, key: &KeyId, limits: RequestLimits) -> LimitUse {
        let (owner, subject) = (BudgetOwner::Subject(Subject::Key), key_subject(key));
        let mut used = LimitUse::default();
        for state in self.states(&ApplicableBudgets::from_iter([ApplicableBudget { owner, subject, limits }])) {
            match state.budget {
                Limit::TokensPerHour => used.tokens_per_hour = Some(state.used),
                Limit::TokensPerDay => used.tokens_per_day = Some(state.used),
                _ => used.tokens_per_month = Some(state.used),
            }
        }
        used
    }

    /// What a running request makes too much, of the budgets that cut streams.
    pub(super) fn cuts(&self, budget: &ApplicableBudget, usage: &BudgetUsage) -> Option<BudgetState> {
        if budget.limits.cuts_streams { self.used_up_of(budget, usage, self.windows()) } else { None }
    }

    /// The windows that it is now.
    pub(super) fn windows(&self) -> [BudgetWindow; 3] {
        BudgetWindow::all(self.clock.now(), &self.config.get().time_zone)
    }

    /// What is to be written, and was not before: of so many windows, and a few more. With `has_running` also what running requests have used so
    /// far. [`written`](Self::written) is to follow, also after the same was written again.
    pub fn take(&self, most: usize, has_running: bool) -> Vec<BudgetUse> {
        let mut uses = Vec::new();
        let now = self.windows();
        let subjects = self.lock();
        let mut subjects: Vec<_> = subjects.iter().collect();
        // Streams use something all the time: those whose turn was longest ago come first, or others would wait without end.
        subjects.sort_by_cached_key(|(_, usage)| usage.lock().taken_at);
        for (subject, usage) in subjects {
            if uses.len() >= most {
                break;
            }
            let mut windows = usage.lock();
            windows.taken_at = self.turn.fetch_add(1, Ordering::Relaxed) + 1;
            let running = if has_running { usage.running.load(Ordering::Acquire) } else { 0 };
            if running > 0 {
                for window in now {
                    windows.count(window);
                }
            }
            for count in &mut windows.counts {
                // What runs on in the next window is taken back from this one.
                let is_now = || now.iter().any(|now| now.is_same(&count.window));
                let advanced = match has_running {
                    true if is_now() => running,
                    true => 0,
                    false => count.advanced,
                };
                let tokens = count.take(advanced);
                if tokens != 0 {
                    uses.push(BudgetUse { id: count.window.id(subject), ends_at: count.window.ends_at, tokens });
                }
            }
        }
        uses
    }

    /// A batch with these uses was written. `totals` is what windows have since; a batch that was written before says none. Returns the
    /// budgets of which 80 % or all is used since.
    pub fn written(&self, uses: &[BudgetUse], totals: &[BudgetTotal]) -> Vec<BudgetWarning> {
        let totals: HashMap<&str, u64> = totals.iter().map(|total| (&*total.id, total.tokens)).collect();
        let mut warnings = Vec::new();
        for BudgetUse { id, ends_at, tokens } in uses {
            let Some((budget, number, subject)) = BudgetWindow::parse(id) else { continue };
            let usage = self.usage(subject);
            let mut windows = usage.lock();
            let limit = windows.limits.get(budget);
            let count = windows.count(BudgetWindow { budget, number, ends_at: *ends_at });
            count.writing = count.writing.saturating_sub(*tokens);
            let Some(total) = totals.get(&**id).copied() else {
                count.stored = count.stored.saturating_add_signed(*tokens);
                continue;
            };
            count.stored = total;
            let Some(limit) = limit else { continue };
            // Each addition is after another, so one gateway alone sees that a part is reached.
            let before = total.saturating_sub_signed(*tokens);
            let reached = |percent: &u64| {
                let part = u128::from(limit) * u128::from(*percent);
                u128::from(before) * 100 < part && part <= u128::from(total) * 100
            };
            let is_new = |percent: &u64| *percent > count.told;
            if let Some(percent) = TOLD_AT.into_iter().rfind(reached).filter(is_new) {
                count.told = percent;
                let (subject, renews_at) = (subject.to_owned(), *ends_at);
                warnings.push(BudgetWarning { subject, budget, limit, used: total, percent, renews_at });
            }
        }
        self.is_offline.store(false, Ordering::Relaxed);
        warnings
    }

    /// The newest version of the database that was read.
    pub fn version(&self) -> i64 {
        self.version.load(Ordering::Relaxed)
    }

    /// What all gateways have written since.
    pub fn read(&self, news: BudgetNews) {
        for BudgetTotal { id, tokens } in news.totals {
            let Some((budget, number, subject)) = BudgetWindow::parse(&id) else { continue };
            let usage = self.usage(subject);
            let mut windows = usage.lock();
            windows.numbered(budget, number).stored = tokens;
        }
        self.version.store(news.version, Ordering::Relaxed);
        self.is_offline.store(false, Ordering::Relaxed);
    }

    /// The database could not be read or written.
    pub fn set_offline(&self) {
        self.is_offline.store(true, Ordering::Relaxed);
        // A standby that took over may have other changes under these versions: all are read again.
        self.version.store(0, Ordering::Relaxed);
    }

    /// How many gateways share the budgets while the database cannot be reached.
    pub fn set_gateways(&self, count: NonZeroU32) {
        self.gateways.store(count.get(), Ordering::Relaxed);
    }

    /// Forgets windows that are over, and subjects that use nothing.
    pub fn sweep(&self) {
        // The clock may be set back a little.
        let over = self.clock.now().saturating_sub(3600);
        self.lock().retain(|_, usage| {
            let mut windows = usage.lock();
            windows.counts.retain(|count| count.window.ends_at > over || count.is_open());
            !windows.counts.is_empty() || Arc::strong_count(usage) > 1
        });
    }

    fn used_up_of(
        &self,
        budget: &ApplicableBudget,
        usage: &BudgetUsage,
        windows: [BudgetWindow; 3],
    ) -> Option<BudgetState> {
        let all = self.states_of(budget, usage, windows).filter(|(_, is_used_up)| *is_used_up).map(|(state, _)| state);
        all.max_by_key(|state| state.renews_at)
    }

    /// What is used of each of the budgets of a subject, and whether it is used up for this gateway.
    fn states_of<'a>(
        &self,
        budget: &'a ApplicableBudget,
        usage: &BudgetUsage,
        now: [BudgetWindow; 3],
    ) -> impl Iterator<Item = (BudgetState, bool)> + use<'a> {
        let mut windows = usage.lock();
        let running = usage.running.load(Ordering::Acquire);
        let offline = self.is_offline.load(Ordering::Relaxed);
        let gateways = u64::from(self.gateways.load(Ordering::Relaxed)).max(1);
        let counts = now.map(|window| (window, *windows.count(window)));
        counts.into_iter().filter_map(move |(window, count)| {
            let limit = budget.limits.get(window.budget)?;
            let own = count.own(running);
            let used = u64::try_from((i128::from(count.stored) + own).max(0)).unwrap_or(u64::MAX);
            let is_used_up = match offline {
                true => own >= i128::from(limit.saturating_sub(count.stored).div_ceil(gateways)),
                false => used >= limit,
            };
            let (owner, subject) = (budget.owner.clone(), budget.subject.clone());
            let (budget, renews_at) = (window.budget, window.ends_at);
            Some((BudgetState { owner, subject, budget, limit, used, renews_at }, is_used_up))
        })
    }

    fn known(&self, subject: &str) -> Option<Arc<BudgetUsage>> {
        self.lock().get(subject).cloned()
    }

    fn usage(&self, subject: &str) -> Arc<BudgetUsage> {
        let mut subjects = self.lock();
        match subjects.get(subject) {
            Some(known) => known.clone(),
            None => subjects.entry(subject.to_owned()).or_default().clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<BudgetUsage>>> {
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Budgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Budgets")
    }
}
