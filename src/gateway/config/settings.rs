//! The one table of settings. The file, the environment, `--set`, the file that `gateway init` writes and the
//! documentation all follow from it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Config;
use super::error::Place;
use super::value::{Value, Wrong, host_name, network, show_size};

/// A setting.
pub struct Setting {
    /// Its name in the file, in kebab-case.
    pub name: &'static str,
    /// What it is for, in one line.
    pub explanation: &'static str,
    /// What its value is, with an example; completes "NAME is …".
    pub expected: &'static str,
    /// A running gateway cannot change it.
    pub restart: bool,
    /// Its value as TOML.
    pub show: fn(&Config) -> String,
    /// Reads a value into the draft.
    pub apply: fn(&mut Draft, &Given) -> Result<(), Wrong>,
}

/// A value and what it means where it stands.
pub struct Given {
    /// The value.
    pub value: Value,
    /// Where it stands.
    pub place: Place,
}

impl Given {
    /// A path in the file counts from the file's folder, so that it does not matter where the gateway is started.
    fn path(&self) -> Result<Option<PathBuf>, Wrong> {
        let text = self.value.text()?;
        Ok((!text.is_empty()).then(|| self.below_the_file(Path::new(text))))
    }

    fn below_the_file(&self, path: &Path) -> PathBuf {
        match &self.place {
            Place::File { path: file, .. } => file.parent().unwrap_or(Path::new("")).join(path),
            _ => path.to_owned(),
        }
    }

    fn database(&self) -> Result<Option<String>, Wrong> {
        let Some(path) = self.path()? else { return Ok(None) };
        let text = self.value.text()?;
        let (scheme, rest) = match text.split_once(':') {
            Some(("sqlite", rest)) => ("sqlite:", rest.strip_prefix("//").unwrap_or(rest)),
            Some((scheme, _)) if text[scheme.len()..].starts_with("://") => return Err(Wrong::default()),
            _ => return Ok(Some(path.to_str().ok_or_else(Wrong::default)?.to_owned())),
        };
        if rest.is_empty() || rest.contains(['?', '#']) {
            return Err(Wrong::default());
        }
        let path = self.below_the_file(Path::new(rest));
        Ok(Some(format!("{scheme}{}", path.to_str().ok_or_else(Wrong::default)?)))
    }
}

/// A configuration that is being put together, layer over layer.
#[derive(Default)]
pub struct Draft {
    /// What is there so far; its `tls` comes from the next two at the end.
    pub config: Config,
    /// `tls-cert`.
    pub tls_cert: Option<PathBuf>,
    /// `tls-key`.
    pub tls_key: Option<PathBuf>,
}

fn text(text: impl ToString) -> String {
    format!("{:?}", text.to_string())
}

fn path(path: Option<&Path>) -> String {
    text(path.unwrap_or(Path::new("")).display())
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.map(text).collect::<Vec<_>>().join(", "))
}

fn time(time: Duration) -> String {
    text(format_args!("{}s", time.as_secs()))
}

