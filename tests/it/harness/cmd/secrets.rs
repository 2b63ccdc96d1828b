//! Searches files and output for a secret in all its encodings.

use std::{
    fs,
    path::{Path, PathBuf},
};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};

use super::Output;
use crate::harness::contains;

/// Every regular file below `root`, sorted. Symbolic links are not followed.
pub(super) fn files(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
            let entry = entry.expect("an entry of a directory");
            let kind = entry.file_type().expect("its type");
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                let bytes = fs::read(entry.path()).unwrap_or_else(|e| panic!("{}: {e}", entry.path().display()));
                found.push((entry.path(), bytes));
            }
        }
    }
    found.sort();
    found
}

/// The forms in which a secret could leak: whole, each long line of it, and whole in base64.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    assert!(secret.len() >= 8, "a secret too short to be looked for");
    let mut forms = vec![
        secret.as_bytes().to_vec(),
        BASE64_STANDARD_NO_PAD.encode(secret).into_bytes(),
        BASE64_URL_SAFE_NO_PAD.encode(secret).into_bytes(),
    ];
    // The frame of a PEM file is not a secret, and neither is its first line: it holds the format and the public key.
    let lines = secret.lines().filter(|l| l.len() >= 20 && !l.starts_with("-----"));
    forms.extend(lines.skip(2).map(|line| line.as_bytes().to_vec()));
    forms
}

pub(super) fn assert_absent(root: &Path, secret: &str, outputs: &[&Output], allowed: &[&str]) {
    let forms = forms(secret);
    let leaks = |bytes: &[u8]| forms.iter().any(|form| contains(bytes, form));
    for output in outputs {
        assert!(!leaks(&output.stdout), "a secret stands on stdout");
        assert!(!leaks(&output.stderr), "a secret stands on stderr");
    }
    for (path, bytes) in files(root) {
        let below = path.strip_prefix(root).expect("a file below the root");
        let fine = allowed.iter().any(|allowed| below.starts_with(allowed));
        assert!(fine || !leaks(&bytes), "a secret stands in {}", below.display());
    }
}
