//! `gateway user`, `gateway audit` and `gateway approve` on a database that no gateway has open: what they keep, and that whatever
//! is wrong with the database is said and changes nothing.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::given::{DATA, as_nobody, mode, on_a_full_disk, says};
use crate::harness::cmd::{Cmd, Output, Sandbox};
use crate::harness::gateway::Gateway;
use crate::harness::pty::Terminal;
use crate::harness::{can_be_other_accounts, contains, tool};

const PASSWORD: &str = "correct horse battery";

fn command(sandbox: &Sandbox, args: &[&str]) -> Cmd {
    sandbox.command(["gateway"].iter().chain(args))
}

fn run(sandbox: &Sandbox, args: &[&str]) -> Output {
    command(sandbox, args).run()
}

fn add(sandbox: &Sandbox, name: &str, more: &[&str]) -> Output {
    command(sandbox, &["user", "add", name]).args(more).stdin(format!("{PASSWORD}\n")).run()
}

fn database(sandbox: &Sandbox) -> PathBuf {
    sandbox.path(DATA).join("gateway/gateway.db")
}

/// A sandbox with the administrator ann and the member bob.
fn with_people() -> Sandbox {
    let sandbox = Sandbox::new();
    add(&sandbox, "ann", &["--role", "admin", "--email", "ann@example.com"]).expect_code(0);
    add(&sandbox, "bob", &[]).expect_code(0);
    sandbox
}

fn users(sandbox: &Sandbox) -> Vec<Value> {
    let output = run(sandbox, &["user", "list", "--json"]).expect_code(0);
    output.json()["users"].as_array().unwrap().clone()
}

fn names(sandbox: &Sandbox) -> Vec<String> {
    users(sandbox).iter().map(|user| user["name"].as_str().unwrap().to_owned()).collect()
}

/// The password hash, as the database stores it.
fn hash(sandbox: &Sandbox) -> String {
    let folder = database(sandbox);
    let files = fs::read_dir(folder.parent().unwrap()).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let all = files.collect::<Vec<_>>().concat();
    let start = all.windows(10).position(|part| part == b"$argon2id$").expect("a hash in the database");
    let rest = String::from_utf8_lossy(&all[start..start + 90]).into_owned();
    rest.split_once("p=1$").unwrap().1[..40].to_owned()
}

#[test]
fn people_are_added_listed_and_changed() {
    let sandbox = Sandbox::new();
    let output = add(&sandbox, "ann", &["--role", "admin", "--json"]).expect_code(0);
    let ann = output.json();
    assert_eq!((&ann["name"], &ann["role"], &ann["disabled"]), (&json!("ann"), &json!("admin"), &json!(false)));
    assert_eq!(ann["id"].as_str().unwrap().len(), 36);
    says(&add(&sandbox, "bob", &["--email", "b@example.com"]).expect_code(0), &["Added bob as member"]);
    assert_eq!(mode(&database(&sandbox)), 0o600);
    assert_eq!(mode(database(&sandbox).parent().unwrap()), 0o700);

    says(&run(&sandbox, &["user", "role", "bob", "maintainer"]).expect_code(0), &["bob now has the role maintainer"]);
    says(&run(&sandbox, &["user", "disable", "bob"]).expect_code(0), &["Disabled bob"]);
    let output = run(&sandbox, &["user", "list"]).expect_code(0);
    let lines: Vec<Vec<&str>> = output.stdout().lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], ["ann", "admin", "no", "0", "0", "never"]);
    assert_eq!(lines[2], ["bob", "maintainer", "yes", "0", "0", "never", "b@example.com"]);
    says(&run(&sandbox, &["user", "enable", "bob"]).expect_code(0), &["Enabled bob"]);
    let bob = &users(&sandbox)[1];
    assert_eq!(
        (&bob["disabled"], &bob["role"], &bob["email"]),
        (&json!(false), &json!("maintainer"), &json!("b@example.com"))
    );

    let events = run(&sandbox, &["audit", "--json"]).expect_code(0).json();
    let told: Vec<String> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            format!(
                "{} {} {}",
                event["actor"].as_str().unwrap(),
                event["action"].as_str().unwrap(),
                event["subject"].as_str().unwrap()
            )
        })
        .collect();
    let expected = [
        "admin user.enabled bob",
        "admin user.disabled bob",
        "admin user.role bob",
        "admin user.created bob",
        "admin user.created ann",
    ];
    assert_eq!(told, expected);
    let output = run(&sandbox, &["audit", "--limit", "1"]).expect_code(0);
    assert_eq!(output.stdout().lines().count(), 2);
    assert!(output.stdout().contains("user.enabled") && output.stdout().contains('Z'), "{}", output.stdout());
}

