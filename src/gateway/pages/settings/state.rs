//! What has become of a key: its state, as `keys list` names it too, and the time that belongs to it.

use maud::{Markup, html};

use crate::gateway::directory::Directory;
use crate::gateway::pages::text;
use crate::gateway::store::KeyRecord;
use crate::keyspec::{KeyFacts, KeyId, KeyState};
use crate::relative_time;

/// The state of a key, and the id of the key that replaces it.
pub struct State {
    pub state: KeyState,
    /// With [`KeyState::Replaced`] only.
    pub replaced_by: Option<KeyId>,
}

/// What it is of a key.
pub fn of(key: &KeyRecord, directory: &Directory, now: i64) -> State {
    let successors = directory.replacements_of(&key.id);
    let successor = successors.iter().find(|other| other.is_live(now)).map(|other| other.id.clone());
    let facts = KeyFacts {
        created_at: Some(key.created_at),
        expires_at: key.rights.expires_at,
        revoked: key.revoked_at.is_some(),
        replaced: successor.is_some(),
    };
    let state = KeyState::of(facts, now);
    State { state, replaced_by: successor.filter(|_| state == KeyState::Replaced) }
}

impl State {
    /// The word, with its colour.
    pub fn badge(&self) -> Markup {
        let class = match self.state {
            KeyState::Revoked | KeyState::Expired => "state",
            KeyState::Replaced | KeyState::ExpiresSoon => "state warn",
            KeyState::Valid => "state good",
        };
        html! { span class=(class) { (text::capitalized(self.state.word())) } }
    }
}

/// When it expires, in words; of one that is over, when that was.
pub fn end(key: &KeyRecord, state: KeyState, now: i64) -> Markup {
    match (key.revoked_at, key.rights.expires_at) {
        (Some(at), _) => moment(at),
        (None, None) => html! { "Never expires" },
        (None, Some(end)) if state == KeyState::Expired => moment(end),
        (None, Some(end)) => html! { "Expires " (moment(end)) " " span.hint { (relative_time::until(end, now)) } },
    }
}

/// A day, with the minute for whoever points at it.
pub fn moment(at: i64) -> Markup {
    html! { time title=(text::date(at)) { (text::day(at)) } }
}
