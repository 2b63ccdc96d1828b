//! `OLLAMA_AUTH_KEEP_UNLOCKED`: a person types the passphrase once, and the key of the encrypted file stays in the kernel's keyring.

use std::fs;

use crate::given::{DATA, as_account, says};
use crate::harness::cloud::Cloud;
use crate::harness::cmd::{PROGRAM, Sandbox};
use crate::harness::pty::{Finished, Terminal};
use crate::harness::{can_be_other_accounts, contains, tool};

const PASSPHRASE: &str = "long enough";
const API_KEY: &str = "the-profiles-key-0123456789";
const ASKS: &str = "Passphrase of the encrypted file: ";

/// A profile whose secrets are in the encrypted file, made without the setting, which is then set.
fn signed_in(cloud: &Cloud, keep: bool) -> Sandbox {
    cloud.accept_api_key(API_KEY);
    let mut sandbox = Sandbox::new();
    sandbox.set_env("OLLAMA_AUTH_STORE", "file");
    let args = ["signin", "--with-api-key", "--host", &cloud.url()];
    sandbox.command(args).env("OLLAMA_AUTH_PASSPHRASE", PASSPHRASE).stdin(API_KEY).run().expect_code(0);
    if keep {
        sandbox.set_env("OLLAMA_AUTH_KEEP_UNLOCKED", "1");
    }
    sandbox
}

/// Types the passphrase for a command.
fn unlock(sandbox: &Sandbox) -> Finished {
    let mut terminal = Terminal::start(sandbox, &["status"]);
    terminal.wait_text(ASKS);
    terminal.send(&format!("{PASSPHRASE}\r"));
    let finished = terminal.finish();
    assert_eq!(finished.code, 0, "{}", finished.screen);
    finished
}

/// What a command without a terminal, and so without a prompt, ends with.
fn is_unlocked(sandbox: &Sandbox) -> bool {
    let output = sandbox.command(["exec", "--", "/bin/true"]).run();
    assert!(output.code() == 0 || output.stderr().contains("needs a passphrase"), "{}", output.snapshot());
    output.code() == 0
}

/// The line of `/proc/keys` about a sandbox's key: id, flags, references, time left, permissions, owner, group, type, description.
fn kept(sandbox: &Sandbox) -> Option<Vec<String>> {
    let keys = fs::read_to_string("/proc/keys").unwrap();
    // The description is long; the kernel shows it whole.
    let name = sandbox.path(DATA).join("secrets.enc.json").display().to_string();
    let is_valid = |line: &&str| line.contains(&name) && line.split_whitespace().nth(3) != Some("expd");
    let line = keys.lines().find(is_valid)?;
    // The second field has the flag `i` where a key is invalidated.
    let fields: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    (!fields[1].contains('i')).then_some(fields)
}

fn lock(sandbox: &Sandbox) {
    sandbox.command(["store", "lock"]).run().expect_code(0);
}

#[test]
fn the_passphrase_is_typed_once() {
    let cloud = Cloud::start();
    let sandbox = signed_in(&cloud, true);
    assert!(!is_unlocked(&sandbox));
    let finished = unlock(&sandbox);
    assert!(!contains(&finished.raw, PASSPHRASE.as_bytes()));
    let key = kept(&sandbox).expect("a kept key");
    assert!(["14m", "15m"].contains(&key[3].as_str()), "{key:?}");
    assert_eq!(key[4], "003f0000", "for this account alone");
    let terminal = Terminal::start(&sandbox, &["status"]).finish();
    assert!(terminal.code == 0 && !terminal.screen.contains("Passphrase"), "{}", terminal.screen);
    assert!(is_unlocked(&sandbox));
    // Writing is possible too, and neither the passphrase nor a secret is on the disk.
    sandbox.command(["signin", "--with-api-key"]).stdin(API_KEY).run().expect_code(0);
    for secret in [PASSPHRASE, API_KEY] {
        sandbox.assert_no_secret(secret, &[], &[]);
    }

    let output = sandbox.command(["store", "lock"]).run().expect_code(0);
    says(&output, &["commands ask for the passphrase again"]);
    assert_eq!(kept(&sandbox), None);
    assert!(!is_unlocked(&sandbox));
    says(&sandbox.command(["store", "lock"]).run().expect_code(0), &["No key is kept"]);
    assert_eq!(sandbox.command(["store", "lock", "--json"]).run().expect_code(0).json()["removed"], false);
}

