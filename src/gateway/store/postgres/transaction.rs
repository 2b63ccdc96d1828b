//! A change: the lock on the change log, what others did before, the change itself, and whether it was committed when the connection broke.

use std::time::Duration;

use sqlx::Postgres;
use tokio::time::{Instant, timeout};

use super::log::{self, Subject};
use super::{PostgresStore, pending, sessions, sql};
use crate::gateway::store::news::{News, Position};
use crate::gateway::store::place::Doing;
use crate::gateway::store::{Answer, Change, Event, KeyRecord, Shared, StoreError, Transaction};
use crate::keyspec::KeyId;

/// How long a commit may take: with a synchronous standby it waits for that.
const COMMIT: Duration = Duration::from_secs(10);
/// How long is tried to find out whether a commit was made whose answer did not come.
const DOUBT: Duration = Duration::from_secs(10);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) struct PostgresTransaction<'a> {
    store: &'a PostgresStore,
    /// Rolled back when it is dropped.
    transaction: sqlx::Transaction<'static, Postgres>,
    /// What is locked.
    before: Position,
    position: Position,
}

/// Locks the log, and reads what came after `seen`.
pub(super) async fn begin(
    store: &PostgresStore,
    seen: Position,
) -> Result<(News, PostgresTransaction<'_>), StoreError> {
    let failed = |error: sqlx::Error| store.explain(&error, Doing::Write);
    let mut transaction = store.pool.begin().await.map_err(failed)?;
    let before = log::lock(&mut transaction).await.map_err(failed)?;
    let news = log::news_between(&mut transaction, seen, before, &store.place).await?;
    Ok((news, PostgresTransaction { store, transaction, before, position: before }))
}

impl Transaction for PostgresTransaction<'_> {
    fn key<'a>(&'a mut self, id: &'a KeyId) -> Answer<'a, Option<KeyRecord>> {
        let store = self.store;
        Box::pin(store.answered(sql::keys::find(&mut self.transaction, id, &store.place)))
    }

    fn make<'a>(&'a mut self, change: &'a Change, event: &'a Event, replica: &'a str) -> Answer<'a, i64> {
        let store = self.store;
        Box::pin(store.answered(async move {
            let number = sql::apply(&mut self.transaction, change, event, replica, &self.store.place).await?;
            let failed = |error: sqlx::Error| self.store.explain(&error, Doing::Write);
            if let Change::AddDevice(device) = change {
                pending::settle(&mut self.transaction, &device.key).await.map_err(failed)?;
            }
            let ended = sessions::end_after(&mut self.transaction, change).await.map_err(failed)?;
            let subjects = Subject::of(change).into_iter().chain(Subject::also_of(change));
            let subjects = subjects.chain(ended.map(Subject::Sessions)).collect();
            self.position = log::append(&mut self.transaction, self.position, subjects).await.map_err(failed)?;
            Ok(number)
        }))
    }

    fn share<'a>(&'a mut self, what: &'a Shared) -> Answer<'a, ()> {
        let store = self.store;
        Box::pin(store.answered(async move {
            let failed = |error: sqlx::Error| self.store.explain(&error, Doing::Write);
            let connection = &mut *self.transaction;
            let stored = match what {
                Shared::PendingDevice(key, address) => pending::add(connection, key, *address).await,
                Shared::DeniedDevice(key) => pending::deny(connection, key).await,
                Shared::Session(session) => sessions::start(connection, session).await,
                Shared::UsedSession(digest) => sessions::touch(connection, digest, false).await,
                Shared::ConfirmedSession(digest) => sessions::touch(connection, digest, true).await,
                Shared::EndedSession(digest) => sessions::end(connection, digest).await,
                Shared::EndedSessions(user) => sessions::end_all_of(connection, *user).await,
                Shared::EndedAtProvider(digest) => sessions::end_at_provider(connection, digest).await,
            };
            stored.map_err(failed)?;
            let subject = match what {
                Shared::PendingDevice(key, _) | Shared::DeniedDevice(key) => Subject::PendingDevice(key.line()),
                Shared::Session(session) => Subject::Session(session.digest),
                Shared::UsedSession(digest) | Shared::ConfirmedSession(digest) | Shared::EndedSession(digest) => {
                    Subject::Session(*digest)
                }
                Shared::EndedSessions(user) => Subject::Sessions(*user),
                Shared::EndedAtProvider(digest) => Subject::ProviderSession(*digest),
            };
            self.position = log::append(&mut self.transaction, self.position, vec![subject]).await.map_err(failed)?;
            Ok(())
        }))
    }

    fn commit<'a>(self: Box<Self>) -> Answer<'a, Position>
    where
        Self: 'a,
    {
        Box::pin(async move {
            let Self { store, mut transaction, before, position } = *self;
            // Otherwise the server would give up waiting for a standby, and say that it has committed.
            let waits = sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *transaction);
            let waits = async { waits.await.map_err(|error| store.explain(&error, Doing::Write)) };
            store.answered(waits).await?;
            let error = match timeout(COMMIT, transaction.commit()).await {
                Ok(Ok(())) => return Ok(position),
                Ok(Err(error)) => store.explain(&error, Doing::Write),
                Err(_) => StoreError::Unreachable {
                    place: store.place.0.clone(),
                    reason: format!("no answer to a commit within {} s", COMMIT.as_secs()),
                },
            };
            match error {
                StoreError::Unreachable { .. } if position != before => is_committed(store, position, error).await,
                // The server said that it was not; or it was nothing but an event.
                error => Err(error),
            }
        })
    }
}

/// Finds out whether the change with that position was committed.
async fn is_committed(store: &PostgresStore, position: Position, error: StoreError) -> Result<Position, StoreError> {
    let end = Instant::now() + DOUBT;
    loop {
        let looked = async {
            let mut transaction = store.pool.begin().await?;
            // The session of the commit holds the lock as long as it is not over.
            log::lock(&mut transaction).await?;
            log::contains(&mut transaction, position).await
        };
        let looked = async { looked.await.map_err(|error: sqlx::Error| store.explain(&error, Doing::Read)) };
        match store.answered(looked).await {
            Ok(true) => return Ok(position),
            Ok(false) => return Err(error),
            Err(_) if Instant::now() < end => tokio::time::sleep(PAUSE).await,
            Err(_) => return Err(StoreError::Doubtful { place: store.place.0.clone() }),
        }
    }
}
