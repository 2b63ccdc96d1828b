//! The layers, the messages, and what must hold between settings.

use std::ffi::OsString;
use std::path::Path;

use super::layers::VARIABLE_PREFIX;
use super::settings::{SETTINGS, Setting, reference};
use super::*;
use crate::address::PageOrigin;
use crate::gateway::caps::{Cap, WhenExceeded};
use crate::gateway::store::Role;
use crate::keyspec::{CanonicalModel, Scope};

impl Default for Config {
    fn default() -> Self {
        load(&Inputs::default()).unwrap()
    }
}

fn file(text: &str) -> Option<ConfigFile> {
    Some(ConfigFile { path: "/etc/gw/gateway.toml".into(), bytes: text.as_bytes().to_vec() })
}

fn from_file(text: &str) -> Result<Config, ConfigError> {
    load(&Inputs { file: file(text), ..Inputs::default() })
}

fn from_variables(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let variables = pairs.iter().map(|(name, value)| (format!("{VARIABLE_PREFIX}{name}"), value.into())).collect();
    load(&Inputs { variables, ..Inputs::default() })
}

fn set(pairs: &[&str]) -> Result<Config, ConfigError> {
    let flags = pairs.iter().map(|pair| Flag::Set((*pair).to_owned())).collect();
    load(&Inputs { flags, ..Inputs::default() })
}

#[track_caller]
fn says(result: Result<Config, ConfigError>, wanted: &[&str]) {
    let error = result.unwrap_err();
    let message = format!("{error}\n\n{}", error.hint().unwrap_or_default());
    for text in wanted {
        assert!(message.contains(text), "{text:?} is missing in: {message}");
    }
}

/// Those that are no tables.
fn plain_settings() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|setting| !setting.is_table())
}

/// Removes the comment mark of each setting.
fn uncommented(text: &str) -> String {
    let bare = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(|line| bare(line) + "\n").collect()
}

#[test]
fn without_input_every_setting_is_at_its_default() {
    assert_eq!(load(&Inputs::default()), Ok(Config::default()));
    assert_eq!(from_file(""), Ok(Config::default()));
    assert_eq!(from_file(&commented_file()), Ok(Config::default()));
}

#[test]
fn the_commented_file_holds_every_setting_at_its_default() {
    let text = uncommented(&commented_file());
    let (plain, _) = text.split_at(text.find("\n[").unwrap());
    let names = plain.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name);
    assert_eq!(names.collect::<Vec<_>>(), plain_settings().map(|setting| setting.name).collect::<Vec<_>>());
    assert_eq!(from_file(plain), Ok(Config::default()));
    // The tables are examples, which can be used as they are.
    let examples = from_file(&text).unwrap();
    for setting in SETTINGS.iter().filter(|setting| setting.is_table()) {
        assert!((setting.differs)(&examples, &Config::default()), "{}", setting.name);
    }
}

#[test]
fn every_setting_can_be_set_in_each_layer() {
    let values = [
        ("listen", "127.0.0.1:0"),
        ("upstream", "http://gpu-box:1234/base"),
        ("database", "sqlite:/var/lib/gw/db"),
        ("database-password-file", "/etc/password"),
        ("secret-file", "/etc/secret"),
        ("offline-grace", "7m"),
        ("replica-name", "gpu-1.b_2"),
        ("tls-cert", "/etc/cert.pem"),
        ("tls-key", "/etc/key.pem"),
        ("behind-tls-proxy", "true"),
        ("public-url", "https://gpu.example.com/ollama"),
        ("allowed-hosts", "gpu.lan, GPU.example.com:8443"),
        ("allowed-origins", "ollama, https://chat.example.com"),
        ("trusted-proxies", "127.0.0.1,10.0.0.0/8"),
        ("clock-tolerance", "2m"),
        ("max-body", "5MB"),
        ("max-blob", "1GiB"),
        ("max-scanned-body", "1MiB"),
        ("scan-memory", "100MiB"),
        ("max-connections", "12"),
        ("max-connections-per-address", "4"),
        ("header-timeout", "5s"),
        ("body-timeout", "6s"),
        ("drain-timeout", "0s"),
        ("cut-streams", "false"),
        ("key-retention", "7d"),
        ("event-retention", "365d"),
        ("event-log-size", "1GiB"),
        ("usage", "false"),
        ("usage-record-retention", "3d"),
        ("usage-hour-retention", "30d"),
        ("usage-day-retention", "500d"),
        ("time-zone", "Europe/Berlin"),
        ("audit-key-file", "/etc/audit.key"),
        ("audit-checkpoint-file", "/var/log/checkpoints"),
        ("metrics-listen", "127.0.0.1:9464"),
        ("metrics-token-file", "/etc/metrics-token"),
        ("access-log", "/var/log/ollama-auth/access.log"),
        ("access-log-format", "json"),
        ("jwks-min-interval", "2s"),
        ("jwks-grace", "48h"),
        ("threads", "3"),
        ("local-accounts", "false"),
    ];
    assert_eq!(values.map(|(name, _)| name).to_vec(), plain_settings().map(|setting| setting.name).collect::<Vec<_>>());
    let flags: Vec<_> = values.iter().map(|(name, value)| format!("{name}={value}")).collect();
    // Without local accounts people sign in at a provider.
    let provider =
        "[oidc.company]\nissuer = \"https://login.example.com\"\nclient-id = \"gateway\"\ndefault-role = \"member\"\n";
    let flags = flags.into_iter().map(Flag::Set).collect();
    let config = load(&Inputs { file: file(provider), flags, ..Inputs::default() }).unwrap();
    let variables = values.map(|(name, value)| (name.to_uppercase().replace('-', "_"), value));
    let variables = variables.map(|(name, value)| (format!("{VARIABLE_PREFIX}{name}"), value.into())).into();
    let inputs = Inputs { file: file(provider), variables, ..Inputs::default() };
    assert_eq!(load(&inputs).as_ref(), Ok(&config));
    // The same from a file; and none is still at its default.
    let (mut text, defaults) = (String::new(), Config::default());
    for (setting, (name, value)) in plain_settings().zip(values) {
        assert!((setting.differs)(&config, &defaults), "{name}");
        text += &format!("{name} = {value:?}\n");
    }
    text += provider;
    assert_eq!(from_file(&text).as_ref(), Ok(&config));
    assert_eq!(config.allowed_hosts, ["gpu.lan", "gpu.example.com:8443"]);
    assert_eq!(config.max_body, 5_000_000);
    assert_eq!(config.upstream.path(), "/base");
}

