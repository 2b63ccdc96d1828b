//! `keys rotate`: a new key with the same rights takes the place of an old one, which then ends. Made for cron: whatever happens, and
//! whenever it is killed, there is a key that works, and the next run finishes what this one began.

mod by_hand;
mod deploy;
mod left_over;
mod local_backend;
mod report;
mod select;

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
use crate::rotation::{Driven, Due, EnvFile, Journal, Rotation, Step, begin, is_due};
use crate::vault::StoreKind;

use super::time::until;
use deploy::Deployer;
use local_backend::LocalBackend;
use report::{Outcome, Report, Row, problem_of, row_of};
use select::{Chosen, ProfileKeys};

/// How long a run waits for another one with `--wait`.
const PATIENCE: Duration = Duration::from_secs(3600);
/// A rotation that was done so many seconds ago was meant by this call too: it was started at the same time.
const JUST_NOW: i64 = 60;
/// How often a rotation is begun anew when the host's answers get lost.
const TRIES: usize = 3;

/// What every key of this run shares.
struct Run<'a> {
    app: &'a App,
    args: &'a KeysRotate,
    journal: Journal,
    deployer: Deployer,
    started: i64,
}

/// Runs it.
pub async fn run(app: &App, args: KeysRotate) -> anyhow::Result<Exit> {
    let env_file = args.env_file.as_deref().map(|path| EnvFile::new(path, &args.env_var)).transpose()?;
    if let Some(file) = &env_file
        && file.is_exposed()?
    {
        app.printer.warn(&format!("other accounts can read {}", file.path().display()));
    }
    let run = Run {
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
            app.printer.note("Another rotation is at work; nothing was done here.");
            return report.end(app);
        };
        Some(lock)
    };
    let contexts = select::contexts(app, args.all)?;
    if contexts.is_empty() {
        app.printer.note("No profile keeps an API key: there is nothing to do.");
    }
    run.warn_of_the_forgotten(&contexts)?;
    for context in contexts {
        run.profile(context, &mut report).await;
    }
    report.end(app)
}

