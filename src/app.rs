//! Everything a command needs, handed in: the printer, the environment, the folders, the vault, the network, the clock, the
//! browser. The one injection point.

use std::cell::Cell;
#[cfg(feature = "gateway")]
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[cfg(feature = "gateway")]
use secrecy::SecretString;

use crate::address::{BaseUrl, HostError};
use crate::api::{KeyExpiry, KeyExpiryNotice, Transport, TransportOptions, Warning};
use crate::cli::{ColorArg, GlobalArgs, StoreArg};
use crate::disk::{DiskError, Lock};
use crate::env::Env;
use crate::exit::{Exit, Problem};
use crate::identity::PublicKey;
use crate::paths::Paths;
use crate::process;
use crate::profile::{CredentialsFile, ExpiryNotes, Profile, ProfilesFile};
use crate::relative_time;
use crate::shell::quoted;
use crate::ui::{ColorChoice, Printer, PrinterOptions, PromptError, TerminalState};
use crate::vault::{
    KeepWarning, PassphraseError, PassphrasePrompt, PassphrasePurpose, Passphrases, StoreKind, Vault, VaultOptions,
};

/// How long the keyring may take where its prompt cannot be answered.
const KEYRING_DEADLINE: Duration = Duration::from_secs(5);
/// And where a person can.
const KEYRING_DEADLINE_INTERACTIVE: Duration = Duration::from_secs(60);

/// The program's dependencies.
pub struct App {
    /// The terminal.
    pub printer: Printer,
    /// The environment.
    pub env: Env,
    /// Options of every command.
    pub global: GlobalArgs,
    /// Our folders.
    pub paths: Paths,
    /// The profiles file.
    pub profiles: ProfilesFile,
    /// Where secrets are stored.
    pub vault: Vault,
    /// Opening the encrypted file asks the person for its passphrase.
    pub prompts_for_passphrase: bool,
    /// The network.
    pub transport: Transport,
    /// The Unix time, in seconds.
    pub now: fn() -> i64,
    /// The credentials file that was named, not read yet.
    pub credentials: Option<CredentialsFile>,
    /// `OLLAMA_HOST`, parsed.
    pub ollama_host: Option<BaseUrl>,
    /// `--host`, parsed.
    pub host: Option<BaseUrl>,
    /// The device key of a sign-in that has not ended yet.
    pub unfinished_signin: Cell<Option<UnfinishedSignin>>,
}

/// A device key that was made for a sign-in. If that fails or is interrupted, what was stored for it is removed again.
#[derive(Debug, Clone)]
pub struct UnfinishedSignin {
    /// The profile.
    pub profile: String,
    /// The profile as it was before.
    pub before: Profile,
    /// Whether it was there.
    pub existed: bool,
    /// The new key.
    pub key: PublicKey,
    /// Its store.
    pub store: StoreKind,
}

impl App {
    /// Builds the real one.
    ///
    /// # Errors
    /// A variable or a flag that makes no sense, an unknown home folder.
    pub fn new(global: GlobalArgs, json: bool, mut env: Env) -> anyhow::Result<Self> {
        let printer = printer(&global, json, &env)?;
        let paths = Paths::of_this_account()?;
        let interactive = printer.is_interactive();
        let passphrase_file = global.passphrase_file.clone().or_else(|| env.passphrase_file.clone());
        let passphrases = Passphrases {
            variable: env.passphrase.take(),
            file: passphrase_file,
            credentials_directory: env.credentials_directory.clone(),
            prompt: interactive.then(|| ask_passphrase(printer.clone())),
        };
        let prompts_for_passphrase = passphrases.prompts();
        let vault = Vault::new(VaultOptions {
            data_dir: paths.data.clone(),
            keyring_deadline: if interactive { KEYRING_DEADLINE_INTERACTIVE } else { KEYRING_DEADLINE },
            passphrase: Box::new(passphrases),
            keep_unlocked: env.keep_unlocked.then(|| keep_warning(&printer)),
        });
        let credentials = credentials_file(&global, &env);
        let host = parse_host(&printer, global.host.as_deref(), "--host")?;
        let ollama_host = parse_host(&printer, env.ollama_host.as_deref(), "OLLAMA_HOST")?;
        Ok(Self {
            transport: Transport::new(TransportOptions {
                ca_cert: global.ca_cert.clone(),
                warning: warning(&printer),
                key_expiry: expiry_notice(&printer, &paths),
            }),
            profiles: ProfilesFile::new(&paths.config),
            now: unix_time,
            printer,
            env,
            global,
            paths,
            vault,
            prompts_for_passphrase,
            credentials,
            ollama_host,
            host,
            unfinished_signin: Cell::new(None),
        })
    }