#[test]
fn flags_override_variables_and_variables_override_the_file() {
    let mut inputs =
        Inputs { file: file("threads = 1\nmax-body = \"1MB\"\nclock-tolerance = \"1s\""), ..Inputs::default() };
    inputs.variables = vec![
        ("OLLAMA_AUTH_GATEWAY_THREADS".into(), "2".into()),
        ("OLLAMA_AUTH_GATEWAY_MAX_BODY".into(), "2MB".into()),
        ("OLLAMA_AUTH_GATEWAY_CLOCK_TOLERANCE".into(), OsString::new()),
    ];
    inputs.flags = vec![Flag::Set("threads=3".into()), Flag::Own("listen", "127.0.0.1:9".into())];
    let config = load(&inputs).unwrap();
    assert_eq!((config.threads, config.max_body, config.clock_tolerance.as_secs()), (3, 2_000_000, 1));
    assert_eq!(config.listen.port(), 9);
    assert_eq!(load(&inputs).unwrap(), config);
}

#[test]
fn an_unknown_setting_suggests_the_nearest_name() {
    says(
        from_file("\n\n  lisen = \"x\""),
        &["/etc/gw/gateway.toml:3:3: ", "unknown setting \"lisen\"", "Did you mean \"listen\"?"],
    );
    says(from_file("tls_cert = \"x\""), &["Did you mean \"tls-cert\""]);
    says(from_file("MaxBody = 1"), &["Did you mean \"max-body\""]);
    says(
        from_variables(&[("UPSTRAEM", "x")]),
        &["variable OLLAMA_AUTH_GATEWAY_UPSTRAEM: ", "Did you mean \"upstream\""],
    );
    says(set(&["thread=1"]), &["--set thread: ", "Did you mean \"threads\""]);
    let odd = from_file("zzz = 1").unwrap_err();
    assert!(!odd.hint().unwrap().contains("Did you mean") && odd.hint().unwrap().contains("gateway init"), "{odd}");
    says(from_file("[gateway]\nlisten = 1"), &[":1:2: unknown table [gateway]", "outside of a table"]);
    says(set(&["threads"]), &["expected NAME=VALUE"]);
}

#[test]
fn a_setting_given_twice_is_an_error() {
    says(
        from_file("threads = 1\nlisten = \"a\"\nthreads = 2"),
        &["gateway.toml:3:1: threads is set twice (first: /etc/gw/gateway.toml:1:1)"],
    );
    says(set(&["threads=1", "threads=2"]), &["--set threads: threads is set twice"]);
    let flags = vec![Flag::Own("listen", "127.0.0.1:1".into()), Flag::Set("listen=127.0.0.1:2".into())];
    says(load(&Inputs { flags, ..Inputs::default() }), &["--set listen: ", "first: --listen"]);
}

#[test]
fn an_invalid_value_is_an_error_that_says_what_is_valid() {
    for (text, wanted) in [
        ("listen = 11435", "listen must be ADDRESS:PORT such as 127.0.0.1:11435, not 11435"),
        ("listen = \"127.0.0.1\"", "not \"127.0.0.1\""),
        ("listen = \"gpu-box:1\"", "not \"gpu-box:1\""),
        ("upstream = \"\"", "upstream must be a URL"),
        ("upstream = \"ftp://x\"", "only http and https"),
        ("upstream = \"http://x:70000\"", "from 1 to 65535"),
        ("public-url = \"gpu.example.com\"", "such as https://gpu.example.com"),
        ("database = \"mysql://h/d\"", "database must be sqlite:PATH, a path, or postgres://USER@HOST:PORT/NAME"),
        ("database = \"postgres://h/d?sslmod=x\"", "unknown parameter \"sslmod\""),
        ("behind-tls-proxy = \"yes\"", "true or false, not \"yes\""),
        ("allowed-hosts = [1]", "not [1]"),
        ("allowed-hosts = [\"http://x/\"]", "a list of host names"),
        ("allowed-origins = [\"*\"]", "\"*\" would allow every page"),
        ("allowed-origins = [\"ollama\", \"null\"]", "\"null\" would allow every page"),
        ("allowed-origins = [\"https://*\"]", "would allow every page"),
        (
            "allowed-origins = [\"chat.example.com\"]",
            "a list of origins such as [\"ollama\", \"https://chat.example.com\"]",
        ),
        ("allowed-origins = \"https://a/b\"", "not \"https://a/b\""),
        ("trusted-proxies = [\"0.0.0.0/0\"]", "every address"),
        ("clock-tolerance = 60", "from 1s to 10m, such as 60s, not 60"),
        ("clock-tolerance = \"0s\"", "from 1s to 10m"),
        ("clock-tolerance = \"601s\"", "from 1s to 10m"),
        ("max-body = -1", "not -1"),
        ("max-body = 1.5", "not 1.5"),
        ("max-scanned-body = \"none\"", "from 1KiB to 1GiB"),
        ("max-connections = 0", "from 1 to 1000000"),
        ("threads = 1025", "from 0 to 1024"),
        ("threads = 99999999999999999999", "not 99999999999999999999"),
        ("drain-timeout = 2024-01-01", "not 2024-01-01"),
    ] {
        let name = text.split(' ').next().unwrap();
        let column = format!("gateway.toml:1:{}: {name} must be ", name.len() + 4);
        says(from_file(text), &[&column, wanted]);
    }
    says(from_variables(&[("LISTEN", "x")]), &["OLLAMA_AUTH_GATEWAY_LISTEN: listen must be ADDRESS:PORT", "not \"x\""]);
}

