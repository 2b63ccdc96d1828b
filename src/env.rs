//! The environment, read once at the start. No other part of the program looks at it, so what a variable can do is
//! all here.

mod ci;

use std::ffi::OsString;
#[cfg(feature = "gateway")]
use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use secrecy::SecretString;

pub use ci::{CiSystem, CiVariables};

/// The variables that mean something to us.
#[derive(Debug, Default)]
pub struct Env {
    /// `OLLAMA_HOST`, trimmed of spaces and quotes as stock does.
    pub ollama_host: Option<String>,
    /// `OLLAMA_API_KEY`, trimmed in the same way.
    pub api_key: Option<SecretString>,
    /// `OLLAMA_AUTH_CREDENTIALS`: a credentials file.
    pub credentials: Option<PathBuf>,
    /// `OLLAMA_AUTH_PROFILE`.
    pub profile: Option<String>,
    /// `OLLAMA_AUTH_STORE`.
    pub store: Option<String>,
    /// `OLLAMA_AUTH_PASSPHRASE`.
    pub passphrase: Option<SecretString>,
    /// `OLLAMA_AUTH_PASSPHRASE_FILE`.
    pub passphrase_file: Option<PathBuf>,
    /// `OLLAMA_AUTH_KEEP_UNLOCKED` is set, and neither `false` nor `0`.
    pub keep_unlocked: bool,
    /// `CREDENTIALS_DIRECTORY`, which systemd sets for `LoadCredential=`.
    pub credentials_directory: Option<PathBuf>,
    /// `OLLAMA_AUTH_OIDC_TOKEN_FILE`: a file with an OIDC token.
    pub oidc_token_file: Option<PathBuf>,
    /// What the system that runs this job provides.
    pub ci: CiVariables,
    /// `NO_COLOR` is set and not empty (no-color.org).
    pub no_color: bool,
    /// `TERM` is `dumb`, or another that knows no more than lines.
    pub dumb_terminal: bool,
    /// The locale's encoding is UTF-8.
    pub utf8: bool,
    /// There is a desktop or another way to show a page: a browser can be opened.
    pub can_show_pages: bool,
    /// `BROWSER`: commands that open a page, separated by colons.
    pub browser: Option<String>,
    /// `OLLAMA_EDITOR`, else `VISUAL`, else `EDITOR`: what a message is composed in.
    pub editor: Option<String>,
    /// `OLLAMA_NOHISTORY` is set, and neither `false` nor `0`.
    pub no_history: bool,
    /// The programs that can reach the clipboard of the desktop, if there is one.
    pub clipboard: &'static [&'static [&'static str]],
    /// What shapes connections. The libraries below read these variables themselves; here they are only looked at by `doctor`.
    pub network: NetworkVariables,
    /// Everything that begins with `OLLAMA_AUTH_GATEWAY_`: the gateway's settings, by their whole names.
    #[cfg(feature = "gateway")]
    pub gateway: GatewayVariables,
}

/// Variables that shape connections, as they are set.
#[derive(Debug, Default)]
pub struct NetworkVariables {
    /// The proxy variables that are set and not empty, by name. A value may hold a password.
    pub proxies: Vec<(&'static str, SecretString)>,
    /// `NO_PROXY`, else `no_proxy`.
    pub no_proxy: Option<String>,
    /// `SSL_CERT_FILE`.
    pub ssl_cert_file: Option<PathBuf>,
    /// `SSL_CERT_DIR`.
    pub ssl_cert_dir: Option<PathBuf>,
}

/// The variables that name a proxy.
const PROXY_VARIABLES: [&str; 6] = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

impl NetworkVariables {
    fn read(get: &impl Fn(&str) -> Option<OsString>) -> Self {
        let text = |name| get(name).map(|value| value.to_string_lossy().trim().to_owned()).filter(|v| !v.is_empty());
        let path = |name| get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            proxies: PROXY_VARIABLES.into_iter().filter_map(|name| Some((name, text(name)?.into()))).collect(),
            no_proxy: text("NO_PROXY").or_else(|| text("no_proxy")),
            ssl_cert_file: path("SSL_CERT_FILE"),
            ssl_cert_dir: path("SSL_CERT_DIR"),
        }
    }
}

/// Variables of the gateway. Their values are not shown: a database's address may hold a password.
#[cfg(feature = "gateway")]
#[derive(Clone, Default)]
pub struct GatewayVariables(pub Vec<(String, OsString)>);

#[cfg(feature = "gateway")]
impl fmt::Debug for GatewayVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// A variable whose value is not valid UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {0} is not valid UTF-8")]
pub struct NotUtf8(pub &'static str);

/// A variable, or several with the same meaning, and what it is for.
pub type Variable = (&'static str, &'static str);

/// Every variable that the program reads, by topic, for `ollama-auth help environment`. A test compares the list with what
/// [`Env::read`] asks for.
pub const VARIABLES: &[(&str, &[Variable])] = &[
    (
        "Host and credential",
        &[
            (
                "OLLAMA_HOST",
                "Host that `run` and the other commands for models use; ignored by the commands for accounts, such as signin and keys, unless OLLAMA_API_KEY is a gateway's key",
            ),
            (
                "OLLAMA_API_KEY",
                "API key; used instead of a stored credential, for ollama.com and for hosts that you name",
            ),
            ("OLLAMA_AUTH_PROFILE", "Profile to use, as --profile"),
            ("OLLAMA_AUTH_CREDENTIALS", "JSON file with a host and a key, as --credentials"),
            ("OLLAMA_AUTH_OIDC_TOKEN_FILE", "File with an OIDC token, as --oidc-token-file, for hosts that you name"),
        ],
    ),
    (
        "Jobs and containers",
        &[
            (
                "ACTIONS_ID_TOKEN_REQUEST_URL, ACTIONS_ID_TOKEN_REQUEST_TOKEN",
                "Set by GitHub Actions with `permissions: id-token: write`: where a job gets tokens",
            ),
            ("OLLAMA_AUTH_ID_TOKEN", "Token of GitLab, which sets it for a job with `id_tokens:`"),
            (
                "GITHUB_ACTIONS, GITLAB_CI, KUBERNETES_SERVICE_HOST",
                "Set by GitHub, GitLab and Kubernetes: messages name what the job has to say there",
            ),
        ],
    ),
    (
        "Storage of secrets",
        &[
            ("OLLAMA_AUTH_STORE", "Store for new secrets: keyring, file or plaintext, as --store"),
            ("OLLAMA_AUTH_PASSPHRASE", "Passphrase of the encrypted file"),
            ("OLLAMA_AUTH_PASSPHRASE_FILE", "File with the passphrase, as --passphrase-file"),
            (
                "OLLAMA_AUTH_KEEP_UNLOCKED",
                "If set, and not false or 0: you type the passphrase every 15 minutes at most (Linux); `ollama-auth store lock` ends that",
            ),
            (
                "CREDENTIALS_DIRECTORY",
                "Set by systemd's LoadCredential=; the file ollama-auth-passphrase in it holds the passphrase",
            ),
            ("DBUS_SESSION_BUS_ADDRESS", "Session bus on which the keyring is reached (Linux)"),
        ],
    ),
    (
        "Connection",
        &[
            ("HTTPS_PROXY, HTTP_PROXY, ALL_PROXY", "Proxy for https, for http, for both; lower case works too"),
            ("NO_PROXY", "Hosts that are reached without a proxy; lower case works too"),
            ("SSL_CERT_FILE, SSL_CERT_DIR", "Certificate authorities to trust instead of the system's"),
        ],
    ),
    (
        "Terminal and browser",
        &[
            ("NO_COLOR", "If set and not empty: no colour"),
            ("TERM", "If dumb: no colour, no symbols, no moving lines"),
            ("COLUMNS", "Width of help texts where there is no terminal"),
            ("LC_ALL, LC_CTYPE, LANG", "Encoding of the terminal; symbols such as \u{2713} need UTF-8"),
            ("DISPLAY, WAYLAND_DISPLAY", "Desktop on which a browser is opened and the clipboard is used"),
            (
                "BROWSER",
                "Command that opens a page, such as `firefox` or `firefox %s`; several are separated by colons",
            ),
            ("WSL_DISTRO_NAME", "Set by WSL: pages open in the browser of Windows"),
            ("OLLAMA_EDITOR, VISUAL, EDITOR", "Editor for messages of a conversation; the first that is set"),
            ("OLLAMA_NOHISTORY", "If set, and not false or 0: a conversation keeps no history of what you type"),
        ],
    ),
    (
        "Folders",
        &[
            ("HOME", "Your home folder"),
            ("XDG_CONFIG_HOME", "Folder for profiles [default: ~/.config]"),
            ("XDG_DATA_HOME", "Folder for stored secrets [default: ~/.local/share]"),
            ("XDG_STATE_HOME", "Folder for history and caches [default: ~/.local/state]"),
        ],
    ),
    #[cfg(feature = "gateway")]
    (
        "Gateway",
        &[(
            "OLLAMA_AUTH_GATEWAY_*",
            "Setting of the gateway, as OLLAMA_AUTH_GATEWAY_PUBLIC_URL for public-url; `ollama-auth gateway init` lists them",
        )],
    ),
];

/// The variables that hold secrets or the path of one. Programs that we start inherit them only if they need them.
const SECRET_VARIABLES: [&str; 7] = [
    "OLLAMA_API_KEY",
    "OLLAMA_AUTH_CREDENTIALS",
    "OLLAMA_AUTH_OIDC_TOKEN_FILE",
    "OLLAMA_AUTH_ID_TOKEN",
    "OLLAMA_AUTH_PASSPHRASE",
    "OLLAMA_AUTH_PASSPHRASE_FILE",
    "CREDENTIALS_DIRECTORY",
];

/// How the gateway's settings begin.
const GATEWAY_VARIABLES: &str = "OLLAMA_AUTH_GATEWAY_";

/// Takes out of what a program inherits that we start: the secrets, where they lie, and the gateway's settings, of which the database's
/// address may hold a password.
pub fn keep_secrets_from(command: &mut Command) {
    for name in SECRET_VARIABLES {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(GATEWAY_VARIABLES.as_bytes()) {
            command.env_remove(name);
        }
    }
}

/// Takes out what GitHub gives a job to get tokens with: a program that has it can get one for any audience.
#[cfg(feature = "gateway")]
pub fn keep_job_identity_from(command: &mut Command) {
    command.env_remove("ACTIONS_ID_TOKEN_REQUEST_URL").env_remove("ACTIONS_ID_TOKEN_REQUEST_TOKEN");
}

/// A variable of other programs; `None` where it is empty.
pub fn foreign_variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

impl Env {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// [`NotUtf8`] for one of our own variables.
    pub fn from_process() -> Result<Self, NotUtf8> {
        let env = Self::read(|name| std::env::var_os(name))?;
        #[cfg(feature = "gateway")]
        let env = Self { gateway: gateway_settings(std::env::vars_os()), ..env };
        Ok(env)
    }

    /// Reads variables from `get`, all but the gateway's.
    ///
    /// # Errors
    /// As for [`Env::from_process`].
    pub fn read(get: impl Fn(&str) -> Option<OsString>) -> Result<Self, NotUtf8> {
        let text = |name: &'static str| match get(name).map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(value)) => {
                let value = value.trim().trim_matches(['"', '\'']).trim().to_owned();
                Ok(Some(value).filter(|value| !value.is_empty()))
            }
            Some(Err(_)) => Err(NotUtf8(name)),
        };
        let path = |name| get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let present = |name| get(name).is_some_and(|value| !value.is_empty());
        // A passphrase is taken as it is: spaces and quotes may be part of it.
        let passphrase = match get("OLLAMA_AUTH_PASSPHRASE").map(OsString::into_string) {
            None => None,
            Some(Ok(value)) => Some(value).filter(|value| !value.is_empty()),
            Some(Err(_)) => return Err(NotUtf8("OLLAMA_AUTH_PASSPHRASE")),
        };
        let words =
            |name| get(name).map(|value| value.to_string_lossy().trim().to_owned()).filter(|text| !text.is_empty());
        let flag = |name| words(name).is_some_and(|text| !matches!(text.as_str(), "false" | "0"));
        let desktop = ["DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "WSL_DISTRO_NAME"].into_iter().any(present);
        Ok(Self {
            ollama_host: text("OLLAMA_HOST")?,
            api_key: text("OLLAMA_API_KEY")?.map(SecretString::from),
            credentials: path("OLLAMA_AUTH_CREDENTIALS"),
            profile: text("OLLAMA_AUTH_PROFILE")?,
            store: text("OLLAMA_AUTH_STORE")?,
            passphrase: passphrase.map(SecretString::from),
            passphrase_file: path("OLLAMA_AUTH_PASSPHRASE_FILE"),
            keep_unlocked: flag("OLLAMA_AUTH_KEEP_UNLOCKED"),
            credentials_directory: path("CREDENTIALS_DIRECTORY"),
            oidc_token_file: path("OLLAMA_AUTH_OIDC_TOKEN_FILE"),
            ci: CiVariables::read(&get),
            no_color: present("NO_COLOR"),
            utf8: cfg!(any(windows, target_os = "macos")) || names_utf8(&get),
            dumb_terminal: get("TERM")
                .is_some_and(|term| ["dumb", "cons25", "emacs"].iter().any(|known| term == *known)),
            browser: words("BROWSER"),
            editor: ["OLLAMA_EDITOR", "VISUAL", "EDITOR"].into_iter().find_map(words),
            no_history: flag("OLLAMA_NOHISTORY"),
            clipboard: clipboard(&present),
            can_show_pages: cfg!(any(windows, target_os = "macos")) || desktop,
            network: NetworkVariables::read(&get),
            #[cfg(feature = "gateway")]
            gateway: GatewayVariables::default(),
        })
    }
}

fn clipboard(present: &impl Fn(&'static str) -> bool) -> &'static [&'static [&'static str]] {
    if cfg!(target_os = "macos") {
        &[&["pbcopy"]]
    } else if cfg!(windows) {
        &[&["clip"]]
    } else if present("WAYLAND_DISPLAY") {
        &[&["wl-copy"], &["xclip", "-selection", "clipboard"]]
    } else if present("DISPLAY") {
        &[&["xclip", "-selection", "clipboard"], &["xsel", "--input", "--clipboard"]]
    } else {
        &[]
    }
}

/// The gateway's variables, sorted. It knows its settings itself; here nothing is known of them but how they begin.
#[cfg(feature = "gateway")]
fn gateway_settings(all: impl Iterator<Item = (OsString, OsString)>) -> GatewayVariables {
    let named = all.map(|(name, value)| (name.to_string_lossy().into_owned(), value));
    let mut found: Vec<_> = named.filter(|(name, _)| name.starts_with(GATEWAY_VARIABLES)).collect();
    found.sort();
    GatewayVariables(found)
}

/// By the variable that decides the character type (POSIX: `LC_ALL`, then `LC_CTYPE`, then `LANG`).
fn names_utf8(get: &impl Fn(&str) -> Option<OsString>) -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(get).find(|value| !value.is_empty());
    let value = set.unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    value.contains("utf-8") || value.contains("utf8")
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Env {
        Env::read(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())).unwrap()
    }

