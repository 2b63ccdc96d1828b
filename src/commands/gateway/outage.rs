//! Commands on a database that gateways share and that does not answer: what only takes rights away, each gateway of this machine does in its
//! memory at once. It is not stored then, and the person is told.

use std::time::Duration;

use super::database;
use super::offline::perform_on;
use crate::app::App;
use crate::exit::{Exit, Problem};
use crate::gateway::admin::ask_all;
use crate::gateway::{
    AdminError, AdminReply, AdminRequest, DatabaseLocation, DeviceRow, KeyRow, PolicyTables, PostgresAddress,
    ReplicaReply, StoreError, UserRow,
};
use crate::identity::group_fingerprint;

/// How long the database is tried before gateways are asked: each of its hosts takes five seconds at most to connect.
const DATABASE_DEADLINE: Duration = Duration::from_secs(30);

/// Where something was looked for.
pub enum Searched {
    /// In the database: what is not there does not exist.
    Database,
    /// In the memory of gateways, which know nothing of what has ended; holds why.
    Gateways(String),
}

impl Searched {
    /// What to do if nothing was found. `usual` is for the database.
    pub fn hint(&self, usual: &str) -> String {
        match self {
            Self::Database => usual.to_owned(),
            Self::Gateways(cause) => {
                format!("only what the gateways of this machine accept was looked through: {cause}")
            }
        }
    }
}

/// Performs a request on the database or, if that does not answer and it only takes rights away, at the gateways.
///
/// # Errors
/// What the database or the gateways say; exit 7 for what is in effect but not stored.
pub async fn request(
    app: &App,
    address: &PostgresAddress,
    tables: PolicyTables,
    request: AdminRequest,
) -> anyhow::Result<Result<AdminReply, AdminError>> {
    let outage = match on_database(app, address, tables, request.clone()).await? {
        Performed::Answered(reply) => return Ok(*reply),
        Performed::Outage(outage) => outage,
    };
    if !request.takes_away() {
        return Err(outage.into());
    }
    let (replies, silent) = ask_gateways(app, address, &request).await?;
    let stored = replies.iter().find(|replica| replica.stored && replica.reply.is_ok());
    if let Some(ReplicaReply { reply, .. }) = stored {
        return Ok(reply.clone());
    }
    let done = replies.iter().find_map(|replica| replica.reply.as_ref().ok());
    let failed = replies.iter().find_map(|replica| replica.reply.as_ref().err());
    match (done, failed) {
        (Some(reply), _) => Err(not_stored(&describe(reply), &replies, &silent, &outage.message).into()),
        (None, Some(error)) if silent.is_empty() => Ok(Err(error.clone())),
        (None, Some(error)) => Err(Problem::new(Exit::Failed, error.to_string()).hint(silent.join("\n")).into()),
        (None, None) => Err(no_gateway(outage, &silent).into()),
    }
}

/// Performs a request that lists on the database or, if that does not answer, in the memory of the gateways.
///
/// # Errors
/// What the database or the gateways say.
pub async fn look_up(
    app: &App,
    address: &PostgresAddress,
    request: AdminRequest,
) -> anyhow::Result<(AdminReply, Searched)> {
    let outage = match on_database(app, address, PolicyTables::default(), request.clone()).await? {
        Performed::Answered(reply) => return Ok(((*reply)?, Searched::Database)),
        Performed::Outage(outage) => outage,
    };
    let (replies, silent) = ask_gateways(app, address, &request).await?;
    let (mut found, mut failed) = (Vec::new(), None);
    for replica in replies {
        match replica.reply {
            Ok(reply) => found.push(reply),
            Err(error) => failed = Some(error),
        }
    }
    let searched = Searched::Gateways(outage.message.clone());
    match (found.into_iter().reduce(merged), failed) {
        (Some(reply), _) => Ok((reply, searched)),
        (None, Some(error)) => Err(error.into()),
        (None, None) => Err(no_gateway(outage, &silent).into()),
    }
}

enum Performed {
    Answered(Box<Result<AdminReply, AdminError>>),
    /// The database does not answer.
    Outage(Problem),
}

