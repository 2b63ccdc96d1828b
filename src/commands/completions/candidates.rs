//! What a value can be, by the name that the help shows for it: models, profiles, keys, devices, scopes, hosts, files.
//!
//! Tab reads the profiles file, the journal of rotations and the names of earlier lists. It opens no store of secrets, sends no
//! credential, and asks no other machine: only an Ollama server on this one, for a short time.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use clap::{Arg, Command, ValueHint};
use clap_complete::{ArgValueCompleter, CompletionCandidate};
use secrecy::ExposeSecret as _;

use crate::address::{BaseUrl, Scheme};
use crate::api::{Credential, Session, Transport, TransportOptions};
use crate::app::unix_time;
use crate::cli;
use crate::commands::help::TOPICS;
use crate::commands::names::{Kind, Names};
use crate::env::Env;
use crate::keyspec::{KeyForm, Scope};
use crate::paths::Paths;
use crate::profile::{Audience, HostInputs, Profiles, ProfilesFile, choose_host};
use crate::rotation::Journal;

/// The candidate that stands for "a file": the shells know paths better.
pub const FILES: &str = "\u{fffd}files";
/// How long the server on this machine may take to list its models.
const DEADLINE: Duration = Duration::from_millis(300);
/// More names than this are useless at a prompt.
const MAX_CANDIDATES: usize = 1000;

/// What the candidates come from.
pub struct Sources(Arc<Inputs>);

struct Inputs {
    profiles: Profiles,
    names: Option<Names>,
    journal: Option<Journal>,
    host: Option<BaseUrl>,
    profile: Option<String>,
    env_profile: Option<String>,
    ollama_host: Option<BaseUrl>,
    env_key: Option<KeyForm>,
    words: Vec<String>,
}

impl Sources {
    /// For a command line. What cannot be read counts as empty.
    pub fn new(env: &Env, words: &[String]) -> Self {
        let paths = Paths::of_this_account().ok();
        let parse = |text: &str| BaseUrl::parse(text).ok().map(|parsed| parsed.url);
        Self(Arc::new(Inputs {
            profiles: paths.as_ref().and_then(|paths| ProfilesFile::new(&paths.config).peek().ok()).unwrap_or_default(),
            names: paths.as_ref().map(Names::new),
            journal: paths.as_ref().map(|paths| Journal::new(&paths.data)),
            host: option(words, "--host").and_then(parse),
            profile: option(words, "--profile").map(str::to_owned),
            env_profile: env.profile.clone(),
            ollama_host: env.ollama_host.as_deref().and_then(parse),
            env_key: env.api_key.as_ref().map(|key| KeyForm::of(key.expose_secret())),
            words: words.to_vec(),
        }))
    }

    /// Gives every argument of the command line its candidates.
    pub fn attach_to(&self, command: Command) -> Command {
        command.mut_args(|arg| self.attach(arg)).mut_subcommands(|child| self.attach_to(child))
    }

    fn attach(&self, arg: Arg) -> Arg {
        let value = arg.get_value_names().and_then(|names| names.first()).map(|name| name.to_string());
        let values: fn(&Inputs) -> Vec<String> = match value.as_deref() {
            Some("MODEL") => Inputs::models,
            Some("PROFILE") => Inputs::profiles,
            Some("KEY") => Inputs::keys,
            Some("DEVICE") => Inputs::devices,
            Some("SCOPE") => |_| Scope::ALL.iter().map(|scope| scope.name().to_owned()).collect(),
            Some("TOPIC") => Inputs::topics,
            Some("URL") if arg.get_id() == "host" => Inputs::hosts,
            _ if arg.get_value_hint() == ValueHint::AnyPath || value.as_deref() == Some("COMMAND") => {
                return arg.add(ArgValueCompleter::new(|_: &OsStr| vec![CompletionCandidate::new(FILES)]));
            }
            _ => return arg,
        };
        let inputs = self.0.clone();
        arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
            let typed = typed.to_string_lossy();
            let fitting = values(&inputs).into_iter().filter(|value| value.starts_with(&*typed)).take(MAX_CANDIDATES);
            fitting.map(CompletionCandidate::new).collect()
        }))
    }
}

impl Inputs {
    fn profiles(&self) -> Vec<String> {
        self.profiles.profiles.keys().cloned().collect()
    }

    fn hosts(&self) -> Vec<String> {
        sorted(self.profiles.profiles.values().map(|profile| profile.url.to_string()))
    }

