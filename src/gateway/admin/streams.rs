//! The responses under way: who streams what, and ending one of them.

use std::sync::Arc;

use super::error::AdminError;
use super::message::AdminReply;
use super::perform::AdminContext;
use super::rows::StreamRow;
use super::running::RunningGateway;
use crate::gateway::authn::{Credential, Stream};

/// The shortest beginning of an id that names a request.
const SHORTEST_ID: usize = 4;

impl AdminContext<'_> {
    /// All of them, the oldest first.
    pub(super) fn list_streams(&self) -> Result<AdminReply, AdminError> {
        let rows = self.serving()?.streams.all().iter().map(row).collect();
        Ok(AdminReply::Streams(rows))
    }

    /// Cuts off the response to the request whose id begins so. Also returns whether the event of it is stored.
    pub(super) async fn end_stream(&self, id: &str, reason: Option<&str>) -> Result<(AdminReply, bool), AdminError> {
        let mut found = self.serving()?.streams.all();
        found.retain(|stream| id.len() >= SHORTEST_ID && stream.request.origin.request.as_str().starts_with(id));
        let stream = match found.as_slice() {
            [stream] if stream.end() => stream,
            [] | [_] => return Err(AdminError::NoStream(id.to_owned())),
            _ => return Err(AdminError::SeveralStreams(id.to_owned())),
        };
        let row = row(stream);
        tracing::info!(user = row.user, credential = row.credential, id = row.id, "response ended by an administrator");
        let event = self
            .bare_event("request.ended", row.credential.clone())
            .of_account(stream.request.caller.user())
            .with("ended_request", &row.id)
            .with("route", &row.route)
            .with("from", &row.address)
            .with("reason", reason);
        // It is ended in any case.
        let stored = match self.directory.record(event).await {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(%error, "the event of an ended response is not stored");
                false
            }
        };
        Ok((AdminReply::StreamEnded(row), stored))
    }

    /// The gateway, if one runs.
    ///
    /// # Errors
    /// [`AdminError::NotServing`].
    pub(super) fn serving(&self) -> Result<&RunningGateway, AdminError> {
        self.running.ok_or(AdminError::NotServing)
    }
}

fn row(stream: &Arc<Stream>) -> StreamRow {
    let (request, progress) = (&stream.request, &stream.progress);
    let name = match request.caller.credential() {
        Credential::Device(device) => device.name.clone(),
        Credential::Key(key) => key.name.clone(),
        Credential::Workload(token) => token.run.clone().unwrap_or_else(|| token.subject.clone()),
        Credential::Session(_) => String::new(),
    };
    StreamRow {
        id: request.origin.request.to_string(),
        user: request.caller.user().name.clone(),
        credential: request.caller.name(),
        name,
        address: request.origin.address.to_string(),
        route: request.route.to_owned(),
        model: progress.model().map(str::to_owned),
        since: stream.since,
        messages: progress.messages(),
        bytes: progress.bytes(),
        gateway: None,
    }
}