#[test]
fn the_origins_of_ollama_are_kept_added_to_or_replaced() {
    let allows = |value: &str, origin: &str| {
        let config = set(&[&format!("allowed-origins={value}")]).unwrap();
        let page = PageOrigin::parse(origin).unwrap();
        config.allowed_origins.iter().any(|pattern| pattern.matches(page))
    };
    let [here, chat] = ["http://localhost:3000", "https://chat.example.com"];
    for (value, expected) in [
        ("ollama", [true, false]),
        ("ollama,https://chat.example.com", [true, true]),
        ("https://chat.example.com", [false, true]),
        ("", [false, false]),
    ] {
        assert_eq!([allows(value, here), allows(value, chat)], expected, "{value}");
    }
    // As Ollama's own list, item by item.
    for origin in [
        "http://127.0.0.1",
        "https://localhost:8443",
        "http://0.0.0.0:80",
        "app://obsidian.md",
        "file://",
        "tauri://localhost",
        "vscode-webview://1a2b3c",
        "vscode-file://vscode-app",
    ] {
        assert!(allows("ollama", origin), "{origin}");
    }
    for origin in ["http://[::1]:3000", "chrome-extension://abc", "http://example.com", "https://localhost.evil.com"] {
        assert!(!allows("ollama", origin), "{origin}");
    }
}

#[test]
fn invalid_toml_is_shown_with_its_line() {
    says(
        from_file("threads = 1\nlisten = 127.0.0.1:11435\n"),
        &["gateway.toml:2:", "invalid TOML", "at: listen = 127.0.0.1:11435", "double quotes"],
    );
    says(from_file("listen 127.0.0.1:1"), &["gateway.toml:1:", "NAME = VALUE", "at: listen 127"]);
    says(from_file("é = \"x"), &["gateway.toml:1:"]);
    says(from_file("allowed-hosts = [\"a\","), &["gateway.toml:1:"]);
    let bytes = b"# fine\nlisten = \"\xff\"".to_vec();
    let file = Some(ConfigFile { path: "g.toml".into(), bytes });
    says(load(&Inputs { file, ..Inputs::default() }), &["g.toml:2:11: not valid UTF-8"]);
}

#[test]
fn a_password_is_taken_from_a_file_or_the_environment_but_not_from_an_argument() {
    let address = "postgres://u:hunter2@h/d";
    let has = |config: Result<Config, _>| config.unwrap().database.is_some_and(|database| database.has_password());
    assert!(has(from_file(&format!("database = \"{address}\""))));
    assert!(has(from_variables(&[("DATABASE", address)])));
    says(set(&[&format!("database={address}")]), &["--set database", "holds a password", "database-password-file"]);
    let flags = vec![Flag::Own("database", format!("{address}?sslmode=require"))];
    says(load(&Inputs { flags, ..Inputs::default() }), &["--database", "holds a password"]);
    assert!(!format!("{:?}", from_variables(&[("DATABASE", address)])).contains("hunter2"));
}

fn at(path: &str) -> Option<DatabaseLocation> {
    Some(DatabaseLocation::File(path.into()))
}

