//! Signing in and out in a real terminal: the link, the QR code, hidden prompts, confirmations, and interruptions. Without a terminal
//! there is no prompt.

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use qrcode::{Color, EcLevel, QrCode};
use rustix::process::Signal;
use serde_json::json;

use crate::given::grouped;
use crate::harness::browser::Behaviour;
use crate::harness::cloud::{Cloud, Fault};
use crate::harness::cmd::{PROGRAM, Sandbox};
use crate::harness::pty::{Finished, Terminal};
use crate::harness::{contains, poll, tool};

const PASSPHRASE: &str = "correct horse battery";
const API_KEY: &str = "0123456789abcdef0123456789abcdef.ABCDEFGHIJKLMNOPQRSTUVWX";

/// A sandbox with an encrypted file whose passphrase is known.
fn sandbox() -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.set_env("OLLAMA_AUTH_STORE", "file").set_env("OLLAMA_AUTH_PASSPHRASE", PASSPHRASE);
    sandbox
}

/// A sandbox whose passphrase only a person knows.
fn interactive_sandbox() -> Sandbox {
    let mut sandbox = sandbox();
    sandbox.remove_env("OLLAMA_AUTH_PASSPHRASE");
    sandbox
}

fn signed_in(sandbox: &mut Sandbox, cloud: &Cloud) {
    sandbox.set_env("DISPLAY", ":0");
    sandbox.browser(Behaviour::Follows);
    sandbox.command(["signin", "--host", &cloud.url()]).run().expect_code(0);
}

#[track_caller]
fn assert_tidy(finished: &Finished, code: u32) {
    let screen = &finished.screen;
    assert_eq!(finished.code, code, "{screen}");
    assert!(finished.restored, "echo or line editing is off:\n{screen}");
    assert!(!finished.hidden_cursor, "the cursor is hidden:\n{screen}");
    assert_eq!(
        finished.column,
        0,
        "a prompt would be glued to the text:\n{screen}\n{:?}",
        String::from_utf8_lossy(&finished.raw)
    );
}

/// The link as a person would copy it: one line, though the terminal may have had to break it.
fn link(screen: &str) -> String {
    let mut lines = screen.lines().map(str::trim).filter(|line| line.contains("/connect?"));
    let link = lines.next().expect("a link on the screen");
    assert!(!link.contains(' '), "the link does not stand alone: {link}");
    link.to_owned()
}

fn open_by_hand(sandbox: &Sandbox, link: &str) {
    sandbox.program(tool("curl"), ["-s", "--noproxy", "*", link]).run().expect_code(0);
}

#[test]
fn the_link_device_name_and_fingerprint_are_readable() {
    for columns in [80, 40] {
        let (sandbox, cloud) = (sandbox(), Cloud::start());
        let host = cloud.url();
        let args = ["signin", "--host", &host, "--no-browser", "--device-name", "my laptop"];
        let terminal = Terminal::start_sized(&sandbox, &args, columns, 24);
        let screen = terminal.wait_text("Waiting for approval");
        open_by_hand(&sandbox, &link(&screen));
        let device = cloud.devices().remove(0);
        assert_eq!(device.name, "my laptop");
        let fingerprint = &device.key.fingerprint;
        assert!(
            screen.lines().any(|line| line.trim_start().starts_with("Device") && line.ends_with("my laptop")),
            "{screen}"
        );
        // Even if the terminal wraps it, the fingerprint is copied as one line.
        assert!(
            screen.lines().any(|line| line.contains("Fingerprint") && line.ends_with(&grouped(fingerprint))),
            "{screen}"
        );
        let finished = terminal.finish();
        assert_tidy(&finished, 0);
        assert!(finished.screen.contains("✓ Signed in to http"), "{}", finished.screen);
        let words: Vec<&str> = finished.screen.split_whitespace().collect();
        assert!(words.join(" ").contains("as standin") && !finished.screen.contains("Waiting"), "{}", finished.screen);
    }
}

