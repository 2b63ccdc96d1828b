//! The only writer to the terminal. Data goes to stdout, talk to stderr; whatever came from a server or a file is made
//! harmless here before a terminal sees it.

mod checklist;
mod diagnostics;
mod layer_bars;
mod line;
mod line_modes;
mod output;
mod paragraph;
mod printer;
mod progress;
mod prompt;
mod qr;
pub mod sanitize;
mod stream;
mod style;
mod table;
pub mod wrap;

pub use checklist::{Check, Checklist};
pub use diagnostics::{log_service, log_to_stderr, report_panics_briefly};
pub use line::{Complete, LineEditor, LineInput, LinePrompt};
pub use output::{Output, OutputOptions};
#[cfg(feature = "gateway")]
pub use printer::Visibility;
pub use printer::{ColorChoice, Printer, PrinterOptions, TerminalState};
pub use progress::Spinner;
pub use prompt::PromptError;
#[cfg(feature = "gateway")]
pub use stream::CapturedOutput;
pub use style::{Tint, Tone};
pub use table::{Column, Table};
