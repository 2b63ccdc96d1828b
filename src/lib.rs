//! The map of the crate. Imports point downward only:
//! `main → commands → proxy → {chat, rotation, gateway, api, vault, profile, ui} → {keyspec, identity, address, disk}`.
//!
//! | module | what it is for |
//! |---|---|
//! | `cli` | what can be typed: clap types, no logic |
//! | `commands` | one verb per file |
//! | `app`, `env`, `paths`, `browser`, `process` | what a command is handed, and runs in |
//! | `exit` | exit codes, and what an error means |
//! | `ui` | the only writer to the terminal |
//! | `chat` | what a conversation holds, its commands, and a model's events as text |
//! | `api` | the HTTP client |
//! | `gateway` | the authentication in front of an Ollama server (a cargo feature) |
//! | `http` | what they share of HTTP/1.1: the client, connections of callers, bodies on their way through (the same feature) |
//! | `proxy` | a loopback port that adds a credential, on top of `api` and of the gateway's streaming (the same feature) |
//! | `demo` | a demonstration model for machines without Ollama (the same feature) |
//! | `profile` | which host, which credential |
//! | `rotation` | replacing API keys so that no crash loses or leaks one |
//! | `vault` | where secrets rest |
//! | [`identity`] | device keys, signatures, connect links; pure |
//! | [`keyspec`] | API keys: their form, scopes, models, lifetime; pure |
//! | [`address`] | hosts and model names as people write them; pure |
//! | `relative_time` | `in 90 days`, `3 minutes ago`; pure |
//! | `fuzzing` | what `fuzz/` calls; only there while fuzzing and in tests |
//! | `disk` | files that are replaced whole, locks, versioned documents |

#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod address;
mod api;
mod app;
mod browser;
mod chat;
mod cli;
mod commands;
#[cfg(feature = "gateway")]
mod demo;
pub mod disk;
mod env;
mod exit;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
#[cfg(feature = "gateway")]
mod gateway;
mod http;
pub mod identity;
pub mod keyspec;
mod paths;
mod process;
mod profile;
#[cfg(feature = "gateway")]
mod proxy;
mod relative_time;
mod rotation;
mod signals;
mod start;
mod ui;
pub mod vault;

pub use exit::Exit;
pub use start::main;
