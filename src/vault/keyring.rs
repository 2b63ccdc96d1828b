//! The operating system's keyring: Secret Service, Keychain or Credential Manager.
//!
//! Over D-Bus a call can block forever, because the library asks without a timeout: the service may be
//! stopped, or a prompt may wait for a person who is not there. So every call has a deadline, and after one
//! that was missed the keyring is not asked again: the library serves one call at a time, and the next would
//! only queue behind the stuck one.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::{EntryId, Store, VaultError};
use super::{WorkerError, on_thread};
use crate::os_error::without_codes;

/// The service name of all our entries.
const SERVICE: &str = "ollama-auth";

/// A keyring behind a deadline.
pub(super) struct Keyring {
    store: Arc<dyn Store>,
    deadline: Option<Duration>,
    stuck: AtomicBool,
}

impl Keyring {
    pub(super) fn new(store: Arc<dyn Store>, deadline: Option<Duration>) -> Self {
        Self { store, deadline, stuck: AtomicBool::new(false) }
    }

    /// Runs one call, or fails at once when an earlier one is stuck.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Store) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        if let Some(deadline) = self.deadline
            && self.stuck.load(Ordering::Relaxed)
        {
            return Err(VaultError::KeyringTimeout(deadline));
        }
        let store = Arc::clone(&self.store);
        match on_thread(self.deadline, move || work(store.as_ref())).await {
            Ok(answer) => answer,
            Err(WorkerError::TimedOut(deadline)) => {
                self.stuck.store(true, Ordering::Relaxed);
                Err(VaultError::KeyringTimeout(deadline))
            }
            Err(other) => Err(VaultError::Internal(other.to_string())),
        }
    }
}

/// The real keyring, through the `keyring` crate.
pub(super) struct SystemKeyring;

impl Store for SystemKeyring {
    fn probe(&self) -> Result<(), VaultError> {
        let mut nonce = [0_u8; 16];
        getrandom::fill(&mut nonce).map_err(|error| VaultError::Internal(error.to_string()))?;
        // A name of its own per call, so that two programs that probe at once do not meet.
        let canary = format!("{:032x}", u128::from_be_bytes(nonce));
        let name = format!("probe:{canary}");
        write(&name, &canary)?;
        let found = read(&name);
        let removed = remove(&name);
        let intact = found?.is_some_and(|secret| secret.expose_secret() == canary);
        if !removed? || !intact {
            let reason = "an entry written a moment ago could not be read back";
            return Err(VaultError::Keyring(reason.to_owned()));
        }
        Ok(())
    }

    fn get(&self, id: &EntryId) -> Result<Option<SecretString>, VaultError> {
        read(&id.to_string())
    }

    fn put(&self, id: &EntryId, secret: &SecretString) -> Result<(), VaultError> {
        write(&id.to_string(), secret.expose_secret())
    }

    fn delete(&self, id: &EntryId) -> Result<bool, VaultError> {
        remove(&id.to_string())
    }
}

fn entry(name: &str) -> Result<keyring::Entry, VaultError> {
    if let Err(error) = keyring::Entry::store_status() {
        return Err(VaultError::KeyringUnavailable(unreachable_reason(error)));
    }
    keyring::Entry::new(SERVICE, name).map_err(|error| classify(name, error))
}

fn read(name: &str) -> Result<Option<SecretString>, VaultError> {
    match entry(name)?.get_password() {
        Ok(secret) => Ok(Some(wipe_and_wrap(secret))),
        Err(keyring::Error::NoEntry) => Ok(None),
        // Several entries of one name arise when the default collection changes: harmless while they agree.
        Err(keyring::Error::Ambiguous(twins)) => {
            let mut agreed: Option<SecretString> = None;
            for twin in &twins {
                let secret = twin.get_password().map_err(|error| classify(name, error))?;
                let secret = wipe_and_wrap(secret);
                match &agreed {
                    Some(first) if first.expose_secret() != secret.expose_secret() => {
                        return Err(VaultError::Keyring(format!(
                            "it holds {} different entries with service {SERVICE} and username {name}; \
                             remove all but one of them",
                            twins.len()
                        )));
                    }
                    _ => agreed = Some(secret),
                }
            }
            Ok(agreed)
        }
        Err(error) => Err(classify(name, error)),
    }
}

fn write(name: &str, secret: &str) -> Result<(), VaultError> {
    match entry(name)?.set_password(secret) {
        Err(keyring::Error::Ambiguous(twins)) => {
            let mut twins = twins.iter();
            if let Some(first) = twins.next() {
                first.set_password(secret).map_err(|error| classify(name, error))?;
            }
            // Only once the new secret is safe are the others superfluous.
            for twin in twins {
                twin.delete_credential().map_err(|error| classify(name, error))?;
            }
            Ok(())
        }
        other => other.map_err(|error| classify(name, error)),
    }
}

