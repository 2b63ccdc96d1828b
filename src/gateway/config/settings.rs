//! The one table of settings. The configuration file, the environment variables, `--set`, the file that `gateway init`
//! writes and the reference in the documentation all follow from it. A new setting is one entry here.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::table_examples::example;
use crate::address::{BaseUrl, OriginPattern};
use crate::gateway::audit::SinkSettings;
use crate::gateway::caps::Caps;
use crate::gateway::environments::Environments;
use crate::gateway::groups::Groups;
use crate::gateway::model_limits::ModelLimits;
use crate::gateway::policy_tables::PolicyTables;
use crate::gateway::providers::{Providers, check_files};
use crate::gateway::roles::Roles;
use crate::gateway::store::DatabaseLocation;
use crate::gateway::telemetry::{AccessLogFormat, AccessLogSettings, AccessLogTarget};
use crate::gateway::workload::Workloads;
use crate::keyspec::{AddressRules, RequestLimits};

/// The properties of a setting besides its type.
pub struct Setting {
    /// Its name in the file, in kebab-case.
    pub name: &'static str,
    /// What it is for; begins with a space, as the doc comment that it is.
    explanation: &'static str,
    /// Its default as TOML.
    pub default: &'static str,
    /// What its value must be, with an example; completes "NAME must be …".
    pub expected: &'static str,
    /// When a changed value takes effect.
    pub effect: Effect,
    /// Whether two configurations differ in it.
    pub differs: fn(&Config, &Config) -> bool,
    /// Copies it from the second configuration to the first.
    pub copy: fn(&mut Config, &Config),
}

/// When a changed setting takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// As soon as the settings are read again, on SIGHUP.
    Reload,
    /// When the gateway starts again.
    Restart,
}

