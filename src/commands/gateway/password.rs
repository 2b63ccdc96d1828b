//! A new password for an account: typed twice, unseen, or one line of standard input. It leaves here as a hash.

use std::io::{BufRead as _, Read as _};

use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::app::App;
use crate::exit::{Exit, Problem};
use crate::gateway::PasswordHash;

/// More than any password may have, in bytes.
const LONGEST: u64 = 4096;

/// Asks for a password and hashes it.
///
/// # Errors
/// Exit 2 when there is none, or one that is too short or too long.
pub async fn new(app: &App, name: &str) -> anyhow::Result<PasswordHash> {
    let password = if app.printer.stdin_is_terminal() {
        if !app.printer.is_interactive() {
            return Err(none().into());
        }
        let question = format!("New password of {name}");
        app.ask(move |printer| printer.hidden_twice(&question, "The same password again")).await??
    } else {
        app.ask(|_| piped()).await??
    };
    Ok(app.ask(move |_| PasswordHash::of(&password)).await??)
}

/// The first line, without its end.
fn piped() -> Result<SecretString, Problem> {
    let unreadable =
        |reason: String| Problem::new(Exit::Usage, format!("the password on standard input cannot be read: {reason}"));
    // Room for all of it at once, so that growing leaves no copies.
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST as usize + 1));
    let read = std::io::stdin().lock().take(LONGEST).read_until(b'\n', &mut line);
    read.map_err(|error| unreadable(error.to_string()))?;
    let text = std::str::from_utf8(&line).map_err(|_| unreadable("it is not UTF-8".to_owned()))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() { Err(none()) } else { Ok(SecretString::from(text)) }
}

fn none() -> Problem {
    Problem::new(Exit::Usage, "no password was given").hint("pipe it in, as one line, or run it in a terminal")
}