async fn on_database(
    app: &App,
    address: &PostgresAddress,
    tables: PolicyTables,
    request: AdminRequest,
) -> anyhow::Result<Performed> {
    let performed = async {
        let store = DatabaseLocation::Postgres(Box::new(address.clone())).open().await?;
        perform_on(app, store, tables, request).await
    };
    let performed = tokio::time::timeout(DATABASE_DEADLINE, performed).await.unwrap_or_else(|_| {
        let reason = format!("no answer within {} s", DATABASE_DEADLINE.as_secs());
        Err(StoreError::Unreachable { place: address.to_string(), reason })
    });
    let (message, hint) = match performed {
        Ok(Err(AdminError::Unavailable { message, hint })) => (message, hint),
        Ok(reply) => return Ok(Performed::Answered(Box::new(reply))),
        Err(error) if error.is_outage() => (error.to_string(), error.hint()),
        Err(error) => return Err(error.into()),
    };
    Ok(Performed::Outage(Problem { hint, ..Problem::new(Exit::Failed, message) }))
}

/// The replies of the gateways, and why others do not reply.
///
/// # Errors
/// An address without a host.
pub async fn ask_gateways(
    app: &App,
    address: &PostgresAddress,
    request: &AdminRequest,
) -> anyhow::Result<(Vec<ReplicaReply>, Vec<String>)> {
    let (mut replies, mut silent) = (Vec::new(), Vec::new());
    match ask_all(&database::socket_folder(app, address)?, request).await {
        Ok(all) => {
            for reply in all {
                match reply {
                    Ok(reply) => replies.push(reply),
                    Err(error) => silent.push(error.to_string()),
                }
            }
        }
        Err(error) => silent.push(error.to_string()),
    }
    Ok((replies, silent))
}

fn describe(reply: &AdminReply) -> String {
    match reply {
        AdminReply::Key { key, .. } => format!("the API key {:?} ({}) of {}", key.name, key.id, key.user),
        AdminReply::Device { device, .. } => {
            format!("the device {:?} ({}) of {}", device.name, group_fingerprint(&device.fingerprint), device.user)
        }
        AdminReply::User(user) => format!("the user {:?}", user.name),
        _ => "it".to_owned(),
    }
}

/// What is in effect at some gateways and is not stored.
fn not_stored(what: &str, replies: &[ReplicaReply], silent: &[String], cause: &str) -> Problem {
    let (mut refusing, mut others) = (Vec::new(), silent.to_vec());
    for ReplicaReply { gateway, reply, .. } in replies {
        match reply {
            // What it does not know it does not accept.
            Ok(_) | Err(AdminError::NoUser(_) | AdminError::NoDevice(_) | AdminError::NoKey(_)) => {
                refusing.push(gateway.as_str());
            }
            Err(error) => others.push(format!("{gateway}: {error}")),
        }
    }
    let count = match refusing.len() {
        1 => "1 gateway of this machine refuses".to_owned(),
        count => format!("{count} gateways of this machine refuse"),
    };
    let mut hint = format!(
        "refused from now on at: {}\nit is stored once the database answers one of them; if they end before, run the command again\n\
         gateways on other machines accept it until then: run the command there, too",
        refusing.join(", ")
    );
    for other in others {
        hint += &format!("\nit may still be accepted here: {other}");
    }
    Problem::new(Exit::TryLater, format!("{count} {what} from now on, but that is not stored: {cause}")).hint(hint)
}

/// The error of the database where no gateway can help.
fn no_gateway(outage: Problem, silent: &[String]) -> Problem {
    let mut hint = outage.hint.map(|hint| format!("{hint}\n")).unwrap_or_default();
    hint += "this account runs no gateway on this database here, so nothing was changed: where it runs one, this command takes rights away \
             even without the database";
    for reason in silent {
        hint += &format!("\n{reason}");
    }
    Problem::new(outage.exit, outage.message).hint(hint)
}

/// What either of them has, each once.
fn merged(one: AdminReply, other: AdminReply) -> AdminReply {
    match (one, other) {
        (AdminReply::Users(one), AdminReply::Users(other)) => {
            AdminReply::Users(union(one, other, |user: &UserRow| user.name.clone()))
        }
        (AdminReply::Devices(one), AdminReply::Devices(other)) => {
            AdminReply::Devices(union(one, other, |device: &DeviceRow| device.fingerprint.clone()))
        }
        (AdminReply::Keys { keys: one, more }, AdminReply::Keys { keys: other, .. }) => {
            AdminReply::Keys { keys: union(one, other, |key: &KeyRow| key.id.to_string()), more }
        }
        (one, _) => one,
    }
}

fn union<T>(mut one: Vec<T>, other: Vec<T>, id: impl Fn(&T) -> String) -> Vec<T> {
    for row in other {
        if !one.iter().any(|known| id(known) == id(&row)) {
            one.push(row);
        }
    }
    one
}
