//! The checks. Each is a function over what was gathered, in a file of its own; a new one is a file and a line here.

mod authorities;
mod clock;
mod credentials;
mod key_files;
mod leftovers;
mod permissions;
mod profiles;
mod proxies;
mod reach;
mod rotations;
mod secrets;
mod server_key;
mod stores;
mod variables;

use super::finding::Finding;
use super::view::View;

/// A check: what it finds, the good included.
type Check = fn(&View<'_>) -> Vec<Finding>;

/// All of them, in the order in which their findings are shown within a group.
pub const ALL: &[Check] = &[
    key_files::check,
    server_key::check,
    permissions::check,
    stores::check,
    secrets::check,
    leftovers::check,
    rotations::check,
    profiles::check,
    variables::check,
    proxies::check,
    authorities::check,
    reach::check,
    clock::check,
    credentials::check,
];