#[test]
fn the_qr_code_decodes_to_the_link() {
    for color in ["auto", "never"] {
        let (sandbox, cloud) = (sandbox(), Cloud::start());
        let host = cloud.url();
        let args = ["signin", "--host", &host, "--no-browser", "--qr", "--color", color];
        let mut terminal = Terminal::start_sized(&sandbox, &args, 100, 70);
        let screen = terminal.wait_text("Waiting for approval");
        let link = link(&screen);
        let code = QrCode::with_error_correction_level(&link, EcLevel::L).unwrap();
        let side = code.width();
        let rows: Vec<&str> = screen.lines().filter(|row| row.starts_with("████")).collect();
        assert_eq!(rows.len(), (side + 8).div_ceil(2), "{screen}");
        let lit = |x: usize, y: usize| {
            let block = rows[y / 2].chars().nth(x).unwrap();
            block == '█' || block == if y.is_multiple_of(2) { '▀' } else { '▄' }
        };
        for y in 0..side + 8 {
            for x in 0..side + 8 {
                let inside = (4..side + 4).contains(&x) && (4..side + 4).contains(&y);
                let wanted = !inside || code[(x - 4, y - 4)] == Color::Light;
                assert_eq!(lit(x, y), wanted, "module {x},{y}");
            }
        }
        if color == "auto" {
            // Black on white whatever the theme.
            terminal.look(|screen| {
                let row = screen.rows(0, 100).position(|row| row.starts_with("████"));
                let cell = screen.cell(u16::try_from(row.unwrap()).unwrap(), 0).unwrap();
                assert_eq!(cell.fgcolor(), vt100::Color::Idx(231));
                assert_eq!(cell.bgcolor(), vt100::Color::Idx(16));
            });
        }
        terminal.send("\x03");
        assert_tidy(&terminal.finish(), 130);
    }
}

#[test]
fn a_terminal_too_narrow_for_the_qr_code_says_so() {
    let (sandbox, cloud) = (sandbox(), Cloud::start());
    let host = cloud.url();
    let mut terminal = Terminal::start_sized(&sandbox, &["signin", "--host", &host, "--no-browser", "--qr"], 40, 40);
    let screen = terminal.wait_text("Waiting for approval");
    assert!(!screen.contains('█') && screen.contains("too narrow"), "{screen}");
    link(&screen);
    terminal.send("\x03");
    assert_tidy(&terminal.finish(), 130);
}

#[test]
fn ctrl_c_stops_waiting_for_approval() {
    for how in [None, Some(Signal::INT), Some(Signal::TERM)] {
        let (sandbox, cloud) = (sandbox(), Cloud::start());
        let mut terminal = Terminal::start(&sandbox, &["signin", "--host", &cloud.url(), "--no-browser"]);
        terminal.wait_text("Waiting for approval");
        match how {
            None => terminal.send("\x03"),
            Some(signal) => terminal.signal(signal),
        }
        let finished = terminal.finish();
        assert_tidy(&finished, 130);
        assert!(!finished.screen.contains("Waiting"), "{}", finished.screen);
        link(&finished.screen);
    }
}

#[test]
fn ctrl_c_stops_waiting_for_a_silent_host() {
    let (sandbox, cloud) = (sandbox(), Cloud::start());
    cloud.inject("/api/me", Fault::Hang);
    let mut terminal = Terminal::start(&sandbox, &["signin", "--host", &cloud.url(), "--no-browser"]);
    cloud.server().wait_requests(1);
    terminal.send("\x03");
    assert_eq!(terminal.finish().code, 130);
    cloud.server().wait_disconnects(1);
}

#[test]
fn a_typed_api_key_is_not_echoed() {
    let (sandbox, cloud) = (sandbox(), Cloud::start());
    cloud.accept_api_key(API_KEY);
    let mut terminal = Terminal::start(&sandbox, &["signin", "--with-api-key", "--host", &cloud.url()]);
    terminal.wait_text("API key: ");
    terminal.send(&format!("{API_KEY}\r"));
    let finished = terminal.finish();
    assert_tidy(&finished, 0);
    for part in [API_KEY, &API_KEY[..8], &API_KEY[API_KEY.len() - 4..]] {
        assert!(!contains(&finished.raw, part.as_bytes()), "{}", finished.screen);
    }
    assert!(finished.screen.contains("✓ Signed in to"), "{}", finished.screen);
    sandbox.assert_no_secret(API_KEY, &[], &[]);
}

