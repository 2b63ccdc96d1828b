//! A process that is killed while it writes: every change that was answered is there, whole, and the lock is free.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use super::*;

/// Run by the test below in a process of its own: reads where the database is and adds accounts until it is killed.
#[tokio::test]
#[ignore = "the other half of the next test"]
async fn adds_accounts_for_ever() {
    let mut path = String::new();
    std::io::stdin().read_line(&mut path).unwrap();
    let store = open(Path::new(path.trim())).await.unwrap();
    for number in 0.. {
        let name = format!("u{number}");
        make(&store, Change::AddUser(user(&name), None)).await.unwrap();
        // A whole line at once, also into a pipe.
        println!("acknowledged {name} ");
    }
}

#[tokio::test]
async fn acknowledged_changes_survive_a_kill() {
    for rounds in [1, 7, 40] {
        let (_folder, path) = folder();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "--nocapture",
                "gateway::store::sqlite::tests::killed::adds_accounts_for_ever",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        writeln!(child.stdin.take().unwrap(), "{}", path.display()).unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut answered = Vec::new();
        let mut line = String::new();
        while answered.len() < rounds && out.read_line(&mut line).unwrap() > 0 {
            // The test runner's own words may stand before the first.
            answered.extend(line.split_once("acknowledged ").map(|(_, name)| name.trim().to_owned()));
            line.clear();
        }
        assert!(matches!(open_at_once(&path).await, Err(StoreError::Busy { .. })));
        child.kill().unwrap();
        // What it had said before the signal came counts too.
        while out.read_line(&mut line).unwrap() > 0 {
            answered.extend(line.split_once("acknowledged ").map(|(_, name)| name.trim().to_owned()));
            line.clear();
        }
        child.wait().unwrap();
        assert!(answered.len() >= rounds);
        let store = open(&path).await.unwrap();
        let found = store.load().await.unwrap().users;
        for name in &answered {
            assert!(found.iter().any(|user| user.name == *name), "{name} is lost");
        }
        assert!(found.len() <= answered.len() + 1);
        assert_eq!(store.events(u32::MAX, &EventFilter::default()).await.unwrap().events.len(), found.len());
    }
}