#[test]
fn it_is_off_by_default() {
    let cloud = Cloud::start();
    let mut sandbox = signed_in(&cloud, false);
    for value in [None, Some("0"), Some("false"), Some("")] {
        if let Some(value) = value {
            sandbox.set_env("OLLAMA_AUTH_KEEP_UNLOCKED", value);
        }
        unlock(&sandbox);
        assert_eq!(kept(&sandbox), None, "{value:?}");
        assert!(!is_unlocked(&sandbox));
    }
    // A key that is kept is not used without the setting, and can be removed.
    sandbox.set_env("OLLAMA_AUTH_KEEP_UNLOCKED", "1");
    unlock(&sandbox);
    sandbox.remove_env("OLLAMA_AUTH_KEEP_UNLOCKED");
    assert!(!is_unlocked(&sandbox));
    assert!(kept(&sandbox).is_some());
    lock(&sandbox);
    assert_eq!(kept(&sandbox), None);
}

/// What a script gives is neither kept nor ignored.
#[test]
fn a_passphrase_that_is_given_decides() {
    let cloud = Cloud::start();
    let sandbox = signed_in(&cloud, true);
    let exec =
        |passphrase: &str| sandbox.command(["exec", "--", "/bin/true"]).env("OLLAMA_AUTH_PASSPHRASE", passphrase).run();
    exec(PASSPHRASE).expect_code(0);
    assert_eq!(kept(&sandbox), None);
    unlock(&sandbox);
    says(&exec("not the passphrase").expect_code(1), &["wrong passphrase for"]);
    lock(&sandbox);
}

#[test]
fn a_new_file_is_kept_open_and_a_removed_one_is_not() {
    let cloud = Cloud::start();
    cloud.accept_api_key(API_KEY);
    let mut sandbox = Sandbox::new();
    sandbox.set_env("OLLAMA_AUTH_STORE", "file").set_env("OLLAMA_AUTH_KEEP_UNLOCKED", "1");
    let mut terminal = Terminal::start(&sandbox, &["signin", "--with-api-key", "--host", &cloud.url()]);
    terminal.wait_text("New passphrase for the encrypted file: ");
    terminal.send(&format!("{PASSPHRASE}\r"));
    terminal.wait_text("again: ");
    terminal.send(&format!("{PASSPHRASE}\r"));
    terminal.wait_text("API key: ");
    assert_eq!(kept(&sandbox), None, "there is no file yet");
    terminal.send(&format!("{API_KEY}\r"));
    assert_eq!(terminal.finish().code, 0);
    assert!(kept(&sandbox).is_some() && is_unlocked(&sandbox));
    sandbox.command(["keys", "forget", "--yes"]).run().expect_code(0);
    assert!(!sandbox.path(DATA).join("secrets.enc.json").exists());
    assert_eq!(kept(&sandbox), None);
}

/// A key of another passphrase, as after the file was replaced, is asked for.
#[test]
fn another_file_in_its_place_asks_again() {
    let cloud = Cloud::start();
    let (sandbox, other) = (signed_in(&cloud, true), signed_in(&cloud, true));
    unlock(&sandbox);
    let file = |sandbox: &Sandbox| sandbox.path(DATA).join("secrets.enc.json");
    fs::copy(file(&other), file(&sandbox)).unwrap();
    assert!(!is_unlocked(&sandbox));
    unlock(&sandbox);
    assert!(is_unlocked(&sandbox));
    lock(&sandbox);
}

