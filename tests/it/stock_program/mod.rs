//! The unmodified `ollama` in both its roles against this program: as client and as server. What is built with Go (`scripts/stock`) has
//! no runner, so it loads no model: models are pulled from a registry of the tests, and answers come from the recorded server.
//!
//! `harness::stock` is another thing: a server of the tests that behaves as the recordings say.

mod account;
mod client;
mod cloud;
mod commands;
mod exec;
mod internet;
mod program;
mod registry;
mod terminal;
