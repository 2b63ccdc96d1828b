//! `exec --print`: the variables in the words of a shell, to be used without `exec`.

use serde::Serialize;
use zeroize::Zeroizing;

use super::variables::Variables;
use crate::app::App;
use crate::cli::PrintFormat;
use crate::shell::quoted;

/// A line of `--print json`.
#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    /// `null`: remove it.
    value: Option<&'a str>,
}

/// Prints them to standard output, one a line.
pub(super) fn print(app: &App, format: PrintFormat, variables: &Variables) -> anyhow::Result<()> {
    for (name, value) in variables.changes() {
        let line = match format {
            PrintFormat::Powershell => powershell(name, value),
            PrintFormat::Shell if !app.printer.is_json() => shell(name, value),
            PrintFormat::Shell | PrintFormat::Json => Zeroizing::new(serde_json::to_string(&Line { name, value })?),
        };
        app.printer.print_secret(&line)?;
    }
    variables.report_kept(app);
    app.printer.note("Keep this secret: it contains an API key, valid until it expires or is revoked.");
    Ok(())
}

fn shell(name: &str, value: Option<&str>) -> Zeroizing<String> {
    Zeroizing::new(match value {
        Some(value) => format!("export {name}={}", quoted(value)),
        None => format!("unset {name}"),
    })
}

fn powershell(name: &str, value: Option<&str>) -> Zeroizing<String> {
    Zeroizing::new(match value {
        Some(value) => format!("$env:{name} = '{}'", value.replace('\'', "''")),
        None => format!("Remove-Item -ErrorAction SilentlyContinue Env:{name}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_one_word_whatever_it_holds() {
        assert_eq!(*shell("A", Some("it's $(x)")), r"export A='it'\''s $(x)'");
        assert_eq!(*powershell("A", Some("it's $(x)")), "$env:A = 'it''s $(x)'");
        assert_eq!(*shell("A", None), "unset A");
        assert_eq!(*powershell("A", None), "Remove-Item -ErrorAction SilentlyContinue Env:A");
    }
}
