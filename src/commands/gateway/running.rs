//! Asks the gateways of this machine what only a running one knows.

use super::{admin, outage};
use crate::app::App;
use crate::exit::{Exit, Problem};
use crate::gateway::admin::{AskError, ask};
use crate::gateway::{AdminError, AdminReply, AdminRequest, DatabaseLocation};

/// What the gateways of this machine on one database reply.
pub struct RunningReplies {
    /// The replies; with where the gateway listens, if there may be several.
    pub replies: Vec<(Option<String>, Result<AdminReply, AdminError>)>,
    /// Why others do not reply.
    pub silent: Vec<String>,
}

/// Asks each of them. Where gateways share the database there may be no replies.
///
/// # Errors
/// No gateway runs on a database that is a file, or it does not reply.
pub async fn ask_all(app: &App, location: &DatabaseLocation, request: &AdminRequest) -> anyhow::Result<RunningReplies> {
    match location {
        DatabaseLocation::File(path) => match ask(path, request).await {
            Ok(reply) => Ok(RunningReplies { replies: vec![(None, reply)], silent: Vec::new() }),
            Err(AskError::NotRunning) => Err(not_serving().into()),
            #[cfg(unix)]
            Err(AskError::NotUnderstood) => Err(admin::unexpected_reply().into()),
            #[cfg(unix)]
            Err(error) => Err(error.into()),
        },
        DatabaseLocation::Postgres(address) => {
            let (replies, silent) = outage::ask_gateways(app, address, request).await?;
            let replies = replies.into_iter().map(|replica| (Some(replica.gateway), replica.reply)).collect();
            Ok(RunningReplies { replies, silent })
        }
    }
}

/// The error where no gateway runs.
pub fn not_serving() -> Problem {
    let error = AdminError::NotServing;
    Problem { hint: error.hint(), ..Problem::new(Exit::Failed, error.to_string()) }
}
