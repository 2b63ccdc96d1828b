//! Administration on a database that the command has opened itself.

use std::sync::Arc;

use crate::app::App;
use crate::gateway::admin::perform;
use crate::gateway::{
    AdminContext, AdminError, AdminReply, AdminRequest, Directory, PendingDevices, PolicyTables, Store, StoreError,
};

/// Performs a request on a database, with what the configuration defines.
///
/// # Errors
/// [`StoreError`].
pub async fn perform_on(
    app: &App,
    store: Arc<dyn Store>,
    tables: PolicyTables,
    request: AdminRequest,
) -> Result<Result<AdminReply, AdminError>, StoreError> {
    if matches!(request, AdminRequest::Approve { .. }) && !store.is_shared() {
        return Ok(Err(AdminError::NotRunning));
    }
    let directory = Directory::open(store.clone()).await?;
    directory.set_policy_tables(tables);
    let (now, pending) = ((app.now)(), Arc::<PendingDevices>::default());
    let context = if directory.is_shared() {
        let told = pending.clone();
        directory.listen(move |record| told.note_news(record, now));
        AdminContext::shared(&directory, &pending, now)
    } else {
        AdminContext::offline(&directory, now)
    };
    let performed = perform(&context, request).await;
    if let Err(error) = store.settle().await {
        tracing::warn!(%error, "database checkpoint failed");
    }
    Ok(performed)
}