/// An entry is: the explanation; name in the file, field and type; default as TOML; the function of `value` that reads it;
/// when a change takes effect; what the value must be.
macro_rules! settings {
    ($(
        $(#[doc = $explanation:literal])+
        $setting:literal => $field:ident: $type:ty = $default:tt, $read:literal, $effect:ident, $expected:literal;
    )+) => {
        /// Everything that can be set.
        #[derive(Clone, Debug, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Config {
            $(
                $(#[doc = $explanation])+
                #[serde(rename = $setting, deserialize_with = $read)]
                pub $field: $type,
            )+
        }

        /// Every setting, in the order of the file.
        pub static SETTINGS: &[Setting] = &[$(
            Setting {
                name: $setting,
                explanation: concat!($($explanation),+),
                default: stringify!($default),
                expected: $expected,
                effect: Effect::$effect,
                differs: |one, other| one.$field != other.$field,
                copy: |to, from| to.$field.clone_from(&from.$field),
            },
        )+];
    };
}

settings! {
    /// Where to listen. Port 0 lets the system choose.
    "listen" => listen: SocketAddr = "127.0.0.1:11435", "super::value::address", Restart,
        "ADDRESS:PORT such as 127.0.0.1:11435";

    /// The upstream Ollama server, with a base path if it has one.
    "upstream" => upstream: BaseUrl = "http://127.0.0.1:11434", "super::value::url", Reload,
        "a URL such as http://127.0.0.1:11434";

    /// Where accounts, devices and keys are stored. Several gateways can share a PostgreSQL database. Empty: a file in your
    /// data folder.
    "database" => database: Option<DatabaseLocation> = "", "super::value::database", Restart,
        "sqlite:PATH, a path, or postgres://USER@HOST:PORT/NAME";

    /// The file with the password of a PostgreSQL database. Empty: PGPASSWORD, or the file ~/.pgpass. A file that every
    /// account can read is refused.
    "database-password-file" => database_password_file: Option<PathBuf> = "", "super::value::path", Restart,
        "the path of a file";

    /// The file with the secret that cookies and forms are made with: 32 bytes or more, the same for all gateways on one
    /// PostgreSQL database, which need it. Empty: a new secret at each start.
    "secret-file" => secret_file: Option<PathBuf> = "", "super::value::path", Restart,
        "the path of a file";

    /// How long requests are decided from memory while a shared database does not answer. New sign-ins and changes are
    /// refused at once.
    "offline-grace" => offline_grace: Duration = "5m", "super::value::time::<_, 1, 86_400>", Reload,
        "a time from 1s to 24h, such as 5m";

    /// What this gateway is called in the event log. Empty: the name of the machine.
    "replica-name" => replica_name: Option<String> = "", "super::value::label", Restart,
        "1 to 64 letters, digits, `.`, `_` and `-`";

    /// Serve https with this certificate chain (PEM). SIGHUP reads it again.
    "tls-cert" => tls_cert: Option<PathBuf> = "", "super::value::path", Reload,
        "the path of a PEM file";

    /// The private key of the certificate (PEM). SIGHUP reads it again. A file that every account can read is refused.
    "tls-key" => tls_key: Option<PathBuf> = "", "super::value::path", Reload,
        "the path of a PEM file";

    /// A proxy in front terminates TLS, so the gateway may serve plain http beyond loopback.
    "behind-tls-proxy" => behind_tls_proxy: bool = false, "super::value::boolean", Reload,
        "true or false";

    /// The URL that callers and browsers use, with the base path if it has one. Required beyond loopback. Empty: the
    /// address in `listen`.
    "public-url" => public_url: Option<BaseUrl> = "", "super::value::optional_url", Reload,
        "a URL such as https://gpu.example.com";

    /// More names, as in a Host header, that the gateway answers to.
    "allowed-hosts" => allowed_hosts: Vec<String> = [], "super::value::host_names", Reload,
        r#"a list of host names such as ["gpu.lan", "10.0.0.5:11435"]"#;

    /// The origins of web pages that may use the API from a browser. ollama: those that Ollama allows by default, which
    /// are pages of this machine on any port, and desktop applications. A star stands for any port, any name below a
    /// domain, or any host of a scheme other than http and https.
    "allowed-origins" => allowed_origins: Vec<OriginPattern> = ["ollama"], "super::value::origins", Reload,
        r#"a list of origins such as ["ollama", "https://chat.example.com"]"#;

    /// The proxies whose X-Forwarded-For header is trusted: addresses and networks.
    "trusted-proxies" => trusted_proxies: Vec<IpNet> = [], "super::value::networks", Reload,
        r#"a list of addresses and networks such as ["127.0.0.1", "10.0.0.0/8"]"#;

    /// The largest difference between the time in a signature and the gateway's clock, in either direction.
    "clock-tolerance" => clock_tolerance: Duration = "60s", "super::value::time::<_, 1, 600>", Reload,
        "a time from 1s to 10m, such as 60s";

    /// The largest request body. none (or 0): no limit.
    "max-body" => max_body: u64 = "100MiB", "super::value::size::<_, 0, { u64::MAX }>", Reload,
        "a size such as 100MB, 16MiB or none";

    /// The largest request body for /api/blobs, where model files are uploaded. none (or 0): no limit.
    "max-blob" => max_blob: u64 = "none", "super::value::size::<_, 0, { u64::MAX }>", Reload,
        "a size such as 100GB or none";

    /// The largest JSON or zstd body from a key with model patterns, or from a caller with caps, which is read in full. Of a
    /// form, what precedes the field model.
    "max-scanned-body" => max_scanned_body: u64 = "16MiB", "super::value::size::<_, 1024, 1_073_741_824>", Reload,
        "a size from 1KiB to 1GiB, such as 16MiB";

    /// How much memory the bodies that are read in full may take, all requests together. Beyond it requests get 503. One
    /// account gets a quarter, and no more than it leaves free. At least four times max-scanned-body plus 40 MiB, whatever
    /// is set.
    "scan-memory" => scan_memory: u64 = "256MiB", "super::value::size::<_, 1_048_576, 1_099_511_627_776>", Reload,
        "a size from 1MiB to 1TiB, such as 256MiB";

    /// The largest number of connections at a time. Further ones wait.
    "max-connections" => max_connections: usize = 10000, "super::value::number::<_, 1, 1_000_000>", Restart,
        "a number from 1 to 1000000, such as 10000";

    /// The largest number of connections from one address (IPv6: one /64 network), except from trusted proxies. Further
    /// ones are rejected. 0: a quarter of max-connections, but at least 16.
    "max-connections-per-address" => max_connections_per_address: usize = 0,
        "super::value::number::<_, 0, 1_000_000>", Reload,
        "a number from 0 to 1000000, such as 500";

    /// How long a request's header may take to arrive, and how long a connection may be idle between requests.
    "header-timeout" => header_timeout: Duration = "60s", "super::value::time::<_, 1, 3600>", Reload,
        "a time from 1s to 1h, such as 60s";

    /// How long the next 16 KiB of a request's body, or its end, may take to arrive.
    "body-timeout" => body_timeout: Duration = "60s", "super::value::time::<_, 1, 3600>", Reload,
        "a time from 1s to 1h, such as 60s";

    /// How long open streams may continue after SIGTERM.
    "drain-timeout" => drain_timeout: Duration = "30s", "super::value::time::<_, 0, 86_400>", Reload,
        "a time from 0s to 24h, such as 30s";

    /// Cut off responses when their key is revoked or expires, their device is disconnected, their account is disabled, or one of these is suspended.
    /// The end of a rotation's grace period cuts nothing off. Applies to requests that begin after a change.
    "cut-streams" => cut_streams: bool = true, "super::value::boolean", Reload,
        "true or false";

    /// How long the records of keys are kept after they were revoked or have expired. Until then they are in lists, and a
    /// request with such a key is told what became of it. Counted both by the clock and by the time that the gateway has
    /// run, so a wrong clock deletes nothing. none: for ever.
    "key-retention" => key_retention: Option<Duration> = "90d", "super::value::retention", Reload,
        "a number of days from 1d to 3650d, such as 90d, or none";

    /// How long events are kept, counted in the same way. none: for ever.
    "event-retention" => event_retention: Option<Duration> = "none", "super::value::retention", Reload,
        "a number of days from 1d to 3650d, such as 365d, or none";

    /// How large the event log may get: the bytes of its stored events. When it is larger, the oldest are removed until it is a tenth
    /// smaller. none: as large as it gets.
    "event-log-size" => event_log_size: Option<u64> = "none", "super::value::log_size", Reload,
        "a size of 1MiB or more, such as 1GiB, or none";

    /// Count what each request uses of the upstream server: its tokens, its time, and for whom. The bodies of requests are read for that.
    "usage" => usage: bool = true, "super::value::boolean", Reload,
        "true or false";

    /// How long the use of each single request is kept, counted by the clock and by the time that the gateway has run. none: for ever.
    "usage-record-retention" => usage_record_retention: Option<Duration> = "30d", "super::value::retention", Reload,
        "a number of days from 1d to 3650d, such as 30d, or none";

    /// How long totals by hour are kept, counted in the same way. none: for ever.
    "usage-hour-retention" => usage_hour_retention: Option<Duration> = "60d", "super::value::retention", Reload,
        "a number of days from 1d to 3650d, such as 60d, or none";

    /// How long totals by day are kept, counted in the same way. none: for ever.
    "usage-day-retention" => usage_day_retention: Option<Duration> = "400d", "super::value::retention", Reload,
        "a number of days from 1d to 3650d, such as 400d, or none";

    /// Where days begin, for totals by day. A change affects the days that begin after it.
    "time-zone" => time_zone: TimeZone = "UTC", "super::value::time_zone", Reload,
        "a time zone such as Europe/Berlin or UTC";

    /// The file with the key that checkpoints of the event log are signed with, the same for all gateways on one database: see
    /// `ollama-auth gateway audit key`. Empty: a file beside an SQLite database, which is made; on PostgreSQL nothing is signed.
    "audit-key-file" => audit_key_file: Option<PathBuf> = "", "super::value::path", Restart,
        "the path of a file";

    /// A file to which each checkpoint of the event log is appended. It should lie where the gateway cannot change it later.
    "audit-checkpoint-file" => audit_checkpoint_file: Option<PathBuf> = "", "super::value::path", Restart,
        "the path of a file";

    /// Where Prometheus reads metrics: http://ADDRESS:PORT/metrics. An address beyond loopback needs metrics-token-file. Empty: nowhere.
    "metrics-listen" => metrics_listen: Option<SocketAddr> = "", "super::value::optional_address", Restart,
        "ADDRESS:PORT such as 127.0.0.1:9464";

    /// The file with the token that Prometheus must send (`Authorization: Bearer TOKEN`). It is read at each request. A file that every
    /// account can read is refused. Empty: no token.
    "metrics-token-file" => metrics_token_file: Option<PathBuf> = "", "super::value::path", Reload,
        "the path of a file";

    /// Where a line for each request is written: a file that may be renamed, or stdout. Empty: nowhere.
    "access-log" => access_log: Option<AccessLogTarget> = "", "super::value::access_log", Reload,
        "stdout or the path of a file";

    /// How the lines of the access log are written.
    "access-log-format" => access_log_format: AccessLogFormat = "logfmt", "super::value::access_log_format", Reload,
        "logfmt or json";

    /// How often the keys of an issuer are read at most, whatever key ids its tokens name.
    "jwks-min-interval" => jwks_min_interval: Duration = "30s", "super::value::time::<_, 1, 3600>", Reload,
        "a time from 1s to 1h, such as 30s";

    /// How long the keys of an issuer are used while they cannot be read again.
    "jwks-grace" => jwks_grace: Duration = "24h", "super::value::time::<_, 10, 2_592_000>", Reload,
        "a time from 10s to 720h, such as 24h";

    /// The number of threads that serve connections. 0: one for each processor.
    "threads" => threads: usize = 0, "super::value::number::<_, 0, 1024>", Restart,
        "a number from 0 to 1024";

    /// Whether people may sign in with a password of this gateway. false: only at a provider of [oidc]. Sessions that a password
    /// began end, and invitations and the setup link make no accounts. To get back in, set it to true here and send SIGHUP.
    "local-accounts" => local_accounts: bool = true, "super::value::boolean", Reload,
        "true or false";

    /// How much this gateway forwards at most, for all callers together. burst: so many requests at once after a pause, by
    /// default those of one minute. streams: so many requests at the upstream server at a time. tokens-per-hour, -day and -month:
    /// budgets of tokens; on-exceed: whether a stream that uses one up may finish or is cut.
    "limits" => limits: RequestLimits = {}, "super::limits::limits", Reload,
        "a table with any of requests-per-minute, burst, streams, request-size, tokens-per-hour, tokens-per-day, tokens-per-month and on-exceed";

    /// How many tokens all callers together may use of the models that fit a pattern.
    "model-limits" => model_limits: ModelLimits = {}, "super::model_limits::model_limits", Reload,
        "tables such as [model-limits.\"llama3*\"], each with any of tokens-per-hour, tokens-per-day, tokens-per-month and on-exceed";

    /// What the people with a role may do, for the built-in roles viewer, auditor, member, maintainer and admin, and for others, which
    /// have the scopes of one of these (base).
    "roles" => roles: Roles = {}, "super::roles::roles", Reload,
        "tables such as [roles.member], each with any of base, models, models-by-scope, max-key-lifetime, max-key-idle, limits, addresses, two-proofs and audit";

    /// How much one request may ask of the upstream server: how long it keeps the model loaded (keep-alive), tokens of the
    /// context (num-ctx) and of the answer (num-predict). Of the rules for the caller's role and the model the tightest
    /// decides. A request that asks for more is lowered or refused.
    "caps" => caps: Caps = [], "super::caps::caps", Reload,
        "tables [[caps]], each with any of roles, models, keep-alive, num-ctx, num-predict and when-exceeded";

    /// Groups of people, who share limits. `ollama-auth gateway user groups` says who is in them.
    "groups" => groups: Groups = {}, "super::groups::groups", Reload,
        "tables such as [groups.research], each with any of limits and within";

    /// Environments such as production and staging: host names and listeners of their own, and rules for what is used there.
    /// A key belongs to the one that it is labelled with. A change of `listen` needs a restart.
    "environments" => environments: Environments = {}, "super::environments::environments", Reload,
        "tables such as [environments.staging], each with any of hosts, listen, addresses, limits, role-limits, max-key-age, max-key-idle, two-proofs and allow-unlabelled";

    /// Programs that are accepted with a token of an issuer, such as a CI system, and need no stored secret. The first rule that
    /// matches a token says what it may do. claims: what the token must say; a star stands for any characters but / and :.
    "workload" => workloads: Workloads = [], "super::workloads::workloads", Reload,
        "tables [[workload]], each with name, issuer, audience, claims and scopes, and any of models, environment, limits, provider, max-token-lifetime, max-key-lifetime, jwks-url, jwks-file and ca-file";

    /// Providers at which people sign in with OpenID Connect, and what their claims give here. The callback address for the
    /// provider is PUBLIC_URL/oidc/NAME/callback, that of its back-channel logout PUBLIC_URL/oidc/NAME/logout.
    "oidc" => oidc: Providers = {}, "super::providers::providers", Reload,
        "tables such as [oidc.company], each with issuer, client-id and any of client-secret-file, title, scopes, name-claim, email-claim, groups-claim, create-accounts, allowed-domains, require-verified-email, default-role, rules, trust-sign-in-time, recheck and ca-file";

    /// Where this gateway sends the whole event log of its database, as JSON lines: to the standard output, to a file that may be
    /// renamed, or to a syslog service. Of several gateways on one database, configure it on one.
    "audit-sink" => audit_sinks: Vec<SinkSettings> = [], "super::audit_sinks::sinks", Reload,
        "tables [[audit-sink]], each with name, to (stdout, file or syslog) and, for a file or another socket than /dev/log, path";

    /// From which addresses requests are accepted. allow: only from these. deny: not from these, also if they are in allow.
    /// Of a proxy in trusted-proxies, the address that it forwards counts. Health checks are always answered.
    "addresses" => addresses: AddressRules = {}, "super::addresses::rules", Reload,
        "a table with any of allow and deny, each a list of networks";
}

/// Certificate chain and key of the listener, both PEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsFiles<'a> {
    /// The chain, the server's own certificate first.
    pub cert: &'a Path,
    /// Its private key.
    pub key: &'a Path,
}