    fn devices(&self) -> Vec<String> {
        let devices = self.profiles.profiles.values().filter_map(|profile| profile.device.as_ref());
        sorted(devices.map(|device| device.public_key.fingerprint().to_string()))
    }

    /// Keys of the profiles, of unfinished rotations, and of the last `keys list`.
    fn keys(&self) -> Vec<String> {
        let records = self.profiles.profiles.values().filter_map(|profile| profile.api_key.as_ref());
        let stored = records.filter_map(|key| key.name.clone().or_else(|| key.id.clone()));
        let journal = self.journal.as_ref().and_then(|journal| journal.peek().ok()).unwrap_or_default();
        let rotated = journal.iter().map(|rotation| rotation.new.to_string());
        let listed = self.target(Audience::Account).map(|host| self.listed(Kind::Keys, &host)).unwrap_or_default();
        sorted(stored.chain(rotated).chain(listed))
    }

    /// Models of the hosts that the command may use: asked for where it is a server on this machine, else those of the last
    /// `list`.
    fn models(&self) -> Vec<String> {
        let audiences = [Audience::Model { cloud: false }, Audience::Model { cloud: true }, Audience::Account];
        let mut hosts: Vec<BaseUrl> = audiences.into_iter().filter_map(|audience| self.target(audience)).collect();
        hosts.dedup();
        let of_host = |host: &BaseUrl| {
            let asked = if is_local(host) { ask_models(host) } else { None };
            asked.unwrap_or_else(|| self.listed(Kind::Models, host))
        };
        sorted(hosts.iter().flat_map(of_host))
    }

    /// What `help` knows below the words before the cursor.
    fn topics(&self) -> Vec<String> {
        let path = self.words.iter().skip_while(|word| *word != "help").skip(1);
        let path: Vec<&String> = path.take_while(|word| !word.is_empty()).collect();
        let before = path.len() - usize::from(self.words.last().is_some_and(|word| !word.is_empty()));
        let root = cli::command();
        let command = path[..before].iter().try_fold(&root, |command, word| command.find_subcommand(word));
        let commands = command.into_iter().flat_map(Command::get_subcommands).map(|child| child.get_name().to_owned());
        let topics = TOPICS.iter().filter(|_| before == 0).map(|(name, _)| (*name).to_owned());
        commands.chain(topics).collect()
    }

    fn listed(&self, kind: Kind, host: &BaseUrl) -> Vec<String> {
        self.names.as_ref().map(|names| names.of(kind, host)).unwrap_or_default()
    }

    fn target(&self, audience: Audience) -> Option<BaseUrl> {
        let target = choose_host(&HostInputs {
            audience,
            host: self.host.as_ref(),
            profile: self.profile.as_deref(),
            env_profile: self.env_profile.as_deref(),
            // The file holds a key, so Tab does not read it.
            credentials_host: None,
            ollama_host: self.ollama_host.as_ref(),
            env_key: self.env_key,
            token_file: false,
            profiles: &self.profiles,
        });
        Some(target.ok()?.url)
    }
}

/// The value of an option among the words.
fn option<'a>(words: &'a [String], name: &str) -> Option<&'a str> {
    let attached = |word: &'a String| word.strip_prefix(name)?.strip_prefix('=');
    let separate = |pair: &'a [String]| (pair[0] == name).then_some(pair[1].as_str());
    words.windows(2).find_map(separate).or_else(|| words.iter().find_map(attached))
}

fn sorted(values: impl Iterator<Item = String>) -> Vec<String> {
    let mut values: Vec<String> = values.collect();
    values.sort();
    values.dedup();
    values
}

fn is_local(host: &BaseUrl) -> bool {
    host.is_loopback() && host.scheme() == Scheme::Http
}

/// Asks a server on this machine, without a credential. `None` when it does not answer in time.
fn ask_models(host: &BaseUrl) -> Option<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let transport = Transport::new(TransportOptions::default());
    let session = Session::new(&transport, host.clone(), Credential::None, false, unix_time).ok()?;
    let answer = runtime.block_on(async { tokio::time::timeout(DEADLINE, session.models()).await });
    drop(session);
    runtime.shutdown_background();
    Some(answer.ok()?.ok()?.into_iter().map(|model| model.name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_found_in_both_spellings() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(option(&words("a --host b run"), "--host"), Some("b"));
        assert_eq!(option(&words("a --host=b run"), "--host"), Some("b"));
        assert_eq!(option(&words("a --hostile=b --host"), "--host"), None);
    }
}
