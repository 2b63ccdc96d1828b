//! Turns the events of one answer into text: thinking in a frame of two lines, then the answer itself.

use super::Event;
use crate::ui::{Output, Tone};
use std::io;

/// How an answer is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct RenderOptions {
    /// Leave thinking out.
    pub hide_thinking: bool,
}

/// The state of one answer. Feed it every event, then call [`Renderer::finish`] or [`Renderer::abandon`].
///
/// Nothing is flushed here: whoever waits for the next event flushes the output first.
#[derive(Debug)]
pub struct Renderer {
    options: RenderOptions,
    thinking: bool,
    /// The thinking so far ends in a newline.
    line_ended: bool,
}

impl Renderer {
    /// For a new answer.
    pub fn new(options: RenderOptions) -> Self {
        Self { options, thinking: false, line_ended: false }
    }

    /// Writes what the event adds to the answer.
    ///
    /// # Errors
    /// As [`Output::write`].
    pub fn event(&mut self, event: &Event<'_>, out: &mut Output) -> io::Result<()> {
        match event {
            Event::Content(text) if text.is_empty() => Ok(()),
            Event::Content(text) => {
                self.end_thinking(out)?;
                out.write(text)
            }
            Event::Thinking(text) => self.think(text, out),
            Event::ToolCall { name, arguments } => {
                self.end_thinking(out)?;
                out.tone(Tone::Faint)?;
                out.write(&format!("[call of a function that is not offered here: {name} {arguments}]\n"))?;
                out.tone(Tone::Plain)
            }
        }
    }

    fn think(&mut self, text: &str, out: &mut Output) -> io::Result<()> {
        if self.options.hide_thinking || text.is_empty() {
            return Ok(());
        }
        if !self.thinking {
            self.thinking = true;
            out.tone(Tone::Faint)?;
            out.write("Thinking...\n")?;
        }
        self.line_ended = text.ends_with('\n');
        out.write(text)
    }

    /// Thinking is over when anything else comes; when nothing does, the frame stays open, as with stock Ollama.
    fn end_thinking(&mut self, out: &mut Output) -> io::Result<()> {
        if !std::mem::take(&mut self.thinking) {
            return Ok(());
        }
        if !self.line_ended {
            out.write("\n")?;
        }
        out.write("...done thinking.\n\n")?;
        out.tone(Tone::Plain)
    }

    /// Ends a whole answer, with the two newlines that stock Ollama prints after one, and writes all of it.
    ///
    /// # Errors
    /// As [`Output::flush`].
    pub fn finish(self, out: &mut Output) -> io::Result<()> {
        out.tone(Tone::Plain)?;
        // A character that was cut off belongs in front of the newlines.
        out.finish()?;
        out.write("\n\n")?;
        out.flush()
    }

    /// Ends an answer that was interrupted or failed: what was printed stays, and on a terminal its line is ended.
    ///
    /// # Errors
    /// As [`Output::flush`].
    pub fn abandon(self, out: &mut Output) -> io::Result<()> {
        out.abandon()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::{OutputOptions, Printer, PrinterOptions, TerminalState};

    fn rendered(terminal: bool, options: RenderOptions, events: &[Event<'_>]) -> String {
        let state = TerminalState { stdout: terminal, ..TerminalState::default() };
        let (printer, out, _) = Printer::in_memory(PrinterOptions::default(), state);
        let mut output = printer.output(OutputOptions::default());
        let mut renderer = Renderer::new(options);
        for event in events {
            renderer.event(event, &mut output).unwrap();
        }
        renderer.finish(&mut output).unwrap();
        drop(output);
        out.text()
    }

    fn think(text: &str) -> Event<'_> {
        Event::Thinking(text.into())
    }

    fn say(text: &str) -> Event<'_> {
        Event::Content(text.into())
    }

    #[test]
    fn frames_thinking() {
        let events = [think("Let me"), say(""), think(" see"), say("Yes"), say(".")];
        let shown = RenderOptions::default();
        assert_eq!(rendered(false, shown, &events), "Thinking...\nLet me see\n...done thinking.\n\nYes.\n\n");
        assert_eq!(
            rendered(true, shown, &events),
            "\x1b[2mThinking...\nLet me see\n...done thinking.\n\n\x1b[0mYes.\n\n"
        );
        assert_eq!(rendered(false, RenderOptions { hide_thinking: true }, &events), "Yes.\n\n");
    }

    #[test]
    fn thinking_that_ends_its_line_or_has_no_answer() {
        let shown = RenderOptions::default();
        assert_eq!(rendered(false, shown, &[think("a\n"), say("b")]), "Thinking...\na\n...done thinking.\n\nb\n\n");
        assert_eq!(rendered(false, shown, &[think("a")]), "Thinking...\na\n\n");
        assert_eq!(rendered(true, shown, &[think("a")]), "\x1b[2mThinking...\na\x1b[0m\n\n");
    }

    #[test]
    fn an_interrupted_answer_keeps_what_was_printed() {
        let state = TerminalState { stdout: true, ..TerminalState::default() };
        let (printer, out, _) = Printer::in_memory(PrinterOptions::default(), state);
        let mut output = printer.output(OutputOptions::default());
        let mut renderer = Renderer::new(RenderOptions::default());
        renderer.event(&say("half an"), &mut output).unwrap();
        renderer.abandon(&mut output).unwrap();
        drop(output);
        assert_eq!(out.text(), "half an\n");
    }
}