#[test]
fn the_encrypted_file_asks_for_its_passphrase() {
    let (sandbox, cloud) = (interactive_sandbox(), Cloud::start());
    cloud.accept_api_key(API_KEY);
    let host = cloud.url();
    let args = ["signin", "--with-api-key", "--host", &host];
    let mut terminal = Terminal::start(&sandbox, &args);
    terminal.wait_text("New passphrase for the encrypted file: ");
    for explained in ["secrets.enc.json", "A passphrase protects it", "OLLAMA_AUTH_PASSPHRASE_FILE"] {
        terminal.wait_text(explained);
    }
    terminal.send("one thing\r");
    terminal.wait_text("The same passphrase again: ");
    terminal.send("another\r");
    terminal.wait_text("the two entries differ");
    terminal.wait_for(|screen| screen.matches("New passphrase").count() == 2);
    terminal.send("long enough\r");
    terminal.wait_for(|screen| screen.matches("again: ").count() == 2);
    terminal.send("long enough\r");
    terminal.wait_text("API key: ");
    terminal.send(&format!("{API_KEY}\r"));
    let finished = terminal.finish();
    assert_tidy(&finished, 0);
    for secret in ["one thing", "another", "long enough", API_KEY] {
        assert!(!contains(&finished.raw, secret.as_bytes()), "{}", finished.screen);
    }

    let mut terminal = Terminal::start(&sandbox, &["status"]);
    terminal.wait_text("Passphrase of the encrypted file: ");
    for attempt in 1..3 {
        terminal.send("wrong\r");
        terminal.wait_for(|screen| screen.matches("Wrong passphrase, try again").count() == attempt);
        terminal.wait_for(|screen| screen.matches("Passphrase of the encrypted file: ").count() == attempt + 1);
    }
    terminal.send("wrong\r");
    let finished = terminal.finish();
    assert_ne!(finished.code, 0);
    assert!(finished.screen.contains("wrong passphrase for"), "{}", finished.screen);
    // One typing error costs nothing.
    let mut terminal = Terminal::start(&sandbox, &["status"]);
    terminal.wait_text("Passphrase of the encrypted file: ");
    terminal.send("wrong\r");
    terminal.wait_text("Wrong passphrase, try again");
    terminal.wait_for(|screen| screen.matches("Passphrase of the encrypted file: ").count() == 2);
    terminal.send("long enough\r");
    assert_tidy(&terminal.finish(), 0);
    let mut terminal = Terminal::start(&sandbox, &["status"]);
    terminal.wait_text("Passphrase of the encrypted file: ");
    terminal.send("long enough\r");
    let finished = terminal.finish();
    assert_tidy(&finished, 0);
    assert_eq!(finished.screen.matches("Passphrase").count(), 1, "{}", finished.screen);
}

#[test]
fn without_a_keyring_the_first_prompt_says_why_it_asks() {
    let cloud = Cloud::start();
    let mut sandbox = Sandbox::new();
    sandbox.set_env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus");
    let terminal = Terminal::start(&sandbox, &["signin", "--host", &cloud.url()]);
    let screen = terminal.wait_text("New passphrase for the encrypted file: ");
    let words = screen.split_whitespace().collect::<Vec<_>>().join(" ");
    for explained in [
        "No keyring is available on this machine, so your secrets will be stored in an encrypted file:",
        "secrets.enc.json",
        "A passphrase protects it. To avoid typing it each time, write it to a file that only you can read, and set OLLAMA_AUTH_PASSPHRASE_FILE",
    ] {
        assert!(words.contains(explained), "{explained:?} is missing:\n{screen}");
    }
}

/// Every hidden prompt and every question, and what brings it up.
fn at_every_prompt(check: impl Fn(Terminal, &str)) {
    let cloud = Cloud::start();
    let host = cloud.url();
    let fresh = interactive_sandbox();
    check(Terminal::start(&fresh, &["signin", "--host", &host]), "New passphrase for the encrypted file: ");
    assert!(cloud.devices().is_empty());
    let known = sandbox();
    check(Terminal::start(&known, &["signin", "--with-api-key", "--host", &host]), "API key: ");
    let mut known = sandbox();
    signed_in(&mut known, &cloud);
    let name = host.trim_start_matches("http://").to_owned();
    let args = [&["device", "revoke"][..], &["profile", "remove", &name], &["device", "export", "exported"]];
    let asks = ["[y/N] ", "[y/N] ", "Passphrase for the file: "];
    for (args, asks) in args.iter().zip(asks) {
        check(Terminal::start(&known, args), asks);
    }
    known.remove_env("OLLAMA_AUTH_PASSPHRASE");
    check(Terminal::start(&known, &["run", "tiny", "x"]), "Passphrase of the encrypted file: ");
    check(Terminal::start(&known, &["device", "revoke", "--yes"]), "Passphrase of the encrypted file: ");
    assert_eq!(cloud.devices().len(), 1, "nothing was changed");
}