/// Every setting, in the order of the file.
pub static SETTINGS: [Setting; 19] = [
    Setting {
        name: "listen",
        explanation: "Where to listen. Port 0 lets the system choose.",
        expected: "ADDRESS:PORT such as 127.0.0.1:11435",
        restart: true,
        show: |config| text(config.listen),
        apply: |draft, given| given.value.address().map(|read| draft.config.listen = read),
    },
    Setting {
        name: "upstream",
        explanation: "The upstream Ollama server, with a base path if it has one.",
        expected: "a URL such as http://127.0.0.1:11434",
        restart: false,
        show: |config| text(&config.upstream),
        apply: |draft, given| given.value.url().map(|read| draft.config.upstream = read),
    },
    Setting {
        name: "database",
        explanation: "Where accounts, devices and keys are kept. Empty: a file in the account's own data folder.",
        expected: "sqlite:PATH, or a path (PostgreSQL comes later)",
        restart: true,
        show: |config| text(config.database.as_deref().unwrap_or_default()),
        apply: |draft, given| given.database().map(|read| draft.config.database = read),
    },
    Setting {
        name: "tls-cert",
        explanation: "Serve https with this certificate chain (PEM). SIGHUP reads it again.",
        expected: "the path of a PEM file",
        restart: false,
        show: |config| path(config.tls.as_ref().map(|tls| tls.cert.as_path())),
        apply: |draft, given| given.path().map(|read| draft.tls_cert = read),
    },
    Setting {
        name: "tls-key",
        explanation: "The private key of the certificate (PEM). SIGHUP reads it again.",
        expected: "the path of a PEM file",
        restart: false,
        show: |config| path(config.tls.as_ref().map(|tls| tls.key.as_path())),
        apply: |draft, given| given.path().map(|read| draft.tls_key = read),
    },
    Setting {
        name: "behind-tls-proxy",
        explanation: "A proxy in front ends TLS, so that plain http may be served beyond loopback.",
        expected: "true or false",
        restart: false,
        show: |config| config.behind_tls_proxy.to_string(),
        apply: |draft, given| given.value.flag().map(|read| draft.config.behind_tls_proxy = read),
    },
    Setting {
        name: "public-url",
        explanation: "What callers and browsers call the gateway; needed beyond loopback. Empty: the address it listens at.",
        expected: "a URL such as https://gpu.example.com",
        restart: false,
        show: |config| text(config.public_url.as_ref().map(ToString::to_string).unwrap_or_default()),
        apply: |draft, given| {
            draft.config.public_url = match given.value.text()? {
                "" => None,
                // Without a scheme it would be plain http at port 11434, which nobody means here.
                text if !text.contains("://") => return Err(Wrong::default()),
                _ => Some(given.value.url()?),
            };
            Ok(())
        },
    },
    Setting {
        name: "allowed-hosts",
        explanation: "More names, as in a Host header, that the gateway answers to.",
        expected: r#"a list of host names such as ["gpu.lan", "10.0.0.5:11435"]"#,
        restart: false,
        show: |config| list(config.allowed_hosts.iter().cloned()),
        apply: |draft, given| {
            draft.config.allowed_hosts = given.value.list()?.into_iter().map(host_name).collect::<Result<_, _>>()?;
            Ok(())
        },
    },
    Setting {
        name: "trusted-proxies",
        explanation: "The proxies whose X-Forwarded-For is believed: addresses and networks.",
        expected: r#"a list of addresses and networks such as ["127.0.0.1", "10.0.0.0/8"]"#,
        restart: false,
        show: |config| list(config.trusted_proxies.iter().map(ToString::to_string)),
        apply: |draft, given| {
            draft.config.trusted_proxies = given.value.list()?.into_iter().map(network).collect::<Result<_, _>>()?;
            Ok(())
        },
    },
    Setting {
        name: "clock-tolerance",
        explanation: "By how much the time in a signature may differ from the gateway's clock, either way.",
        expected: "a time from 1s to 10m, such as 60s",
        restart: false,
        show: |config| time(config.clock_tolerance),
        apply: |draft, given| given.value.time(1, 600).map(|read| draft.config.clock_tolerance = read),
    },
    Setting {
        name: "max-body",
        explanation: "The largest request body; none is no limit.",
        expected: "a size such as 100MB, 16MiB or none",
        restart: false,
        show: |config| text(show_size(config.max_body)),
        apply: |draft, given| given.value.size().map(|read| draft.config.max_body = read),
    },
    Setting {
        name: "max-blob",
        explanation: "The same for /api/blobs, where model files are uploaded.",
        expected: "a size such as 100GB or none",
        restart: false,
        show: |config| text(show_size(config.max_blob)),
        apply: |draft, given| given.value.size().map(|read| draft.config.max_blob = read),
    },
    Setting {
        name: "max-scanned-body",
        explanation: "The largest JSON body from a key with model patterns: it is read in full to find the model.",
        expected: "a size from 1KiB to 1GiB, such as 16MiB",
        restart: false,
        show: |config| text(show_size(config.max_scanned_body)),
        apply: |draft, given| {
            let size = given.value.size()?;
            if !(1 << 10..=1 << 30).contains(&size) {
                return Err(Wrong::default());
            }
            draft.config.max_scanned_body = size;
            Ok(())
        },
    },
    Setting {
        name: "max-connections",
        explanation: "Connections at a time; more wait.",
        expected: "a number from 1 to 1000000, such as 10000",
        restart: true,
        show: |config| config.max_connections.to_string(),
        apply: |draft, given| {
            let number = given.value.number(1, 1_000_000)?;
            draft.config.max_connections = usize::try_from(number).map_err(|_| Wrong::default())?;
            Ok(())
        },
    },
    Setting {
        name: "max-connections-per-address",
        explanation: "Of these as many for one address (IPv6: one /64 network), trusted proxies excepted; more are turned away. 0 is a quarter of all, but 16 at least.",
        expected: "a number from 0 to 1000000, such as 500",
        restart: false,
        show: |config| config.max_connections_per_address.to_string(),
        apply: |draft, given| {
            let number = given.value.number(0, 1_000_000)?;
            draft.config.max_connections_per_address = usize::try_from(number).map_err(|_| Wrong::default())?;
            Ok(())
        },
    },
    Setting {
        name: "header-timeout",
        explanation: "How long a request's header may take to arrive, and a connection may idle between requests.",
        expected: "a time from 1s to 1h, such as 60s",
        restart: false,
        show: |config| time(config.header_timeout),
        apply: |draft, given| given.value.time(1, 3600).map(|read| draft.config.header_timeout = read),
    },
    Setting {
        name: "body-timeout",
        explanation: "How long the next 16 KiB of a request's body, or its end, may be waited for.",
        expected: "a time from 1s to 1h, such as 60s",
        restart: false,
        show: |config| time(config.body_timeout),
        apply: |draft, given| given.value.time(1, 3600).map(|read| draft.config.body_timeout = read),
    },
    Setting {
        name: "drain-timeout",
        explanation: "How long streams may go on after SIGTERM.",
        expected: "a time from 0s to 24h, such as 30s",
        restart: false,
        show: |config| time(config.drain_timeout),
        apply: |draft, given| given.value.time(0, 86_400).map(|read| draft.config.drain_timeout = read),
    },
    Setting {
        name: "threads",
        explanation: "Threads that serve connections; 0 is one for each processor.",
        expected: "a number from 0 to 1024",
        restart: true,
        show: |config| config.threads.to_string(),
        apply: |draft, given| {
            draft.config.threads = usize::try_from(given.value.number(0, 1024)?).map_err(|_| Wrong::default())?;
            Ok(())
        },
    },
];

/// The setting of that name.
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// The name that was probably meant.
pub fn nearest(name: &str) -> Option<&'static str> {
    let name = name.trim().to_lowercase().replace('_', "-");
    let likeness = |setting: &Setting| strsim::jaro_winkler(&name, setting.name);
    let best = SETTINGS.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= 0.8).then_some(best.name)
}
