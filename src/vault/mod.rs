//! Where secrets are stored: the operating system's keyring, a file encrypted with a passphrase, or, only on
//! request, a plaintext file.
//!
//! The vault keeps no index: which entries exist is written in the profiles, without a secret. It reads no
//! environment of its own; the session bus that the keyring library looks up is the one exception.

mod cipher;
mod encrypted;
mod entry;
mod error;
mod kept_key;
mod keyring;
mod passphrase;
mod plaintext;
mod secrets_file;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use thiserror::Error;
use tokio::sync::oneshot;

pub use entry::{EntryId, EntryKind, StoreKind, UnknownStore};
pub use error::VaultError;
pub use kept_key::KeepWarning;
pub use passphrase::{
    PASSPHRASE_CREDENTIAL, Passphrase, PassphraseError, PassphraseOrigin, PassphrasePrompt, PassphrasePurpose,
    PassphraseSource, Passphrases, read_passphrase_file,
};

/// What a place for secrets can do. The calls block; [`Vault`] takes them off the async thread.
trait Store: Send + Sync {
    fn probe(&self) -> Result<(), VaultError>;
    fn get(&self, id: &EntryId) -> Result<Option<SecretString>, VaultError>;
    /// As `get`, but whatever is found broken stays as it is.
    fn peek(&self, id: &EntryId) -> Result<Option<SecretString>, VaultError> {
        self.get(id)
    }
    fn put(&self, id: &EntryId, secret: &SecretString) -> Result<(), VaultError>;
    fn delete(&self, id: &EntryId) -> Result<bool, VaultError>;
}

/// What a [`Vault`] is built from.
pub struct VaultOptions {
    /// The folder of the file stores; created (0700) when something is first written.
    pub data_dir: PathBuf,
    /// How long one keyring call may take: 5 s, or 60 s where a person can answer its prompt.
    pub keyring_deadline: Duration,
    /// Where the passphrase of the encrypted file comes from.
    pub passphrase: Box<dyn PassphraseSource>,
    /// Keeps the encrypted file's key in the Linux kernel's keyring for 15 minutes after a person typed the passphrase; is told if that
    /// fails.
    pub keep_unlocked: Option<KeepWarning>,
}

/// The three stores. Nothing is opened before the first call that needs it.
pub struct Vault {
    data_dir: PathBuf,
    keyring: keyring::Keyring,
    encrypted: Arc<encrypted::EncryptedFile>,
    plaintext: Arc<dyn Store>,
}

impl Vault {
    /// Describes the stores; touches neither the disk nor the keyring.
    pub fn new(options: VaultOptions) -> Self {
        let VaultOptions { data_dir, keyring_deadline, passphrase, keep_unlocked } = options;
        Self {
            keyring: keyring::Keyring::new(Arc::new(keyring::SystemKeyring), Some(keyring_deadline)),
            encrypted: Arc::new(encrypted::EncryptedFile::new(&data_dir, passphrase, keep_unlocked)),
            plaintext: Arc::new(plaintext::PlaintextFile::new(&data_dir)),
            data_dir,
        }
    }

    /// Finds out whether the store can really be written to now: the keyring by writing, reading and deleting
    /// an entry, the encrypted file by unlocking or creating it, the plaintext file by a look at its folder.
    ///
    /// # Errors
    /// What the first real use would have met.
    pub async fn probe(&self, kind: StoreKind) -> Result<(), VaultError> {
        self.on_store(kind, |store| store.probe()).await
    }

    /// Reads a secret; `None` when the store holds none of that name.
    ///
    /// # Errors
    /// See [`VaultError`].
    pub async fn get(&self, kind: StoreKind, id: &EntryId) -> Result<Option<SecretString>, VaultError> {
        let id = id.clone();
        self.on_store(kind, move |store| store.get(&id)).await
    }