impl Config {
    /// What it defines about people.
    pub fn policy_tables(&self) -> PolicyTables {
        PolicyTables {
            roles: self.roles.clone(),
            groups: self.groups.clone(),
            environments: self.environments.clone(),
            workloads: self.workloads.clone(),
        }
    }

    /// Checks the files that providers need, which nothing reads before somebody signs in.
    ///
    /// # Errors
    /// What is wrong with one.
    pub fn check_providers(&self) -> Result<(), String> {
        self.oidc.all().try_for_each(|provider| check_files(provider).map_err(|error| error.to_string()))
    }

    /// The files to serve https with; `None` is plain http.
    pub fn tls(&self) -> Option<TlsFiles<'_>> {
        Some(TlsFiles { cert: self.tls_cert.as_deref()?, key: self.tls_key.as_deref()? })
    }

    /// The access log, if there is to be one.
    pub fn access_log(&self) -> Option<AccessLogSettings> {
        let target = self.access_log.clone()?;
        Some(AccessLogSettings { target, format: self.access_log_format })
    }

    /// Takes from `running` what a running gateway cannot change, and returns the names of these settings.
    pub fn keep_until_restart(&mut self, running: &Self) -> Vec<&'static str> {
        // The threads are set up for http or https, towards callers and towards the upstream server.
        let other_listener = self.tls().is_some() != running.tls().is_some();
        let other_upstream = self.upstream.scheme() != running.upstream.scheme();
        let mut kept = Vec::new();
        for setting in SETTINGS {
            let fixed = match setting.name {
                "tls-cert" | "tls-key" => other_listener,
                "upstream" => other_upstream,
                _ => setting.effect == Effect::Restart,
            };
            if fixed && (setting.differs)(self, running) {
                (setting.copy)(self, running);
                kept.push(setting.name);
            }
        }
        let (environments, have_others) = self.environments.with_listeners_of(&running.environments);
        self.environments = environments;
        if have_others {
            kept.push("environments.*.listen");
        }
        kept
    }
}