/// Only root can be another account.
#[test]
fn another_account_of_the_same_session_cannot_use_it() {
    if !can_be_other_accounts() {
        return;
    }
    let cloud = Cloud::start();
    let sandbox = signed_in(&cloud, true);
    unlock(&sandbox);
    let key = kept(&sandbox).expect("a kept key");
    // With the session's keyring, as after `sudo -u`: whether it can be read is the kernel's decision.
    let script = "import ctypes, os, sys\n\
        keyctl = lambda *args: ctypes.CDLL(None).syscall(KEYCTL, *args)\n\
        os.setgid(int(sys.argv[2]))\n\
        os.setuid(int(sys.argv[2]))\n\
        print('read', keyctl(11, int(sys.argv[1], 16), ctypes.create_string_buffer(4096), 4096))";
    let script = script.replace("KEYCTL", if cfg!(target_arch = "x86_64") { "250" } else { "219" });
    // python3 may be a script that needs other tools.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let read = |account: &str| {
        let command = sandbox.program(tool("python3"), ["-c", &script, &key[0], account]).env("PATH", &path);
        command.current_dir("/").run().expect_code(0).stdout().trim().to_owned()
    };
    assert_eq!(read("54321"), "read -1");
    assert_ne!(read("0"), "read -1");
    assert!(is_unlocked(&sandbox));
    let output = as_account(&sandbox, "54321", &["exec", "--", "/bin/true"]).current_dir("/").run();
    says(&output.expect_code(1), &["needs a passphrase"]);
    lock(&sandbox);
}

/// As in a container whose system call filter forbids the kernel's keyring.
#[cfg(target_arch = "x86_64")]
#[test]
fn without_a_kernel_keyring_it_says_what_to_do() {
    let cloud = Cloud::start();
    let mut sandbox = signed_in(&cloud, true);
    // python3 may be a script that needs other tools.
    sandbox.set_env("PATH", std::env::var_os("PATH").unwrap_or_default());
    // add_key, request_key and keyctl (248 to 250) answer EPERM.
    let script = sandbox.write(
        "filter.py",
        "import ctypes, os, struct, sys\n\
         line = lambda code, jt, jf, k: struct.pack('HBBI', code, jt, jf, k)\n\
         code = line(0x20, 0, 0, 0) + line(0x35, 0, 2, 248) + line(0x25, 1, 0, 250) + line(0x06, 0, 0, 0x50001) + line(0x06, 0, 0, 0x7fff0000)\n\
         buffer = ctypes.create_string_buffer(code)\n\
         program = struct.pack('HxxxxxxP', 5, ctypes.addressof(buffer))\n\
         libc = ctypes.CDLL(None, use_errno=True)\n\
         assert libc.prctl(38, 1, 0, 0, 0) == 0\n\
         assert libc.prctl(22, 2, ctypes.create_string_buffer(program)) == 0, ctypes.get_errno()\n\
         os.execv(sys.argv[1], sys.argv[1:])\n",
    );
    let (python, script) = (tool("python3"), script.to_str().unwrap().to_owned());
    let mut terminal =
        Terminal::start_program(&sandbox, python.to_str().unwrap(), &[&script, PROGRAM, "status"], 100, 40);
    terminal.wait_text(ASKS);
    terminal.send(&format!("{PASSPHRASE}\r"));
    let finished = terminal.finish();
    assert_eq!(finished.code, 0, "{}", finished.screen);
    let words = finished.screen.split_whitespace().collect::<Vec<_>>().join(" ");
    for wanted in [
        "OLLAMA_AUTH_KEEP_UNLOCKED has no effect: the kernel keyring cannot be used",
        "the system does not allow it, as in many containers",
        "set OLLAMA_AUTH_PASSPHRASE_FILE to that file",
    ] {
        assert!(words.contains(wanted), "{wanted:?} is missing\n{}", finished.screen);
    }
    let output = sandbox.program(python, [&*script, PROGRAM, "store", "lock"]).run().expect_code(1);
    says(&output, &["the kernel keyring cannot be used"]);
}
