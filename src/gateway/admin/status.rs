//! How the gateway is.

use super::error::AdminError;
use super::message::AdminReply;
use super::perform::AdminContext;

impl AdminContext<'_> {
    /// Only of one that runs.
    pub(super) async fn status(&self) -> Result<AdminReply, AdminError> {
        let report = self.serving()?.status.collect().await;
        Ok(AdminReply::Status(Box::new(report)))
    }
}
