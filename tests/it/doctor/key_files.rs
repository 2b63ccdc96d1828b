//! Key files and the key of the local server.

use super::*;
use crate::harness::can_be_other_accounts;

#[test]
fn exposed_empty_foreign_and_mismatched_key_files_are_reported() {
    let sandbox = with_store("plaintext");
    expect(&offline(&sandbox), "key-file", "note", &["does not exist"]);
    let path = key_file(&sandbox, STOCK_KEY, "ed25519", "");
    expect(&offline(&sandbox), "key-file", "ok", &[&fingerprint(&path)]);

    chmod(&path, 0o640);
    let report = offline(&sandbox);
    expect(&report, "key-file-exposed", "error", &["mode 0640"]);
    apply_fix(&sandbox, &report, "key-file-exposed");
    chmod(path.parent().unwrap(), 0o777);
    let report = offline(&sandbox);
    expect(&report, "key-folder-writable", "error", &["mode 0777"]);
    apply_fix(&sandbox, &report, "key-folder-writable");

    let other = key_file(&sandbox, "home/other/id", "ed25519", "");
    fs::copy(other.with_extension("pub"), path.with_extension("pub")).unwrap();
    let report = offline(&sandbox);
    expect(&report, "key-file-halves", "error", &["id_ed25519.pub"]);
    apply_fix(&sandbox, &report, "key-file-halves");
    let report = offline(&sandbox);
    assert_eq!(report["counts"]["error"], 0, "{report:#}");

    for (kind, passphrase, check, word) in
        [("ed25519", "hunter2 hunter2", "key-file-protected", "passphrase"), ("ecdsa", "", "key-file-foreign", "ecdsa")]
    {
        for file in [&path, &path.with_extension("pub")] {
            fs::remove_file(file).unwrap();
        }
        key_file(&sandbox, STOCK_KEY, kind, passphrase);
        expect(&offline(&sandbox), check, "error", &[word]);
    }
    fs::write(&path, "no key at all").unwrap();
    expect(&offline(&sandbox), "key-file-foreign", "error", &["something else"]);
    fs::write(&path, "").unwrap();
    let report = offline(&sandbox);
    expect(&report, "key-file-empty", "error", &["creates a new key"]);
    apply_fix(&sandbox, &report, "key-file-empty");
    expect(&offline(&sandbox), "key-file", "note", &["does not exist"]);
    // A pipe is not waited for.
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    expect(&offline(&sandbox), "key-file-unreadable", "error", &["not a regular file"]);
}

#[test]
fn a_key_that_belongs_to_another_account_is_reported() {
    if !can_be_other_accounts() {
        return;
    }
    let sandbox = with_store("plaintext");
    let path = key_file(&sandbox, STOCK_KEY, "ed25519", "");
    // Everything is given to the account nobody, then the key to root again.
    as_nobody(&sandbox, &["--version"]).run().expect_code(0);
    std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
    let nobody = [tool("setpriv").to_str().unwrap().to_owned(), "--reuid=65534".into(), "--regid=65534".into()];
    let program = sandbox.path("program");
    let args = ["--clear-groups", program.to_str().unwrap(), "doctor", "--offline", "--json"];
    let command = sandbox.program(&nobody[0], &nobody[1..]).args(args);
    let report = examine(&sandbox, command);
    expect(&report, "key-file-owner", "warning", &["user id 0", "chown"]);
    expect(&report, "key-file-closed", "error", &[&fingerprint(&path.with_extension("pub"))]);
}

#[test]
fn the_key_of_the_local_server_is_named() {
    let (sandbox, _cloud, stock) = given("plaintext");
    stock.set_account(Account::SignedOut);
    let report = doctor(&sandbox, &[]);
    expect(&report, "server-signed-out", "note", &["ollama-auth signin --server --host"]);
    expect(&report, "server-key", "note", &[&stock.key().fingerprint, "none of the key files"]);
    stock.set_account(Account::Unavailable);
    expect(&doctor(&sandbox, &[]), "server-cut-off", "warning", &["cannot reach ollama.com"]);
}

#[test]
fn the_key_a_server_shows_is_matched_with_the_key_files() {
    let (mut sandbox, server) = (with_store("plaintext"), Cloud::start());
    let path = key_file(&sandbox, STOCK_KEY, "ed25519", "");
    let line = fs::read_to_string(path.with_extension("pub")).unwrap();
    let encoded = BASE64_URL_SAFE_NO_PAD.encode(line.trim());
    server.unsigned_signin_url(true).inject("/api/me", Fault::SigninKey(encoded));
    sandbox.set_env("OLLAMA_HOST", server.url());
    let report = doctor(&sandbox, &[]);
    expect(&report, "server-key", "ok", &[path.to_str().unwrap(), &fingerprint(&path)]);
}

#[test]
fn a_stopped_server_is_an_error_only_if_ollama_host_names_it() {
    let mut sandbox = with_store("plaintext");
    sandbox.set_env("OLLAMA_HOST", "127.0.0.1:1");
    expect(&doctor(&sandbox, &[]), "server-unreachable", "error", &["127.0.0.1:1", "OLLAMA_HOST"]);
    // A host given by name is always checked.
    let cloud = Cloud::start();
    expect(&doctor(&sandbox, &["--host", &cloud.url()]), "host", "ok", &[&cloud.url()]);
    // A gateway wants a credential.
    sandbox.set_env("OLLAMA_HOST", cloud.url());
    expect(&doctor(&sandbox, &[]), "server", "ok", &["requires a credential"]);
}