impl Setting {
    /// Whether it is a table, which only the file can have.
    pub fn is_table(&self) -> bool {
        self.default == "{}" || self.is_list_of_tables()
    }

    /// Whether it is written as `[[NAME]]`, once for each rule.
    fn is_list_of_tables(&self) -> bool {
        matches!(self.name, "caps" | "workload" | "audit-sink")
    }

    /// What it is for, in one line.
    pub fn explanation(&self) -> &'static str {
        self.explanation.trim_start()
    }
}

/// The setting of that name.
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// The file of `gateway init`: every setting with its explanation, at its default and commented out.
pub fn commented_file() -> String {
    let mut text = String::from(
        "# Settings of `ollama-auth gateway serve`. Each is shown at its default: remove the # to change one.\n\
         # Environment variables (OLLAMA_AUTH_GATEWAY_LISTEN, …) and flags override this file. Sizes are 100MB, 16MiB\n\
         # or none; times 30s, 2m or 1h. Paths are relative to the folder of this file.\n",
    );
    for setting in SETTINGS {
        let Setting { name, default, expected, .. } = setting;
        let explanation = setting.explanation();
        let restart = if setting.effect == Effect::Restart { " A change needs a restart." } else { "" };
        text += &format!("\n# {explanation}{restart}\n# Value: {expected}.");
        if setting.is_table() {
            text += " There are none by default; an example, which belongs at the end:\n";
            example(name).lines().for_each(|line| text += &format!("#{line}\n"));
        } else {
            text += &format!("\n#{name} = {default}\n");
        }
    }
    text
}

/// The table of all settings in Markdown, as the documentation has it.
#[cfg(test)]
pub fn reference() -> String {
    let mut text = String::from("| setting | default | value | what it is for |\n|---|---|---|---|\n");
    for setting in SETTINGS {
        let Setting { name, default, expected, .. } = setting;
        let star = if setting.effect == Effect::Restart { " \\*" } else { "" };
        let (name, default) = match setting.is_table() {
            true if setting.is_list_of_tables() => (format!("[[{name}]]"), "none"),
            true => (format!("[{name}]"), "none"),
            false => ((*name).to_owned(), *default),
        };
        text += &format!("| `{name}`{star} | `{default}` | {expected} | {} |\n", setting.explanation());
    }
    text
}
