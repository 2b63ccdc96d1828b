//! `gateway user invite`, `invitations` and `uninvite`.

use serde::Serialize;
use serde_json::json;

use super::role::role_named;
use super::{admin, config};
use crate::app::App;
use crate::cli::{DatabaseArgs, InviteArgs};
use crate::exit::{Exit, Problem};
use crate::gateway::{AdminReply, AdminRequest, InvitationId, InvitationRow, InvitationState};
use crate::relative_time;
use crate::ui::{Column, Table, Tint};

/// An invitation that was just made, as JSON shows it.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    invitation: &'a InvitationRow,
    /// The only time that it is shown.
    link: &'a str,
}

/// `gateway user invite`: prints the link.
///
/// # Errors
/// Everything of [`admin::request`], and a public address that is not known.
pub async fn invite(app: &App, args: InviteArgs) -> anyhow::Result<Exit> {
    let InviteArgs { name, role, email, expires, reason, database } = args;
    let role = role_named(&role)?;
    // Asked before: an invitation whose link cannot be printed is of no use.
    let public = config::load_public_url(app, &database)?;
    let request = AdminRequest::Invite { name, email, role, expires_in: expires.0, reason };
    let AdminReply::Invited { invitation, token, link } = admin::request(app, &database, request).await? else {
        return Err(admin::unexpected_reply().into());
    };
    let path = format!("/invite?token={}", token.expose());
    let known = link.or_else(|| public.map(|public| public.join(&path)));
    let link = known.as_deref().unwrap_or(&path);
    let printed = match app.printer.is_json() {
        true => app.printer.print_secret_json(&Report { invitation: &invitation, link }),
        false => app.printer.print_secret(link),
    };
    if let Err(error) = printed {
        let text = format!("the invitation {} was created, but could not be printed: {error}", invitation.id);
        let hint = format!("revoke it: ollama-auth gateway user uninvite {}", invitation.id);
        return Err(Problem::new(Exit::Failed, text).hint(hint).into());
    }
    if known.is_none() {
        app.printer.warn("the link does not name the gateway: put its public address in front, or set public-url in the configuration");
    }
    let who = invitation.name.as_ref().map(|name| format!(" for {name}")).unwrap_or_default();
    app.printer.success(&format!(
        "Created the invitation {}{who} with the role {}; the link works once, and expires {}",
        invitation.id,
        invitation.role,
        relative_time::until(invitation.expires_at, (app.now)())
    ));
    Ok(Exit::Done)
}

/// `gateway user uninvite`.
///
/// # Errors
/// Everything of [`admin::request`].
pub async fn revoke(app: &App, id: &str, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let id: InvitationId = id.parse().map_err(|error| {
        Problem::new(Exit::Usage, format!("{id:?} is not an invitation: {error}"))
            .hint("list them: ollama-auth gateway user invitations")
    })?;
    let request = AdminRequest::RevokeInvitation { id };
    let AdminReply::Invitation { invitation, changed } = admin::request(app, database, request).await? else {
        return Err(admin::unexpected_reply().into());
    };
    match changed {
        true => app.printer.success(&format!("Revoked the invitation {}", invitation.id)),
        false => app.printer.note(&format!("The invitation {} was already revoked.", invitation.id)),
    }
    if app.printer.is_json() {
        app.printer.json(&invitation)?;
    }
    Ok(Exit::Done)
}

/// `gateway user invitations`.
///
/// # Errors
/// Everything of [`admin::request`].
pub async fn list(app: &App, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let AdminReply::Invitations(invitations) = admin::request(app, database, AdminRequest::ListInvitations).await?
    else {
        return Err(admin::unexpected_reply().into());
    };
    if app.printer.is_json() {
        app.printer.json(&json!({ "invitations": invitations }))?;
        return Ok(Exit::Done);
    }
    if invitations.is_empty() {
        app.printer.note("No invitations.");
        app.printer.hint("invite a person: ollama-auth gateway user invite");
        return Ok(Exit::Done);
    }
    let now = (app.now)();
    let mut table = Table::new([
        Column::new("id"),
        Column::new("name").shrinks_to(8),
        Column::new("role"),
        Column::new("created").optional(2),
        Column::new("by").shrinks_to(8).optional(3),
        Column::new("expires").optional(1),
        Column::new("state").state(),
    ]);
    for row in &invitations {
        let state = match &row.used_by {
            Some(name) => format!("used by {name}"),
            None => row.state.word().to_owned(),
        };
        let tint = if row.state == InvitationState::Open { Tint::Good } else { Tint::Faint };
        let cells = [
            row.id.to_string(),
            row.name.clone().unwrap_or_else(|| "-".to_owned()),
            row.role.to_string(),
            relative_time::ago(row.created_at, now),
            row.created_by.clone(),
            relative_time::until(row.expires_at, now),
            state,
        ];
        table.push_tinted(tint, cells);
    }
    app.printer.table(&table)?;
    Ok(Exit::Done)
}