#[test]
fn ctrl_c_at_a_prompt_restores_the_terminal() {
    at_every_prompt(|mut terminal, prompt| {
        terminal.wait_text(prompt);
        terminal.send("abc\x03");
        assert_tidy(&terminal.finish(), 130);
    });
}

#[test]
fn a_signal_at_a_prompt_restores_the_terminal() {
    for signal in [Signal::TERM, Signal::INT] {
        at_every_prompt(|terminal, prompt| {
            terminal.wait_text(prompt);
            terminal.signal(signal);
            assert_tidy(&terminal.finish(), 130);
        });
    }
}

#[test]
fn no_process_is_left_when_the_terminal_closes_at_a_prompt() {
    let (sandbox, cloud) = (interactive_sandbox(), Cloud::start());
    // With SIGHUP ignored the end of the terminal shows only at the next key.
    for script in ["exec \"$0\" \"$@\"", "trap '' HUP; exec \"$0\" \"$@\""] {
        let pair = native_pty_system().openpty(PtySize::default()).unwrap();
        let mut command = CommandBuilder::new("/bin/sh");
        command.args(["-c", script, PROGRAM, "signin", "--host", &cloud.url()]);
        command.env_clear();
        for (name, value) in sandbox.env() {
            command.env(name, value);
        }
        let before = cloud.server().requests().len();
        let mut child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        cloud.server().wait_requests(before + 1);
        drop(pair.master);
        poll("the end of a program whose terminal is gone", || child.try_wait().unwrap());
    }
}

#[test]
fn reading_an_open_pipe_can_be_interrupted() {
    let (sandbox, cloud) = (sandbox(), Cloud::start());
    // `cat` waits for keys that never come, and Ctrl-C does not end it: the pipe stays open.
    let shell = format!(
        "{{ trap '' INT; exec '{}'; }} | {{ trap : INT; '{PROGRAM}' signin --with-api-key --host {}; echo \"code $?\"; }}",
        tool("cat").display(),
        cloud.url()
    );
    let mut terminal = Terminal::start_program(&sandbox, "/bin/sh", &["-c", &shell], 80, 24);
    poll("the encrypted file", || {
        let store = sandbox.path("home/.local/share/ollama-auth");
        store.exists().then_some(())
    });
    terminal.send("\x03");
    terminal.wait_text("code 130");
}

#[test]
fn confirmations_default_to_no() {
    let (mut sandbox, cloud) = (sandbox(), Cloud::start());
    signed_in(&mut sandbox, &cloud);
    let name = cloud.url().trim_start_matches("http://").to_owned();
    let key = cloud.devices().remove(0).key;
    for (args, question) in
        [(&["device", "revoke"][..], "Disconnect this device"), (&["profile", "remove", &name], "Remove ")]
    {
        for answer in ["n", "\r"] {
            let mut terminal = Terminal::start(&sandbox, args);
            let screen = terminal.wait_text("[y/N] ");
            assert!(screen.contains(question) && screen.replace('\n', "").contains(&cloud.url()), "{screen}");
            terminal.send(answer);
            let finished = terminal.finish();
            assert_tidy(&finished, 1);
            assert!(finished.screen.contains("nothing was"), "{}", finished.screen);
        }
    }
    assert!(cloud.is_connected(&key.fingerprint));
    let mut terminal = Terminal::start(&sandbox, &["device", "revoke"]);
    terminal.wait_text("[y/N] ");
    terminal.send("y");
    let finished = terminal.finish();
    assert_tidy(&finished, 0);
    assert!(!cloud.is_connected(&key.fingerprint));
    signed_in(&mut sandbox, &cloud);
    let mut terminal = Terminal::start(&sandbox, &["profile", "remove", &name]);
    terminal.wait_text("[y/N] ");
    terminal.send("y");
    assert_tidy(&terminal.finish(), 0);
    sandbox.command(["profile", "show", &name]).run().expect_code(3);
}

