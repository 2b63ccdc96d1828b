//! Verifies an export of the whole event log: a file with the stored lines and nothing else.
//!
//! A line does not say which index it has. What a file needs for that is in its records: one names each log that was begun, with the end
//! of the log before, and one names the first record that was kept of a log whose oldest were removed.

use std::collections::HashMap;
use std::io::{self, BufRead};

use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use super::comparison::Comparison;
use super::finding::Finding;
use super::known_tree::KnownTree;
use super::log_link::{LOG_BEGUN, LogLink};
use super::report::{LogReport, Verification};
use crate::transparency_log::{Frontier, Hash};

/// The longest line that is read as a record.
const LONGEST_LINE: usize = 1 << 20;
/// No database has more logs.
const MOST_PARTS: usize = 4096;
/// What a log is called whose origin nothing names.
const UNNAMED: &str = "unnamed log";

/// Why an export cannot be verified.
#[derive(Debug, Error)]
pub enum ExportError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It holds nothing.
    #[error("the file is empty")]
    Empty,
    /// It ends in the middle of a record.
    #[error("line {0} has no end: the export was cut off")]
    Cut(u64),
    /// Something else than an export.
    #[error("line {0} is not an event")]
    Line(u64),
    /// A checkpoint is of a log that it does not hold.
    #[error("a checkpoint is of the log {0}, which this export does not have")]
    OtherLog(String),
}

/// Records of one log.
#[derive(Default)]
struct Part {
    origin: Option<String>,
    /// How many lines there are.
    lines: u64,
    /// The index of the first.
    first: u64,
    /// What the tree was there; `None` if nothing tells.
    before: Option<Frontier>,
    /// The size and the root with which it ended, by the first record of the next one.
    end: Option<(u64, Hash)>,
}

/// What this needs of a record.
#[derive(Deserialize)]
struct Line<'a> {
    action: String,
    subject: String,
    /// Events of version 0.1.0 have none.
    #[serde(borrow, default)]
    details: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Removed {
    origin: String,
    first_kept: u64,
    hashes: Vec<String>,
}

/// Reads an export twice, and compares it with trees that are known from elsewhere.
///
/// # Errors
/// [`ExportError`].
pub fn verify_export<R: BufRead>(
    open: impl Fn() -> io::Result<R>,
    known: &[KnownTree],
) -> Result<Verification, ExportError> {
    let mut parts = parts(open()?)?;
    name_the_first(&mut parts, known);
    let is_known = |tree: &&KnownTree| parts.iter().any(|part| part.origin.as_ref() == Some(&tree.origin));
    let other = known.iter().find(|tree| !is_known(tree)).map(|tree| tree.origin.clone());
    let mut found = Verification { logs: Vec::new(), outside: 0, findings: Vec::new() };
    let mut lines = Lines::new(open()?);
    for part in parts {
        let origin = part.origin.unwrap_or_else(|| UNNAMED.to_owned());
        let (mut size, mut tree) = (part.first, part.before);
        let mut comparison = Comparison::new(&origin, known);
        if tree.is_none() {
            found.findings.push(Finding::Missing { log: origin.clone(), first: 0, last: part.first.saturating_sub(1) });
        }
        found.findings.extend(comparison.compare(size, tree.as_ref()));
        for _ in 0..part.lines {
            let Some(line) = lines.next()? else { break };
            size += 1;
            if let Some(tree) = &mut tree {
                tree.append(Hash::of_record(line.as_bytes()));
            }
            found.findings.extend(comparison.compare(size, tree.as_ref()));
        }
        if let Some((end, root)) = part.end
            && (end != size || tree.as_ref().is_some_and(|tree| tree.root() != root))
        {
            let stored_size = i64::try_from(end).unwrap_or(i64::MAX);
            found.findings.push(Finding::Tree { log: origin.clone(), size, stored_size });
        }
        if let Some(checkpoint) = comparison.beyond() {
            found.findings.push(Finding::Cut { log: origin.clone(), size, checkpoint });
        }
        let (first, root) = (part.first, tree.map(|tree| tree.root().to_string()));
        found.logs.push(LogReport { origin, first, size, root, proven_until: comparison.proven });
    }
    match other {
        Some(other) if found.findings.is_empty() => Err(ExportError::OtherLog(other)),
        _ => Ok(found),
    }
}

