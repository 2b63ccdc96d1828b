//! A model's answer as a stream of events, and how it is shown. Pure over events: where they come from is not known here.

mod event;
mod render;
mod timings;

pub use event::Event;
pub use render::{RenderOptions, Renderer, Sink};
pub use timings::Timings;