#[test]
fn no_message_repeats_a_credential() {
    for error in [
        from_file("database = \"postgres://u:hunter2@h:x/d\"").unwrap_err(),
        set(&["database=postgres://u:hunter2@h/d"]).unwrap_err(),
        from_file("database = postgres://u:hunter2@h/d").unwrap_err(),
        from_file("upstream = \"http://u:hunter2@h\"").unwrap_err(),
        from_variables(&[("PUBLIC_URL", "https://u:hunter2@h")]).unwrap_err(),
        set(&["database=mysql://hunter2"]).unwrap_err(),
    ] {
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf8_is_named() {
    use std::os::unix::ffi::OsStringExt;
    let variables = vec![("OLLAMA_AUTH_GATEWAY_LISTEN".to_owned(), OsString::from_vec(vec![0xff]))];
    says(load(&Inputs { variables, ..Inputs::default() }), &["OLLAMA_AUTH_GATEWAY_LISTEN: not valid UTF-8"]);
}

#[test]
fn variables_that_kubernetes_sets_for_a_service_are_ignored() {
    let made = [
        ("SERVICE_HOST", "10.0.0.1"),
        ("SERVICE_PORT", "80"),
        ("SERVICE_PORT_HTTP", "80"),
        ("PORT", "tcp://10.0.0.1:80"),
        ("PORT_80_TCP_ADDR", "10.0.0.1"),
    ];
    assert_eq!(from_variables(&made), Ok(Config::default()));
    assert!(from_variables(&[("PORTS", "1")]).is_err());
    assert_eq!(from_variables(&[("CONFIG", "/x")]), Ok(Config::default()));
}

#[test]
fn paths_in_the_file_are_relative_to_its_folder() {
    let config = from_file("tls-cert = \"c.pem\"\ntls-key = \"/k.pem\"\ndatabase = \"sqlite:gw.db\"").unwrap();
    let tls = config.tls().unwrap();
    assert_eq!((tls.cert, tls.key), (Path::new("/etc/gw/c.pem"), Path::new("/k.pem")));
    assert_eq!(config.database, at("/etc/gw/gw.db"));
    assert_eq!(from_file("database = \"gw.db\"").unwrap().database, at("/etc/gw/gw.db"));
    assert_eq!(set(&["database=gw.db"]).unwrap().database, at("gw.db"));
    let log = |config: Config| config.access_log.unwrap().to_string();
    assert_eq!(log(from_file("access-log = \"access.log\"").unwrap()), "file /etc/gw/access.log");
    assert_eq!(log(set(&["access-log=access.log"]).unwrap()), "file access.log");
    assert_eq!(log(from_file("access-log = \"stdout\"").unwrap()), "standard output");
    let sink = "access-log = \"e\"\n[[audit-sink]]\nname = \"siem\"\nto = \"file\"\npath = \"./e\"\n";
    says(from_file(sink), &["access-log is the file of the audit-sink siem"]);
}

#[test]
fn beyond_loopback_tls_and_a_public_url_are_required() {
    const TLS: [&str; 2] = ["tls-cert=/c", "tls-key=/k"];
    for listen in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[2001:db8::1]:1"] {
        let listen = format!("listen={listen}");
        says(set(&[&listen]), &["TLS is not configured", "--set listen"]);
        says(set(&[&listen, TLS[0], TLS[1]]), &["public-url is not set"]);
        says(set(&[&listen, "behind-tls-proxy=true"]), &["public-url is not set"]);
        says(set(&[&listen, "behind-tls-proxy=true", "public-url=http://h"]), &["plain http", "behind-tls-proxy"]);
        says(set(&[&listen, "public-url=https://h"]), &["TLS is not configured"]);
        says(set(&[&listen, TLS[0], TLS[1], "public-url=http://127.0.0.1:1"]), &["plain http", "tls-cert"]);
        set(&[&listen, "behind-tls-proxy=true", "public-url=https://h"]).unwrap();
        set(&[&listen, TLS[0], TLS[1], "public-url=https://h"]).unwrap();
    }
    for listen in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "localhost:0"] {
        set(&[&format!("listen={listen}")]).unwrap();
    }
    says(set(&["public-url=http://gpu.example.com"]), &["plain http", "unencrypted"]);
    set(&["public-url=http://localhost:8080"]).unwrap();
    set(&["public-url=https://gpu.example.com"]).unwrap();
    says(set(&["tls-cert=/c"]), &["tls-cert is set", "tls-key is not"]);
    says(from_file("tls-key = \"/k\""), &["tls-key is set (/etc/gw/gateway.toml:1:11), but tls-cert is not"]);
}

#[test]
fn the_gateway_rejects_itself_as_upstream() {
    for pair in [
        ["listen=127.0.0.1:11434", "upstream=http://127.0.0.1:11434"],
        ["listen=127.0.0.1:11434", "upstream=http://localhost:11434/base"],
        ["listen=[::1]:11434", "upstream=http://[::1]:11434"],
        ["public-url=https://gpu.example.com", "upstream=https://gpu.example.com"],
    ] {
        says(set(&pair), &["is this gateway itself"]);
    }
    let everywhere = ["listen=0.0.0.0:11434", "behind-tls-proxy=1", "public-url=https://h"];
    // What was set has to change, also where the upstream server is the one that it is by default.
    says(set(&everywhere), &["upstream is http://127.0.0.1:11434, which is this gateway itself (--set listen)"]);
    set(&["listen=127.0.0.1:11434", "upstream=http://gpu-box:11434"]).unwrap();
    set(&["listen=127.0.0.1:11434", "upstream=http://127.0.0.2:11434"]).unwrap();
}

#[test]
fn the_database_is_read_even_if_other_settings_conflict() {
    let file = file("listen = \"0.0.0.0:1\"\ndatabase = \"/db\"");
    assert_eq!(load_database(&Inputs { file, ..Inputs::default() }), Ok((at("/db"), None)));
    assert_eq!(load_database(&Inputs::default()), Ok((None, None)));
}

#[test]
fn a_reload_keeps_what_needs_a_restart_and_names_it() {
    let running = Config::default();
    assert_eq!(running.clone().keep_until_restart(&running), [""; 0]);
    let tls = ["tls-cert=/c", "tls-key=/k"];
    let args = ["listen=127.0.0.1:1", "database=/x", "threads=2", "clock-tolerance=5s", tls[0], tls[1]];
    let mut new = set(&args).unwrap();
    assert_eq!(new.keep_until_restart(&running), ["listen", "database", "tls-cert", "tls-key", "threads"]);
    assert_eq!(new, Config { clock_tolerance: new.clock_tolerance, ..running });
    assert_eq!(new.clock_tolerance.as_secs(), 5);

    let running = set(&args).unwrap();
    let mut renewed =
        set(&["listen=127.0.0.1:1", "database=/x", "threads=2", "tls-cert=/new", "tls-key=/new"]).unwrap();
    assert_eq!(renewed.keep_until_restart(&running), [""; 0]);
    assert_eq!(renewed.tls().unwrap().cert, Path::new("/new"));
    let mut other = set(&["upstream=https://gpu", "max-blob=1GB"]).unwrap();
    assert_eq!(other.keep_until_restart(&Config::default()), ["upstream"]);
    assert_eq!((other.upstream.port(), other.max_blob), (11434, 1_000_000_000));
}