    #[test]
    fn values_are_trimmed_as_stock_does_but_a_passphrase_is_not() {
        let env = read(&[
            ("OLLAMA_HOST", " \"h:1\" "),
            ("OLLAMA_API_KEY", "'k' "),
            ("OLLAMA_AUTH_PASSPHRASE", " 'p' "),
            ("OLLAMA_AUTH_PROFILE", " "),
        ]);
        assert_eq!(env.ollama_host.as_deref(), Some("h:1"));
        assert_eq!(env.api_key.unwrap().expose_secret(), "k");
        assert_eq!(env.passphrase.unwrap().expose_secret(), " 'p' ");
        assert_eq!(env.profile, None);
    }

    /// What libraries read, not [`Env::read`]: the home folders, the session bus, the width for clap.
    #[cfg(target_os = "linux")]
    const READ_BY_LIBRARIES: [&str; 6] =
        ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "DBUS_SESSION_BUS_ADDRESS", "COLUMNS"];

    #[cfg(target_os = "linux")]
    #[test]
    fn the_list_of_variables_is_what_is_read() {
        use std::cell::RefCell;
        use std::collections::BTreeSet;
        let asked = RefCell::new(BTreeSet::new());
        Env::read(|name| {
            asked.borrow_mut().insert(name.to_owned());
            None
        })
        .unwrap();
        // The variables of proxies are read in both spellings.
        let mut read: BTreeSet<String> = asked
            .into_inner()
            .into_iter()
            .filter(|name| name.to_uppercase() == *name)
            .chain(READ_BY_LIBRARIES.map(str::to_owned))
            .collect();
        if cfg!(feature = "gateway") {
            read.insert(format!("{GATEWAY_VARIABLES}*"));
        }
        let names = VARIABLES.iter().flat_map(|(_, variables)| variables.iter());
        let listed: BTreeSet<String> = names.flat_map(|(names, _)| names.split(", ")).map(str::to_owned).collect();
        assert_eq!(listed, read);
    }

    #[test]
    fn an_empty_variable_is_as_good_as_none() {
        let env = read(&[("NO_COLOR", ""), ("OLLAMA_HOST", ""), ("OLLAMA_AUTH_PASSPHRASE", "")]);
        assert!(!env.no_color && env.ollama_host.is_none() && env.passphrase.is_none());
    }

    #[test]
    fn the_nearest_editor_counts_and_history_is_off_only_when_it_is_said() {
        assert_eq!(read(&[("EDITOR", "ed"), ("VISUAL", "vim -f")]).editor.as_deref(), Some("vim -f"));
        assert_eq!(read(&[("OLLAMA_EDITOR", "nano"), ("VISUAL", "vim")]).editor.as_deref(), Some("nano"));
        for (value, off) in [("1", true), ("true", true), ("yes", true), ("0", false), ("false", false), ("", false)] {
            assert_eq!(read(&[("OLLAMA_NOHISTORY", value)]).no_history, off, "{value:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_no_text_are_an_error_that_names_the_variable() {
        use std::os::unix::ffi::OsStringExt;
        let error = Env::read(|name| (name == "OLLAMA_HOST").then(|| OsString::from_vec(vec![0xff]))).unwrap_err();
        assert_eq!(error, NotUtf8("OLLAMA_HOST"));
    }

    #[cfg(feature = "gateway")]
    #[test]
    fn the_gateways_variables_are_handed_on_whatever_they_hold() {
        let all =
            ["OLLAMA_AUTH_GATEWAY_B", "PATH", "OLLAMA_AUTH_GATEWAY_A", "OLLAMA_AUTH_STORE", "OLLAMA_AUTH_GATEWAY"];
        let found = gateway_settings(all.into_iter().map(|name| (name.into(), "1".into())));
        assert!(!format!("{found:?}").contains('1'));
        assert_eq!(found.0, ["OLLAMA_AUTH_GATEWAY_A", "OLLAMA_AUTH_GATEWAY_B"].map(|name| (name.into(), "1".into())));
    }

    #[test]
    fn debug_shows_no_secret() {
        let secrets = [
            ("OLLAMA_API_KEY", "hunter2"),
            ("OLLAMA_AUTH_PASSPHRASE", "hunter3"),
            ("HTTPS_PROXY", "http://me:hunter4@proxy"),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "hunter5"),
            ("OLLAMA_AUTH_ID_TOKEN", "hunter6"),
        ];
        let shown = format!("{:?}", read(&secrets));
        assert!(!shown.contains("hunter"), "{shown}");
    }
}
