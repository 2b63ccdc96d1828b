//! What a gateway needs before it can serve: the address, the database, the accounts. Shared by `gateway serve` and `quickstart`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::exit::{Exit, Problem};
use crate::gateway::{Clock, Config, Directory, Gateway, Server, SqliteStore};

/// A gateway that can be served.
pub struct Ready {
    /// It listens, and nobody is served yet.
    pub server: Server,
    /// What requests are decided by.
    pub gateway: Arc<Gateway>,
    /// The database.
    pub store: Arc<SqliteStore>,
    /// There is no account yet.
    pub fresh: bool,
}

/// Takes the address, then opens the database. `now` gives the Unix time in seconds.
///
/// # Errors
/// An address that cannot be had, a database that cannot be used.
pub async fn prepare(now: fn() -> i64, config: Config, database: &Path) -> anyhow::Result<Ready> {
    let server = Server::bind(&config)?;
    let store = Arc::new(SqliteStore::open(database).await?);
    let directory = Directory::open(store.clone()).await?;
    let clock = Clock::new(now);
    let fresh = directory.is_empty();
    if !fresh {
        wait_for_the_next_second(&clock).await;
    }
    let gateway = Gateway::new(directory, clock, config, server.local())
        .map_err(|error| Problem::new(Exit::Failed, format!("no random bytes: {error}")))?;
    Ok(Ready { server, gateway: Arc::new(gateway), store, fresh })
}

/// An earlier gateway may have seen signatures of this very second, which we could not tell from new ones.
async fn wait_for_the_next_second(clock: &Clock) {
    let began = clock.now();
    while clock.now() == began {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
