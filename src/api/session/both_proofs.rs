//! Two proofs: where a gateway demands an API key and a device's signature together, the one that is missing is fetched and both are sent,
//! from then on with every request of the session.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
#[cfg(feature = "gateway")]
use std::time::Duration;

use reqwest::header::HeaderValue;
use secrecy::SecretString;

use super::Session;
use super::signing::unsigned_target;
use crate::address::BaseUrl;
#[cfg(feature = "gateway")]
use crate::api::body::{Bounds, json};
use crate::api::credential::Credential;
use crate::api::error::{ApiError, MissingProof};
use crate::identity::{DeviceKey, SecondProof};

/// How long a proxy that starts waits to learn whether the gateway demands both.
#[cfg(feature = "gateway")]
const PATIENCE: Duration = Duration::from_secs(5);

/// What a proof comes in.
pub type Fetched<'f, T> = Pin<Box<dyn Future<Output = Option<T>> + 'f>>;

/// Where the proofs of an account lie. They are fetched only when a host demands them: that can take a passphrase.
pub trait ProofSource {
    /// Whether this device is signed in to the host, as far as is known without its store.
    fn has_device(&self) -> bool;
    /// The key of this device, if it is signed in to the host.
    fn device(&self) -> Fetched<'_, Arc<DeviceKey>>;
    /// The stored API key for the host.
    fn api_key(&self) -> Fetched<'_, SecretString>;
}

/// The source, and what was fetched from it. Clones of a session share it.
#[derive(Clone, Default)]
pub(super) struct BothProofs<'t> {
    source: Option<Rc<dyn ProofSource + 't>>,
    sent: Rc<RefCell<Option<Both>>>,
}

/// Both proofs.
#[derive(Clone)]
struct Both {
    api_key: SecretString,
    device: Arc<DeviceKey>,
    /// The id of the API key, which only the gateway knows.
    key_id: Option<String>,
}

impl fmt::Debug for BothProofs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BothProofs(****)")
    }
}

impl BothProofs<'_> {
    fn sent(&self) -> Option<Both> {
        self.sent.borrow().clone()
    }
}

impl<'t> Session<'t> {
    /// Says where the other proof lies, for a host that demands two.
    #[must_use]
    pub fn with_proof_source(mut self, source: Rc<dyn ProofSource + 't>) -> Self {
        self.proofs = BothProofs { source: Some(source), sent: Rc::default() };
        self
    }

    /// The device and the id of the API key beside which it signs, once both are sent.
    #[cfg(feature = "gateway")]
    pub(in crate::api) fn signing_device(&self) -> Option<(Arc<DeviceKey>, String)> {
        let Both { device, key_id, .. } = self.proofs.sent()?;
        Some((device, key_id?))
    }

    /// What the next request is authenticated with: the credential, or the API key once both are sent.
    pub(in crate::api) fn current_credential(&self) -> Credential {
        self.proofs.sent().map_or_else(|| self.credential.clone(), |both| Credential::ApiKey(both.api_key))
    }

    /// Whether the next request is signed, in whichever header.
    pub(super) fn signs(&self) -> bool {
        matches!(self.credential, Credential::Device(_)) || self.proofs.sent().is_some()
    }

    /// The header of the second proof, once both are sent.
    pub(in crate::api) fn second_proof(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Option<HeaderValue>, ApiError> {
        let Some(Both { device, key_id: Some(key_id), .. }) = self.proofs.sent() else { return Ok(None) };
        second_proof(&self.base, &device, &key_id, self.signing_time(), method, path, query).map(Some)
    }

    /// Adds a device's signature to an API key if the gateway demands both for anything: for those who send requests that cannot be sent
    /// once more. Asks who the key belongs to, which needs one proof.
    ///
    /// # Errors
    /// None: what is not known now is learnt from a refusal.
    #[cfg(feature = "gateway")]
    pub async fn add_demanded_proof(&self) {
        #[derive(serde::Deserialize)]
        struct Demanded {
            #[serde(default)]
            two_proofs: Vec<String>,
            key: Option<String>,
        }

        let may_add = self.facts.is_gateway() && self.proofs.source.as_ref().is_some_and(|source| source.has_device());
        let Credential::ApiKey(_) = self.credential else { return };
        if !may_add {
            return;
        }
        let me = self.request(reqwest::Method::POST, "/api/me").harmless().send();
        let Ok(Ok(me)) = tokio::time::timeout(PATIENCE, me).await else { return };
        let Ok(Demanded { two_proofs, key: Some(key) }) = json(me, &self.base.to_string(), Bounds::ACCOUNT).await
        else {
            return;
        };
        if !two_proofs.is_empty() {
            self.add(&MissingProof::DeviceSignature(key)).await;
        }
    }

    /// Whether a request that was refused so can be sent once more, with a proof that was missing. Nothing was done for it yet.
    pub(in crate::api) async fn add_missing_proof(&self, error: &ApiError) -> bool {
        match error {
            ApiError::Forbidden { missing: Some(missing), .. } => self.add(missing).await,
            _ => false,
        }
    }

    /// Fetches a proof. `false` if there is none, or it was sent already.
    async fn add(&self, missing: &MissingProof) -> bool {
        let before = self.proofs.sent();
        let Some(source) = &self.proofs.source else { return false };
        let both = match (missing, &self.credential, before) {
            // The gateway names the key that a device was put beside.
            (MissingProof::DeviceSignature(id), _, Some(both)) if both.key_id.is_none() => {
                Some(Both { key_id: Some(id.clone()), ..both })
            }
            (MissingProof::DeviceSignature(id), Credential::ApiKey(key), None) => {
                source.device().await.map(|device| Both { api_key: key.clone(), device, key_id: Some(id.clone()) })
            }
            (MissingProof::ApiKey, Credential::Device(device), None) => {
                let device = device.clone();
                source.api_key().await.map(|api_key| Both { api_key, device, key_id: None })
            }
            _ => None,
        };
        let is_added = both.is_some();
        if is_added {
            tracing::debug!(host = %self.base, "sending an API key and a device's signature");
            *self.proofs.sent.borrow_mut() = both;
        }
        is_added
    }
}

/// The value of the second header, for a host, a device, and the id of the API key that is sent beside it.
pub(in crate::api) fn second_proof(
    base: &BaseUrl,
    device: &DeviceKey,
    key_id: &str,
    time: i64,
    method: &str,
    path: &str,
    query: &[(&str, &str)],
) -> Result<HeaderValue, ApiError> {
    let proof = SecondProof::new(device, key_id, time, method, &unsigned_target(path, query));
    let value = HeaderValue::from_str(proof.expose());
    let mut value = value.map_err(|_| ApiError::Unsendable { host: base.to_string() })?;
    value.set_sensitive(true);
    Ok(value)
}
