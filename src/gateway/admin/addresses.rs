//! Setting from which addresses an account is accepted.

use super::error::AdminError;
use super::message::AdminReply;
use super::perform::AdminContext;
use super::suspend::checked_reason;
use crate::gateway::Change;
use crate::keyspec::AddressRules;

impl AdminContext<'_> {
    pub(super) async fn set_addresses(
        &self,
        name: &str,
        addresses: AddressRules,
        reason: Option<String>,
    ) -> Result<AdminReply, AdminError> {
        let reason = checked_reason(reason)?;
        addresses.check().map_err(|error| AdminError::BadAddresses(error.to_string()))?;
        let user = self.user(name)?;
        let event = self
            .event("user.addresses", &user)
            .with("allow", &addresses.allow)
            .with("deny", &addresses.deny)
            .with("reason", reason);
        self.commit(Change::SetAddresses(user.id, addresses), event).await?;
        self.user_reply(user.id, name)
    }
}
