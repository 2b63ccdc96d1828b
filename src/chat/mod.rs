//! A conversation and how it is shown. Pure over events and text: this module knows neither the network nor the terminal.

mod command;
mod conversation;
mod export;
mod help;
mod input;
mod meter;
pub mod parameters;
mod render;
mod timings;

pub use command::{Command, CommandError, Section, Setting, Thinking};
pub use conversation::{Conversation, Message};
pub use export::{ExportFormat, export};
pub use help::{complete, help};
pub use input::{Composer, Input};
pub use meter::{Meter, window};
pub use render::{Event, RenderOptions, Renderer, Sink};
pub use timings::Timings;
