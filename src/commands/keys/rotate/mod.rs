//! `keys rotate`: a new key with the same rights replaces the old one, which then expires. Made for cron: whenever it is killed, a working
//! key remains, and the next run finishes the rotation.

mod backend;
mod deploy;
mod manual;
mod not_due;
mod profile_keys;
mod report;
mod resume;

use std::cell::RefCell;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use crate::address::BaseUrl;
use crate::api::{KeyEntry, Session};
use crate::app::App;
use crate::cli::KeysRotate;
use crate::commands::context::Context;
use crate::commands::store::choose_store;
use crate::disk::Lock;
use crate::exit::{Exit, Problem};
use crate::keyspec::KeyId;
use crate::rotation::{EnvFile, Journal, Rotation, RotationOutcome, Step, begin};
use crate::vault::StoreKind;

use crate::commands::keys::list::until;
use backend::LocalBackend;
use deploy::Deployer;
use profile_keys::{ProfileKeys, SelectedKey};
use report::{Outcome, Report, ReportRow, finished_row, rotation_problem};

/// How long a run waits for another one with `--wait`.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3600);
/// A rotation that ended at most this many seconds ago also satisfies this call, which was started at the same time.
const RECENT_SECONDS: i64 = 60;
/// How often a rotation is started again when the host's answers get lost.
const MAX_ATTEMPTS: usize = 3;

/// What every key of this run shares.
struct RotationRun<'a> {
    app: &'a App,
    args: &'a KeysRotate,
    journal: Journal,
    deployer: Deployer,
    started: i64,
}

/// Runs it.
pub async fn run(app: &App, args: KeysRotate) -> anyhow::Result<Exit> {
    let env_file = args.env_file.as_deref().map(|path| EnvFile::new(path, &args.env_var)).transpose()?;
    for warning in env_file.as_ref().map(EnvFile::exposures).transpose()?.unwrap_or_default() {
        app.printer.warn(&warning);
    }
    let run = RotationRun {
        app,
        journal: Journal::new(&app.paths.data),
        deployer: Deployer::new(args.deploy.clone(), args.deploy_timeout.0, env_file),
        started: (app.now)(),
        args: &args,
    };
    let mut report = Report::default();
    let _lock = if args.dry_run {
        None
    } else {
        let Some(lock) = run.lock().await? else {
            report.busy = true;
            app.printer.note("Another rotation is running; nothing was done.");
            return report.finish(app);
        };
        Some(lock)
    };
    let contexts = profile_keys::contexts(app, args.all)?;
    if contexts.is_empty() {
        app.printer.note("No profile has an API key: nothing to rotate.");
    }
    run.warn_of_orphans(&contexts)?;
    for context in contexts {
        run.process_profile(context, &mut report).await;
    }
    report.finish(app)
}

