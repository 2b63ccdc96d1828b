//! `gateway user`: add, list, suspend, resume, disable, enable, remove, passwd, role, groups, limits, addresses. A new password is typed twice at a prompt, or is one line of standard
//! input; it is sent as a hash.

use std::io::{BufRead as _, Read as _};

use secrecy::SecretString;
use serde_json::json;
use zeroize::Zeroizing;

use super::role::role_named;
use super::suspended::suspended_text;
use super::{admin, database, invitation};
use crate::app::App;
use crate::cli::{DatabaseArgs, UserCommand};
use crate::commands::confirm::confirm;
use crate::exit::{Exit, Problem};
use crate::gateway::{
    AdminError, AdminReply, AdminRequest, AdminSubject, GroupChange, PasswordHash, PolicyName, PolicyNameError, User,
    UserRow,
};
use crate::keyspec::{AddressList, AddressRules, Network, RequestLimits};
use crate::relative_time;
use crate::ui::{Column, Table, Tint};

/// The longest password line that is read, in bytes: more than any password may have.
const MAX_LINE_LENGTH: u64 = 4096;

/// Runs a subcommand.
///
/// # Errors
/// Everything of [`admin::request`], and a password that is missing, too short or too long.
pub async fn run(app: &App, command: UserCommand) -> anyhow::Result<Exit> {
    match command {
        UserCommand::Add { name, role, email, database } => {
            // Checked before the password is typed.
            if !User::is_name(&name) {
                return Err(AdminError::BadName(name).into());
            }
            if !User::is_email(&email) {
                return Err(AdminError::BadEmail.into());
            }
            let role = role_named(&role)?;
            database::configured(app, &database)?;
            let password = new_password(app, &name).await?;
            let request = AdminRequest::AddUser { name, email, role, password };
            request_change(app, &database, request, |user| format!("Added {} as {}", user.name, user.role.name())).await
        }
        UserCommand::Invite(args) => invitation::invite(app, args).await,
        UserCommand::Invitations(database) => invitation::list(app, &database).await,
        UserCommand::Uninvite { id, database } => invitation::revoke(app, &id, &database).await,
        UserCommand::List(database) => list(app, &database).await,
        UserCommand::Suspend { name, reason, database } => {
            let request = AdminRequest::Suspend { what: AdminSubject::User(name), reason };
            let message =
                |user: &UserRow| format!("Suspended {0}. To lift it: ollama-auth gateway user resume {0}", user.name);
            request_change(app, &database, request, message).await
        }
        UserCommand::Resume { name, database } => {
            let request = AdminRequest::Resume { what: AdminSubject::User(name) };
            let message = |user: &UserRow| format!("Lifted the suspension of {}", user.name);
            request_change(app, &database, request, message).await
        }
        UserCommand::Disable { name, database } => {
            let request = AdminRequest::SetDisabled { name, disabled: true };
            let message =
                |user: &UserRow| format!("Disabled {}: their devices and API keys are refused from now on", user.name);
            request_change(app, &database, request, message).await
        }
        UserCommand::Enable { name, database } => {
            let request = AdminRequest::SetDisabled { name, disabled: false };
            request_change(app, &database, request, |user| format!("Enabled {}", user.name)).await
        }
        UserCommand::Remove { name, yes, database } => {
            let user = find(app, &name, &database).await?;
            let what =
                format!("{name}, with {} and {}", count(user.devices, "device"), count(user.keys, "valid API key"));
            confirm(app, yes, &format!("this would remove {what}"), &format!("Remove {what}?")).await?;
            let request = AdminRequest::RemoveUser { name };
            request_change(app, &database, request, |user| {
                format!(
                    "Removed {}, with {} and {}",
                    user.name,
                    count(user.devices, "device"),
                    count(user.keys, "valid API key")
                )
            })
            .await
        }
        UserCommand::Passwd { name, database } => {
            database::configured(app, &database)?;
            let password = new_password(app, &name).await?;
            let request = AdminRequest::SetPassword { name, password };
            request_change(app, &database, request, |user| format!("Changed the password of {}", user.name)).await
        }
        UserCommand::Role { name, role, database } => {
            let request = AdminRequest::SetRole { name, role: role_named(&role)? };
            request_change(app, &database, request, |user| {
                format!("{} now has the role {}", user.name, user.role.name())
            })
            .await
        }
        UserCommand::Groups { name, groups, add, remove, reason, database } => {
            let change = match (add.is_empty(), remove.is_empty()) {
                (false, _) => GroupChange::Add(groups_named(&add)?),
                (true, false) => GroupChange::Remove(groups_named(&remove)?),
                (true, true) => GroupChange::Set(groups_named(&groups)?),
            };
            let request = AdminRequest::SetGroups { name, groups: change, reason };
            request_change(app, &database, request, |user| match user.groups.is_empty() {
                true => format!("{} is in no group now", user.name),
                false => format!("{} is in these groups now: {}", user.name, groups_text(user)),
            })
            .await
        }
        UserCommand::Limits { name, limits, clear: _, reason, database } => {
            let limits = RequestLimits::of(&limits);
            let limits = limits.map_err(|error| Problem::new(Exit::Usage, format!("--limit {error}")))?;
            let request = AdminRequest::SetLimits { name, limits, reason };
            request_change(app, &database, request, |user| match user.limits {
                None => format!("{} has no limits of their own now", user.name),
                Some(limits) => format!("{} may use at most {} now", user.name, limits.in_words()),
            })
            .await
        }
        UserCommand::Addresses { name, allow, deny, clear: _, reason, database } => {
            let list = |option: &str, networks: Vec<Network>| {
                AddressList::new(networks).map_err(|error| Problem::new(Exit::Usage, format!("--{option}: {error}")))
            };
            let addresses = AddressRules { allow: list("allow", allow)?, deny: list("deny", deny)? };
            addresses.check().map_err(|error| Problem::new(Exit::Usage, error.to_string()))?;
            let request = AdminRequest::SetAddresses { name, addresses, reason };
            let message = |user: &UserRow| format!("{} is now accepted {}", user.name, user.addresses);
            request_change(app, &database, request, message).await
        }
    }
}

