//! The map of the crate. Imports point downward only:
//! `main → commands → {chat, api, vault, profile, ui} → {identity, address, disk}`.

#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod address;
pub mod api;
pub mod chat;
pub mod cli;
pub mod commands;
pub mod disk;
pub mod identity;
pub mod profile;
pub mod ui;
pub mod vault;
