//! The maintenance message: shown, set and ended by an administrator.

use std::sync::Arc;

use super::error::AdminError;
use super::message::AdminReply;
use super::perform::AdminContext;
use super::rows::MaintenanceRow;
use crate::gateway::Change;
use crate::gateway::store::Maintenance;

impl AdminContext<'_> {
    /// The message that counts now.
    pub(super) fn maintenance(&self, changed: bool) -> AdminReply {
        let maintenance = self.directory.maintenance(self.now);
        AdminReply::Maintenance { maintenance: MaintenanceRow::of(maintenance.as_deref()), changed }
    }

    pub(super) async fn start_maintenance(
        &self,
        message: String,
        refuses: bool,
        until: Option<i64>,
    ) -> Result<AdminReply, AdminError> {
        let Some(message) = Maintenance::line(&message) else { return Err(AdminError::BadMessage(message)) };
        if until.is_some_and(|until| until <= self.now) {
            return Err(AdminError::PastEnd);
        }
        let maintenance = Arc::new(Maintenance { message, refuses, since: self.now, until });
        let changed = self.directory.maintenance(self.now).is_none_or(|now| !now.says_same(&maintenance));
        let event = self.bare_event("maintenance.started", "gateway").with("message", &maintenance.message);
        let event = event.with("refuse", refuses.then_some(true)).with("until", until);
        self.commit(Change::SetMaintenance(Some(maintenance)), event).await?;
        Ok(self.maintenance(changed))
    }

    pub(super) async fn end_maintenance(&self) -> Result<AdminReply, AdminError> {
        let before = self.directory.maintenance(self.now);
        let event = self.bare_event("maintenance.ended", "gateway");
        let event = event.with("message", before.as_ref().map(|before| before.message.as_str()));
        self.commit(Change::SetMaintenance(None), event).await?;
        Ok(self.maintenance(before.is_some()))
    }
}

impl MaintenanceRow {
    fn of(maintenance: Option<&Maintenance>) -> Self {
        Self {
            message: maintenance.map(|maintenance| maintenance.message.clone()),
            refuses: maintenance.is_some_and(|maintenance| maintenance.refuses),
            since: maintenance.map(|maintenance| maintenance.since),
            until: maintenance.and_then(|maintenance| maintenance.until),
        }
    }
}