async fn request_change(
    app: &App,
    database: &DatabaseArgs,
    request: AdminRequest,
    message: impl FnOnce(&UserRow) -> String,
) -> anyhow::Result<Exit> {
    let AdminReply::User(user) = admin::request(app, database, request).await? else {
        return Err(admin::unexpected_reply().into());
    };
    app.printer.success(&message(&user));
    if app.printer.is_json() {
        app.printer.json(&user)?;
    }
    Ok(Exit::Done)
}

/// The account of that name.
///
/// # Errors
/// Exit 3 when there is none.
async fn find(app: &App, name: &str, database: &DatabaseArgs) -> anyhow::Result<UserRow> {
    let (AdminReply::Users(users), searched) = admin::look_up(app, database, AdminRequest::ListUsers).await? else {
        return Err(admin::unexpected_reply().into());
    };
    let found = users.into_iter().find(|user| user.name == name);
    found.ok_or_else(|| admin::not_found(&AdminError::NoUser(name.to_owned()), &searched).into())
}

/// "1 device", "2 devices".
pub(super) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

async fn list(app: &App, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let AdminReply::Users(users) = admin::request(app, database, AdminRequest::ListUsers).await? else {
        return Err(admin::unexpected_reply().into());
    };
    if app.printer.is_json() {
        app.printer.json(&json!({ "users": users }))?;
        return Ok(Exit::Done);
    }
    if users.is_empty() {
        app.printer.note("There are no users yet.");
        app.printer.hint("add one: ollama-auth gateway user add NAME --role admin");
        return Ok(Exit::Done);
    }
    let now = (app.now)();
    let columns = [
        Column::new("name"),
        Column::new("role"),
        Column::new("disabled").state(),
        Column::new("devices").optional(2),
        Column::new("keys").optional(2),
        Column::new("last used").optional(1),
        Column::new("e-mail").shrinks_to(12).optional(3),
    ];
    // These columns are left out if they are empty.
    let has_groups = users.iter().any(|user| !user.groups.is_empty());
    let groups = has_groups.then(|| Column::new("groups").shrinks_to(8).optional(4));
    let has_limits = users.iter().any(|user| user.limits.is_some());
    let limits = has_limits.then(|| Column::new("limits").shrinks_to(8).optional(5));
    let has_suspended = users.iter().any(|user| user.suspended.suspended_at.is_some());
    let suspended = has_suspended.then(|| Column::new("suspended").shrinks_to(9).state());
    let has_addresses = users.iter().any(|user| !user.addresses.is_empty());
    let addresses = has_addresses.then(|| Column::new("accepted").shrinks_to(12).optional(4));
    let has_identities = users.iter().any(|user| user.identity.is_some());
    let identities = has_identities.then(|| Column::new("signs in at").shrinks_to(12).optional(4));
    let more = identities.into_iter().chain(groups).chain(limits).chain(addresses).chain(suspended);
    let mut table = Table::new(columns.into_iter().chain(more));
    for user in &users {
        let (disabled, used) =
            (if user.disabled { "yes" } else { "no" }, user.last_used_at.map(|at| relative_time::ago(at, now)));
        let (devices, keys) = (user.devices.to_string(), user.keys.to_string());
        let used = used.as_deref().unwrap_or("never");
        let suspended = suspended_text(&user.suspended, now);
        let tint = if user.disabled || suspended.is_some() { Tint::Doubtful } else { Tint::Plain };
        let cells = [user.name.as_str(), user.role.name(), disabled, &devices, &keys, used, &user.email];
        let suspended = has_suspended.then(|| suspended.as_deref().unwrap_or("no"));
        let addresses = user.addresses.to_string();
        let addresses = has_addresses.then_some(addresses.as_str());
        let (groups, limits) = (groups_text(user), user.limits.map(|limits| limits.to_string()).unwrap_or_default());
        let groups = has_groups.then_some(groups.as_str());
        let limits = has_limits.then_some(limits.as_str());
        let identity = user.identity.as_ref().map_or("", |identity| identity.issuer.as_str());
        let identity = has_identities.then_some(identity);
        let more = identity.into_iter().chain(groups).chain(limits).chain(addresses).chain(suspended);
        table.push_tinted(tint, cells.into_iter().chain(more));
    }
    app.printer.table(&table)?;
    Ok(Exit::Done)
}

