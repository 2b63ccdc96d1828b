//! `gateway audit verify`: whether the event log is what gateways have written.

use std::io::{BufReader, Read as _};
use std::path::Path;

use super::keys;
use crate::app::App;
use crate::cli::AuditVerifyArgs;
use crate::commands::gateway::{admin, config, database};
use crate::exit::{Exit, Problem};
use crate::gateway::DatabaseLocation;
use crate::gateway::audit::{CheckpointFile, KnownTree, Verification, read_checkpoints, verify, verify_export};
use crate::ui::{Column, Table};

/// How a file of SQLite begins.
const SQLITE: &[u8] = b"SQLite format 3\0";
/// Findings that are printed; JSON has all.
const SHOWN: usize = 20;

/// Runs it.
///
/// # Errors
/// A database that cannot be read.
pub async fn run(app: &App, args: &AuditVerifyArgs) -> anyhow::Result<Exit> {
    let CheckpointFile { known, unknown_keys } = match &args.checkpoints {
        Some(path) => {
            let parse =
                |text: &String| text.parse().map_err(|error| Problem::new(Exit::Usage, format!("--key: {error}")));
            let keys = match args.key.as_slice() {
                [] => keys::verifiers(app, &args.database)?,
                keys => keys.iter().map(parse).collect::<Result<_, _>>()?,
            };
            let failed = |reason: String| Problem::new(Exit::Failed, format!("{}: {reason}", path.display()));
            let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
            read_checkpoints(&text, &keys).map_err(|error| failed(error.to_string()))?
        }
        None => CheckpointFile::default(),
    };
    let export = args.source.as_deref().map(Path::new).filter(|path| is_export(path));
    let found = match export {
        Some(path) => {
            let open = || std::fs::File::open(path).map(BufReader::new);
            verify_export(open, &known)
                .map_err(|error| Problem::new(Exit::Failed, format!("{}: {error}", path.display())))?
        }
        None => verify_database(app, args, &known).await?,
    };
    let is_proven = found.logs.iter().any(|log| log.proven_until.is_some());
    if found.findings.is_empty() && !known.is_empty() && !is_proven {
        return Err(Problem::new(
            Exit::Failed,
            "no checkpoint could be compared: they are of records that were removed",
        )
        .hint("give a later checkpoint")
        .into());
    }
    if app.printer.is_json() {
        app.printer.json(&found)?;
    } else {
        print(app, &found, export.is_some())?;
    }
    if unknown_keys > 0 {
        app.printer.note(&format!(
            "{unknown_keys} checkpoints are signed with other keys only and prove nothing: give these keys with --key, too."
        ));
    }
    Ok(if found.findings.is_empty() { Exit::Done } else { Exit::Found })
}

async fn verify_database(app: &App, args: &AuditVerifyArgs, known: &[KnownTree]) -> anyhow::Result<Verification> {
    let location = match &args.source {
        Some(source) => config::named_database("FILE", source)?,
        None => database::configured(app, &args.database)?,
    };
    if let DatabaseLocation::File(path) = &location {
        admin::require_file(path)?;
    }
    let mut reader = location.audit().await?;
    let found = verify(&mut *reader, known).await?;
    let logs = reader.logs().await?;
    if found.findings.is_empty()
        && let Some(other) = known.iter().find(|tree| logs.iter().all(|log| log.origin != tree.origin))
    {
        let problem = format!("a checkpoint is of the log {}, which this database does not have", other.origin);
        return Err(Problem::new(Exit::Failed, problem).into());
    }
    Ok(found)
}

/// Whether it is a file, and no SQLite database.
fn is_export(path: &Path) -> bool {
    let mut begin = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(SQLITE.len() as u64).read_to_end(&mut begin));
    read.is_ok() && begin != SQLITE
}

fn print(app: &App, found: &Verification, is_export: bool) -> anyhow::Result<()> {
    let printer = &app.printer;
    let mut table = Table::new([
        Column::new("log"),
        Column::new("records"),
        Column::new("kept from").optional(2),
        Column::new("proven until"),
        Column::new("root").shrinks_to(12).optional(1),
    ]);
    for log in &found.logs {
        table.push([
            &*log.origin,
            &log.size.to_string(),
            &log.first.to_string(),
            &log.proven_until.map_or_else(|| "-".to_owned(), |size| size.to_string()),
            log.root.as_deref().unwrap_or("-"),
        ]);
    }
    printer.table(&table)?;
    if found.outside > 0 {
        printer.note(&format!(
            "{} events of an earlier version are in no log yet: the next event takes them in.",
            found.outside
        ));
    }
    for log in found.logs.iter().filter(|log| log.first > 0) {
        let removed = log.first;
        let origin = &log.origin;
        printer.note(&format!("{origin}: the first {removed} records were removed, as a record of the log says."));
    }
    for finding in found.findings.iter().take(SHOWN) {
        match finding.log() {
            Some(log) => printer.report(&format!("{log}: {finding}")),
            None => printer.report(&finding.to_string()),
        }
    }
    if found.findings.len() > SHOWN {
        printer.note(&format!("{} more: see --json", found.findings.len() - SHOWN));
    }
    if found.findings.is_empty() {
        printer.success("Nothing wrong was found");
        if found.logs.iter().all(|log| log.proven_until.is_none()) {
            printer.note(if is_export {
                "An export alone proves nothing: compare it with a checkpoint that was kept elsewhere (--checkpoints)."
            } else {
                "Against someone who can write the database this proves nothing: the hashes are in it, too."
            });
        }
    } else {
        let count = match found.findings.len() {
            1 => "1 finding".to_owned(),
            count => format!("{count} findings"),
        };
        printer.report(&format!("\n{count}: the log is not what gateways have written"));
    }
    Ok(())
}