#[test]
fn unknown_existing_and_invalid_users_are_reported() {
    let sandbox = with_people();
    for verb in [&["user", "disable", "eve"][..], &["user", "enable", "eve"], &["user", "role", "eve", "admin"]] {
        says(&run(&sandbox, verb).expect_code(3), &["there is no user \"eve\"", "user list"]);
    }
    let output = command(&sandbox, &["user", "passwd", "eve"]).stdin(PASSWORD).run().expect_code(3);
    says(&output, &["there is no user \"eve\""]);
    says(&add(&sandbox, "ann", &[]).expect_code(1), &["the user \"ann\" already exists", "user passwd ann"]);
    says(
        &run(&sandbox, &["user", "remove", "eve", "--yes"]).expect_code(3),
        &["there is no user \"eve\"", "user list"],
    );
    for verb in
        [&["user", "disable", "ann"][..], &["user", "role", "ann", "member"], &["user", "remove", "ann", "--yes"]]
    {
        says(&run(&sandbox, verb).expect_code(1), &["\"ann\" is the only active administrator", "make another user"]);
    }
    for name in ["Ann", "a b", "../x", "\u{1b}[2J", &"x".repeat(65)] {
        let output = add(&sandbox, name, &[]).expect_code(2);
        says(&output, &["invalid user name"]);
        assert!(!output.stderr().contains('\u{1b}'));
    }
    says(&add(&sandbox, "eve", &["--email", "a\u{1b}[31m"]).expect_code(2), &["e-mail"]);
    let output = run(&sandbox, &["user", "disable", "eve", "--json"]).expect_code(3);
    let error: Value = serde_json::from_str(output.stderr()).unwrap();
    assert_eq!((&error["error"]["code"], &error["error"]["exit_code"]), (&json!("not-found"), &json!(3)));
    assert_eq!(names(&sandbox), ["ann", "bob"]);
}

#[test]
fn removing_an_account_asks_first_and_keeps_its_events() {
    let sandbox = with_people();
    let asked = run(&sandbox, &["user", "remove", "bob"]).expect_code(2);
    says(&asked, &["this would remove bob, with 0 devices and 0 valid API keys", "--yes"]);
    assert_eq!(names(&sandbox), ["ann", "bob"]);
    let mut terminal = Terminal::start(&sandbox, &["gateway", "user", "remove", "bob"]);
    terminal.wait_text("Remove bob, with 0 devices and 0 valid API keys?");
    terminal.send("n\r");
    assert_eq!(terminal.finish().code, 1);
    assert_eq!(names(&sandbox), ["ann", "bob"]);
    says(&run(&sandbox, &["user", "remove", "bob", "--yes"]).expect_code(0), &["Removed bob"]);
    assert_eq!(names(&sandbox), ["ann"]);
    run(&sandbox, &["user", "remove", "bob", "--yes"]).expect_code(3);
    let events = run(&sandbox, &["audit", "--json"]).expect_code(0).json();
    let told: Vec<&str> =
        events["events"].as_array().unwrap().iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(told, ["user.removed", "user.created", "user.created"]);
    // The name is free again, and nothing of the removed account is left to the new one.
    add(&sandbox, "bob", &[]).expect_code(0);
    assert_eq!(names(&sandbox), ["ann", "bob"]);
}

#[test]
fn only_adding_a_user_creates_the_database() {
    let sandbox = Sandbox::new();
    let before = sandbox.files();
    for args in [&["user", "list"][..], &["audit"], &["user", "disable", "ann"], &["user", "role", "ann", "admin"]] {
        says(&run(&sandbox, args).expect_code(3), &["there is no database", "gateway.db", "user add"]);
    }
    let key = format!("SHA256:{}", "a".repeat(43));
    says(&run(&sandbox, &["approve", &key, "--user", "ann"]).expect_code(3), &["there is no database"]);
    assert_eq!(sandbox.files(), before);
    assert!(!sandbox.path(DATA).exists());
}

#[test]
fn approving_a_device_needs_a_running_gateway() {
    let sandbox = with_people();
    let key = format!("SHA256:{}", "a".repeat(43));
    let output = run(&sandbox, &["approve", &key, "--user", "ann"]).expect_code(1);
    says(&output, &["the gateway is not running", "gateway serve"]);
    for wrong in ["SHA256:abc", "laptop", "https://host/connect?name=x", "https://host/other?key=x"] {
        run(&sandbox, &["approve", wrong, "--user", "ann"]).expect_code(2);
    }
}

