//! The Ollama server on this machine: whether it answers, which key it uses, whether that key is signed in.

use std::path::PathBuf;

use super::super::finding::{Finding, Group, Level};
use super::super::view::View;
use super::super::view::server::{Answer, Server};
use crate::identity::PublicKey;

const GROUP: Group = Group::LocalServer;

/// See the module.
pub fn check(view: &View<'_>) -> Vec<Finding> {
    let Some(server) = &view.server else {
        return Vec::new();
    };
    let url = &server.url;
    match &server.answer {
        Err(error) => vec![silent(server, &error.to_string())],
        Ok(Answer::WantsCredential) => {
            let what = format!("{url} wants a credential from its callers: it is a gateway or the like");
            vec![Finding::new(Level::Ok, GROUP, "server", what)]
        }
        Ok(Answer::NoAccounts) => {
            let what = format!("{url} answers, but knows nothing of accounts");
            let finding = Finding::new(Level::Note, GROUP, "server", what)
                .why("an old Ollama has no accounts and no cloud models")
                .remedy("update it if cloud models are wanted");
            vec![finding, which_key(view, server, None)]
        }
        Ok(Answer::SignedIn(account)) => {
            let what = format!("{url} is signed in to ollama.com as {}", account.label());
            vec![Finding::new(Level::Ok, GROUP, "server", what), which_key(view, server, None)]
        }
        Ok(Answer::Cut) => {
            let what = format!("{url} answers, but cannot reach ollama.com");
            let finding = Finding::new(Level::Warning, GROUP, "server-cut-off", what)
                .why("its cloud models do not work; local models do")
                .remedy("check that machine's network and the proxy variables of the service");
            vec![finding, which_key(view, server, None)]
        }
        Ok(Answer::SignedOut(key)) => {
            let what = format!("{url} is not signed in to ollama.com");
            let finding = Finding::new(Level::Note, GROUP, "server-signed-out", what)
                .why("only its cloud models need it")
                .remedy(format!("ollama-auth signin --server --host {url}"));
            vec![finding, which_key(view, server, Some(key))]
        }
    }
}

fn silent(server: &Server, message: &str) -> Finding {
    if server.named {
        // What `run` uses.
        let finding = Finding::new(Level::Error, GROUP, "server-unreachable", message)
            .why("OLLAMA_HOST names it, so `ollama-auth run` goes there");
        return finding.remedy("start it with `ollama serve`, or unset OLLAMA_HOST");
    }
    // That is what a machine without Ollama looks like.
    Finding::new(Level::Note, GROUP, "server-not-running", message)
        .why("local models need it; other hosts do not")
        .remedy("ollama serve")
}

fn which_key(view: &View<'_>, server: &Server, key: Option<&PublicKey>) -> Finding {
    let finding = |level, what: String| Finding::new(level, GROUP, "server-key", what);
    if let Some(key) = key {
        let print = key.fingerprint();
        let file = view.key_files.iter().find(|file| file.key() == Some(key));
        return match file {
            Some(file) => finding(Level::Ok, format!("it uses the key {} ({print})", file.path.display())),
            None => finding(Level::Note, format!("it uses a key that is in no file seen from here ({print})"))
                .why("it runs as an account whose key cannot be read from this one, or in a container"),
        };
    }
    let owner = match &server.owner {
        Ok(owner) => owner,
        Err(reason) => {
            let what = format!("which key it uses is unknown: it does not say, and {reason}");
            return finding(Level::Note, what).why("a server tells its key only while it is signed out");
        }
    };
    let account = owner.entry.as_ref().map_or_else(|| format!("user id {}", owner.id), |(name, _)| name.clone());
    let path: Option<PathBuf> = if owner.is_us() {
        Some(view.app.paths.stock_key.clone())
    } else {
        owner.entry.as_ref().map(|(_, home)| home.join(".ollama").join("id_ed25519"))
    };
    let Some(path) = path else {
        let what = format!("which key it uses is unknown: it runs as {account}, whose home is not known");
        return finding(Level::Note, what);
    };
    let known = view.key_files.iter().find(|file| file.path == path).and_then(|file| file.key());
    let print = known.map_or(String::new(), |key| format!(" ({})", key.fingerprint()));
    let why =
        "told by the account of the process that listens there; if that is the door of a container, the key is inside";
    finding(Level::Ok, format!("it runs as {account}, so it uses the key {}{print}", path.display())).why(why)
}
