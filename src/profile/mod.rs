//! Profiles: which hosts this person uses, what is stored for each and where, and the decision which host and which
//! credential a command uses. The file holds no secret.

mod credential;
mod credentials_file;
mod expiry_notes;
mod host;
mod token_origin;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::address::{BaseUrl, Origin};
use crate::disk::{DiskError, Document};
use crate::identity::{Account, PublicKey};
use crate::vault::{EntryId, EntryKind, StoreKind};

pub use credential::{CredentialInputs, CredentialSource, WithheldReason, choose_credential, may_take_token};
pub use credentials_file::{CredentialsError, CredentialsFile};
pub use expiry_notes::ExpiryNotes;
pub use host::{Audience, HostInputs, HostReason, NoSuchProfile, Target, choose_host};
pub use token_origin::{TokenOrigin, TokenOrigins};

/// The version of the file that this program writes.
const VERSION: u64 = 1;
/// The file's name in the configuration folder.
const FILE: &str = "profiles.json";

/// All profiles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profiles {
    /// The name of the profile that commands use when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// Profiles by name.
    #[serde(default)]
    pub profiles: BTreeMap<String, Profile>,
}

/// One host and what is stored for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The host. A secret is filed under its origin, so a changed URL finds none.
    pub url: BaseUrl,
    /// The store last chosen for this profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreKind>,
    /// The store that the secrets are being moved to: while it is set, copies may lie there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving_to: Option<StoreKind>,
    /// This device's key for the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceRecord>,
    /// An API key for the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<ApiKeyRecord>,
    /// The account that the host's loopback port belonged to at the sign-in, where that was neither ours, nor root, nor a service:
    /// API keys are sent to its programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<u32>,
    /// The host named itself a gateway of ours at the sign-in of the device: requests sign a digest of their body.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gateway: bool,
    /// Whom the host last said we are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
}

/// What is known of a device key without its secret half.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// Where the private key is stored.
    pub store: StoreKind,
    /// The public key.
    pub public_key: PublicKey,
    /// The name under which the host shows this device.
    pub name: String,
    /// Unix time of creation or import, in seconds.
    pub created_at: i64,
    /// Whether the host has accepted the key.
    #[serde(default)]
    pub connected: bool,
    /// The file that the key was imported from: it is shared with other programs that use that file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported_from: Option<PathBuf>,
    /// It was imported, from a file or from a pipe: other hosts may know it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub imported: bool,
    /// Keys that this one has replaced and that the host may still accept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<PublicKey>,
    /// The successor of this key during a rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<PublicKey>,
}

/// What is known of an API key without the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyRecord {
    /// Where the key is stored.
    pub store: StoreKind,
    /// The last four characters, to tell keys apart.
    pub hint: String,
    /// Unix time at which it was stored, in seconds.
    pub added_at: i64,
    /// The public id, where it is known: that is where it was made by us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What it is called, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it is used, such as `ci`, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

impl ApiKeyRecord {
    /// A record of which only the key's expiry is known.
    pub fn new(store: StoreKind, hint: impl Into<String>, added_at: i64) -> Self {
        Self { store, hint: hint.into(), added_at, id: None, name: None, environment: None }
    }

    /// The key in few words: `"nightly" (key_…)`, or what is known of it.
    pub fn describe(&self) -> String {
        match (&self.name, &self.id) {
            (Some(name), Some(id)) => format!("{name:?} ({id})"),
            (Some(name), None) => format!("{name:?}"),
            (None, Some(id)) => id.clone(),
            (None, None) if self.hint.is_empty() => "that is stored here".to_owned(),
            (None, None) => format!("ending in {}", self.hint),
        }
    }
}

impl DeviceRecord {
    /// Whether the key was made elsewhere.
    pub fn is_imported(&self) -> bool {
        self.imported || self.imported_from.is_some()
    }
}

impl Profile {
    /// A profile with nothing stored.
    pub fn new(url: BaseUrl) -> Self {
        Self {
            url,
            store: None,
            moving_to: None,
            device: None,
            api_key: None,
            listener: None,
            gateway: false,
            account: None,
        }
    }

    /// Whether a credential is stored. A device key that the host has not accepted yet does not count.
    pub fn has_credential(&self) -> bool {
        self.api_key.is_some() || self.device.as_ref().is_some_and(|device| device.connected)
    }
}