#[test]
fn a_database_is_a_path_or_a_url() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("home/accounts/my.db");
    let path = path.to_str().unwrap();
    add(&sandbox, "ann", &["--database", path]).expect_code(0);
    for text in [path.to_owned(), format!("sqlite:{path}"), format!("sqlite://{path}"), "accounts/my.db".to_owned()] {
        let output = run(&sandbox, &["user", "list", "--json", "--database", &text]).expect_code(0);
        assert_eq!(output.json()["users"][0]["name"], "ann", "{text}");
    }
    let output = run(&sandbox, &["user", "list", "--database", "postgres://me:hunter22hunter@host/db"]).expect_code(2);
    says(&output, &["holds a password"]);
    assert!(!output.stderr().contains("hunter22"));
    for wrong in ["sqlite:", "sqlite::memory:", "mysql://h/db"] {
        run(&sandbox, &["user", "list", "--database", wrong]).expect_code(2);
    }
    assert!(!sandbox.path(DATA).exists());
}

#[test]
fn a_piped_password_is_one_line_and_is_never_shown() {
    let sandbox = Sandbox::new();
    let none = [("", "no password was given"), ("\n", "no password was given"), ("short\n", "at least 8")];
    for (stdin, words) in none {
        says(&command(&sandbox, &["user", "add", "ann"]).stdin(stdin).run().expect_code(2), &[words]);
    }
    let long = "x".repeat(1025);
    says(&command(&sandbox, &["user", "add", "ann"]).stdin(long).run().expect_code(2), &["at most"]);
    let bytes = command(&sandbox, &["user", "add", "ann"]).stdin(b"\xff\xfe\xff\xfe\xff\xfe\xff\xfe\n").run();
    says(&bytes.expect_code(2), &["not UTF-8"]);
    says(&run(&sandbox, &["user", "add", "ann", "--no-input"]).expect_code(2), &["no password was given"]);
    assert!(!sandbox.path(DATA).exists());

    let outputs = [
        add(&sandbox, "ann", &["--role", "admin", "-vv"]).expect_code(0),
        command(&sandbox, &["user", "add", "bob", "--json"])
            .stdin(format!("{PASSWORD}\r\nmore\n"))
            .run()
            .expect_code(0),
        command(&sandbox, &["user", "passwd", "ann", "-vv"]).stdin(PASSWORD).run().expect_code(0),
        add(&sandbox, "ann", &["-vv"]).expect_code(1),
        run(&sandbox, &["user", "list", "--json", "-vv"]).expect_code(0),
        run(&sandbox, &["audit", "--json", "-vv"]).expect_code(0),
    ];
    let all: Vec<&Output> = outputs.iter().collect();
    sandbox.assert_no_secret(PASSWORD, &all, &[]);
    let hash = hash(&sandbox);
    sandbox.assert_no_secret(&hash, &all, &[DATA]);
    for output in all {
        assert!(!contains(&output.stdout, b"argon2") && !contains(&output.stderr, b"argon2"));
    }
}

#[test]
fn a_new_password_is_typed_twice_without_echo() {
    let sandbox = Sandbox::new();
    let mut terminal = Terminal::start(&sandbox, &["gateway", "user", "add", "ann"]);
    terminal.wait_text("New password for ann: ");
    terminal.send(&format!("{PASSWORD}\r"));
    terminal.wait_text("Repeat the password: ");
    terminal.send("something else\r");
    terminal.wait_text("the two entries differ");
    terminal.wait_for(|screen| screen.matches("New password for ann: ").count() == 2);
    terminal.send(&format!("{PASSWORD}\r"));
    terminal.wait_for(|screen| screen.matches("Repeat the password: ").count() == 2);
    terminal.send(&format!("{PASSWORD}\r"));
    terminal.wait_text("Added ann as member");
    let finished = terminal.finish();
    assert_eq!((finished.code, finished.restored), (0, true), "{}", finished.screen);
    assert!(!contains(&finished.raw, PASSWORD.as_bytes()));
    assert_eq!(names(&sandbox), ["ann"]);

    let mut terminal = Terminal::start(&sandbox, &["gateway", "user", "passwd", "ann"]);
    terminal.wait_text("New password for ann: ");
    terminal.send("half\u{3}");
    let finished = terminal.finish();
    assert_eq!((finished.code, finished.restored), (130, true), "{}", finished.screen);
    let terminal = Terminal::start(&sandbox, &["gateway", "user", "passwd", "ann", "--no-input"]);
    let finished = terminal.finish();
    assert_eq!(finished.code, 2, "{}", finished.screen);
    let events = run(&sandbox, &["audit", "--json"]).expect_code(0).json();
    assert_eq!(events["events"].as_array().unwrap().len(), 1);
}

