//! `gateway user`: add, list, disable, enable, passwd, role.

use serde_json::json;

use super::{password, place};
use crate::app::App;
use crate::cli::{DatabaseArgs, RoleArg, UserCommand};
use crate::exit::Exit;
use crate::gateway::{AdminError, AdminReply, AdminRequest, Role, User, UserRow};
use crate::ui::Table;

/// Runs it.
pub async fn run(app: &App, command: UserCommand) -> anyhow::Result<Exit> {
    match command {
        UserCommand::Add { name, role, email, database } => {
            // Before anybody types a password.
            if !User::is_name(&name) {
                return Err(AdminError::BadName(name).into());
            }
            if !User::is_email(&email) {
                return Err(AdminError::BadEmail.into());
            }
            place::configured(app, &database)?;
            let password = password::new(app, &name).await?;
            let request = AdminRequest::AddUser { name, email, role: role.into(), password };
            change(app, &database, request, |user| format!("Added {} as {}", user.name, user.role.name())).await
        }
        UserCommand::List(database) => list(app, &database).await,
        UserCommand::Disable { name, database } => {
            let request = AdminRequest::SetDisabled { name, disabled: true };
            let said =
                |user: &UserRow| format!("Disabled {}: none of their devices and keys is accepted now", user.name);
            change(app, &database, request, said).await
        }
        UserCommand::Enable { name, database } => {
            let request = AdminRequest::SetDisabled { name, disabled: false };
            change(app, &database, request, |user| format!("Enabled {}", user.name)).await
        }
        UserCommand::Passwd { name, database } => {
            place::configured(app, &database)?;
            let password = password::new(app, &name).await?;
            let request = AdminRequest::SetPassword { name, password };
            change(app, &database, request, |user| format!("Set the password of {}", user.name)).await
        }
        UserCommand::Role { name, role, database } => {
            let request = AdminRequest::SetRole { name, role: role.into() };
            change(app, &database, request, |user| format!("{} is {} now", user.name, user.role.name())).await
        }
    }
}

async fn change(
    app: &App,
    database: &DatabaseArgs,
    request: AdminRequest,
    said: impl FnOnce(&UserRow) -> String,
) -> anyhow::Result<Exit> {
    let AdminReply::User(user) = place::admin(app, database, request).await? else {
        return Err(place::odd_answer().into());
    };
    app.printer.success(&said(&user));
    if app.printer.is_json() {
        app.printer.json(&user)?;
    }
    Ok(Exit::Done)
}

async fn list(app: &App, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let AdminReply::Users(users) = place::admin(app, database, AdminRequest::ListUsers).await? else {
        return Err(place::odd_answer().into());
    };
    if app.printer.is_json() {
        app.printer.json(&json!({ "users": users }))?;
        return Ok(Exit::Done);
    }
    if users.is_empty() {
        app.printer.note("There is no user yet.");
        app.printer.hint("add one: ollama-auth gateway user add NAME --role admin");
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["name", "role", "disabled", "devices", "keys", "last used", "e-mail"]);
    for user in &users {
        let (disabled, used) = (if user.disabled { "yes" } else { "no" }, user.last_used_at.map(place::time));
        let (devices, keys) = (user.devices.to_string(), user.keys.to_string());
        let used = used.as_deref().unwrap_or("never");
        table.push([user.name.as_str(), user.role.name(), disabled, &devices, &keys, used, &user.email]);
    }
    app.printer.table(&table)?;
    Ok(Exit::Done)
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Member => Self::Member,
            RoleArg::Maintainer => Self::Maintainer,
            RoleArg::Admin => Self::Admin,
        }
    }
}
