//! Keeps the key of the encrypted file in the Linux kernel's keyring for a while, so that a person types the passphrase once and not for
//! every command. Off unless a person asks for it: during that time every program that runs as this account can open the file.

use std::path::Path;

use super::VaultError;
use super::cipher::{FileKey, Kdf};

/// How long a key is kept after the passphrase was typed, in seconds.
#[cfg(target_os = "linux")]
const KEPT_SECONDS: usize = 15 * 60;

/// Told why the key was not kept.
pub type KeepWarning = Box<dyn Fn(&VaultError) + Send + Sync>;

/// The kept key of one file.
pub(super) struct KeptKey {
    /// Names the key in the kernel.
    description: String,
    /// `None`: the setting is off.
    warning: Option<KeepWarning>,
}

impl KeptKey {
    pub(super) fn new(file: &Path, warning: Option<KeepWarning>) -> Self {
        Self { description: format!("ollama-auth:{}", file.display()), warning }
    }

    /// The key, if one is kept that belongs to these parameters.
    pub(super) fn get(&self, kdf: &Kdf) -> Option<FileKey> {
        self.warning.as_ref()?;
        kernel::read(&self.description, |payload| FileKey::from_kept(payload, kdf))
    }

    /// Keeps a key, instead of one that was kept before. A failure only causes a warning: the command has its key.
    pub(super) fn keep(&self, key: &FileKey) {
        let Some(warn) = &self.warning else { return };
        let kept = key.to_kept().map_err(|error| VaultError::Internal(error.to_string()));
        if let Err(error) = kept.and_then(|payload| kernel::add(&self.description, &payload)) {
            warn(&error);
        }
    }

    /// Removes the key, also if the setting is off now, and says whether there was one.
    pub(super) fn remove(&self) -> Result<bool, VaultError> {
        kernel::remove(&self.description)
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    use linux_keyutils::{Key, KeyError, KeyPermissionsBuilder, KeyRing, KeyRingIdentifier, Permission};
    use zeroize::Zeroizing;

    use super::{KEPT_SECONDS, VaultError};

    /// More than a kept key takes.
    const MAX_PAYLOAD: usize = 4096;

    /// The keyring that all sessions of this account share.
    fn keyring() -> Result<KeyRing, KeyError> {
        KeyRing::from_special_id(KeyRingIdentifier::User, false)
    }

    fn find(description: &str) -> Result<Option<Key>, KeyError> {
        match keyring()?.search(description) {
            Ok(key) => Ok(Some(key)),
            Err(KeyError::KeyDoesNotExist | KeyError::KeyExpired | KeyError::KeyRevoked) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What `use_payload` makes of a key's payload. Whatever fails is as if there were no key: the passphrase is asked for.
    pub(super) fn read<T>(description: &str, use_payload: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
        let key = find(description).ok()??;
        let mut payload = Zeroizing::new([0_u8; MAX_PAYLOAD]);
        let length = key.read(&mut *payload).ok()?;
        use_payload(payload.get(..length)?)
    }

    pub(super) fn add(description: &str, payload: &[u8]) -> Result<(), VaultError> {
        let add = || {
            // Nobody else sees it before its time limit and its permissions are set. Those are for this account alone: a program that
            // `sudo` or `su` starts as another one may have inherited the session's keyring, and with it "possesses" the key.
            let own = KeyRing::from_special_id(KeyRingIdentifier::Process, true)?;
            let key = own.add_key(description, payload)?;
            key.set_timeout(KEPT_SECONDS)?;
            let mut permissions = KeyPermissionsBuilder::builder().user(Permission::ALL).build();
            permissions.set_posessor_perms(Permission::empty());
            key.set_perms(permissions)?;
            keyring()?.link_key(key)
        };
        add().map_err(explain)
    }

    pub(super) fn remove(description: &str) -> Result<bool, VaultError> {
        let remove = || match find(description)? {
            Some(key) => key.invalidate().map(|()| true),
            None => Ok(false),
        };
        remove().map_err(explain)
    }

    fn explain(error: KeyError) -> VaultError {
        VaultError::KernelKeyring(match error {
            KeyError::QuotaExceeded => "it holds too many keys of this account".to_owned(),
            KeyError::PermissionDenied | KeyError::AccessDenied | KeyError::OperationNotSupported => {
                "the system does not allow it, as in many containers".to_owned()
            }
            // ENOSYS
            KeyError::Unknown(38) => "this kernel has none".to_owned(),
            other => format!("it answered {other:?}"),
        })
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    use super::VaultError;

    pub(super) fn read<T>(_: &str, _: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
        None
    }

    pub(super) fn add(_: &str, _: &[u8]) -> Result<(), VaultError> {
        Err(VaultError::KernelKeyring("only Linux has one".to_owned()))
    }

    pub(super) fn remove(_: &str) -> Result<bool, VaultError> {
        Ok(false)
    }
}
