//! Copies everything that outlives a gateway to another database, of the same engine or the other, and compares both.
//!
//! The columns are those that the two databases name, so a migration needs nothing here unless it adds a table. All rows are written and
//! read back in one transaction of the target, which is committed only if they are equal.

use sha2::{Digest as _, Sha256};

use super::place::Place;
use super::{Answer, Event, StoreError};

/// Rows that are read and written at a time. Engines limit the values of a statement: SQLite to 32766.
pub(super) const PAGE: i64 = 1000;

/// A table that is copied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    pub name: &'static str,
    /// The column of its primary key.
    key: &'static str,
    /// A new database has rows in it, which are replaced.
    has_defaults: bool,
}

const fn table(name: &'static str, key: &'static str) -> Table {
    Table { name, key, has_defaults: false }
}

/// What is copied. Rows refer to rows of tables before theirs only.
pub(super) const COPIED: [Table; 21] = [
    table("users", "id"),
    table("identities", "id"),
    table("devices", "key"),
    table("api_keys", "id"),
    table("deleted_keys", "id"),
    Table { name: "audit_logs", key: "number", has_defaults: true },
    table("audit_hashes", "place"),
    table("audit_checkpoints", "number"),
    table("events", "id"),
    table("event_times", "block"),
    table("maintenance", "only_row"),
    table("invitations", "id"),
    table("usage_series", "number"),
    table("usage_records", "id"),
    table("usage_hours", "place"),
    table("usage_days", "place"),
    table("usage_spans", "place"),
    table("last_uses", "number"),
    table("budget_totals", "id"),
    Table { name: "budget_version", key: "only_row", has_defaults: true },
    Table { name: "uptime", key: "only_row", has_defaults: true },
];

/// Whether a new database has rows in that table.
pub(super) fn has_defaults(name: &str) -> bool {
    COPIED.iter().any(|table| table.name == name && table.has_defaults)
}

/// What is not: it is about gateways that run now, or about the schema itself.
#[cfg(test)]
const NOT_COPIED: [&str; 12] = [
    "change_head",
    "change_log",
    "gateway_secret",
    "gateways",
    "pending_devices",
    "sessions",
    "used_signatures",
    "sign_in_attempts",
    "usage_batches",
    "schema_compatibility",
    "_sqlx_migrations",
    "sqlite_sequence",
];

/// Columns that only one engine has, for gateways that run.
const NOT_COPIED_COLUMNS: [(&str, &str); 1] = [("uptime", "swept_at")];

/// The type of a column. Truth values are integers in SQLite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Boolean,
    Bytes,
}

impl Kind {
    /// Of that name in SQLite or PostgreSQL.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "text" => Self::Text,
            "integer" | "bigint" => Self::Integer,
            "boolean" => Self::Boolean,
            "blob" | "bytea" => Self::Bytes,
            _ => return None,
        })
    }

    /// Whether values of one can be stored in the other.
    fn fits(self, other: Self) -> bool {
        let stored = |kind| if kind == Self::Boolean { Self::Integer } else { kind };
        stored(self) == stored(other)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub name: String,
    /// `None` for a type that neither engine had so far.
    pub kind: Option<Kind>,
}

/// One value, the same for both engines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// The columns that are copied, as one of the two databases has them.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    pub table: Table,
    pub columns: Vec<(String, Kind)>,
    /// Which of them is the primary key.
    pub key: usize,
}

/// An event, and the name of the gateway or machine that records it.
pub(super) struct RecordedBy<'a> {
    pub event: &'a Event,
    pub replica: &'a str,
}

/// One side of a copy, in a transaction that ends without a change if this is dropped.
pub(super) trait Side: Send {
    /// Which database it is.
    fn place(&self) -> &Place;

    /// The columns of a table; empty if the table does not exist.
    fn columns<'a>(&'a mut self, table: &'a str) -> Answer<'a, Vec<Column>>;