/// A profile whose device key came from a file, as stock Ollama's does.
fn imported(cloud: &Cloud) -> Sandbox {
    let sandbox = sandbox();
    let file = sandbox.path("home/id_ed25519");
    let made = std::process::Command::new(tool("ssh-keygen"))
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&file)
        .status();
    assert!(made.unwrap().success());
    sandbox.command(["device", "import", "id_ed25519", "--host", &cloud.url()]).run().expect_code(0);
    sandbox
}

#[test]
fn signing_out_a_shared_key_requires_confirmation() {
    let cloud = Cloud::start();
    let sandbox = imported(&cloud);
    let host = cloud.url();
    let args = ["signout", "--host", &host];
    for (answer, code) in [("n", 1), ("\x03", 130), ("y", 0)] {
        let mut terminal = Terminal::start(&sandbox, &args);
        let screen = terminal.wait_text("[y/N] ");
        assert!(screen.replace('\n', "").contains("id_ed25519"), "{screen}");
        terminal.send(answer);
        assert_tidy(&terminal.finish(), code);
    }
    assert!(sandbox.path("home/id_ed25519").exists());
}

#[test]
fn no_prompt_appears_without_a_terminal() {
    let cloud = Cloud::start();
    let host = cloud.url();
    let asks = interactive_sandbox();
    let fresh = sandbox();
    let shared = imported(&cloud);
    let mut known = sandbox();
    signed_in(&mut known, &cloud);
    let name = host.trim_start_matches("http://").to_owned();
    let cases: [(&Sandbox, &[&str], u32, &str); 6] = [
        (&asks, &["signin", "--host", &host], 1, "passphrase"),
        (&fresh, &["signin", "--with-api-key", "--host", &host], 2, "no API key was given"),
        (&shared, &["signout", "--host", &host], 2, "--yes"),
        (&known, &["device", "revoke"], 2, "--yes"),
        (&known, &["profile", "remove", &name], 2, "--yes"),
        (&known, &["device", "export", "exported"], 2, "passphrase"),
    ];
    for (sandbox, args, code, says) in cases {
        let output = sandbox.command(args).run().expect_code(code.cast_signed());
        assert!(output.stderr().contains(says), "{args:?}\n{}", output.snapshot());
        let with_flag = [args, &["--no-input"]].concat();
        let finished = Terminal::start(sandbox, &with_flag).finish();
        assert_tidy(&finished, code);
        assert!(finished.screen.contains(says), "{args:?}\n{}", finished.screen);
    }
    // Only stderr is a terminal, so input cannot be read from it.
    let shell = format!("'{PROGRAM}' device revoke < /dev/null");
    assert_tidy(&Terminal::start_program(&known, "/bin/sh", &["-c", &shell], 80, 24).finish(), 2);
    assert_eq!(cloud.devices().len(), 1);
}

#[test]
fn host_and_user_names_are_sanitised() {
    let evil = "eve\u{1b}]0;pwned\u{7}\u{1b}[2J\nroot\u{202e}";
    let (mut sandbox, cloud) = (sandbox(), Cloud::start());
    let user = json!({ "id": "00000000-0000-0000-0000-000000000001", "name": evil, "email": evil, "plan": evil });
    cloud.set_user(user);
    sandbox.set_env("DISPLAY", ":0");
    sandbox.browser(Behaviour::Follows);
    let host = cloud.url();
    let all: [&[&str]; 5] =
        [&["signin", "--host", &host], &["status"], &["status", "--json"], &["profile", "list"], &["profile", "show"]];
    for args in all {
        let finished = Terminal::start_sized(&sandbox, args, 200, 40).finish();
        assert_tidy(&finished, 0);
        for sequence in ["\x1b]", "\x1b[2J", "\u{202e}", "\x07"] {
            assert!(!contains(&finished.raw, sequence.as_bytes()), "{args:?}: {sequence:?}");
        }
        assert!(!finished.screen.lines().any(|line| line.starts_with("root")), "{args:?}\n{}", finished.screen);
    }
    cloud.inject("/api/me", Fault::SigninOrigin("https://evil.example/\u{1b}]0;x\u{7}".to_owned()));
    let other = self::sandbox();
    let finished = Terminal::start(&other, &["signin", "--host", &host]).finish();
    assert_tidy(&finished, 1);
    assert!(
        !contains(&finished.raw, b"\x1b]") && finished.screen.contains("untrusted sign-in link"),
        "{}",
        finished.screen
    );
}