    /// A second one in the same process, for a command that must not touch the person's files: its settings and secrets
    /// are only in `folder`, and its environment has only the variables of the terminal and this API key.
    ///
    /// # Errors
    /// A `--host` that makes no sense.
    #[cfg(feature = "gateway")]
    pub fn isolated(
        &self,
        folder: &Path,
        printer: Printer,
        global: GlobalArgs,
        api_key: Option<SecretString>,
    ) -> anyhow::Result<Self> {
        let paths = Paths {
            config: folder.join("config"),
            data: folder.join("data"),
            state: folder.join("state"),
            home: folder.to_owned(),
            stock_key: folder.join("id_ed25519"),
        };
        let env = Env {
            api_key,
            no_color: self.env.no_color,
            dumb_terminal: self.env.dumb_terminal,
            utf8: self.env.utf8,
            can_show_pages: self.env.can_show_pages,
            browser: self.env.browser.clone(),
            ..Env::default()
        };
        let passphrases = Passphrases { variable: None, file: None, credentials_directory: None, prompt: None };
        let vault = Vault::new(VaultOptions {
            data_dir: paths.data.clone(),
            keyring_deadline: KEYRING_DEADLINE,
            passphrase: Box::new(passphrases),
            keep_unlocked: None,
        });
        let host = parse_host(&printer, global.host.as_deref(), "--host")?;
        Ok(Self {
            profiles: ProfilesFile::new(&paths.config),
            transport: Transport::new(TransportOptions::default()),
            now: self.now,
            printer,
            env,
            // Neither a keyring nor a passphrase: the stored secrets are temporary.
            global: GlobalArgs { store: Some(StoreArg::Plaintext), ..global },
            paths,
            vault,
            prompts_for_passphrase: false,
            credentials: None,
            ollama_host: None,
            host,
            unfinished_signin: Cell::new(None),
        })
    }

    /// Keeps other runs from changing keys until it is dropped. To be held while a secret and its record are written, not
    /// while a person is waited for.
    ///
    /// # Errors
    /// When another run holds it for half a minute.
    pub fn lock_keys(&self) -> Result<Lock, DiskError> {
        Lock::acquire(&self.paths.config.join("keys.lock"), Duration::from_secs(30))
    }

    /// Opens a page in the browser.
    ///
    /// # Errors
    /// When no program that opens pages could be started, or all failed.
    pub fn open_page(&self, url: &str) -> std::io::Result<()> {
        process::open_in_browser(self.env.browser.as_deref(), url)
    }

    /// Waits for a person or for a pipe on a thread of its own, so that meanwhile a signal is heard.
    ///
    /// # Errors
    /// When the thread panicked.
    pub async fn ask<T: Send + 'static>(&self, ask: impl FnOnce(&Printer) -> T + Send + 'static) -> anyhow::Result<T> {
        // Lets the signals be listened for before the question is there.
        tokio::task::yield_now().await;
        let printer = self.printer.clone();
        Ok(tokio::task::spawn_blocking(move || ask(&printer)).await?)
    }

    /// The store that this call asks for: `--store`, then `OLLAMA_AUTH_STORE`.
    ///
    /// # Errors
    /// The variable's value does not name a store.
    pub fn wanted_store(&self) -> anyhow::Result<Option<StoreKind>> {
        if let Some(store) = self.global.store {
            return Ok(Some(store.into()));
        }
        let Some(text) = self.env.store.as_deref() else {
            return Ok(None);
        };
        let store = text.parse().map_err(|_| {
            Problem::new(Exit::Usage, format!("OLLAMA_AUTH_STORE is {text:?}, which is not a store"))
                .hint("set it to keyring, file or plaintext")
        })?;
        Ok(Some(store))
    }
}

/// The printer that the flags and the environment ask for; also used to report an error before there is an `App`.
///
/// # Errors
/// When the process has no file descriptor left.
pub fn printer(global: &GlobalArgs, json: bool, env: &Env) -> std::io::Result<Printer> {
    let options = PrinterOptions {
        json,
        quiet: global.quiet,
        color: match global.color {
            ColorArg::Auto => ColorChoice::Auto,
            ColorArg::Always => ColorChoice::Always,
            ColorArg::Never => ColorChoice::Never,
        },
        no_color_env: env.no_color,
        no_input: global.no_input,
    };
    Printer::new(options, TerminalState::detect(env.dumb_terminal, env.utf8))
}