#[test]
fn limits_are_tables_of_the_gateway_and_of_roles() {
    let config = from_file(
        "threads = 1\n[limits]\nstreams = 16\n\
         [roles.member.limits]\nrequests-per-minute = 60\nburst = 5\nrequest-size = \"1MiB\"",
    );
    let config = config.unwrap();
    assert_eq!(config.limits.to_string(), "streams=16");
    assert_eq!(config.roles.of(&Role::Member).limits.to_string(), "rpm=60,burst=5,size=1MiB");
    assert!([Role::Admin, Role::Maintainer].iter().all(|role| config.roles.of(role).limits.is_none()));
    assert_eq!(from_file("limits = { streams = 16 }").unwrap().limits, config.limits);
    assert_eq!(from_file("limits.streams = 16").unwrap().limits, config.limits);
    assert_eq!(from_file("[limits]\n[roles.admin]").unwrap(), Config::default());
    // A reload applies them.
    let mut reloaded = Config { threads: 0, ..config.clone() };
    assert_eq!(reloaded.keep_until_restart(&Config::default()), [""; 0]);
    assert_eq!((reloaded.limits, reloaded.roles), (config.limits, config.roles));
}

#[test]
fn caps_are_a_list_of_rules() {
    let config = from_file(
        "threads = 1\n[[caps]]\nroles = [\"member\", \"research\"]\nmodels = [\"Qwen3\"]\nkeep-alive = \"10m\"\n\
         when-exceeded = \"refuse\"\n[[caps]]\nnum-ctx = 1\nmodels = [\"*\"]\n[roles.research]\nbase = \"member\"",
    );
    let caps = config.unwrap().caps;
    let of = |role: &Role, model: &str| caps.of(role).of(&[CanonicalModel::parse(model).ok()]);
    let both = of(&Role::from_name("research").unwrap(), "library/qwen3");
    let keep_alive = both.keep_alive.unwrap();
    assert_eq!((keep_alive.most, keep_alive.when_exceeded), (600, WhenExceeded::Refuse));
    assert_eq!(both.num_ctx.unwrap(), Cap { most: 1, when_exceeded: WhenExceeded::Lower });
    assert_eq!(of(&Role::Member, "tiny").keep_alive.or(of(&Role::Admin, "qwen3").keep_alive), None);
    for (text, wanted) in [
        ("[[caps]]\n[[caps]]\nnum-ctx = 1", ":1:1: caps must be tables [[caps]], each with any of"),
        ("[[caps]]\nroles = []\nnum-ctx = 1", "it would apply to no role; for every role, leave roles out"),
        ("[[caps]]\nmodels = []\nnum-ctx = 1", ":2:10: caps.models must be a list of model patterns"),
        ("[[caps]]\nroles = [\"Member\"]\nnum-ctx = 1", "invalid role \"Member\""),
        ("[[caps]]\nroles = \"member\"\nnum-ctx = 1", ":2:9: caps.roles must be a list of roles"),
        (
            "[[caps]]\nnum-ctx = 0",
            ":2:11: caps.num-ctx must be a number of tokens from 1 to 1000000000, such as 8192: 0",
        ),
        ("[[caps]]\nnum-predict = -1", ":2:15: caps.num-predict must be"),
        ("[[caps]]\nnum-predict = 1000000001", "not 1000000001"),
        ("[[caps]]\nkeep-alive = \"0s\"", ":2:14: caps.keep-alive must be a time from 1s to 8760h"),
        ("[[caps]]\nkeep-alive = \"-1\"", "not \"-1\""),
        (
            "[[caps]]\nnum-ctx = 1\n[[caps]]\nnum-ctx = 1\nwhen-exceeded = \"drop\"",
            ":5:17: caps.when-exceeded must be lower or refuse",
        ),
        ("[[caps]]\nnumctx = 1", "Did you mean \"num-ctx\"?"),
        ("[caps]\nnum-ctx = 1", "caps must be tables [[caps]]"),
        ("[[cap]]\nnum-ctx = 1", "unknown"),
        ("threads = 1\n[[caps]]\nroles = [\"chief\"]\nnum-ctx = 1", "names the role \"chief\", which is not defined"),
    ] {
        says(from_file(text), &[wanted]);
    }
}

#[test]
fn sinks_are_a_list_of_tables() {
    let config = from_file(
        "threads = 1\n[[audit-sink]]\nname = \"out\"\nto = \"stdout\"\n\
         [[audit-sink]]\nname = \"siem\"\nto = \"file\"\npath = \"log/events.jsonl\"\n\
         [[audit-sink]]\nname = \"s\"\nto = \"syslog\"\n[[audit-sink]]\nname = \"t\"\nto = \"syslog\"\npath = \"/run/log\"\n",
    );
    let targets: Vec<_> =
        config.unwrap().audit_sinks.iter().map(|sink| format!("{} {}", sink.name, sink.target)).collect();
    assert_eq!(
        targets,
        [
            "out standard output",
            "siem file /etc/gw/log/events.jsonl",
            "s syslog socket /dev/log",
            "t syslog socket /run/log"
        ]
    );
    let sink = |more: &str| format!("[[audit-sink]]\nname = \"a\"\n{more}\n");
    for (text, wanted) in [
        (sink(""), "audit-sink must be tables [[audit-sink]], each with name, to"),
        (sink("to = \"tape\""), ":3:6: audit-sink.to must be stdout, file or syslog, not \"tape\""),
        (sink("to = \"file\""), "the sink a needs the path of its file"),
        (sink("to = \"stdout\"\npath = \"x\""), "the sink a has a path: standard output has none"),
        (sink("to = \"stdout\"").repeat(2), "two sinks have the same name"),
        (
            sink("to = \"stdout\"") + &sink("to = \"stdout\"").replace("\"a\"", "\"b\""),
            "two sinks have the same standard output",
        ),
        (sink("to = \"syslog\"\npaht = \"x\""), "Did you mean \"path\"?"),
        (sink("to = \"stdout\"").replace("\"a\"", "\"A b\""), "invalid name \"A b\""),
    ] {
        says(from_file(&text), &[wanted]);
    }
    assert!(set(&["time-zone=America/New_York"]).is_ok());
    says(
        set(&["time-zone=Mars/Olympus"]),
        &["time-zone must be a time zone such as Europe/Berlin", "not \"Mars/Olympus\""],
    );
    assert_eq!(set(&["event-log-size=none"]).unwrap().event_log_size, None);
    assert_eq!(set(&["event-log-size=2MiB"]).unwrap().event_log_size, Some(2 << 20));
    says(set(&["event-log-size=1023KiB"]), &["event-log-size must be a size of 1MiB or more", "not \"1023KiB\""]);
}