#[test]
fn hostile_text_is_shown_harmlessly() {
    let sandbox = Sandbox::new();
    // A bidi override is no control character, so it may be in an address.
    add(&sandbox, "ann", &["--email", "a\u{202e}b@example.com"]).expect_code(0);
    assert!(!run(&sandbox, &["user", "list"]).expect_code(0).stdout().contains('\u{202e}'));
}

#[test]
fn a_database_in_use_is_not_touched() {
    let sandbox = with_people();
    let lock = File::options().write(true).open(database(&sandbox).with_extension("db.lock")).unwrap();
    lock.try_lock().unwrap();
    let before = sandbox.files();
    let output = run(&sandbox, &["user", "list"]).expect_code(1);
    says(&output, &["in use by another ollama-auth", "gateway.db"]);
    says(&add(&sandbox, "eve", &[]).expect_code(1), &["in use"]);
    assert_eq!(sandbox.files(), before);
    drop(lock);
    assert_eq!(names(&sandbox), ["ann", "bob"]);
}

#[test]
fn simultaneous_commands_wait_for_each_other() {
    let sandbox = with_people();
    let running: Vec<_> =
        (0..6).map(|n| command(&sandbox, &["user", "add", &format!("u{n}")]).stdin(PASSWORD).spawn()).collect();
    for child in running {
        child.finish().expect_code(0);
    }
    assert_eq!(names(&sandbox).len(), 8);
}

