//! The report. Times are Unix seconds. Members are added, never renamed or removed: a command may be older or newer than its gateway.

use serde::{Deserialize, Serialize};

/// How a gateway is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// Whether there are no problems.
    pub well: bool,
    /// What is wrong, the worst first.
    pub problems: Vec<Problem>,
    /// When the report was made.
    pub at: i64,
    /// Of the program.
    pub version: String,
    /// When the gateway started.
    pub started_at: i64,
    /// Its name among the gateways that share the database, if it has one.
    pub replica: Option<String>,
    /// Its public URL.
    pub url: String,
    /// Where it listens.
    pub listen: String,
    /// Its process.
    pub process: u32,
    /// The upstream server.
    pub upstream: UpstreamReport,
    /// The database.
    pub database: DatabaseStatus,
    /// The TLS certificate in use; `None` without TLS.
    pub certificate: Option<CertificateStatus>,
    /// What is used of limits.
    pub limits: LimitsStatus,
    /// The event log.
    pub event_log: EventLogStatus,
    /// The sinks of the event log, by name.
    pub sinks: Vec<SinkStatus>,
    /// How many accounts, devices and keys there are.
    pub directory: CountStatus,
    /// What the process uses; `None` where the system does not say.
    pub memory: MemoryStatus,
    /// The latest refusals of the event log, the newest first. Empty if it cannot be read.
    pub last_refusals: Vec<Refusal>,
    /// How many requests have used something that is not stored yet.
    pub usage_waiting: u64,
    /// The maintenance message, if there is one.
    pub maintenance: Option<MaintenanceStatus>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A stable name for it, in kebab case. `docs/reference/json.md` lists them.
    pub code: String,
    /// What it is, for people.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The upstream server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamReport {
    /// Its URL.
    pub url: String,
    /// Whether it answers.
    pub up: bool,
    /// What it says is its version.
    pub version: Option<String>,
}

/// The database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseStatus {
    /// `sqlite` or `postgresql`.
    pub engine: String,
    /// Whether it can be read.
    pub readable: bool,
    /// Of an SQLite database and the file beside it that it writes to first, in bytes.
    pub bytes: Option<u64>,
    /// How many gateways share it, as they were counted last.
    pub gateways: u32,
}

/// The TLS certificate in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// When it expires.
    pub not_after: i64,
    /// Whole days until then; negative when it has expired.
    pub days_left: i64,
}

/// What is used of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// So much.
    pub used: u64,
    /// Of so much.
    pub limit: u64,
}

/// What is used of limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsStatus {
    /// Connections of callers; `None` before the gateway listens.
    pub connections: Option<Usage>,
    /// The responses under way.
    pub streams: u64,
    /// Of `[limits]`: the requests of the burst that are not free again, at this gateway and of its share.
    pub burst: Option<Usage>,
    /// Of `[limits]`: the requests at a time, at this gateway and of its share.
    pub concurrent: Option<Usage>,
    /// The memory for bodies that are read in full, in bytes.
    pub scan_memory: Usage,
    /// The budgets that many share: of the gateway, of groups, environments and models.
    pub budgets: Vec<BudgetStatus>,
}

/// What is used of a budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetStatus {
    /// Whose it is: `gateway`, `group:NAME`, `environment:NAME` or `model:PATTERN`.
    pub of: String,
    /// `tokens-per-hour`, `tokens-per-day` or `tokens-per-month`.
    pub budget: String,
    /// Tokens, of all gateways together.
    pub used: u64,
    /// Tokens.
    pub limit: u64,
    /// When it renews.
    pub renews_at: i64,
}

/// The event log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLogStatus {
    /// Its origin; `None` if it cannot be read, as everything but `signing`.
    pub origin: Option<String>,
    /// How many records it has got.
    pub size: Option<u64>,
    /// Its last checkpoint, if it has one.
    pub last_checkpoint: Option<CheckpointStatus>,
    /// When the first record happened that no checkpoint names, if there is one.
    pub unsigned_since: Option<i64>,
    /// Whether checkpoints are signed.
    pub signing: SigningStatus,
}

/// A checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointStatus {
    /// How many records it names.
    pub size: u64,
    /// When it was made.
    pub made_at: i64,
}

/// Whether checkpoints of the event log are signed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningStatus {
    /// Whether this gateway is to sign them.
    pub on: bool,
    /// Why it cannot: `other-key`, `log-went-back`, `key-file`, `copy` or `failed`.
    pub problem: Option<String>,
    /// The same for people.
    pub message: Option<String>,
}

/// A sink of the event log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkStatus {
    /// Its name.
    pub name: String,
    /// Where its lines go.
    pub target: String,
    /// The records that it has not got; `None` before its first look at the log.
    pub lag: Option<u64>,
    /// Why it gets none now.
    pub error: Option<String>,
}

/// How many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountStatus {
    /// Accounts of people.
    pub people: u64,
    /// Accounts of workload rules.
    pub service_accounts: u64,
    /// Devices.
    pub devices: u64,
    /// API keys that have not ended.
    pub keys: u64,
    /// Devices that ask for approval.
    pub pending_devices: u64,
}

/// What the process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStatus {
    /// Memory, in bytes.
    pub resident: Option<u64>,
    /// Open files, connections among them.
    pub open_files: Option<u64>,
    /// How many it may have.
    pub open_files_limit: Option<u64>,
}

/// A refusal of the event log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// When; of several that are counted together the last.
    pub at: i64,
    /// How many.
    pub count: u32,
    /// Why: the code of the refusal.
    pub code: String,
    /// What was refused, such as `request.denied`.
    pub action: String,
    /// Who, as the event names the actor.
    pub actor: String,
    /// The account concerned, if it is known.
    pub account: Option<String>,
    /// To what: untrusted text.
    pub subject: String,
    /// From where; empty where those from several addresses are counted together.
    pub address: String,
}

/// The maintenance message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceStatus {
    /// One line: text that a person wrote.
    pub message: String,
    /// Whether requests for the upstream server are refused.
    pub refuses: bool,
    /// When it ends by itself.
    pub until: Option<i64>,
}
