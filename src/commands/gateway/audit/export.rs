//! `gateway audit export`: the stored lines of the event log, for an auditor or another program.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write as _};

use super::show::filter;
use crate::app::App;
use crate::cli::AuditExportArgs;
use crate::commands::gateway::{admin, database};
use crate::disk::NewFile;
use crate::exit::{Exit, Problem};
use crate::gateway::{AuditReader, DatabaseLocation, EventFilter, LinePage};

/// Records that are read at a time.
const PAGE: i64 = 2000;
const PAGE_OF_LINES: u32 = 2000;

/// Writes them, the oldest first.
///
/// # Errors
/// A database that cannot be read, or a record without its line; a file that exists or cannot be written.
pub async fn run(app: &App, args: &AuditExportArgs) -> anyhow::Result<Exit> {
    let location = database::configured(app, &args.database)?;
    if let DatabaseLocation::File(path) = &location {
        admin::require_file(path)?;
    }
    let mut reader = location.audit().await?;
    let outside = reader.counts().await?.outside;
    let mut target = args.file.as_deref().map(Target::create).transpose()?;
    let filter = filter(&args.filters, (app.now)());
    if filter != EventFilter::default() {
        return some(app, &mut *reader, filter, target).await;
    }
    let mut count = 0_u64;
    for log in reader.logs().await? {
        let mut rows = reader.rows(log.number, 0, PAGE).await?;
        while let Some(last) = rows.last() {
            let next = last.index + 1;
            let mut page = String::new();
            for row in &rows {
                let line = row.line.as_ref().ok_or_else(|| {
                    let problem = format!("the record {} of {} has no content", row.index, log.origin);
                    Problem::new(Exit::Failed, problem).hint("see ollama-auth gateway audit verify")
                })?;
                page.push_str(line);
                page.push('\n');
            }
            count += rows.len() as u64;
            write(app, target.as_mut(), &page)?;
            rows = reader.rows(log.number, next, PAGE).await?;
        }
    }
    finish(app, target, count)?;
    if outside > 0 {
        app.printer.note(&format!(
            "{outside} events of an earlier version are not exported: they are in no log until the next event."
        ));
    }
    Ok(Exit::Done)
}

/// Writes those that the filter admits.
async fn some(
    app: &App,
    reader: &mut dyn AuditReader,
    filter: EventFilter,
    mut target: Option<Target>,
) -> anyhow::Result<Exit> {
    let (mut count, mut after) = (0, Some(0));
    while after.is_some() {
        let LinePage { lines, next } = reader.lines(PAGE_OF_LINES, &EventFilter { after, ..filter.clone() }).await?;
        count += lines.len() as u64;
        let page: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        write(app, target.as_mut(), &page)?;
        after = next;
    }
    finish(app, target, count)?;
    Ok(Exit::Done)
}

fn write(app: &App, target: Option<&mut Target>, page: &str) -> anyhow::Result<()> {
    match target {
        Some(target) => target.write(page)?,
        None if page.is_empty() => {}
        None => app.printer.data(page.trim_end_matches('\n'))?,
    }
    Ok(())
}

fn finish(app: &App, target: Option<Target>, count: u64) -> anyhow::Result<()> {
    if let Some(target) = target {
        let shown = target.finish()?;
        app.printer.success(&format!("Exported {count} events to {shown}"));
    }
    Ok(())
}

/// A file that gets its name once it is whole.
struct Target {
    file: NewFile,
    writer: BufWriter<std::fs::File>,
    shown: String,
}

impl Target {
    fn create(path: &std::path::Path) -> anyhow::Result<Self> {
        let shown = path.display().to_string();
        let file = NewFile::create(path)?.ok_or_else(|| taken(&shown))?;
        let writer = OpenOptions::new().write(true).open(file.path()).map_err(|error| failed(&shown, &error))?;
        Ok(Self { file, writer: BufWriter::new(writer), shown })
    }

    fn write(&mut self, text: &str) -> Result<(), Problem> {
        self.writer.write_all(text.as_bytes()).map_err(|error| failed(&self.shown, &error))
    }

    fn finish(self) -> anyhow::Result<String> {
        let Self { file, mut writer, shown } = self;
        writer.flush().map_err(|error| failed(&shown, &error))?;
        if file.persist()? { Ok(shown) } else { Err(taken(&shown).into()) }
    }
}

fn failed(shown: &str, error: &std::io::Error) -> Problem {
    Problem::new(Exit::Failed, format!("cannot write {shown}: {error}"))
}

fn taken(shown: &str) -> Problem {
    Problem::new(Exit::Failed, format!("{shown} already exists"))
        .hint("give the name of a new file: an export does not replace anything")
}
