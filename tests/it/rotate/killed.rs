//! Rotations killed at every relevant system call and at random times while a client uses the key: no request of the client fails,
//! and the journal knows every key that stays valid at the gateway.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::{Given, text};
use crate::harness::cmd::{Output, PROGRAM};
use crate::harness::tool;

/// What changes files. The vault does so on threads of its own, each of which counts for itself; the main thread's calls before and after are
/// the points between its steps.
const ON_DISK: [&str; 9] = [
    "rename,renameat,renameat2",
    "fsync,fdatasync",
    "write",
    "flock",
    "unlink,unlinkat",
    "openat",
    "fchmod",
    "mkdir",
    "clone3,clone",
];
/// What talks to the gateway. Not `read`: the client reads the list of this machine's connections, which has thousands of lines here.
const ON_THE_WIRE: [&str; 4] = ["connect", "writev,sendto,sendmsg", "recvfrom", "epoll_wait"];

/// Each run makes a dozen files sure, which takes a disk that others fill its time.
const TIMEOUT: Duration = Duration::from_secs(300);

/// A rotation of the key in an env file, that a client uses meanwhile.
struct Setup {
    given: Given,
    file: PathBuf,
}

impl Setup {
    fn new() -> Self {
        // A key without the scope keys would be held back for replacing itself hundreds of times.
        let given = Given::with(&["--scope", "inference,keys"]);
        let file = given.machine.write("app.env", format!("A=1\nOLLAMA_API_KEY={}\nB=2\n", text(&given.first, "key")));
        Self { given, file }
    }

    fn args(&self) -> Vec<String> {
        let file = self.file.to_str().unwrap();
        let args = [
            "keys",
            "rotate",
            "--profile",
            &self.profile(),
            "nightly",
            "--max-age",
            "0s",
            "--grace",
            "2s",
            "--env-file",
            file,
        ];
        args.map(str::to_owned).into()
    }

    fn profile(&self) -> String {
        self.given.gateway.url().trim_start_matches("http://").to_owned()
    }

    /// A run that is not killed.
    fn finish(&self) -> Output {
        self.given.machine.command(self.args()).deadline(TIMEOUT).run().expect_code(0)
    }

    /// Runs the client until `work` is done, and gives how many requests it made.
    fn with_concurrent_client(&self, work: impl FnOnce()) -> usize {
        let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            let client = scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    let key = key_in(&self.file);
                    // It may have been replaced since it was read, and its grace be over: then another is in the file.
                    assert!(self.given.accepts(&key) || key_in(&self.file) != key, "the key in use was refused");
                    asked.fetch_add(1, Ordering::SeqCst);
                    // All the time, but not with all the machine's ports.
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            // The client's failure is to be told, not that of the work that it ends.
            let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            done.store(true, Ordering::SeqCst);
            client.join().expect("the client's requests");
            if let Err(panic) = worked {
                std::panic::resume_unwind(panic);
            }
        });
        asked.into_inner()
    }

    /// Nothing is alive but the key in use and those with an end that the journal knows.
    fn assert_no_orphan(&self) {
        let journal = self.given.journal_entries();
        let known = |id: &Value| journal.iter().any(|rotation| rotation["old"] == *id);
        let current = self.given.current();
        assert_eq!(key_in(&self.file), current, "the env file and the store differ");
        assert!(self.given.accepts(&current));
        for key in self.given.live() {
            let in_use = current.ends_with(text(&key, "hint")) && key["replaceable"] == true;
            let ending = known(&key["id"]) && key["replaceable"] == false;
            assert!(in_use || ending, "{key:#} is alive and nobody knows of it: {journal:#?}");
        }
        assert!(journal.iter().all(|rotation| rotation["step"] == "ending"), "{journal:#?}");
        let waiting =
            fs::read_to_string(self.given.machine.path("home/.local/share/ollama-auth/secrets.json")).unwrap();
        assert!(!waiting.contains("next-api-key"), "a key was left in the store");
    }
}

/// The key in the file, which must be whole at every moment.
fn key_in(file: &Path) -> String {
    let content = fs::read_to_string(file).expect("the env file is always there");
    let key = content.strip_prefix("A=1\nOLLAMA_API_KEY=").and_then(|rest| rest.strip_suffix("\nB=2\n"));
    let key = key.unwrap_or_else(|| panic!("half an env file: {content:?}"));
    assert!(key.len() == 45 && key.starts_with("olauth_"), "half a key: {content:?}");
    key.to_owned()
}

