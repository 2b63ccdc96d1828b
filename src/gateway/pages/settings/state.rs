//! What has become of a key, in one word.

use maud::{Markup, html};

use crate::gateway::directory::Directory;
use crate::gateway::pages::text;
use crate::gateway::store::KeyRecord;
use crate::keyspec::KeyId;

/// An end within so many seconds is soon, if more than half of the key's life is over: as `ollama-auth keys list` says it.
const SOON: i64 = 14 * 86_400;

/// The word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It was revoked, at that Unix second.
    Revoked(i64),
    /// It has come to its end.
    Ended,
    /// It is accepted, and so is the key that was made to replace it.
    Replaced(KeyId),
    /// It is accepted, and not for much longer.
    EndsSoon,
    /// It is accepted.
    Live,
}

/// What it is of a key.
pub fn of(key: &KeyRecord, directory: &Directory, now: i64) -> State {
    if let Some(at) = key.revoked_at {
        return State::Revoked(at);
    }
    if !key.is_live(now) {
        return State::Ended;
    }
    if let Some(other) = directory.replacements_of(&key.id).iter().find(|other| other.is_live(now)) {
        return State::Replaced(other.id.clone());
    }
    match key.rights.expires_at {
        Some(end) if end - now <= SOON && end - now <= now - key.created_at => State::EndsSoon,
        _ => State::Live,
    }
}

impl State {
    /// Whether the key is accepted.
    pub fn is_live(&self) -> bool {
        !matches!(self, Self::Revoked(_) | Self::Ended)
    }

    /// The word, with its colour.
    pub fn badge(&self) -> Markup {
        let (class, word) = match self {
            Self::Revoked(_) => ("state", "Revoked"),
            Self::Ended => ("state", "Ended"),
            Self::Replaced(_) => ("state warn", "Replaced"),
            Self::EndsSoon => ("state warn", "Ends soon"),
            Self::Live => ("state good", "Live"),
        };
        html! { span class=(class) { (word) } }
    }
}

/// When it ends, in words; of one that is over, when that was.
pub fn end(key: &KeyRecord, state: &State, now: i64) -> Markup {
    match (state, key.rights.expires_at) {
        (State::Revoked(at), _) => moment(*at),
        (_, None) => html! { "Never ends" },
        (State::Ended, Some(end)) => moment(end),
        (_, Some(end)) => html! { "Ends " (moment(end)) " " span.hint { (text::until(end, now)) } },
    }
}

/// A day, with the minute for whoever points at it.
pub fn moment(at: i64) -> Markup {
    html! { time title=(text::date(at)) { (text::day(at)) } }
}
