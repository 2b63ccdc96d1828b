//! The map of the crate. Imports point downward only:
//! `main → commands → proxy → {gateway, api, rotation, profile} → {http, vault, identity, keyspec} → {address, disk}`; `chat`, `demo` and
//! `ui` use no other module. `tests/it/layering.rs` has the whole map and checks it.
//!
//! | module | what it contains |
//! |---|---|
//! | `cli` | the command line: clap types and help texts, no logic |
//! | `commands` | one command or group of commands per file or folder |
//! | `start` | from the arguments to the exit code |
//! | `app`, `env`, `paths`, `process`, `signals` | what commands depend on: the environment, folders, the process and programs it starts |
//! | `exit` | exit codes, and how an error becomes message, hint and code |
//! | `ui` | all output to the terminal |
//! | `chat` | a conversation: its state, its commands, and a model's events as text |
//! | `api` | the HTTP client |
//! | `gateway` | authentication in front of an Ollama server (feature `gateway`) |
//! | `http` | HTTP/1.1 that gateway, proxy and client share: a client; connections of callers and streamed bodies (these with the feature `gateway`) |
//! | `proxy` | a loopback port that adds a credential (feature `gateway`) |
//! | `demo` | a demonstration model for machines without Ollama (feature `gateway`) |
//! | `profile` | profiles, and the decision which host and which credential to use |
//! | `rotation` | rotation of API keys: a state machine and its journal |
//! | `vault` | the stores of secrets: keyring, encrypted file, plaintext |
//! | [`identity`] | device keys, signatures, connect links; no I/O |
//! | [`keyspec`] | API keys: format, scopes, model patterns, lifetime; no I/O |
//! | [`address`] | hosts and model names as people write them; no I/O |
//! | [`transparency_log`] | a Merkle tree over records, signed checkpoints, proofs; no I/O (feature `gateway`) |
//! | `relative_time` | `in 90 days`, `3 minutes ago`; no I/O |
//! | `os_error`, `shell` | system errors without their numbers; words quoted for a shell |
//! | `disk` | atomic files, locks, versioned documents |
//! | `fuzzing` | entry points of the fuzz targets; only in tests and while fuzzing |

#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod address;
mod api;
mod app;
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
mod local_time;
mod os_error;
mod paths;
mod process;
mod profile;
#[cfg(feature = "gateway")]
mod proxy;
mod relative_time;
mod rotation;
mod shell;
mod signals;
mod start;
#[cfg(feature = "gateway")]
pub mod transparency_log;
mod ui;
pub mod vault;

pub use exit::Exit;
pub use start::main;