/// Kills the run at its first, second, third … call of each kind, until there are no more.
fn killed_at_every_call(kinds: &[&str], at_least: usize) {
    let setup = Setup::new();
    let mut kills = 0;
    let asked = setup.with_concurrent_client(|| {
        for calls in kinds {
            for at in 1.. {
                let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:signal=SIGKILL:when={at}"));
                let args = ["-f", "-qqq", "-o", "/dev/null", "-e", &trace, "-e", &inject, PROGRAM];
                let run = setup.given.machine.program(tool("strace"), args).args(setup.args());
                let output = run.deadline(TIMEOUT).run();
                if output.code() == 0 {
                    break;
                }
                assert_eq!(output.code(), 137, "{}", output.snapshot());
                kills += 1;
                setup.finish();
                setup.assert_no_orphan();
            }
        }
    });
    assert!(kills >= at_least && asked > kills, "{kills} kills, {asked} requests");
}

#[test]
fn a_kill_at_any_file_system_call_loses_no_key() {
    killed_at_every_call(&ON_DISK, 90);
}

#[test]
fn a_kill_at_any_network_call_loses_no_key() {
    killed_at_every_call(&ON_THE_WIRE, 90);
}

/// Kills come in a row here: the run that recovers is killed too.
#[test]
fn hundreds_of_kills_at_random_times_lose_no_key() {
    const KILLS: u32 = 300;
    let setup = Setup::new();
    // What an undisturbed run takes, so that the kills fall everywhere into it.
    let started = Instant::now();
    setup.finish();
    let whole = started.elapsed();
    let (mut killed, mut ended) = (0, 0);
    let asked = setup.with_concurrent_client(|| {
        for number in 0..KILLS {
            // Spread evenly, in an order that has nothing of a pattern: a multiple of the golden section.
            let part = (f64::from(number) * 0.618_033_988_749).fract();
            let run = setup.given.machine.command(setup.args()).spawn();
            std::thread::sleep(whole.mul_f64(part * 1.2));
            // It may have ended by itself.
            let pid = rustix::process::Pid::from_raw(run.pid().cast_signed()).unwrap();
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            match run.finish().code() {
                137 => killed += 1,
                0 => ended += 1,
                code => panic!("exit code {code}"),
            }
        }
    });
    setup.finish();
    setup.assert_no_orphan();
    assert!(killed >= KILLS / 3, "{killed} were killed, {ended} ended by themselves");
    assert!(asked > 100, "{asked} requests");
}

/// The gateway's record of it: each key that was made is in the trail, each with its end, and no key itself.
#[test]
fn the_gateway_logs_every_key_and_stores_no_secret() {
    let mut setup = Setup::new();
    let mut secrets = vec![key_in(&setup.file)];
    for _ in 0..3 {
        let logged = setup.given.machine.command(setup.args()).args(["-vv"]).run().expect_code(0);
        secrets.push(key_in(&setup.file));
        for secret in &secrets {
            let stores = ["home/.local/share/ollama-auth/secrets.json", "app.env"];
            setup.given.machine.assert_no_secret(secret, &[&logged], &stores);
        }
    }
    let keys = setup.given.keys();
    assert_eq!(keys.len(), 4);
    let trail = setup.given.gateway.admin(&["audit", "--json", "--limit", "1000"]).expect_code(0);
    let told = |action: &str, id: &Value| {
        trail.json()["events"]
            .as_array()
            .unwrap()
            .iter()
            .any(|event| event["action"] == action && event["subject"] == *id)
    };
    for key in &keys {
        let made = if key["replaces"].is_null() { "key.created" } else { "key.replaced" };
        assert!(told(made, &key["id"]), "{made} {}", trail.stdout());
        let replaced = keys.iter().any(|other| other["replaces"] == key["id"]);
        assert_eq!(told("key.ending", &key["id"]), replaced, "{}", trail.stdout());
    }
    let log = setup.given.gateway.end(Signal::TERM);
    for secret in &secrets {
        setup.given.gateway.sandbox().assert_no_secret(secret, &[&log, &trail], &[]);
    }
    assert!(log.duration < Duration::from_secs(300));
}