impl Run<'_> {
    /// Keeps other runs out; `None` when one is at work.
    async fn lock(&self) -> anyhow::Result<Option<Lock>> {
        let journal = self.journal.clone();
        if let Some(lock) = journal.lock(Duration::ZERO)? {
            return Ok(Some(lock));
        }
        if !self.args.wait {
            return Ok(None);
        }
        self.app.printer.note("Another rotation is at work; waiting for it.");
        Ok(self.app.ask(move |_| journal.lock(PATIENCE)).await??)
    }

    /// Looks after the keys of one profile.
    async fn profile(&self, context: Context, report: &mut Report) {
        let row = Row {
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
        if let Err(error) = self.look_after(context, &row, report).await {
            let mut problem = Problem::from_error(&error);
            if self.args.all {
                problem.message = format!("{}: {}", row.profile, problem.message);
            }
            report.fail(self.app, row, problem);
        }
    }

    async fn look_after(&self, context: Context, row: &Row, report: &mut Report) -> anyhow::Result<()> {
        let mut keys = match ProfileKeys::survey(self.app, context.clone()).await {
            Ok(keys) => keys,
            Err(error) => self.by_the_new_key(context).await?.ok_or(error)?,
        };
        let name = self.args.key.as_deref();
        let mut chosen = self.choose(&keys);
        // A key may see itself alone; the device that is signed in beside it sees all.
        if chosen.is_err()
            && let Some(context) = keys.context.with_device_key()
        {
            keys = ProfileKeys::survey(self.app, context).await?;
            chosen = self.choose(&keys);
        }
        let (mut just_now, mut elsewhere, mut made_way) = (None, Vec::new(), false);
        for rotation in self.under_way()? {
            if !keys.concerns(&rotation, name) {
                elsewhere.extend(Some(rotation).filter(|rotation| keys.is_of(rotation) && rotation.is_unfinished()));
                continue;
            }
            // Another command's business, which must not keep this one from its own.
            if self.args.all && rotation.is_unfinished() && !rotation.kept {
                elsewhere.push(rotation);
                continue;
            }
            if self.was_just_now(&rotation) {
                just_now = Some(rotation.clone());
            }
            let unfinished = rotation.is_unfinished();
            let taken_back = self.go_on(&keys, rotation, chosen.as_ref().ok(), row, report).await?;
            // That was the wish of this run, too.
            if unfinished && !taken_back {
                return Ok(());
            }
            made_way |= taken_back;
        }
        if made_way {
            // What the host lists is not what it was.
            keys = ProfileKeys::survey(self.app, keys.context.clone()).await?;
            chosen = self.choose(&keys);
        }
        if self.args.all || chosen.is_err() {
            self.speak_of(&elsewhere);
        }
        let chosen = chosen?;
        if keys.entries.is_none() {
            return by_hand::run(self, &keys, chosen, row, report).await;
        }
        if self.args.key_stdin {
            let message = format!("{} makes its keys itself, so none is taken from standard input", keys.context.url());
            return Err(Problem::new(Exit::Usage, message).hint("leave out --key-stdin").into());
        }
        let row =
            Row { name: Some(chosen.label.clone()), old: chosen.id.as_ref().map(ToString::to_string), ..row.clone() };
        if let Some(rotation) = just_now.filter(|_| self.args.max_age.is_none()) {
            let message = format!("The key {:?} was replaced a moment ago: nothing to do.", chosen.label);
            self.app.printer.note(&message);
            let (old, new) = (rotation.old.map(String::from), Some(rotation.new.to_string()));
            report.add(self.app, Row { old, new, outcome: Outcome::NotDue, ..row });
            return Ok(());
        }
        if let Some(why_not) = self.why_not_now(&chosen) {
            self.app.printer.note(&why_not);
            report.add(self.app, Row { outcome: Outcome::NotDue, ..row });
            return Ok(());
        }
        if let Some(successor) = keys.successor_of(&chosen, (self.app.now)()) {
            if let Some(rotation) = self.found_again(&keys, &chosen, successor).await? {
                self.go_on(&keys, rotation, Some(&chosen), &row, report).await?;
                return Ok(());
            }
            return Err(self.replaced_elsewhere(&chosen, successor, keys.context.url()).into());
        }
        if !chosen.kept && !self.deployer.targets().any() {
            let message = format!("the key {:?} is not kept here, so nobody would get the new one", chosen.label);
            return Err(Problem::new(Exit::Usage, message).hint("say who does, with --deploy or --env-file").into());
        }
        if self.args.dry_run {
            report.add(self.app, Row { outcome: Outcome::WouldRotate, ..row });
            return Ok(());
        }
        self.replace(&keys, &chosen, row, report).await
    }

    /// The key that this run is about.
    fn choose(&self, keys: &ProfileKeys<'_>) -> anyhow::Result<Chosen> {
        match self.args.key.as_deref() {
            Some(name) => keys.named(name),
            None => keys.kept().ok_or_else(|| self.not_seen(keys)),
        }
    }

    /// Replaces a key.
    async fn replace(
        &self,
        keys: &ProfileKeys<'_>,
        chosen: &Chosen,
        row: Row,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let authority = keys.authority(self.app, chosen).await?;
        let store = self.store(keys, chosen).await?;
        self.deployer.probe()?;
        let old = keys.key.clone().filter(|_| chosen.is_self);
        let backend = self.backend(keys, Some(authority), old, None);
        for tries_left in (0..TRIES).rev() {
            let rotation = self.new_rotation(keys, chosen, store)?;
            let driven = begin(&backend, rotation.clone()).await;
            let row = Row { new: Some(rotation.new.to_string()), ..row.clone() };
            match driven {
                Ok(Driven::TakenBack) if tries_left > 0 => {}
                // Nothing is left of it, and nothing was done.
                Ok(Driven::TakenBack) => {
                    let host = keys.context.url();
                    let message = format!(
                        "a new key was made at {host} {TRIES} times and had to be revoked again each time: its answers were lost, or the profile's key was changed meanwhile; the old key stays as it is"
                    );
                    let hint = "check what stands between here and there, then run the same command again";
                    report.fail(self.app, row, Problem::new(Exit::Failed, message).hint(hint));
                }
                Ok(driven) => {
                    report.add(self.app, row_of(driven, row, false));
                    return Ok(());
                }
                Err(stopped) => {
                    report.fail(self.app, row, problem_of(stopped, &rotation, &keys.context.url().to_string()));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn backend<'h>(
        &'h self,
        keys: &'h ProfileKeys<'_>,
        authority: Option<Session<'h>>,
        old: Option<SecretString>,
        given: Option<SecretString>,
    ) -> LocalBackend<'h> {
        LocalBackend {
            app: self.app,
            journal: &self.journal,
            context: &keys.context,
            authority,
            deployer: &self.deployer,
            grace: self.args.grace.0,
            old,
            given: RefCell::new(given),
        }
    }

    fn new_rotation(&self, keys: &ProfileKeys<'_>, chosen: &Chosen, store: StoreKind) -> anyhow::Result<Rotation> {
        Ok(Rotation {
            profile: keys.context.target.profile.clone(),
            origin: keys.context.url().origin(),
            old: chosen.id.clone(),
            new: KeyId::generate()?,
            kept: chosen.kept,
            store,
            targets: self.deployer.targets(),
            step: Step::Asked,
            began_at: (self.app.now)(),
            old_ends_at: None,
        })
    }

    /// The store in which the new key waits, tried out before there is a key to lose. The profile's record of its key gets the id that
    /// it may lack.
    async fn store(&self, keys: &ProfileKeys<'_>, chosen: &Chosen) -> anyhow::Result<StoreKind> {
        let profile = keys.context.profile.as_ref();
        let record = profile.and_then(|profile| profile.api_key.as_ref()).filter(|_| chosen.kept);
        let Some(record) = record else { return choose_store(self.app, profile).await };
        self.app.vault.probe(record.store).await?;
        let id = chosen.id.as_ref().map(ToString::to_string);
        if id.is_some() && record.id != id {
            let _lock = self.app.lock_keys()?;
            self.app.profiles.update(|profiles| {
                let profile = profiles.profiles.get_mut(&keys.context.target.profile);
                if let Some(now) = profile.and_then(|profile| profile.api_key.as_mut()).filter(|now| *now == record) {
                    now.id = id;
                    now.name.get_or_insert_with(|| chosen.label.clone());
                }
            })?;
        }
        Ok(record.store)
    }

    /// Why a key is not to be replaced now, in a line.
    fn why_not_now(&self, chosen: &Chosen) -> Option<String> {
        let max_age = self.args.max_age?.0;
        let days = |seconds: i64| format!("{} days", seconds / 86_400);
        match is_due(chosen.created_at, chosen.expires_at, (self.app.now)(), max_age) {
            Due::Age(_) | Due::EndsSoon(_) | Due::Unknown => None,
            Due::NotYet(age) => Some(format!(
                "The key {:?} is {} old: nothing to do before {}.",
                chosen.label,
                days(age),
                days(max_age.cast_signed())
            )),
        }
    }

    /// The journal knows nothing of the key that has taken the place of this one.
    fn replaced_elsewhere(&self, chosen: &Chosen, successor: &KeyEntry, host: &BaseUrl) -> Problem {
        let (label, other) = (&chosen.label, &successor.id);
        let end = Timestamp::from_second(chosen.expires_at.unwrap_or(i64::MAX)).ok();
        let end = end.map_or_else(String::new, |end| format!(" and ends {}", until(Some(end), (self.app.now)())));
        let message =
            format!("the key {label:?} was replaced by {other}, and not from here: it is kept elsewhere too{end}");
        let hint = format!(
            "bring the new key here: ollama-auth keys import --replace\nor, if nobody has it: ollama-auth keys revoke {other} --host {host}"
        );
        Problem::new(Exit::Failed, message).hint(hint)
    }

    fn not_seen(&self, keys: &ProfileKeys<'_>) -> anyhow::Error {
        let context = &keys.context;
        let message =
            format!("{} does not list the API key that the profile {:?} keeps", context.url(), context.target.profile);
        Problem::new(Exit::NotFound, message).hint("see what there is: ollama-auth keys list").into()
    }
}
