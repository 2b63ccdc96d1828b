//! A conversation and how it is shown, pure over events and text: where they come from, and the terminal, are not known here.

mod command;
mod complete;
mod conversation;
mod event;
mod export;
mod help;
pub mod history;
mod input;
mod meter;
pub mod parameters;
mod render;
mod timings;

pub use command::{Command, Misread, Section, Setting, Thinking};
pub use complete::complete;
pub use conversation::{Conversation, Message};
pub use event::Event;
pub use export::{ExportFormat, export};
pub use help::help;
pub use input::{Composer, Input};
pub use meter::{Meter, window};
pub use render::{RenderOptions, Renderer, Sink};
pub use timings::Timings;