/// How the file is divided.
fn parts(file: impl BufRead) -> Result<Vec<Part>, ExportError> {
    let (mut parts, mut lines) = (vec![Part { before: Some(Frontier::new()), ..Part::default() }], Lines::new(file));
    let mut removals: HashMap<String, Removed> = HashMap::new();
    loop {
        let number = lines.number + 1;
        let Some(text) = lines.next()? else { break };
        let line: Line<'_> = serde_json::from_str(text).map_err(|_| ExportError::Line(number))?;
        let details = line.details.map_or("{}", RawValue::get);
        let last = parts.len() - 1;
        match line.action.as_str() {
            LOG_BEGUN => {
                let LogLink { before, size, root } = LogLink::read(text).ok_or(ExportError::Line(number))?;
                if parts.len() == MOST_PARTS {
                    return Err(ExportError::Line(number));
                }
                parts[last].origin.get_or_insert(before);
                parts[last].end = Some((size, root));
                parts.push(Part {
                    origin: Some(line.subject),
                    before: Some(Frontier::new()),
                    lines: 1,
                    ..Part::default()
                });
                continue;
            }
            "audit.imported" => drop(parts[last].origin.get_or_insert(line.subject)),
            "audit.removed" => {
                parts[last].origin.get_or_insert(line.subject);
                // The last one counts: it says where the file begins.
                if let Ok(removed) = serde_json::from_str::<Removed>(details)
                    && removed.first_kept <= Frontier::MAX_SIZE
                {
                    removals.insert(removed.origin.clone(), removed);
                }
            }
            _ => {}
        }
        parts[last].lines += 1;
    }
    if parts.iter().all(|part| part.lines == 0) {
        return Err(ExportError::Empty);
    }
    // Of the log before the first that is left nothing is there, if a later one says that events were removed up to itself.
    let is_of_later = |origin: &String| parts[1..].iter().any(|part| part.origin.as_ref() == Some(origin));
    if parts[0].lines == 0 && removals.keys().any(is_of_later) {
        parts.remove(0);
    }
    let first = &mut parts[0];
    if let Some(removed) = first.origin.as_ref().and_then(|origin| removals.get(origin)) {
        let hashes: Option<Vec<Hash>> = removed.hashes.iter().map(|hash| Hash::from_base64(hash)).collect();
        first.first = removed.first_kept;
        first.before = hashes.and_then(|hashes| Frontier::from_hashes(removed.first_kept, hashes));
    }
    Ok(parts)
}

/// A log without a record that names it is the one that the checkpoints are of, if they are of one alone.
fn name_the_first(parts: &mut [Part], known: &[KnownTree]) {
    let is_named = |tree: &&KnownTree| parts.iter().any(|part| part.origin.as_ref() == Some(&tree.origin));
    let mut others: Vec<String> = known.iter().filter(|tree| !is_named(tree)).map(|tree| tree.origin.clone()).collect();
    others.dedup();
    if let ([origin], Some(first @ Part { origin: None, .. })) = (others.as_slice(), parts.first_mut()) {
        first.origin = Some(origin.clone());
    }
}

/// Lines, each of which must have an end.
struct Lines<R> {
    file: R,
    line: String,
    /// Which one was read last, from 1.
    number: u64,
}

impl<R: BufRead> Lines<R> {
    fn new(file: R) -> Self {
        Self { file, line: String::new(), number: 0 }
    }

    fn next(&mut self) -> Result<Option<&str>, ExportError> {
        self.line.clear();
        self.number += 1;
        let limited = &mut io::Read::take(&mut self.file, LONGEST_LINE as u64);
        let read = limited.read_line(&mut self.line).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => ExportError::Line(self.number),
            _ => ExportError::Read(error),
        })?;
        match self.line.strip_suffix('\n') {
            Some(line) => Ok(Some(line)),
            None if read == 0 => Ok(None),
            None if read == LONGEST_LINE => Err(ExportError::Line(self.number)),
            None => Err(ExportError::Cut(self.number)),
        }
    }
}
