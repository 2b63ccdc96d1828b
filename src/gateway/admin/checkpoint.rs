//! Making a checkpoint of the event log at once.

use super::error::AdminError;
use super::message::AdminReply;
use super::perform::AdminContext;

impl AdminContext<'_> {
    /// Signs what the log is now. Only a running gateway does: a command signs by itself where none runs.
    pub(super) async fn make_checkpoint(&self) -> Result<AdminReply, AdminError> {
        let make =
            self.running.and_then(|running| running.make_checkpoint.get()).ok_or_else(|| AdminError::Failed {
                message: "this gateway signs no checkpoints".to_owned(),
                hint: Some("name a key file in audit-key-file".to_owned()),
            })?;
        let made = make(self.now).await;
        made.map(|()| AdminReply::CheckpointMade).map_err(|message| AdminError::Failed { message, hint: None })
    }
}
