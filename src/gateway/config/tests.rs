//! The layers, the messages, and what must hold between settings.

use std::ffi::OsString;
use std::path::Path;

use super::*;

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
    let message = result.unwrap_err().to_string();
    for text in wanted {
        assert!(message.contains(text), "{text:?} is missing in: {message}");
    }
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
fn nothing_said_is_the_default() {
    assert_eq!(load(&Inputs::default()), Ok(Config::default()));
    assert_eq!(from_file(""), Ok(Config::default()));
    assert_eq!(from_file(&commented_file()), Ok(Config::default()));
}

#[test]
fn the_commented_file_holds_every_setting_at_its_default() {
    let text = uncommented(&commented_file());
    let set = file::read(&file(&text).unwrap()).unwrap();
    let names: Vec<_> = set.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, SETTINGS.iter().map(|setting| setting.name).collect::<Vec<_>>());
    assert_eq!(from_file(&text), Ok(Config::default()));
}

#[test]
fn every_setting_can_be_set_in_each_layer() {
    let values = [
        ("listen", "127.0.0.1:0"),
        ("upstream", "http://gpu-box:1234/base"),
        ("database", "sqlite:/var/lib/gw/db"),
        ("tls-cert", "/etc/cert.pem"),
        ("tls-key", "/etc/key.pem"),
        ("behind-tls-proxy", "true"),
        ("public-url", "https://gpu.example.com/ollama"),
        ("allowed-hosts", "gpu.lan, GPU.example.com:8443"),
        ("trusted-proxies", "127.0.0.1,10.0.0.0/8"),
        ("clock-tolerance", "2m"),
        ("max-body", "5MB"),
        ("max-blob", "1GiB"),
        ("max-scanned-body", "1MiB"),
        ("max-connections", "12"),
        ("max-connections-per-address", "4"),
        ("header-timeout", "5s"),
        ("body-timeout", "6s"),
        ("drain-timeout", "0s"),
        ("threads", "3"),
    ];
    assert_eq!(values.map(|(name, _)| name), SETTINGS.each_ref().map(|setting| setting.name));
    let flags: Vec<_> = values.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let config = set(&flags.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let variables = values.map(|(name, value)| (name.to_uppercase().replace('-', "_"), value));
    let pairs: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(from_variables(&pairs).as_ref(), Ok(&config));
    // What each shows, read back from a file, is the same again; and none is still at its default.
    let (mut text, defaults) = (String::new(), Config::default());
    for setting in &SETTINGS {
        assert_ne!((setting.show)(&config), (setting.show)(&defaults), "{}", setting.name);
        text += &format!("{} = {}\n", setting.name, (setting.show)(&config));
    }
    assert_eq!(from_file(&text).as_ref(), Ok(&config));
    assert_eq!(config.allowed_hosts, ["gpu.lan", "gpu.example.com:8443"]);
    assert_eq!(config.max_body, 5_000_000);
    assert_eq!(config.upstream.path(), "/base");
}

#[test]
fn flags_go_before_variables_before_the_file() {
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
fn a_wrong_name_is_an_error_with_the_nearest_right_one() {
    says(
        from_file("\n\n  lisen = \"x\""),
        &["/etc/gw/gateway.toml:3:3: ", "no setting \"lisen\"", "did you mean \"listen\""],
    );
    says(from_file("tls_cert = \"x\""), &["did you mean \"tls-cert\""]);
    says(from_file("MaxBody = 1"), &["did you mean \"max-body\""]);
    says(
        from_variables(&[("UPSTRAEM", "x")]),
        &["variable OLLAMA_AUTH_GATEWAY_UPSTRAEM: ", "did you mean \"upstream\""],
    );
    says(set(&["thread=1"]), &["--set thread: ", "did you mean \"threads\""]);
    let odd = from_file("zzz = 1").unwrap_err();
    assert!(!odd.to_string().contains("did you mean") && odd.hint().unwrap().contains("gateway init"), "{odd}");
    says(from_file("[gateway]\nlisten = 1"), &[":1:2: ", "[gateway] is a group"]);
    says(set(&["threads"]), &["--set NAME=VALUE"]);
}

#[test]
fn a_doubled_name_is_an_error() {
    says(
        from_file("threads = 1\nlisten = \"a\"\nthreads = 2"),
        &["gateway.toml:3:1: threads is set a second time", "toml:1:1"],
    );
    says(set(&["threads=1", "threads=2"]), &["--set threads: threads is set a second time"]);
    let flags = vec![Flag::Own("listen", "127.0.0.1:1".into()), Flag::Set("listen=127.0.0.1:2".into())];
    says(load(&Inputs { flags, ..Inputs::default() }), &["--set listen: ", "first by --listen"]);
}

#[test]
fn a_wrong_value_is_an_error_that_says_what_is_right() {
    for (text, wanted) in [
        ("listen = 11435", "listen is ADDRESS:PORT such as 127.0.0.1:11435, not 11435"),
        ("listen = \"127.0.0.1\"", "not \"127.0.0.1\""),
        ("listen = \"gpu-box:1\"", "not \"gpu-box:1\""),
        ("upstream = \"\"", "upstream is a URL"),
        ("upstream = \"ftp://x\"", "only http and https"),
        ("upstream = \"http://x:70000\"", "from 1 to 65535"),
        ("public-url = \"gpu.example.com\"", "such as https://gpu.example.com"),
        ("database = \"postgres://h/d\"", "database is sqlite:PATH, or a path"),
        ("behind-tls-proxy = \"yes\"", "true or false, not \"yes\""),
        ("allowed-hosts = [1]", "not an array of something else than texts"),
        ("allowed-hosts = [\"http://x/\"]", "a list of host names"),
        ("trusted-proxies = [\"0.0.0.0/0\"]", "everybody"),
        ("clock-tolerance = 60", "from 1s to 10m, such as 60s, not 60"),
        ("clock-tolerance = \"0s\"", "from 1s to 10m"),
        ("clock-tolerance = \"601s\"", "from 1s to 10m"),
        ("max-body = -1", "not -1"),
        ("max-body = 1.5", "not a number with a fraction"),
        ("max-scanned-body = \"none\"", "from 1KiB to 1GiB"),
        ("max-connections = 0", "from 1 to 1000000"),
        ("threads = 1025", "from 0 to 1024"),
        ("threads = 99999999999999999999", "not a number as large"),
        ("drain-timeout = 2024-01-01", "not a date"),
    ] {
        let name = text.split(' ').next().unwrap();
        let column = format!("gateway.toml:1:{}: {name} is ", name.len() + 4);
        says(from_file(text), &[&column, wanted]);
    }
    says(from_variables(&[("LISTEN", "x")]), &["OLLAMA_AUTH_GATEWAY_LISTEN: listen is ADDRESS:PORT", "not \"x\""]);
}

#[test]
fn what_is_no_toml_is_shown_with_its_line() {
    says(
        from_file("threads = 1\nlisten = 127.0.0.1:11435\n"),
        &["gateway.toml:2:", "a text stands in quotes", "at: listen = 127.0.0.1:11435"],
    );
    says(from_file("listen 127.0.0.1:1"), &["gateway.toml:1:", "NAME = VALUE", "at: listen 127"]);
    says(from_file("é = \"x"), &["gateway.toml:1:"]);
    says(from_file("allowed-hosts = [\"a\","), &["gateway.toml:1:"]);
    let bytes = b"# fine\nlisten = \"\xff\"".to_vec();
    let file = Some(ConfigFile { path: "g.toml".into(), bytes });
    says(load(&Inputs { file, ..Inputs::default() }), &["g.toml:2:11: not valid UTF-8"]);
}

#[test]
fn no_message_repeats_a_credential() {
    for error in [
        from_file("database = \"postgres://u:hunter2@h/d\"").unwrap_err(),
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
fn a_variable_of_odd_bytes_is_named() {
    use std::os::unix::ffi::OsStringExt;
    let variables = vec![("OLLAMA_AUTH_GATEWAY_LISTEN".to_owned(), OsString::from_vec(vec![0xff]))];
    says(load(&Inputs { variables, ..Inputs::default() }), &["OLLAMA_AUTH_GATEWAY_LISTEN: not valid UTF-8"]);
}

#[test]
fn variables_that_kubernetes_makes_for_a_service_of_our_name_are_passed_over() {
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
fn paths_in_the_file_count_from_its_folder() {
    let config = from_file("tls-cert = \"c.pem\"\ntls-key = \"/k.pem\"\ndatabase = \"sqlite:gw.db\"").unwrap();
    let tls = config.tls.unwrap();
    assert_eq!((tls.cert.as_path(), tls.key.as_path()), (Path::new("/etc/gw/c.pem"), Path::new("/k.pem")));
    assert_eq!(config.database.as_deref(), Some("sqlite:/etc/gw/gw.db"));
    assert_eq!(from_file("database = \"gw.db\"").unwrap().database.as_deref(), Some("/etc/gw/gw.db"));
    assert_eq!(set(&["database=gw.db"]).unwrap().database.as_deref(), Some("gw.db"));
    assert_eq!(set(&["database=sqlite://gw.db"]).unwrap().database.as_deref(), Some("sqlite:gw.db"));
}

#[test]
fn beyond_loopback_there_is_tls_and_a_public_url() {
    const TLS: [&str; 2] = ["tls-cert=/c", "tls-key=/k"];
    for listen in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[2001:db8::1]:1"] {
        let listen = format!("listen={listen}");
        says(set(&[&listen]), &["there is no TLS", "--set listen"]);
        says(set(&[&listen, TLS[0], TLS[1]]), &["public-url is needed"]);
        says(set(&[&listen, "behind-tls-proxy=true"]), &["public-url is needed"]);
        says(set(&[&listen, "behind-tls-proxy=true", "public-url=http://h"]), &["plain http", "behind-tls-proxy"]);
        says(set(&[&listen, "public-url=https://h"]), &["there is no TLS"]);
        says(set(&[&listen, TLS[0], TLS[1], "public-url=http://127.0.0.1:1"]), &["plain http", "tls-cert"]);
        set(&[&listen, "behind-tls-proxy=true", "public-url=https://h"]).unwrap();
        set(&[&listen, TLS[0], TLS[1], "public-url=https://h"]).unwrap();
    }
    for listen in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "localhost:0"] {
        set(&[&format!("listen={listen}")]).unwrap();
    }
    says(set(&["public-url=http://gpu.example.com"]), &["plain http", "in the clear"]);
    set(&["public-url=http://localhost:8080"]).unwrap();
    set(&["public-url=https://gpu.example.com"]).unwrap();
    says(set(&["tls-cert=/c"]), &["tls-cert is set", "tls-key is not"]);
    says(from_file("tls-key = \"/k\""), &["tls-key is set (/etc/gw/gateway.toml:1:11) but tls-cert is not"]);
}

#[test]
fn the_gateway_is_not_its_own_upstream() {
    for pair in [
        ["listen=127.0.0.1:11434", "upstream=http://127.0.0.1:11434"],
        ["listen=127.0.0.1:11434", "upstream=http://localhost:11434/base"],
        ["listen=[::1]:11434", "upstream=http://[::1]:11434"],
        ["public-url=https://gpu.example.com", "upstream=https://gpu.example.com"],
    ] {
        says(set(&pair), &["is the gateway itself"]);
    }
    let everywhere = ["listen=0.0.0.0:11434", "behind-tls-proxy=1", "public-url=https://h"];
    says(set(&everywhere), &["upstream is http://127.0.0.1:11434 (default), which is the gateway itself"]);
    set(&["listen=127.0.0.1:11434", "upstream=http://gpu-box:11434"]).unwrap();
    set(&["listen=127.0.0.1:11434", "upstream=http://127.0.0.2:11434"]).unwrap();
}

#[test]
fn the_database_is_found_whatever_else_does_not_go_together() {
    let file = file("listen = \"0.0.0.0:1\"\ndatabase = \"/db\"");
    assert_eq!(load_database(&Inputs { file, ..Inputs::default() }), Ok(Some("/db".to_owned())));
    assert_eq!(load_database(&Inputs::default()), Ok(None));
}

#[test]
fn a_reload_says_what_it_cannot_change() {
    let before = Config::default();
    assert_eq!(before.changes_that_need_a_restart(&before), [""; 0]);
    let tls = ["tls-cert=/c", "tls-key=/k"];
    let after = set(&["listen=127.0.0.1:1", "database=/x", "threads=2", "clock-tolerance=5s", tls[0], tls[1]]).unwrap();
    assert_eq!(before.changes_that_need_a_restart(&after), ["listen", "database", "threads", "tls-cert"]);
    let renewed = set(&["listen=127.0.0.1:1", "database=/x", "threads=2", "tls-cert=/new", "tls-key=/new"]).unwrap();
    assert_eq!(after.changes_that_need_a_restart(&renewed), [""; 0]);
}

#[test]
fn the_documentation_lists_every_setting() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/settings.md");
    let text = std::fs::read_to_string(file).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with("Settings\n")).expect("a section Settings");
    let wanted = template::documentation();
    assert!(section.contains(&wanted), "the section Settings of docs/reference/settings.md has to hold:\n{wanted}");
}