impl RotationRun<'_> {
    /// Locks out other runs; `None` when one is running.
    async fn lock(&self) -> anyhow::Result<Option<Lock>> {
        let journal = self.journal.clone();
        if let Some(lock) = journal.lock(Duration::ZERO)? {
            return Ok(Some(lock));
        }
        if !self.args.wait {
            return Ok(None);
        }
        self.app.printer.note("Another rotation is running; waiting for it to finish.");
        Ok(self.app.ask(move |_| journal.lock(LOCK_TIMEOUT)).await??)
    }

    /// Looks after the keys of one profile.
    async fn process_profile(&self, context: Context, report: &mut Report) {
        let row = ReportRow {
            profile: context.target.profile.clone(),
            host: context.url().to_string(),
            name: self.args.key.clone(),
            old: None,
            new: None,
            outcome: Outcome::Failed,
            old_ends_at: None,
            env_file: self.deployer.targets().env_file,
            error: None,
        };
        if let Err(error) = self.rotate_profile_key(context, &row, report).await {
            let mut problem = Problem::from_error(&error);
            if self.args.all {
                problem.message = format!("{}: {}", row.profile, problem.message);
            }
            report.fail(self.app, row, problem);
        }
    }

    async fn rotate_profile_key(&self, context: Context, row: &ReportRow, report: &mut Report) -> anyhow::Result<()> {
        let mut keys = match ProfileKeys::load(self.app, context.clone()).await {
            Ok(keys) => keys,
            Err(error) => self.with_new_key(context).await?.ok_or(error)?,
        };
        let name = self.args.key.as_deref();
        let mut selected = self.select_key(&keys);
        // A key may see itself alone; the device that is signed in beside it sees all.
        if selected.is_err()
            && let Some(context) = keys.context.with_device_key()
        {
            keys = ProfileKeys::load(self.app, context).await?;
            selected = self.select_key(&keys);
        }
        let (mut recent, mut other_rotations, mut rolled_back_any) = (None, Vec::new(), false);
        for rotation in self.journal_entries()? {
            if !keys.matches(&rotation, name) {
                other_rotations
                    .extend(Some(rotation).filter(|rotation| keys.owns(rotation) && rotation.is_unfinished()));
                continue;
            }
            // Another command's business, which must not keep this one from its own.
            if self.args.all && rotation.is_unfinished() && !rotation.kept {
                other_rotations.push(rotation);
                continue;
            }
            if self.finished_recently(&rotation) {
                recent = Some(rotation.clone());
            }
            let unfinished = rotation.is_unfinished();
            let rolled_back = self.continue_rotation(&keys, rotation, selected.as_ref().ok(), row, report).await?;
            // That was the wish of this run, too.
            if unfinished && !rolled_back {
                return Ok(());
            }
            rolled_back_any |= rolled_back;
        }
        if rolled_back_any {
            // What the host lists is not what it was.
            keys = ProfileKeys::load(self.app, keys.context.clone()).await?;
            selected = self.select_key(&keys);
        }
        if self.args.all || selected.is_err() {
            self.warn_of_unfinished(&other_rotations);
        }
        let selected = selected?;
        if keys.entries.is_none() {
            return manual::run(self, &keys, selected, row, report).await;
        }
        if self.args.key_stdin {
            let message =
                format!("{} creates the new key itself; it cannot be given on standard input", keys.context.url());
            return Err(Problem::new(Exit::Usage, message).hint("leave out --key-stdin").into());
        }
        let row = ReportRow {
            name: Some(selected.label.clone()),
            old: selected.id.as_ref().map(ToString::to_string),
            ..row.clone()
        };
        if let Some(rotation) = recent.filter(|_| self.args.max_age.is_none()) {
            let message = format!("The key {:?} was replaced less than a minute ago: nothing to do.", selected.label);
            let (old, new) = (rotation.old.map(String::from), Some(rotation.new.to_string()));
            return self.leave(&keys, &selected, &message, ReportRow { old, new, ..row }, report).await;
        }
        // Before its age: it is replaced, and ends, however young it is.
        if let Some(successor) = keys.successor_of(&selected, (self.app.now)()) {
            if let Some(rotation) = self.recover_from_store(&keys, &selected, successor).await? {
                self.continue_rotation(&keys, rotation, Some(&selected), &row, report).await?;
                return Ok(());
            }
            return Err(self.already_replaced(&selected, successor, keys.context.url()).into());
        }
        if let Some(message) = self.not_due_message(&selected) {
            return self.leave(&keys, &selected, &message, row, report).await;
        }
        if !selected.is_stored && !self.deployer.targets().any() {
            let message =
                format!("the key {:?} is not stored on this machine, so the new key would be lost", selected.label);
            return Err(Problem::new(Exit::Usage, message)
                .hint("hand the new key out with --deploy CMD or --env-file FILE")
                .into());
        }
        if self.args.dry_run {
            report.add(self.app, ReportRow { outcome: Outcome::WouldRotate, ..row });
            return Ok(());
        }
        self.replace(&keys, &selected, row, report).await
    }

    /// The key that this run is about.
    fn select_key(&self, keys: &ProfileKeys<'_>) -> anyhow::Result<SelectedKey> {
        match self.args.key.as_deref() {
            Some(name) => keys.find(name),
            None => keys.stored_key().ok_or_else(|| self.not_listed(keys)),
        }
    }

    /// Replaces a key.
    async fn replace(
        &self,
        keys: &ProfileKeys<'_>,
        selected: &SelectedKey,
        row: ReportRow,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let manager = keys.managing_session(self.app, selected).await?;
        let store = self.store(keys, selected).await?;
        self.deployer.probe()?;
        let old = keys.key.clone().filter(|_| selected.is_self);
        let backend = self.backend(keys, Some(manager), old, None);
        for tries_left in (0..MAX_ATTEMPTS).rev() {
            let rotation = self.new_rotation(keys, selected, store)?;
            let outcome = begin(&backend, rotation.clone()).await;
            let row = ReportRow { new: Some(rotation.new.to_string()), ..row.clone() };
            match outcome {
                Ok(RotationOutcome::RolledBack) if tries_left > 0 => {}
                // Nothing is left of it, and nothing was done.
                Ok(RotationOutcome::RolledBack) => {
                    let host = keys.context.url();
                    let message = format!(
                        "{MAX_ATTEMPTS} attempts failed at {host}: each new key was revoked, because the answer was lost or the profile changed; the old key is unchanged"
                    );
                    let hint = "check any proxy in between, then run the same command again";
                    report.fail(self.app, row, Problem::new(Exit::Failed, message).hint(hint));
                }
                Ok(outcome) => {
                    report.add(self.app, finished_row(outcome, row, false));
                    return Ok(());
                }
                Err(stopped) => {
                    report.fail(self.app, row, rotation_problem(stopped, &rotation, &keys.context.url().to_string()));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn backend<'h>(
        &'h self,
        keys: &'h ProfileKeys<'_>,
        manager: Option<Session<'h>>,
        old: Option<SecretString>,
        given: Option<SecretString>,
    ) -> LocalBackend<'h> {
        LocalBackend {
            app: self.app,
            journal: &self.journal,
            context: &keys.context,
            manager,
            deployer: &self.deployer,
            grace: self.args.grace.0,
            old,
            given: RefCell::new(given),
        }
    }

    fn new_rotation(
        &self,
        keys: &ProfileKeys<'_>,
        selected: &SelectedKey,
        store: StoreKind,
    ) -> anyhow::Result<Rotation> {
        Ok(Rotation {
            profile: keys.context.target.profile.clone(),
            origin: keys.context.url().origin(),
            old: selected.id.clone(),
            new: KeyId::generate()?,
            kept: selected.is_stored,
            store,
            targets: self.deployer.targets(),
            step: Step::Asked,
            began_at: (self.app.now)(),
            old_ends_at: None,
        })
    }

    /// The store in which the new key waits, tried out before there is a key to lose. The profile's record of its key gets the id that
    /// it may lack.
    async fn store(&self, keys: &ProfileKeys<'_>, selected: &SelectedKey) -> anyhow::Result<StoreKind> {
        let profile = keys.context.profile.as_ref();
        let record = profile.and_then(|profile| profile.api_key.as_ref()).filter(|_| selected.is_stored);
        let Some(record) = record else { return choose_store(self.app, profile).await };
        self.app.vault.probe(record.store).await?;
        let id = selected.id.as_ref().map(ToString::to_string);
        if id.is_some() && record.id != id {
            let _lock = self.app.lock_keys()?;
            self.app.profiles.update(|profiles| {
                let profile = profiles.profiles.get_mut(&keys.context.target.profile);
                if let Some(now) = profile.and_then(|profile| profile.api_key.as_mut()).filter(|now| *now == record) {
                    now.id = id;
                    now.name.get_or_insert_with(|| selected.label.clone());
                }
            })?;
        }
        Ok(record.store)
    }

    /// The journal knows nothing of the key that has taken the place of this one.
    fn already_replaced(&self, selected: &SelectedKey, successor: &KeyEntry, host: &BaseUrl) -> Problem {
        let (label, other) = (&selected.label, &successor.id);
        let end = Timestamp::from_second(selected.expires_at.unwrap_or(i64::MAX)).ok();
        let end =
            end.map_or_else(String::new, |end| format!("; the old key expires {}", until(Some(end), (self.app.now)())));
        let message = format!("the key {label:?} was already replaced by {other}, from another machine{end}");
        let hint = format!(
            "to use the new key here: ollama-auth keys import --replace\nif the new key is lost: ollama-auth keys revoke {other} --host {host}"
        );
        Problem::new(Exit::Failed, message).hint(hint)
    }

    fn not_listed(&self, keys: &ProfileKeys<'_>) -> anyhow::Error {
        let context = &keys.context;
        let message =
            format!("{} does not list the API key stored in the profile {:?}", context.url(), context.target.profile);
        Problem::new(Exit::NotFound, message).hint("list the keys: ollama-auth keys list").into()
    }
}
