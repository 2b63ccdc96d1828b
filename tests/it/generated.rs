//! The committed completions and manual pages are what the program prints.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::cmd::Sandbox;

/// File name under `completions/` of each shell.
const COMPLETIONS: [(&str, &str); 5] = [
    ("bash", "ollama-auth.bash"),
    ("elvish", "ollama-auth.elv"),
    ("fish", "ollama-auth.fish"),
    ("powershell", "_ollama-auth.ps1"),
    ("zsh", "_ollama-auth"),
];

fn committed(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect()
}

#[test]
fn completions_are_up_to_date() {
    let sandbox = Sandbox::new();
    let committed = files(&committed("completions"));
    assert_eq!(committed.len(), COMPLETIONS.len());
    for (shell, file) in COMPLETIONS {
        let output = sandbox.command(["completions", shell]).run().expect_code(0);
        assert_eq!(output.stderr(), "");
        assert!(committed[file] == output.stdout(), "completions/{file} is out of date: run scripts/generate");
    }
}

#[test]
fn manual_pages_are_up_to_date() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("man");
    sandbox.command(["man".as_ref(), folder.as_os_str()]).run().expect_code(0);
    let (fresh, committed) = (files(&folder), files(&committed("man")));
    let names = |pages: &BTreeMap<String, String>| pages.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&committed), names(&fresh), "run scripts/generate");
    for (name, page) in fresh {
        assert!(committed[&name] == page, "man/{name} is out of date: run scripts/generate");
    }
}

#[test]
fn the_main_page_is_printed() {
    let sandbox = Sandbox::new();
    let output = sandbox.command(["man"]).run().expect_code(0);
    assert!(output.stdout() == files(&committed("man"))["ollama-auth.1"]);
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let sandbox = Sandbox::new();
    let script = format!("{} completions bash | /bin/true; exit \"${{PIPESTATUS[0]}}\"", crate::harness::cmd::PROGRAM);
    let output = sandbox.program("/bin/bash", ["-c", &script]).run().expect_code(0);
    assert_eq!(output.stderr(), "");
}