    /// The first rows with a primary key above that, in its order.
    fn page<'a>(&'a mut self, selection: &'a Selection, after: Option<&'a Value>) -> Answer<'a, Vec<Vec<Value>>>;

    /// Deletes all rows.
    fn clear<'a>(&'a mut self, table: &'a Table) -> Answer<'a, ()>;

    /// Adds rows.
    fn insert<'a>(&'a mut self, selection: &'a Selection, rows: Vec<Vec<Value>>) -> Answer<'a, ()>;

    /// The highest number that an event was ever given.
    fn last_event(&mut self) -> Answer<'_, i64>;

    /// Commits. The numbers of later events are above `last_event`. The event begins a log of its own.
    fn finish<'a>(self: Box<Self>, last_event: i64, begins_log: Option<&'a RecordedBy<'a>>) -> Answer<'a, ()>;
}

/// What was found in a table afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedTable {
    /// Its name.
    pub name: &'static str,
    /// Its rows in the source.
    pub rows: u64,
    /// Whether the target has the same ones; `None` where a gateway wrote in the meantime, so that they could not be compared.
    pub verified: Option<bool>,
}

/// Copies everything, and begins another event log in the target with that event: two databases must not extend one log in two ways. If a
/// table could not be verified, nothing is stored.
///
/// # Errors
/// [`StoreError::NotEmpty`]; schemas that differ; what reading and writing can fail with.
pub(super) async fn copy(
    mut from: Box<dyn Side>,
    mut to: Box<dyn Side>,
    begins_log: Option<&RecordedBy<'_>>,
) -> Result<Vec<CopiedTable>, StoreError> {
    let mut tables = Vec::new();
    for table in COPIED {
        let columns = (from.columns(table.name).await?, to.columns(table.name).await?);
        let selected = select(table, &columns.0, &columns.1).map_err(|reason| {
            let reason = format!("{reason}: use the newer version of ollama-auth");
            StoreError::Open { place: to.place().0.clone(), reason }
        })?;
        if !table.has_defaults && !to.page(&selected.1, None).await?.is_empty() {
            return Err(StoreError::NotEmpty { place: to.place().0.clone() });
        }
        tables.push(selected);
    }
    for (source, target) in &tables {
        if source.table.has_defaults {
            to.clear(&target.table).await?;
        }
        let mut after = None;
        loop {
            let rows = from.page(source, after.as_ref()).await?;
            after = rows.last().map(|row| row[source.key].clone());
            if rows.is_empty() {
                break;
            }
            to.insert(target, rows).await?;
        }
    }
    let mut copied = Vec::new();
    for (source, target) in &tables {
        let (rows, digest) = summary(&mut *from, source).await?;
        let verified = Some((rows, digest) == summary(&mut *to, target).await?);
        copied.push(CopiedTable { name: source.table.name, rows, verified });
    }
    if copied.iter().all(|table| table.verified == Some(true)) {
        let last = from.last_event().await?.max(to.last_event().await?);
        to.finish(last, begins_log).await?;
    }
    Ok(copied)
}

/// The columns of both, in the same order.
fn select(table: Table, from: &[Column], to: &[Column]) -> Result<(Selection, Selection), String> {
    let is_copied = |column: &&Column| !NOT_COPIED_COLUMNS.contains(&(table.name, column.name.as_str()));
    let unlike =
        |name: &str| format!("the column {:?} of the table {:?} differs between the databases", name, table.name);
    let (mut source, mut target) = (Vec::new(), Vec::new());
    for column in from.iter().filter(is_copied) {
        let other = to.iter().find(|other| other.name == column.name).and_then(|other| other.kind);
        match (column.kind, other) {
            (Some(kind), Some(other)) if kind.fits(other) => {
                source.push((column.name.clone(), kind));
                target.push((column.name.clone(), other));
            }
            _ => return Err(unlike(&column.name)),
        }
    }
    if let Some(more) = to.iter().filter(is_copied).find(|column| !from.iter().any(|other| other.name == column.name)) {
        return Err(unlike(&more.name));
    }
    let key = source.iter().position(|(name, _)| name == table.key).ok_or_else(|| unlike(table.key))?;
    Ok((Selection { table, columns: source, key }, Selection { table, columns: target, key }))
}