/// Asks for a password and hashes it.
///
/// # Errors
/// Exit 2 when there is none, or one that is too short or too long.
async fn new_password(app: &App, name: &str) -> anyhow::Result<PasswordHash> {
    let password = if app.printer.stdin_is_terminal() {
        if !app.printer.is_interactive() {
            return Err(no_password().into());
        }
        let question = format!("New password for {name}");
        app.ask(move |printer| printer.hidden_twice(&question, "Repeat the password")).await??
    } else {
        app.ask(|_| read_piped()).await??
    };
    Ok(app.ask(move |_| PasswordHash::of(&password)).await??)
}

/// The first line, without its end.
fn read_piped() -> Result<SecretString, Problem> {
    let unreadable =
        |reason: String| Problem::new(Exit::Usage, format!("cannot read the password from standard input: {reason}"));
    // Room for all of it at once, so that growing leaves no copies.
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE_LENGTH as usize + 1));
    let read = std::io::stdin().lock().take(MAX_LINE_LENGTH).read_until(b'\n', &mut line);
    read.map_err(|error| unreadable(error.to_string()))?;
    let text = std::str::from_utf8(&line).map_err(|_| unreadable("it is not UTF-8".to_owned()))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() { Err(no_password()) } else { Ok(SecretString::from(text)) }
}

fn no_password() -> Problem {
    Problem::new(Exit::Usage, "no password was given").hint("run it in a terminal, or pipe the password in as one line")
}

/// The groups of an account, with a mark at those that have no effect.
fn groups_text(user: &UserRow) -> String {
    let text = |group: &PolicyName| match user.undefined_groups.contains(group) {
        true => format!("{group} (not defined)"),
        false => group.to_string(),
    };
    user.groups.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// The groups of these names.
///
/// # Errors
/// Exit 2 for a text that is not a group's name.
fn groups_named(names: &[String]) -> Result<Vec<PolicyName>, Problem> {
    let read = |name: &String| {
        name.parse().map_err(|PolicyNameError(name)| {
            Problem::new(Exit::Usage, format!("invalid group {name:?}: use 1 to 32 of a-z, 0-9 and `-`"))
        })
    };
    names.iter().map(read).collect()
}
