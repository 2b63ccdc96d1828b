//! Holds the map of `src/lib.rs`: imports point downward only, and what only one module may do, only it does.

use std::fs;
use std::path::{Path, PathBuf};

/// A layer, and the modules of the crate that it must not use.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "address",
        &[
            "api", "app", "chat", "cli", "commands", "demo", "disk", "env", "exit", "gateway", "identity", "keyspec",
            "profile", "proxy", "ui", "vault",
        ],
    ),
    (
        "identity",
        &[
            "api", "app", "chat", "cli", "commands", "demo", "disk", "env", "exit", "gateway", "keyspec", "profile",
            "proxy", "ui", "vault",
        ],
    ),
    (
        "keyspec",
        &[
            "api", "app", "chat", "cli", "commands", "demo", "disk", "env", "exit", "gateway", "identity", "profile",
            "proxy", "ui", "vault",
        ],
    ),
    (
        "disk",
        &[
            "address", "api", "app", "chat", "cli", "commands", "demo", "env", "exit", "gateway", "identity",
            "keyspec", "profile", "proxy", "ui", "vault",
        ],
    ),
    (
        "ui",
        &[
            "address", "api", "app", "chat", "cli", "commands", "demo", "disk", "env", "exit", "gateway", "identity",
            "keyspec", "profile", "proxy", "vault",
        ],
    ),
    (
        "http",
        &[
            "api", "app", "chat", "cli", "commands", "demo", "disk", "env", "exit", "gateway", "identity", "keyspec",
            "profile", "proxy", "ui", "vault",
        ],
    ),
    (
        "chat",
        &["api", "app", "cli", "commands", "demo", "disk", "env", "exit", "gateway", "profile", "proxy", "ui", "vault"],
    ),
    (
        "vault",
        &[
            "api", "app", "chat", "cli", "commands", "demo", "env", "exit", "gateway", "identity", "profile", "proxy",
            "ui",
        ],
    ),
    ("profile", &["api", "app", "chat", "cli", "commands", "demo", "env", "exit", "gateway", "proxy", "ui"]),
    (
        "api",
        &[
            "app", "chat", "cli", "commands", "demo", "disk", "env", "exit", "gateway", "profile", "proxy", "ui",
            "vault",
        ],
    ),
    ("gateway", &["api", "app", "chat", "cli", "commands", "demo", "env", "exit", "profile", "proxy", "ui", "vault"]),
    ("proxy", &["app", "chat", "cli", "commands", "demo", "disk", "env", "exit", "profile", "ui", "vault"]),
    (
        "rotation",
        &["api", "app", "chat", "cli", "commands", "demo", "env", "exit", "gateway", "profile", "proxy", "ui"],
    ),
    (
        "demo",
        &[
            "api", "app", "chat", "cli", "commands", "disk", "env", "exit", "gateway", "identity", "keyspec",
            "profile", "proxy", "ui", "vault",
        ],
    ),
    (
        "cli",
        &[
            "api", "app", "chat", "commands", "demo", "disk", "env", "exit", "gateway", "profile", "proxy", "ui",
            "vault",
        ],
    ),
];

/// A text that may stand only below one place of `src`.
const ONLY_THERE: &[(&str, &[&str])] = &[
    ("keyring::", &["vault"]),
    ("std::env::var", &["env.rs", "commands/signin/device.rs"]),
    ("io::stdout()", &["ui"]),
    ("io::stderr()", &["ui"]),
    ("downcast_ref", &["exit.rs"]),
    ("ssh_key::", &["identity"]),
    ("reqwest::", &["api"]),
    ("rustyline::", &["ui"]),
    ("sqlx::", &["gateway/store"]),
    ("maud::", &["gateway/pages"]),
    ("rustls::", &["gateway/server.rs", "gateway/tls.rs", "http/client", "http/caller_stream.rs"]),
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
fn imports_point_downward_only() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Some((_, forbidden)) = FORBIDDEN.iter().find(|(layer, _)| path.starts_with(layer)) else {
            continue;
        };
        for line in code(&text) {
            let used = forbidden.iter().find(|module| {
                let name = format!("crate::{module}");
                line.split(&name).skip(1).any(|after| !after.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
            });
            if let Some(module) = used {
                wrong.push(format!("{} uses {module}: {}", path.display(), line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
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