    /// As [`Vault::get`], and changes nothing: a damaged file is not moved aside.
    ///
    /// # Errors
    /// See [`VaultError`].
    pub async fn peek(&self, kind: StoreKind, id: &EntryId) -> Result<Option<SecretString>, VaultError> {
        let id = id.clone();
        self.on_store(kind, move |store| store.peek(&id)).await
    }

    /// The file of a store that has one.
    pub fn file(&self, kind: StoreKind) -> Option<PathBuf> {
        match kind {
            StoreKind::Keyring => None,
            StoreKind::File => Some(self.data_dir.join(encrypted::FILE)),
            StoreKind::Plaintext => Some(self.data_dir.join(plaintext::FILE)),
        }
    }

    /// Stores a secret, replacing one of the same name.
    ///
    /// # Errors
    /// See [`VaultError`]. After [`VaultError::KeyringTimeout`] the keyring may still take the entry later.
    pub async fn put(&self, kind: StoreKind, id: &EntryId, secret: &SecretString) -> Result<(), VaultError> {
        let (id, secret) = (id.clone(), secret.clone());
        self.on_store(kind, move |store| store.put(&id, &secret)).await
    }

    /// Removes a secret and says whether there was one.
    ///
    /// # Errors
    /// See [`VaultError`].
    pub async fn delete(&self, kind: StoreKind, id: &EntryId) -> Result<bool, VaultError> {
        let id = id.clone();
        self.on_store(kind, move |store| store.delete(&id)).await
    }

    /// Removes the encrypted file's key from the kernel's keyring, and says whether it was there.
    ///
    /// # Errors
    /// [`VaultError::KernelKeyring`] if this process cannot use that keyring.
    pub fn lock(&self) -> Result<bool, VaultError> {
        self.encrypted.remove_kept_key()
    }

    async fn on_store<T: Send + 'static>(
        &self,
        kind: StoreKind,
        work: impl FnOnce(&dyn Store) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let store: Arc<dyn Store> = match kind {
            StoreKind::Keyring => return self.keyring.run(work).await,
            StoreKind::File => self.encrypted.clone(),
            StoreKind::Plaintext => self.plaintext.clone(),
        };
        on_thread(None, move || work(store.as_ref()))
            .await
            .unwrap_or_else(|failure| Err(VaultError::Internal(failure.to_string())))
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").finish_non_exhaustive()
    }
}

/// Why there is no result.
#[derive(Debug, Error)]
enum WorkerError {
    /// The deadline passed. The thread is left to itself; what it still returns is dropped.
    #[error("no answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The work panicked.
    #[error("the worker ended without an answer")]
    Panicked,
    /// The system gave us no thread.
    #[error("no thread could be started: {0}")]
    NotStarted(std::io::Error),
}

/// Runs `work` on a new thread and waits at most `limit` for it (forever when `None`).
async fn on_thread<T: Send + 'static>(
    limit: Option<Duration>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, WorkerError> {
    // The work may ask a person: lets the signals be listened for before it begins.
    tokio::task::yield_now().await;
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("vault".to_owned())
        .spawn(move || {
            // The receiver is gone after a timeout or an interrupt.
            let _ = sender.send(work());
        })
        .map_err(WorkerError::NotStarted)?;
    let answer = match limit {
        None => receiver.await,
        Some(limit) => tokio::time::timeout(limit, receiver).await.map_err(|_| WorkerError::TimedOut(limit))?,
    };
    answer.map_err(|_| WorkerError::Panicked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_a_panic_and_silence_are_told_apart() {
        assert_eq!(on_thread(None, || 7).await.unwrap(), 7);
        let panicked = on_thread(None, || std::panic::resume_unwind(Box::new(())));
        assert!(matches!(panicked.await, Err::<(), _>(WorkerError::Panicked)));
        let (_open, never) = std::sync::mpsc::channel::<()>();
        let limit = Duration::from_millis(5);
        let timed_out = on_thread(Some(limit), move || never.recv().is_ok()).await;
        assert!(matches!(timed_out, Err(WorkerError::TimedOut(after)) if after == limit));
    }
}
