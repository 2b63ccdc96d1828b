//! Holds the map of `src/lib.rs`: imports point downward only, and what only one module may do, only it does.

mod imports;

use std::fs;
use std::path::{Path, PathBuf};

/// What a module may use of the others. `commands` and what starts them may use all.
const USES: &[(&str, &[&str])] = &[
    ("address", &[]),
    ("os_error", &[]),
    ("shell", &[]),
    ("disk", &["shell"]),
    ("local_time", &[]),
    ("relative_time", &[]),
    ("env", &[]),
    ("process", &["env", "os_error"]),
    ("paths", &[]),
    ("identity", &["address"]),
    ("transparency_log", &[]),
    ("keyspec", &["address"]),
    ("http", &["address"]),
    ("vault", &["address", "disk", "os_error"]),
    ("ui", &["os_error"]),
    ("chat", &[]),
    ("demo", &[]),
    ("cli", &["keyspec"]),
    ("api", &["address", "http", "identity", "keyspec", "os_error"]),
    ("profile", &["address", "disk", "identity", "keyspec", "vault"]),
    ("rotation", &["address", "disk", "keyspec", "vault"]),
    ("gateway", &["address", "disk", "http", "identity", "keyspec", "os_error", "relative_time", "transparency_log"]),
    ("proxy", &["address", "api", "gateway", "http"]),
];

/// A text that may stand only below one place of `src`.
const ONLY_THERE: &[(&str, &[&str])] = &[
    ("keyring::", &["vault"]),
    ("std::env::var", &["env.rs", "commands/signin/device.rs"]),
    ("io::stdout()", &["ui"]),
    ("io::stderr()", &["ui"]),
    ("downcast_ref", &["exit/problem.rs", "gateway/policy/body.rs"]),
    ("ssh_key::", &["identity"]),
    ("reqwest::", &["api", "gateway/oidc/http.rs"]),
    ("jsonwebtoken::", &["gateway/oidc"]),
    ("rustyline::", &["ui"]),
    ("sqlx::", &["gateway/store"]),
    ("maud::", &["gateway/pages"]),
    ("prometheus_client::", &["gateway/telemetry", "gateway/status_metrics.rs"]),
    ("rustls::", &["gateway/tls.rs", "gateway/server.rs", "http/client", "http/caller_stream.rs"]),
];

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(&root).unwrap().to_owned(), text));
            }
        }
    }
    assert!(found.len() > 40, "the sources were not found");
    found
}

/// The lines that are code, with what follows `//` cut off.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| line.split("//").next().unwrap_or_default())
}

#[test]
fn a_module_uses_only_what_is_below_it() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Some((module, uses)) = USES.iter().find(|(module, _)| path.with_extension("").starts_with(module)) else {
            continue;
        };
        for line in code(&text) {
            let used = line.split("crate::").skip(1).map(|after| {
                let end = after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len());
                &after[..end]
            });
            let beyond = used.filter(|used| used != module && !uses.contains(used) && !used.is_empty());
            wrong.extend(beyond.map(|used| format!("{} uses {used}: {}", path.display(), line.trim())));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_path_climbs_two_modules_up() {
    let climbs = |text: &str| code(text).any(|line| line.contains("super::super::"));
    let wrong: Vec<_> = sources().into_iter().filter(|(_, text)| climbs(text)).map(|(path, _)| path).collect();
    assert!(wrong.is_empty(), "write crate:: instead: {wrong:?}");
}

#[test]
fn no_files_import_each_other_in_a_cycle() {
    let sources: Vec<_> =
        sources().into_iter().map(|(path, text)| (path.to_str().unwrap().replace('\\', "/"), text)).collect();
    let cycles = imports::cycles(&imports::graph(&sources));
    assert!(cycles.is_empty(), "{cycles:#?}");
}

#[test]
fn each_thing_is_done_in_its_place_only() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        for (needle, places) in ONLY_THERE {
            let here = places.iter().any(|place| path.starts_with(place));
            if !here && code(&text).any(|line| line.contains(needle)) {
                wrong.push(format!("{} uses {needle}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> =
        sources().into_iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(path, _)| path).collect();
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn the_entry_is_thin() {
    let (_, main) = sources().into_iter().find(|(path, _)| path == Path::new("main.rs")).unwrap();
    assert!(main.lines().count() < 40);
}