impl From<StoreArg> for StoreKind {
    fn from(arg: StoreArg) -> Self {
        match arg {
            StoreArg::Keyring => Self::Keyring,
            StoreArg::File => Self::File,
            StoreArg::Plaintext => Self::Plaintext,
        }
    }
}

/// `--credentials`, then `OLLAMA_AUTH_CREDENTIALS`.
fn credentials_file(global: &GlobalArgs, env: &Env) -> Option<CredentialsFile> {
    let (path, by_flag) = match (&global.credentials, &env.credentials) {
        (Some(path), _) => (path, true),
        (None, Some(path)) => (path, false),
        (None, None) => return None,
    };
    Some(CredentialsFile::new(path.clone(), by_flag, env.credentials_directory.as_deref()))
}

fn keep_warning(printer: &Printer) -> KeepWarning {
    let printer = printer.clone();
    Box::new(move |error| {
        let advice = error.hint().unwrap_or_default();
        printer.warn(&format!(
            "OLLAMA_AUTH_KEEP_UNLOCKED has no effect: {error}; to not type the passphrase again, {advice}"
        ));
    })
}

fn warning(printer: &Printer) -> Warning {
    let printer = printer.clone();
    Warning::new(move |text| printer.warn(text))
}

/// Says that an API key ends soon, once a day, and what to do.
fn expiry_notice(printer: &Printer, paths: &Paths) -> KeyExpiryNotice {
    let (printer, notes, profiles) =
        (printer.clone(), ExpiryNotes::new(&paths.state), ProfilesFile::new(&paths.config));
    KeyExpiryNotice::new(move |expiry| {
        if !printer.is_quiet() && notes.is_due(expiry.host, &expiry.key, expiry.now) {
            printer.warn(&expiry_text(expiry, || stored_key_id(&profiles, expiry.host)));
        }
    })
}

/// The id of the API key that is stored for a host.
fn stored_key_id(profiles: &ProfilesFile, host: &BaseUrl) -> Option<String> {
    let profiles = profiles.peek().ok()?;
    profiles.for_origin(host.as_origin())?.1.api_key.as_ref()?.id.clone()
}

fn expiry_text(expiry: &KeyExpiry<'_>, stored_key_id: impl FnOnce() -> Option<String>) -> String {
    let KeyExpiry { host, origin, ends_at, now, .. } = expiry;
    let when = format!("expires {} ({ends_at})", relative_time::until(ends_at.as_second(), *now));
    let id = if origin.is_none() { stored_key_id() } else { None };
    let command = match &id {
        Some(id) => format!("ollama-auth keys rotate {} --host {}", quoted(id), quoted(host)),
        None if origin.is_none() => "ollama-auth keys rotate --all".to_owned(),
        None => format!("ollama-auth keys rotate KEY --env-file FILE --host {}", quoted(host)),
    };
    match origin {
        Some(origin) => format!("{origin} for {host} {when}; replace it there, for example: {command}"),
        None => format!("the API key for {host} {when}; replace it: {command}"),
    }
}

fn parse_host(printer: &Printer, value: Option<&str>, name: &str) -> anyhow::Result<Option<BaseUrl>> {
    let Some(value) = value else {
        return Ok(None);
    };
    let parsed = BaseUrl::parse(value).map_err(|error: HostError| {
        let hint = "write it as HOST, HOST:PORT or https://HOST[:PORT][/PATH]";
        Problem::new(Exit::Usage, format!("invalid {name}: {error}")).hint(hint)
    })?;
    if let Some(warning) = parsed.warning {
        printer.warn(&format!("{name}: {warning}"));
    }
    Ok(Some(parsed.url))
}

fn ask_passphrase(printer: Printer) -> PassphrasePrompt {
    Box::new(move |purpose| {
        let answer = match purpose {
            PassphrasePurpose::Unlock => printer.hidden("Passphrase of the encrypted file"),
            PassphrasePurpose::Retry => {
                printer.warn("Wrong passphrase, try again");
                printer.hidden("Passphrase of the encrypted file")
            }
            PassphrasePurpose::Create => {
                printer.hidden_twice("New passphrase for the encrypted file", "The same passphrase again")
            }
        };
        answer.map(Some).map_err(|error| match error {
            PromptError::Interrupted => PassphraseError::Interrupted,
            other => PassphraseError::Prompt(other.to_string()),
        })
    })
}

/// The Unix time, in seconds.
pub fn unix_time() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
