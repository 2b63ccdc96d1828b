//! Blocking work on a thread of its own, awaited with a deadline.
//!
//! A plain thread rather than the runtime's pool: a call that never returns must not keep the program from
//! ending, and the pool waits for its threads.

use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;

/// Why there is no result.
#[derive(Debug, Error)]
pub(super) enum Failure {
    /// The deadline passed. The thread is left to itself; what it still returns is dropped.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Expired(Duration),
    /// The work panicked.
    #[error("the worker ended without an answer")]
    Vanished,
    /// The system gave us no thread.
    #[error("no thread could be started: {0}")]
    NoThread(std::io::Error),
}

/// Runs `work` on a new thread and waits at most `limit` for it (for ever when `None`).
pub(super) async fn on_thread<T: Send + 'static>(
    limit: Option<Duration>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    // The work may ask a person: lets the signals be listened for before it begins.
    tokio::task::yield_now().await;
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("vault".to_owned())
        .spawn(move || {
            // Nobody listens any more after a timeout or an interrupt.
            let _ = sender.send(work());
        })
        .map_err(Failure::NoThread)?;
    let answer = match limit {
        None => receiver.await,
        Some(limit) => tokio::time::timeout(limit, receiver).await.map_err(|_| Failure::Expired(limit))?,
    };
    answer.map_err(|_| Failure::Vanished)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_a_panic_and_silence_are_told_apart() {
        assert_eq!(on_thread(None, || 7).await.unwrap(), 7);
        let vanished = on_thread(None, || std::panic::resume_unwind(Box::new(())));
        assert!(matches!(vanished.await, Err::<(), _>(Failure::Vanished)));
        let (_open, never) = std::sync::mpsc::channel::<()>();
        let limit = Duration::from_millis(5);
        let expired = on_thread(Some(limit), move || never.recv().is_ok()).await;
        assert!(matches!(expired, Err(Failure::Expired(after)) if after == limit));
    }
}