fn remove(name: &str) -> Result<bool, VaultError> {
    match entry(name)?.delete_credential() {
        Ok(()) => Ok(true),
        Err(keyring::Error::NoEntry) => Ok(false),
        Err(keyring::Error::Ambiguous(twins)) => {
            for twin in &twins {
                twin.delete_credential().map_err(|error| classify(name, error))?;
            }
            Ok(true)
        }
        Err(error) => Err(classify(name, error)),
    }
}

fn wipe_and_wrap(secret: String) -> SecretString {
    let secret = Zeroizing::new(secret);
    SecretString::from(secret.as_str())
}

/// Turns the library's error into ours. Its own texts are not shown where they could hold the secret.
fn classify(name: &str, error: keyring::Error) -> VaultError {
    match error {
        keyring::Error::NoDefaultStore => VaultError::KeyringUnavailable("this system has none".to_owned()),
        keyring::Error::BadEncoding(bytes) | keyring::Error::BadDataFormat(bytes, _) => {
            drop(Zeroizing::new(bytes));
            VaultError::Keyring(format!("the entry {name} is not text"))
        }
        keyring::Error::NoEntry => VaultError::Keyring(format!("the entry {name} has vanished")),
        keyring::Error::Ambiguous(twins) => {
            VaultError::Keyring(format!("it holds {} entries named {name}", twins.len()))
        }
        other => from_text(&root_cause(&other)),
    }
}

/// The library hands out its D-Bus errors as opaque boxes, so only their texts distinguish them.
fn from_text(cause: &str) -> VaultError {
    let says = |part: &str| cause.contains(part);
    if says("prompt dismissed") {
        VaultError::KeyringLocked("its unlock prompt was dismissed or could not be shown".to_owned())
    } else if says("object locked") || says("IsLocked") {
        VaultError::KeyringLocked("it refuses access until it is unlocked".to_owned())
    } else if says("result not returned") {
        VaultError::Keyring("it has no default collection to store an entry in".to_owned())
    } else if says("connection closed before prompt completed") {
        VaultError::Keyring("it went away while its prompt was open".to_owned())
    } else if says("ServiceUnknown") || says("NoReply") || says("Disconnected") {
        VaultError::KeyringUnavailable("the keyring service has ended".to_owned())
    } else {
        VaultError::Keyring(cause.to_owned())
    }
}

fn unreachable_reason(error: &keyring::Error) -> String {
    let cause = root_cause(error);
    let says = |part: &str| cause.contains(part);
    if says("ServiceUnknown") || says("not provided by any .service files") {
        "no Secret Service (such as gnome-keyring or KeePassXC) runs on the session bus".to_owned()
    } else if says("no secret service provider or dbus session found") {
        "there is no D-Bus session bus".to_owned()
    } else if says("No such file") || says("Connection refused") {
        format!("there is no D-Bus session bus ({cause})")
    } else {
        format!("the session bus cannot be used: {cause}")
    }
}

/// The innermost error's text: the outer layers only repeat "platform failure".
fn root_cause(error: &keyring::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    without_codes(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Silent(std::sync::Mutex<std::sync::mpsc::Receiver<()>>);

    impl Store for Silent {
        fn probe(&self) -> Result<(), VaultError> {
            let _ = self.0.lock().map(|never| never.recv());
            Ok(())
        }
        fn get(&self, _: &EntryId) -> Result<Option<SecretString>, VaultError> {
            Ok(None)
        }
        fn put(&self, _: &EntryId, _: &SecretString) -> Result<(), VaultError> {
            Ok(())
        }
        fn delete(&self, _: &EntryId) -> Result<bool, VaultError> {
            Ok(false)
        }
    }

    #[tokio::test]
    async fn after_one_timeout_the_keyring_is_not_asked_again() {
        let (_open, never) = std::sync::mpsc::channel();
        let limit = Duration::from_millis(5);
        let keyring = Keyring::new(Arc::new(Silent(never.into())), Some(limit));
        let first = keyring.run(|store| store.probe()).await;
        assert!(matches!(first, Err(VaultError::KeyringTimeout(after)) if after == limit));
        // This one would answer if it were asked.
        let second = keyring.run(|_| Ok(())).await;
        assert!(matches!(second, Err(VaultError::KeyringTimeout(_))));
    }

    #[test]
    fn an_undecodable_entry_is_reported_without_its_bytes() {
        let error = classify("api-key:p:o", keyring::Error::BadEncoding(b"hunter2\xff".into()));
        assert_eq!(error.to_string(), "the keyring failed: the entry api-key:p:o is not text");
        assert!(!format!("{error:?}").contains("104, 117"));
    }

    #[test]
    fn a_dismissed_prompt_is_a_locked_keyring() {
        let boxed = |text: &str| Box::new(std::io::Error::other(text.to_owned()));
        let dismissed = keyring::Error::NoStorageAccess(boxed("SS error: prompt dismissed"));
        assert!(matches!(classify("n", dismissed), VaultError::KeyringLocked(_)));
        let other = keyring::Error::PlatformFailure(boxed("out of cheese"));
        assert!(matches!(classify("n", other), VaultError::Keyring(text) if text == "out of cheese"));
    }
}