#[test]
fn roles_are_tables_with_a_base_and_models() {
    let config = from_file(
        "[roles.research]\nbase = \"maintainer\"\nmodels = [\"Llama3*\", \"library/qwen3\"]\nmax-key-lifetime = \"30d\"\n\
         [roles.research.models-by-scope]\n\"models:read\" = [\"*\"]\n[roles.viewer]\nmodels = [\"tiny\"]",
    );
    let roles = config.unwrap().roles;
    let research = roles.of(&Role::from_name("research").unwrap());
    let of = |scope| serde_json::to_string(research.models(scope)).unwrap();
    assert_eq!((&research.base, research.scopes), (&Some(Role::Maintainer), Role::Maintainer.scopes()));
    assert_eq!(of(Scope::Inference), r#"["llama3*","qwen3:latest"]"#);
    assert_eq!((of(Scope::ModelsRead), of(Scope::ModelsWrite)), ("[]".to_owned(), of(Scope::Inference)));
    assert_eq!(research.max_key_lifetime, Some(30 * 86_400));
    let viewer = roles.of(&Role::Viewer);
    assert_eq!((viewer.scopes, viewer.models(Scope::ModelsRead).patterns().len()), (Role::Viewer.scopes(), 1));
    let roles =
        from_file("[roles.lead]\nbase = \"member\"\naudit = true\n[roles.maintainer]\naudit = true").unwrap().roles;
    let audits = |name: &str| roles.of(&Role::from_name(name).unwrap()).audit;
    assert!(audits("lead") && audits("maintainer") && audits("auditor") && audits("admin") && !audits("member"));
}

#[test]
fn a_wrong_limit_is_named_with_its_place() {
    let zero = "0 would refuse every request; for no limit, leave it out";
    let table = "limits must be a table with any of requests-per-minute, burst, streams, request-size, tokens-per-hour, tokens-per-day, tokens-per-month and on-exceed";
    for (text, wanted) in [
        (
            "[limits]\nstreams = 0",
            format!(":2:11: limits.streams must be a number from 1 to 1000000, such as 4: {zero}"),
        ),
        ("[limits]\nrequest-size = 0", format!(":2:16: limits.request-size must be a size such as 1MiB: {zero}")),
        ("[limits]\nrequest-size = \"0MB\"", format!(": {zero}")),
        ("[limits]\nrequest-size = \"none\"", "not \"none\"".to_owned()),
        (
            "[limits]\nburst = 1000001",
            ":2:9: limits.burst must be a number from 1 to 1000000, such as 60, not 1000001".to_owned(),
        ),
        ("[limits]\nstreams = \"4\"", "not \"4\"".to_owned()),
        (
            "[limits]\ntokens-per-day = 0",
            ":2:18: limits.tokens-per-day must be a number of tokens such as \"1M\"".to_owned(),
        ),
        ("[limits]\ntokens-per-day = \"1.5M\"", "a number of tokens such as \"1M\", not \"1.5M\"".to_owned()),
        ("[limits]\ntokens-per-day = -1", "a number of tokens".to_owned()),
        ("[limits]\non-exceed = \"cut\"", "on-exceed says what becomes of streams".to_owned()),
        ("[limits]\ntokens-per-day = 1\non-exceed = \"stop\"", "limits.on-exceed must be finish or cut".to_owned()),
        ("[model-limits.\"a b\"]\ntokens-per-day = 1", "is not a pattern for models".to_owned()),
        ("[model-limits.\"qwen2.5*\"]\nstreams = 1", "a model has a budget: tokens-per-hour".to_owned()),
        ("[model-limits.\"qwen2.5*\"]\ntokens-per-day = 0", "must be a number of tokens".to_owned()),
        ("[model-limits]\ntiny = 1", "the table of a model, such as [model-limits.\"llama3*\"]".to_owned()),
        ("limits = { streams = 0 }", ":1:22: limits.streams must be".to_owned()),
        ("limits = 5", format!(":1:10: {table}: ")),
        ("[limits]\nburst = 5", format!(":1:1: {table}: a burst needs a number of requests per minute")),
        (
            "[roles.member.limits]\nrequests-per-minute = 0",
            ":2:23: roles.member.limits.requests-per-minute must be".to_owned(),
        ),
        ("[roles.member.limits]\nburst = 5", "a burst needs a number of requests per minute".to_owned()),
    ] {
        says(from_file(text), &[&wanted]);
    }
    for (text, wanted) in [
        ("[limits]\nsreams = 1", [":2:1: unknown setting \"sreams\"", "Did you mean \"streams\"?"]),
        ("[limits]\nrequests_per_minute = 1", ["\"requests_per_minute\"", "Did you mean \"requests-per-minute\"?"]),
        ("[limits]\nzzz = 1", ["\"zzz\"", "Use one of: requests-per-minute, burst, streams, request-size"]),
        ("[roles.member]\nlimit = 1", ["\"limit\"", "Did you mean \"limits\"?"]),
        ("[roles.limits]\nstreams = 1", ["unknown setting \"streams\"", "Use one of: base, models"]),
        ("[limitz]\nstreams = 1", [":1:2: unknown table [limitz]", "Did you mean [limits]?"]),
        ("[limits]\nstreams = 1\nthreads = 1", [":3:1: unknown setting \"threads\"", "Move it above"]),
    ] {
        says(from_file(text), &wanted);
    }
    let new = "a new role needs base, which is one of viewer, auditor, member, maintainer, admin";
    for (text, wanted) in [
        ("[roles.membr.limits]\nstreams = 1", ["roles.membr", "did you mean \"member\"?"]),
        ("[roles.research]\nmodels = [\"a\"]", [":1:1: roles.research must be", new]),
        ("[roles.research]\nbase = \"chief\"", [":2:8: roles.research.base must be one of viewer", "not \"chief\""]),
        ("[roles.research]\nbase = \"research\"", ["roles.research.base", "not \"research\""]),
        ("[roles.admin]\nbase = \"viewer\"", ["roles.admin must be", "cannot be changed, so it has no base"]),
        ("[roles.member]\nbase = \"member\"", ["roles.member", "cannot be changed"]),
        ("[roles.auditor]\naudit = false", ["roles.auditor must be", "the role auditor always read the event log"]),
        ("[roles.x]\nbase = \"admin\"\naudit = false", ["roles.x must be", "the role admin always read the event log"]),
        ("[roles.x]\nbase = \"member\"\naudit = 1", ["roles.x.audit must be", "true or false"]),
        ("[roles.Research]\nbase = \"member\"", [":1:8: roles", "invalid role \"Research\""]),
        ("[roles.member]\nmodels = []", [":2:10: roles.member.models must be a list", "for all models, leave it out"]),
        ("[roles.member]\nmodels = [\"a b\"]", ["roles.member.models", "is not a pattern for models"]),
        ("[roles.member]\nmodels = [\"http://x/*\", \"a//b\"]", ["roles.member.models", "is not a pattern for models"]),
        ("[roles.member]\nmodel = [\"a\"]", [":2:1: unknown setting \"model\"", "Did you mean \"models\"?"]),
        ("[roles.member.models-by-scope]\ninferenze = [\"a\"]", ["\"inferenze\"", "Did you mean \"inference\"?"]),
        (
            "[roles.viewer.models-by-scope]\ninference = [\"a\"]",
            ["roles.viewer", "viewer does not have the scope inference"],
        ),
        (
            "[roles.member]\nmax-key-lifetime = \"0d\"",
            [":2:20: roles.member.max-key-lifetime must be a number of days", "0d"],
        ),
        (
            "[roles.member]\ntwo-proofs = [\"infer\"]",
            [":2:14: roles.member.two-proofs must be a list of scopes", "unknown scope"],
        ),
        ("[roles.admin]\ntwo-proofs = [\"admin\"]", ["roles.admin.two-proofs", "never given to a device"]),
        (
            "[roles.member]\ntwo-proofs = [\"models:write\"]",
            ["roles.member", "member does not have the scope models:write"],
        ),
        ("[roles.member]\ntwo-proofs = \"keys\"", ["roles.member.two-proofs must be a list of scopes", "such as"]),
        ("[roles]\nmember = 1", ["roles.member", "a table"]),
    ] {
        says(from_file(text), &wanted);
    }
    says(set(&["limits=streams=4"]), &["--set limits: limits must be a table with"]);
    says(from_variables(&[("LIMITS", "4")]), &["OLLAMA_AUTH_GATEWAY_LIMITS: limits must be a table with"]);
}

#[test]
fn addresses_are_tables_of_the_gateway_and_of_roles() {
    let config = from_file(
        "[addresses]\nallow = [\"10.0.0.0/8\", \"::ffff:192.0.2.1\"]\n[roles.admin.addresses]\ndeny = \"10.9.0.0/16, ::1\"",
    );
    let config = config.unwrap();
    assert_eq!(config.addresses.to_string(), "from 10.0.0.0/8, 192.0.2.1/32");
    assert_eq!(
        config.roles.of(&Role::Admin).addresses.to_string(),
        "from every address, but not from 10.9.0.0/16, ::1/128"
    );
    assert!(config.roles.of(&Role::Member).addresses.is_empty());
    assert_eq!(from_file("[addresses]\ndeny = []").unwrap(), Config::default());
    let mut reloaded = config.clone();
    assert_eq!(reloaded.keep_until_restart(&Config::default()), [""; 0]);
    assert_eq!(reloaded, config);
    let list = "must be a list of networks and addresses such as [\"10.0.0.0/8\", \"2001:db8::1\"]";
    for (text, wanted) in [
        (
            "[addresses]\nallow = [\"10.0.0.1/8\"]",
            [":2:9: addresses.allow", "10.0.0.1/8 has host bits set: use 10.0.0.0/8"],
        ),
        ("[addresses]\ndeny = [\"x\"]", [list, "not [\"x\"]"]),
        ("[addresses]\ndeny = 5", [list, "not 5"]),
        ("[addresses]\nallow = []", ["addresses.allow", "for all addresses, leave it out"]),
        (
            "[addresses]\nallow = [\"::1\"]\ndeny = [\"::/64\"]",
            [":1:1: addresses must be", "no address would be accepted"],
        ),
        ("[addresses]\nalow = [\"::1\"]", [":2:1: unknown setting \"alow\"", "Did you mean \"allow\"?"]),
        ("[addresses]\nzzz = 1", ["\"zzz\"", "Use one of: allow, deny"]),
        ("addresses = 5", ["addresses must be a table with any of allow and deny", ""]),
        ("[roles.member.addresses]\ndeny = [\"10.0.0.1/8\"]", ["roles.member.addresses.deny", "use 10.0.0.0/8"]),
        ("[roles.member]\naddresses = 5", ["roles.member.addresses must be a table with any of allow and deny", ""]),
    ] {
        says(from_file(text), &wanted);
    }
}

#[test]
fn sizes_are_read_with_and_without_a_unit() {
    for (written, bytes) in [
        ("100MB", 100_000_000),
        ("16MiB", 16 << 20),
        ("16 mib", 16 << 20),
        ("1024", 1024),
        ("7B", 7),
        ("2GiB", 2 << 30),
        ("none", 0),
        ("0", 0),
    ] {
        assert_eq!(set(&[&format!("max-body={written}")]).unwrap().max_body, bytes, "{written}");
    }
    for written in ["", "MB", "-1", "+1", "1.5MB", "1TB", "1MBB", "20000000000GiB", "１MB"] {
        says(set(&[&format!("max-body={written}")]), &["max-body must be a size", &format!("not {written:?}")]);
    }
    assert_eq!(from_file("max-body = 5").unwrap().max_body, 5);
    says(from_file("max-body = true"), &["not true"]);
}

#[test]
fn times_need_a_unit_and_keep_to_their_range() {
    for (written, seconds) in [("30s", 30), ("2m", 120), ("1m30s", 90), ("1h", 3600)] {
        assert_eq!(set(&[&format!("body-timeout={written}")]).unwrap().body_timeout.as_secs(), seconds, "{written}");
    }
    for written in ["", "30", "s", "0s", "3601s", "2h", "-1s", "1 s", "1d", "1s€", "99999999999999999999s"] {
        says(set(&[&format!("body-timeout={written}")]), &["body-timeout must be a time from 1s to 1h"]);
    }
}

#[test]
fn a_network_may_be_one_address_but_not_every_address() {
    let networks = |text: &str| set(&[&format!("trusted-proxies={text}")]).map(|config| config.trusted_proxies);
    let read = networks("10.1.2.3, 10.1.2.3/8").unwrap();
    assert_eq!(read, ["10.1.2.3/32".parse().unwrap(), "10.0.0.0/8".parse().unwrap()]);
    assert!(networks("::/0").unwrap_err().to_string().contains("every address"));
    assert!(networks("proxy.example.com").unwrap_err().to_string().contains("not \"proxy.example.com\""));
}

#[test]
fn a_database_is_a_path_with_or_without_a_scheme() {
    let database = |text: &str| set(&[&format!("database={text}")]).map(|config| config.database);
    for (text, path) in [
        ("sqlite:/a/b.db", "/a/b.db"),
        ("sqlite:///a/b.db", "/a/b.db"),
        ("sqlite://b.db", "b.db"),
        ("SQLite:b.db", "b.db"),
        ("/a/b?.db", "/a/b?.db"),
        ("b:c.db", "b:c.db"),
    ] {
        assert_eq!(database(text), Ok(at(path)), "{text}");
    }
    for text in ["postgres://me@h/db", "postgresql://one:1,two:2/db", "POSTGRES:///db?host=/run/postgresql"] {
        assert!(matches!(database(text), Ok(Some(DatabaseLocation::Postgres(_)))), "{text}");
    }
    for text in ["postgresql:x", "sqlite:", "sqlite://", "sqlite::memory:", "sqlite:a?mode=ro", "mysql://h/db", "a\0b"]
    {
        assert!(database(text).is_err(), "{text}");
    }
}

#[test]
fn no_error_shows_a_control_character_or_a_long_value() {
    let message = |value: &str| set(&[&format!("listen={value}")]).unwrap_err().to_string();
    assert!(message("u:secret@h:1").ends_with("not the given value"), "{}", message("u:secret@h:1"));
    assert!(message("a\u{1b}b").ends_with(r#"not "a\u{1b}b""#), "{}", message("a\u{1b}b"));
    assert!(message(&"x".repeat(1000)).len() < 200);
}

#[test]
fn the_reference_lists_every_setting() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/settings.md");
    let wanted = reference();
    let text = std::fs::read_to_string(page).unwrap();
    assert!(text.contains(&wanted), "docs/reference/settings.md must have this table:\n{wanted}");
}

#[test]
fn an_environment_has_neither_the_name_nor_the_listener_of_the_gateway() {
    for (text, wanted) in [
        (
            "[environments.a]\nhosts = [\"127.0.0.1\"]",
            "the host name \"127.0.0.1\" of the environment a is also that of the setting listen",
        ),
        (
            "listen = \"127.0.0.1:5\"\n[environments.a]\nlisten = [\"127.0.0.1:5\"]",
            "listens at 127.0.0.1:5, and so does listen",
        ),
        ("upstream = \"http://127.0.0.1:5\"\n[environments.a]\nlisten = [\"localhost:5\"]", "upstream"),
    ] {
        says(from_file(text), &[wanted]);
    }
    let found = from_file("[environments.a]\nhosts = [\"A.example\"]\nlisten = [\"127.0.0.1:5\"]\n").unwrap();
    assert_eq!(found.environments.of_host("a.example:9", Scheme::Http).unwrap().as_str(), "a");
}
