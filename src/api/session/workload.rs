//! A session whose credential is an OIDC token: renewed before a request, and once after the host has refused it.

use super::Session;
use crate::api::credential::Credential;
use crate::api::error::ApiError;

impl Session<'_> {
    /// Makes sure that the credential holds for a request that is sent now.
    ///
    /// # Errors
    /// [`ApiError::Token`].
    pub(in crate::api) async fn prepare_credential(&self) -> Result<(), ApiError> {
        if let Credential::Workload(token) = self.credential() {
            token.renew_if_due(self.now()).await.map_err(|error| ApiError::Token(Box::new(error)))?;
        }
        Ok(())
    }

    /// Whether a request that the host refused can be sent once more, with another token. Nothing was done for it yet.
    pub(in crate::api) async fn renew_refused_token(&self) -> bool {
        let Credential::Workload(token) = self.credential() else { return false };
        token.mark_refused();
        token.renew_if_due(self.now()).await.unwrap_or(false)
    }
}