/// How many rows there are, and the SHA-256 of all of them in the order of their keys.
async fn summary(side: &mut dyn Side, selection: &Selection) -> Result<(u64, [u8; 32]), StoreError> {
    let (mut count, mut digest, mut after) = (0, Sha256::new(), None);
    loop {
        let rows = side.page(selection, after.as_ref()).await?;
        let Some(last) = rows.last() else { return Ok((count, digest.finalize().into())) };
        for value in rows.iter().flatten() {
            add(&mut digest, value);
        }
        count += rows.len() as u64;
        after = Some(last[selection.key].clone());
    }
}

/// With its type and length, so that no two rows are the same bytes.
fn add(digest: &mut Sha256, value: &Value) {
    let (kind, bytes) = match value {
        Value::Null => (0_u8, &[][..]),
        Value::Integer(number) => (1, &number.to_be_bytes()[..]),
        Value::Text(text) => (2, text.as_bytes()),
        Value::Bytes(bytes) => (3, &bytes[..]),
    };
    digest.update([kind]);
    digest.update((bytes.len() as u64).to_be_bytes());
    digest.update(bytes);
}

/// The tables of which it is not decided whether they are copied, and those that are copied but missing.
#[cfg(test)]
pub(super) fn undecided(tables: &[String]) -> Vec<&str> {
    let is_decided = |name: &str| NOT_COPIED.contains(&name) || COPIED.iter().any(|table| table.name == name);
    let unknown = tables.iter().map(String::as_str).filter(|name| !is_decided(name));
    let missing = COPIED.iter().map(|table| table.name).filter(|name| !tables.iter().any(|table| table == name));
    unknown.chain(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(list: &[(&str, &str)]) -> Vec<Column> {
        list.iter().map(|(name, kind)| Column { name: (*name).to_owned(), kind: Kind::of(kind) }).collect()
    }

    #[test]
    fn columns_must_be_the_same_on_both_sides() {
        let table = table("users", "id");
        let here = columns(&[("id", "TEXT"), ("disabled", "INTEGER"), ("at", "INTEGER")]);
        let there = columns(&[("at", "bigint"), ("id", "text"), ("disabled", "boolean")]);
        let (source, target) = select(table, &here, &there).unwrap();
        assert_eq!(target.columns[1], ("disabled".to_owned(), Kind::Boolean));
        assert_eq!((source.key, source.columns.len()), (0, 3));
        for wrong in [
            columns(&[("at", "bigint"), ("id", "text")]),
            columns(&[("at", "text"), ("id", "text"), ("disabled", "boolean")]),
            columns(&[("at", "jsonb"), ("id", "text"), ("disabled", "boolean")]),
            columns(&[("at", "bigint"), ("id", "text"), ("disabled", "boolean"), ("more", "text")]),
            Vec::new(),
        ] {
            assert!(select(table, &here, &wrong).is_err() && select(table, &wrong, &here).is_err(), "{wrong:?}");
        }
        let uptime = Table { name: "uptime", key: "id", has_defaults: true };
        let more = columns(&[("id", "integer"), ("swept_at", "timestamp with time zone")]);
        assert_eq!(select(uptime, &columns(&[("id", "integer")]), &more).unwrap().1.columns.len(), 1);
    }

    #[test]
    fn rows_that_differ_have_different_digests() {
        let digest = |values: &[Value]| {
            let mut digest = Sha256::new();
            values.iter().for_each(|value| add(&mut digest, value));
            digest.finalize()
        };
        let text = |text: &str| Value::Text(text.to_owned());
        let all = [
            vec![text("ab"), text("")],
            vec![text("a"), text("b")],
            vec![text(""), text("ab")],
            vec![Value::Bytes(b"ab".to_vec()), text("")],
            vec![text("ab"), Value::Null],
            vec![Value::Integer(0), Value::Null],
            vec![Value::Null, Value::Null],
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| digest(one) != digest(other)), "{one:?}");
        }
    }
}