#[test]
fn a_damaged_database_is_left_as_it_is() {
    let sandbox = with_people();
    let whole = fs::read(database(&sandbox)).unwrap();
    // What a killed command may have left in the log belongs to the whole one.
    for suffix in ["db-wal", "db-shm"] {
        let _ = fs::remove_file(database(&sandbox).with_extension(suffix));
    }
    let garbage = (0..9000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>();
    for (what, bytes) in [("garbage", &garbage[..]), ("half", &whole[..whole.len() / 2]), ("a bit", &whole[..100])] {
        fs::write(database(&sandbox), bytes).unwrap();
        for args in [&["user", "list"][..], &["audit"], &["user", "disable", "bob"]] {
            says(&run(&sandbox, args).expect_code(1), &["is damaged", "gateway.db", "backup"]);
        }
        says(&add(&sandbox, "eve", &[]).expect_code(1), &["is damaged"]);
        assert!(fs::read(database(&sandbox)).unwrap() == bytes, "{what} was overwritten");
    }
}

#[test]
fn a_newer_database_that_is_not_compatible_is_left_as_it_is() {
    let sandbox = with_people();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(database(&sandbox));
        let mut connection = options.connect().await.unwrap();
        let newer = "INSERT INTO _sqlx_migrations VALUES (999999, 'x', CURRENT_TIMESTAMP, 1, x'00', 0)";
        sqlx::query(newer).execute(&mut connection).await.unwrap();
        sqlx::query("UPDATE schema_compatibility SET oldest = 999999").execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
    let before = fs::read(database(&sandbox)).unwrap();
    says(&run(&sandbox, &["user", "list"]).expect_code(1), &["a newer version of ollama-auth", "update ollama-auth"]);
    says(&add(&sandbox, "eve", &[]).expect_code(1), &["newer version"]);
    assert!(fs::read(database(&sandbox)).unwrap() == before);
}

#[test]
fn a_database_that_others_can_write_is_refused() {
    let sandbox = with_people();
    let (file, folder) = (database(&sandbox), database(&sandbox).parent().unwrap().to_owned());
    let list = || run(&sandbox, &["user", "list"]);
    for mode in [0o640, 0o666, 0o602] {
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        says(&list().expect_code(1), &["open to other accounts", "chmod 600"]);
    }
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    for mode in [0o777, 0o770, 0o1777] {
        fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
        says(&list().expect_code(1), &["may write to its folder", "0700"]);
    }
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    let real = folder.join("real.db");
    fs::rename(&file, &real).unwrap();
    symlink(&real, &file).unwrap();
    says(&list().expect_code(1), &["symbolic link"]);
    fs::remove_file(&file).unwrap();
    fs::rename(&real, &file).unwrap();
    list().expect_code(0);
    if can_be_other_accounts() {
        // The commands of one account on the database of another would leave files that it cannot use.
        as_nobody(&sandbox, &["gateway", "user", "list"]).run().expect_code(0);
        says(&list().expect_code(1), &["belongs to another account", "65534"]);
    }
}

#[test]
fn another_account_is_refused_at_the_admin_socket_even_where_it_can_connect() {
    if !can_be_other_accounts() {
        return;
    }
    let gateway = Gateway::start("http://127.0.0.1:9");
    let sandbox = gateway.sandbox();
    let socket = sandbox.path("gateway/gateway.db.sock");
    for folder in socket.ancestors().skip(1).take_while(|folder| folder.starts_with(sandbox.root())) {
        fs::set_permissions(folder, Permissions::from_mode(0o711)).unwrap();
    }
    fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
    let ask_as = |account: &str| {
        let command = sandbox.program(tool("setpriv"), ["--clear-groups", "--reuid", account, "--regid", account]);
        let command = command.args([tool("curl")]).args(["--silent", "--http0.9", "--unix-socket"]).args([&socket]);
        command.args(["http://gateway/"]).current_dir("/").run().stdout().to_owned()
    };
    assert!(ask_as("0").contains("does not understand"));
    assert_eq!(ask_as("65534"), "");
}

#[test]
fn a_full_disk_changes_nothing() {
    let sandbox = with_people();
    let full = |args: &[&str]| {
        let args: Vec<&str> = ["gateway"].iter().chain(args).copied().collect();
        on_a_full_disk(&sandbox, &args).stdin(PASSWORD).run()
    };
    let before = run(&sandbox, &["audit", "--json"]).expect_code(0).json();
    for args in [&["user", "add", "eve"][..], &["user", "disable", "bob"], &["user", "passwd", "bob"]] {
        says(&full(args).expect_code(1), &["cannot write the database", "gateway.db", "space"]);
    }
    assert_eq!(run(&sandbox, &["audit", "--json"]).expect_code(0).json(), before);
    assert_eq!(names(&sandbox), ["ann", "bob"]);
    // Where there was none, what is left does not hinder the next one.
    let elsewhere = sandbox.path("home/new/gateway.db");
    let elsewhere = elsewhere.to_str().unwrap();
    says(&full(&["user", "add", "ann", "--database", elsewhere]).expect_code(1), &["cannot write the database"]);
    add(&sandbox, "ann", &["--database", elsewhere]).expect_code(0);
}

#[test]
fn a_kill_loses_no_acknowledged_user() {
    let sandbox = with_people();
    let usual = add(&sandbox, "usual", &[]).expect_code(0).duration;
    let mut acknowledged = vec!["ann".to_owned(), "bob".to_owned(), "usual".to_owned()];
    for round in 0..30_u32 {
        let name = format!("u{round}");
        let child = command(&sandbox, &["user", "add", &name, "--json"]).stdin(PASSWORD).spawn();
        // From the very beginning to after the end, evenly: whenever it strikes, the rule holds.
        std::thread::sleep(usual.mul_f64(f64::from(round) / 24.0).min(Duration::from_secs(5)));
        child.signal(Signal::KILL);
        let output = child.finish();
        if contains(&output.stdout, b"\n}\n") {
            acknowledged.push(name);
        }
    }
    let there = names(&sandbox);
    for name in &acknowledged {
        assert!(there.contains(name), "{name} was acknowledged and is lost: {there:?}");
    }
    let events = run(&sandbox, &["audit", "--limit", "1000", "--json"]).expect_code(0).json();
    assert_eq!(events["events"].as_array().unwrap().len(), there.len(), "a person without an event, or the reverse");
    add(&sandbox, "later", &[]).expect_code(0);
}

#[test]
fn more_events_than_one_reply_holds_are_read_in_several() {
    let sandbox = with_people();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(database(&sandbox));
        let mut connection = options.connect().await.unwrap();
        let many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000) \
                    INSERT INTO events (at, actor, action, subject, detail, address) \
                    SELECT i, 'user:eve', 'key.ending', 'key_' || i, '', '' FROM n";
        sqlx::query(many).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
    let ids = |args: &[&str]| {
        let shown = run(&sandbox, &[&["audit", "--json", "--limit"], args].concat()).expect_code(0).json();
        let events = shown["events"].as_array().unwrap().iter();
        (events.map(|event| event["id"].as_i64().unwrap()).collect::<Vec<_>>(), shown["next"].as_i64())
    };
    let (all, next) = ids(&["20000"]);
    assert_eq!((all.len(), next), (12_002, None));
    assert!(all.is_sorted_by(|a, b| a > b));
    let (latest, next) = ids(&["11000"]);
    assert_eq!((&latest[..], next), (&all[..11_000], Some(all[10_999])));
    assert_eq!(ids(&["20000", "--before", &all[10_999].to_string()]), (all[11_000..].to_vec(), None));
    // Whatever one account does, the events of another are found at once.
    assert_eq!(ids(&["10", "--user", "ann"]).0.len(), 1);
}
