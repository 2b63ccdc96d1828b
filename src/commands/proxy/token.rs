//! The local token of `proxy`, from standard input or a file.

use std::io::Read as _;
use std::path::Path;

use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::app::App;
use crate::cli::ProxyArgs;
use crate::disk::{self, Exposure};
use crate::exit::{Exit, Problem};
use crate::proxy::Token;

/// More than this is no token.
const LONGEST: u64 = 16 * 1024;

/// Reads the token, if one is wanted.
///
/// # Errors
/// Exit 2 for what is no token; what cannot be read, or can be read by others.
pub async fn read(app: &App, args: &ProxyArgs) -> anyhow::Result<Option<Token>> {
    let text = match &args.token_file {
        Some(path) => in_file(app, path)?,
        None if args.token_stdin => on_stdin(app).await?,
        None => return Ok(None),
    };
    let token = Token::new(&text).map_err(|error| {
        Problem::new(Exit::Usage, error.to_string()).hint("make one: openssl rand -hex 24 >FILE; chmod 600 FILE")
    })?;
    Ok(Some(token))
}

fn in_file(app: &App, path: &Path) -> anyhow::Result<SecretString> {
    // A service manager hands its files over by a list of access, which looks like a group's.
    let handed_over = app.env.credentials_directory.as_ref().is_some_and(|folder| path.starts_with(folder));
    let exposure = if handed_over { Exposure::Group } else { Exposure::Owner };
    let bytes = disk::read_input(path, exposure)?
        .ok_or_else(|| Problem::new(Exit::Usage, format!("there is no file {}", path.display())))?;
    let bytes = Zeroizing::new(bytes);
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Problem::new(Exit::Usage, format!("{} holds no text in UTF-8", path.display())))?;
    Ok(SecretString::from(text))
}

async fn on_stdin(app: &App) -> anyhow::Result<SecretString> {
    if app.printer.stdin_is_terminal() {
        if !app.printer.is_interactive() {
            return Err(Problem::new(Exit::Usage, "no token was given")
                .hint("pipe it in, or pass --token-file")
                .into());
        }
        return Ok(app.ask(|printer| printer.hidden("Token")).await??);
    }
    let text = app
        .ask(|_| piped())
        .await?
        .map_err(|error| Problem::new(Exit::Usage, format!("the token on standard input cannot be read: {error}")))?;
    Ok(SecretString::from(text.as_str()))
}

fn piped() -> std::io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().take(LONGEST + 1).read_to_string(&mut text)?;
    Ok(text)
}
