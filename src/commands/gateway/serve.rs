//! `gateway serve`: opens the database, listens, serves until it is told to stop.

use std::time::Duration;

use crate::app::App;
use crate::cli::ServeArgs;
use crate::exit::Exit;
use crate::gateway::{AdminSocket, Gateway, admin};
use crate::signals;

use super::running::{self, Ready};
use super::{place, settings};

/// Between two writings of when credentials were used last.
const FLUSH: Duration = Duration::from_secs(5);

/// Runs it. SIGTERM and Ctrl-C end it in good order, a second one at once; SIGHUP reads the configuration anew.
pub async fn run(app: &App, args: ServeArgs) -> anyhow::Result<Exit> {
    let config = settings::load(app, &args)?;
    let path = place::database(app, &args.database, config.database.as_deref())?;
    let Ready { server, gateway, store, fresh } = running::prepare(app.now, config, &path).await?;
    let administration = tokio::spawn(admin::serve(AdminSocket::bind(&store)?, gateway.clone()));
    // Before the announcement: a signal that comes right after it would end us otherwise.
    let (requests, hang_ups) = (signals::requests_to_stop(), signals::hang_ups());
    announce(app, &gateway, fresh);

    let flushing = {
        let gateway = gateway.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(FLUSH).await;
                flush(&gateway).await;
            }
        })
    };
    let read = || settings::load(app, &args).map_err(|error| format!("{error:#}"));
    let serving = server.run(gateway.clone(), signals::asked(requests.clone(), 1), hang_ups, read);
    let served = async {
        serving.await?;
        anyhow::Ok(Exit::Done)
    };
    let exit = tokio::select! {
        served = served => served,
        () = signals::asked(requests, 2) => Ok(Exit::Interrupted),
    };
    flushing.abort();
    flush(&gateway).await;
    // Awaited, so that the socket is gone when the process is.
    administration.abort();
    let _ = administration.await;
    if let Err(error) = store.settle().await {
        tracing::warn!("the database stays in several files: {error}");
    }
    exit
}

async fn flush(gateway: &Gateway) {
    if let Err(error) = gateway.directory.flush().await {
        tracing::warn!("when credentials were used could not be written: {error}");
    }
}

/// Says where it listens, and on an empty database how the first administrator comes to be.
fn announce(app: &App, gateway: &Gateway, fresh: bool) {
    let config = gateway.config.get();
    let url = &config.url;
    if config.behind_tls_proxy && config.trusted_proxies.is_empty() {
        app.printer.warn(
            "every caller has the proxy's address, and shares its limits and its signatures: name the proxy with --set trusted-proxies=ADDRESS",
        );
    }
    let setup = fresh.then(|| format!("{}?token={}", url.join("/setup"), gateway.pages.setup_token()));
    if app.printer.is_json() {
        let event = serde_json::json!({
            "url": url.to_string(), "listen": config.local.to_string(), "upstream": config.upstream.to_string(),
            "setup_url": setup,
        });
        app.printer.event("listening", &event);
        return;
    }
    app.printer.report(&format!("Gateway at {url}, listening at {}, for {}", config.local, config.upstream));
    if let Some(setup) = setup {
        app.printer.report(&format!(
            "\nNobody can sign in yet. Make the first administrator here, this once:\n\n  {setup}\n\nor with: ollama-auth gateway user add NAME --role admin\n"
        ));
    }
}
