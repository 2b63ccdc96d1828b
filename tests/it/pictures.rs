//! The pictures of a terminal that the README shows, recorded from a real session: a shell in a pseudo-terminal, a real gateway and
//! keyring, a person at a browser, and a model that says one sentence. Fails when the program shows something else; `scripts/record`
//! writes them anew.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::json;
use vt100::Color;

use crate::given::on_keyring;
use crate::harness::browser::Behaviour;
use crate::harness::cmd::{PROGRAM, Sandbox};
use crate::harness::gateway::Gateway;
use crate::harness::http::Reply;
use crate::harness::keyring::Keyring;
use crate::harness::ollama::Ollama;
use crate::harness::pty::Terminal;
use crate::harness::tool;

const COLUMNS: u16 = 100;
const ROWS: u16 = 60;
/// Of a character, in pixels.
const WIDTH: f64 = 8.4;
const HEIGHT: f64 = 19.0;
const MARGIN: f64 = 16.0;
const ANSWER: &str = "Sunlight is scattered by the air, and blue light is scattered the most, so the sky looks blue.";

/// A character on the screen, and how it is shown.
#[derive(Clone, PartialEq, Eq)]
struct Glyph {
    text: String,
    style: Style,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Style {
    color: Option<u8>,
    bold: bool,
    dim: bool,
    underline: bool,
}

/// Background, text, and the eight colours of a terminal.
struct Theme {
    name: &'static str,
    background: &'static str,
    text: &'static str,
    colors: [&'static str; 8],
}

const THEMES: [Theme; 2] = [
    Theme {
        name: "light",
        background: "#f6f8fa",
        text: "#1f2328",
        colors: ["#1f2328", "#cf222e", "#116329", "#7d4e00", "#0550ae", "#8250df", "#1b7c83", "#6e7781"],
    },
    Theme {
        name: "dark",
        background: "#0d1117",
        text: "#e6edf3",
        colors: ["#484f58", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#b1bac4"],
    },
];

/// A shell as a person sees it.
struct Shell {
    terminal: Terminal,
    lines: usize,
}

impl Shell {
    fn start(sandbox: &mut Sandbox) -> Self {
        std::os::unix::fs::symlink(PROGRAM, sandbox.path("bin/ollama-auth")).unwrap();
        let path = format!("{}:{}", sandbox.path("bin").display(), std::env::var("PATH").unwrap());
        sandbox.set_env("PS1", r"\[\e[1;32m\]$\[\e[0m\] ").set_env("PATH", &path);
        let bash = tool("bash");
        let args = ["--norc", "--noprofile", "-i"];
        let terminal = Terminal::start_program(sandbox, bash.to_str().unwrap(), &args, COLUMNS, ROWS);
        let shell = Self { terminal, lines: 0 };
        shell.wait_prompt();
        shell
    }

    /// A prompt after the commands so far, with nothing behind it.
    fn wait_prompt(&self) {
        let is_prompt = |line: &&str| *line == "$" || line.starts_with("$ ");
        self.terminal.wait_for(|text| {
            let last = text.trim_end().lines().last().is_some_and(|line| line.trim_end() == "$");
            last && text.lines().filter(is_prompt).count() == self.lines + 1
        });
    }

    fn enter(&mut self, line: &str) {
        self.terminal.send(&format!("{line}\r"));
        self.lines += 1;
    }
}

/// The rows of the screen, without the prompt at its end.
fn rows(screen: &vt100::Screen) -> Vec<Vec<Glyph>> {
    let glyph = |row, column| {
        let cell = screen.cell(row, column)?;
        let color = match cell.fgcolor() {
            Color::Idx(number) => Some(number % 8),
            _ => None,
        };
        let style = Style { color, bold: cell.bold(), dim: cell.dim(), underline: cell.underline() };
        let text = if cell.has_contents() { cell.contents().to_owned() } else { " ".to_owned() };
        Some(Glyph { text, style })
    };
    let mut rows: Vec<Vec<Glyph>> =
        (0..ROWS).map(|row| (0..COLUMNS).filter_map(|column| glyph(row, column)).collect()).collect();
    let is_empty = |row: &Vec<Glyph>| row.iter().all(|glyph| glyph.text == " ");
    while rows.last().is_some_and(is_empty) {
        rows.pop();
    }
    rows.pop();
    rows
}

/// Puts `fixed` wherever the screen shows `value`, blanks between its characters aside: what differs from run to run.
fn settle(rows: &mut [Vec<Glyph>], value: &str, fixed: &str) {
    assert_eq!(value.chars().count(), fixed.chars().count(), "{value} and {fixed} take the same room");
    let mut glyphs: Vec<&mut Glyph> = rows.iter_mut().flatten().filter(|glyph| glyph.text != " ").collect();
    let value: Vec<String> = value.chars().map(String::from).collect();
    for start in 0..glyphs.len().saturating_sub(value.len() - 1) {
        if glyphs[start..].iter().zip(&value).all(|(glyph, text)| glyph.text == *text) {
            for (glyph, text) in glyphs[start..].iter_mut().zip(fixed.chars()) {
                glyph.text = text.into();
            }
        }
    }
}

/// The times in a text: `2026-11-29 07:09`.
fn times(text: &str) -> Vec<String> {
    let form: Vec<char> = "0000-00-00 00:00".chars().collect();
    let fits = |(c, form): (&char, &char)| if *form == '0' { c.is_ascii_digit() } else { c == form };
    let letters: Vec<char> = text.chars().collect();
    let found = letters.windows(form.len()).filter(|word| word.iter().zip(&form).all(fits));
    found.map(|word| word.iter().collect()).collect()
}

/// The session of the picture.
fn record() -> Vec<Vec<Glyph>> {
    let ollama = Ollama::start();
    ollama.replay_always("show");
    ollama.route("POST", "/api/generate", |_| {
        let line = json!({ "model": "llama3.2", "response": ANSWER, "done": false });
        let end = json!({ "model": "llama3.2", "response": "", "done": true, "done_reason": "stop" });
        Reply::new(200, format!("{line}\n{end}\n")).header("Content-Type", "application/x-ndjson")
    });
    let gateway = Gateway::start(&ollama.url());
    gateway.add_user("ada", "member");
    let keyring = Keyring::start_unlocked();
    let mut sandbox = on_keyring(&keyring);
    sandbox.browser(Behaviour::Person("ada", "Approve"));
    let mut shell = Shell::start(&mut sandbox);
    for line in [
        &format!("ollama-auth signin --host {} --device-name laptop", gateway.url()),
        "ollama-auth run llama3.2 \"Why is the sky blue?\"",
        "KEY=$(ollama-auth keys create ci --scope inference,models:read --expires 30d)",
        "ollama-auth status",
    ] {
        shell.enter(line);
        shell.wait_prompt();
    }

    let mut rows = shell.terminal.look(rows);
    let (_, port) = gateway.address().rsplit_once(':').map(|(host, port)| (host.to_owned(), port.to_owned())).unwrap();
    settle(&mut rows, &format!("127.0.0.1:{port}"), "127.0.0.1:11435");
    let shown = |args: &[&str]| sandbox.command(args).args(["--json"]).run().expect_code(0).json();
    let key = shown(&["keys", "list"])["keys"][0].clone();
    settle(&mut rows, key["id"].as_str().unwrap(), "key_KOCVMJtfdKZmC7TihqGy7X");
    let device = shown(&["device", "show"]);
    let fingerprint = device["fingerprint"].as_str().unwrap();
    settle(&mut rows, fingerprint, "SHA256:F7HPAkHjN3UkVKv/jnUucDkvB6UnuxiOtJD3IQzOzu4");
    let link = shell.terminal.look(rows_text);
    let (_, encoded) = link.split_once("&key=").unwrap();
    let encoded: String = encoded.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
    settle(&mut rows, &encoded, &FIXED_KEY[..encoded.len()]);
    let (_, code) = link.split_once("type the code ").unwrap();
    settle(&mut rows, code.split_whitespace().next().unwrap(), "WDJB-MJHT");
    for time in times(&rows_text_of(&rows)) {
        settle(&mut rows, &time.replace(' ', ""), "2026-12-2412:00");
    }
    rows
}

/// The device's public key in the link, in unpadded base64url.
const FIXED_KEY: &str =
    "c3NoLWVkMjU1MTkgQUFBQUMzTnphQzFsWkRJMU5URTVBQUFBSUp0cnppQktVZTgxZ1U4TUR4U0xWYyszcG8xTHlNc0FCYmdQb3FjQklpNDg";

fn rows_text(screen: &vt100::Screen) -> String {
    rows_text_of(&rows(screen))
}

/// All rows in one, as a long line that was wrapped is one.
fn rows_text_of(rows: &[Vec<Glyph>]) -> String {
    rows.iter().flatten().map(|glyph| glyph.text.as_str()).collect()
}

fn svg(rows: &[Vec<Glyph>], theme: &Theme) -> String {
    let width = f64::from(COLUMNS).mul_add(WIDTH, 2.0 * MARGIN);
    let height = f64::from(u16::try_from(rows.len()).unwrap()).mul_add(HEIGHT, 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"14\">\n\
         <!-- Written by scripts/record. -->\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{}\"/>\n",
        theme.background
    );
    let mut y = MARGIN + HEIGHT * 0.75;
    for row in rows {
        let mut column = 0;
        for run in row.chunk_by(|one, next| one.style == next.style) {
            let text: String = run.iter().map(|glyph| glyph.text.as_str()).collect();
            let (start, shown) = (text.len() - text.trim_start().len(), text.trim());
            if !shown.is_empty() {
                let place = |cells: usize| f64::from(u16::try_from(cells).unwrap()) * WIDTH;
                let Style { color, bold, dim, underline } = run[0].style;
                let _ = writeln!(
                    svg,
                    "<text xml:space=\"preserve\" x=\"{:.1}\" y=\"{y:.1}\" textLength=\"{:.1}\" fill=\"{}\"{}{}{}>{}</text>",
                    MARGIN + place(column + start),
                    place(shown.chars().count()),
                    color.map_or(theme.text, |number| theme.colors[usize::from(number)]),
                    if bold { " font-weight=\"bold\"" } else { "" },
                    if dim { " opacity=\"0.65\"" } else { "" },
                    if underline { " text-decoration=\"underline\"" } else { "" },
                    shown.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
                );
            }
            column += run.len();
        }
        y += HEIGHT;
    }
    svg + "</svg>\n"
}

#[test]
fn the_terminal_pictures_of_a_session_with_a_keyring_are_up_to_date() {
    let rows = record();
    for theme in &THEMES {
        let name = format!("docs/images/terminal-{}.svg", theme.name);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&name);
        let recorded = svg(&rows, theme);
        if std::env::var_os("RECORD").is_some() {
            fs::write(&path, recorded).unwrap();
        } else {
            let shown = fs::read_to_string(&path).unwrap_or_default();
            assert!(shown == recorded, "{name} is out of date: run scripts/record. The terminal shows:\n{recorded}");
        }
    }
}
