//! `keys create` at a host that makes no keys for programs, as ollama.com is not known to: a person makes one on its page, and
//! gives it to us by the same way as `keys import`.

use super::{SETTINGS, import};
use crate::app::App;
use crate::cli::{KeysCreate, KeysImport};
use crate::commands::context::Context;
use crate::exit::{Exit, Problem};

/// Sends the person to the page, and takes the key that they bring back. `error` says why that is necessary.
///
/// # Errors
/// `error` where nobody can be asked, or nobody wants to.
pub(super) async fn import_instead(
    app: &App,
    context: &Context,
    args: &KeysCreate,
    error: anyhow::Error,
) -> anyhow::Result<Exit> {
    let page = context.url().is_ollama_com().then_some(SETTINGS);
    if args.open
        && let Some(page) = page
    {
        show(app, page);
    }
    // Whoever takes the key from standard output would get none, and believe that all is well.
    let is_awaited = !args.save && !app.printer.stdout_is_terminal();
    if is_awaited || !app.printer.is_interactive() {
        return Err(error);
    }
    let problem = Problem::from_error(&error);
    app.printer.warn(&problem.message);
    if let Some(page) = page.filter(|_| !args.open)
        && app.ask(move |printer| printer.confirm(&format!("Open {page} in the browser?"), true)).await??
    {
        show(app, page);
    }
    let question = "Do you have a key that was made there, to keep it here?";
    if !app.ask(|printer| printer.confirm(question, true)).await?? {
        return Err(Problem { message: "no key was made".to_owned(), ..problem }.into());
    }
    let import = KeysImport {
        name: Some(args.name.clone()),
        environment: args.environment.clone(),
        no_verify: false,
        replace: false,
        stray: Vec::new(),
    };
    import::read_and_store(app, context, &import).await
}

fn show(app: &App, page: &str) {
    if !app.env.can_show_pages {
        app.printer.note(&format!("No browser here: open {page} on another machine."));
    } else if let Err(error) = (app.open_page)(page) {
        app.printer.warn(&format!("no browser could be opened ({error}): open {page} yourself"));
    }
}