impl Profiles {
    /// The profile to use when none is named, with its name.
    pub fn current(&self) -> Option<(&str, &Profile)> {
        let name = self.current.as_deref()?;
        self.profiles.get(name).map(|profile| (name, profile))
    }

    /// The profile for an origin: the current one if it fits, else the first by name. Without one, a profile for another name of
    /// the same server.
    pub fn for_origin(&self, origin: &Origin) -> Option<(&str, &Profile)> {
        let find = |fits: &dyn Fn(&Origin) -> bool| {
            let fits = |entry: &(&str, &Profile)| fits(entry.1.url.as_origin());
            let mut named = self.profiles.iter().map(|(name, profile)| (name.as_str(), profile));
            self.current().filter(fits).or_else(|| named.find(fits))
        };
        find(&|known| known == origin).or_else(|| find(&|known| known.is_same_server(origin)))
    }

    /// A profile by name, made for `url` if it is new.
    pub fn entry(&mut self, name: &str, url: &BaseUrl) -> &mut Profile {
        self.profiles.entry(name.to_owned()).or_insert_with(|| Profile::new(url.clone()))
    }
}

/// Where a profile's secret of one kind is filed.
pub fn entry_id(kind: EntryKind, name: &str, profile: &Profile) -> EntryId {
    EntryId { kind, profile: name.to_owned(), origin: profile.url.origin() }
}

/// The profiles file.
#[derive(Debug, Clone)]
pub struct ProfilesFile(Document);

impl ProfilesFile {
    /// The file in a configuration folder.
    pub fn new(config_dir: &Path) -> Self {
        // Without the profiles a prompt or a key would go to another host.
        Self(Document::new(config_dir.join(FILE), VERSION).keeping_broken().removing_empty())
    }

    /// Reads it.
    ///
    /// # Errors
    /// A damaged file is reported each time and stays where it is.
    pub fn load(&self) -> Result<Profiles, DiskError> {
        self.0.load()
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Reads it without any change or migration.
    ///
    /// # Errors
    /// As for [`ProfilesFile::load`].
    pub fn peek(&self) -> Result<Profiles, DiskError> {
        self.0.peek()
    }

    /// Changes it under its lock.
    ///
    /// # Errors
    /// As for [`ProfilesFile::load`], and when it cannot be written; then nothing has changed.
    pub fn update<R>(&self, change: impl FnOnce(&mut Profiles) -> R) -> Result<R, DiskError> {
        self.0.update(|profiles| Ok(change(profiles)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profiles(current: Option<&str>, urls: &[(&str, &str)]) -> Profiles {
        let parse = |url: &str| BaseUrl::parse(url).unwrap().url;
        Profiles {
            current: current.map(str::to_owned),
            profiles: urls.iter().map(|(name, url)| ((*name).to_owned(), Profile::new(parse(url)))).collect(),
        }
    }

    #[test]
    fn the_current_profile_wins_among_those_of_one_origin() {
        let both = [("a", "https://h.example"), ("b", "https://h.example")];
        let origin = BaseUrl::parse("https://h.example/base").unwrap().url.origin();
        assert_eq!(profiles(Some("b"), &both).for_origin(&origin).unwrap().0, "b");
        assert_eq!(profiles(None, &both).for_origin(&origin).unwrap().0, "a");
        let other = BaseUrl::parse("https://h.example:8443").unwrap().url.origin();
        assert!(profiles(Some("b"), &both).for_origin(&other).is_none());
        let local = [("a", "http://localhost:8080"), ("b", "http://127.0.0.1:8080")];
        let origin = |text: &str| BaseUrl::parse(text).unwrap().url.origin();
        assert_eq!(profiles(Some("a"), &local).for_origin(&origin("http://127.0.0.1:8080")).unwrap().0, "b");
        assert_eq!(profiles(None, &local[..1]).for_origin(&origin("http://127.0.0.1:8080")).unwrap().0, "a");
    }

    #[test]
    fn a_key_the_host_has_not_accepted_is_no_credential() {
        let mut profile = Profile::new(BaseUrl::ollama_com());
        assert!(!profile.has_credential());
        profile.api_key = Some(ApiKeyRecord::new(StoreKind::File, "abcd", 0));
        assert!(profile.has_credential());
    }
}
