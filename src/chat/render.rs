//! The events of an answer, and how they become text: thinking in a frame of two lines, then the answer itself.

use std::borrow::Cow;
use std::io;

/// One piece of an answer. All text in it is the model's and untrusted.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// A piece of the answer: `response` of `/api/generate`, `message.content` of `/api/chat`. May be empty.
    Content(Cow<'a, str>),
    /// A piece of what precedes the answer: `thinking` or `message.thinking`. May be empty.
    Thinking(Cow<'a, str>),
    /// The model calls a function, which this program does not offer: its name, and its arguments as JSON text.
    ToolCall {
        /// The function's name.
        name: Cow<'a, str>,
        /// Its arguments, as JSON.
        arguments: Cow<'a, str>,
    },
}

/// Where an answer is written. Implemented by the terminal's owner.
pub trait Sink {
    /// Takes untrusted text.
    ///
    /// # Errors
    /// When it cannot be written.
    fn text(&mut self, text: &str) -> io::Result<()>;

    /// Whether the text that follows steps back: what precedes the answer, and remarks of ours.
    ///
    /// # Errors
    /// When it cannot be written.
    fn faint(&mut self, on: bool) -> io::Result<()>;
}

/// How an answer is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct RenderOptions {
    /// Leave thinking out.
    pub hide_thinking: bool,
}

/// The state of one answer. Feed it every event, then call [`Renderer::finish`].
///
/// Nothing is flushed here: the caller flushes the sink before it waits for the next event.
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
    /// Those of the sink.
    pub fn event(&mut self, event: &Event<'_>, out: &mut impl Sink) -> io::Result<()> {
        match event {
            Event::Content(text) if text.is_empty() => Ok(()),
            Event::Content(text) => {
                self.end_thinking(out)?;
                out.text(text)
            }
            Event::Thinking(text) => self.think(text, out),
            Event::ToolCall { name, arguments } => {
                self.end_thinking(out)?;
                out.faint(true)?;
                out.text(&format!("[unsupported tool call: {name} {arguments}]\n"))?;
                out.faint(false)
            }
        }
    }

    fn think(&mut self, text: &str, out: &mut impl Sink) -> io::Result<()> {
        if self.options.hide_thinking || text.is_empty() {
            return Ok(());
        }
        if !self.thinking {
            self.thinking = true;
            out.faint(true)?;
            out.text("Thinking...\n")?;
        }
        self.line_ended = text.ends_with('\n');
        out.text(text)
    }

    /// Thinking is over when anything else comes; when nothing does, the frame stays open, as with stock Ollama.
    fn end_thinking(&mut self, out: &mut impl Sink) -> io::Result<()> {
        if !std::mem::take(&mut self.thinking) {
            return Ok(());
        }
        if !self.line_ended {
            out.text("\n")?;
        }
        out.text("...done thinking.\n\n")?;
        out.faint(false)
    }

    /// Ends the answer's text, whole or not.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn finish(self, out: &mut impl Sink) -> io::Result<()> {
        out.faint(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was written, with `<` and `>` around what steps back.
    #[derive(Default)]
    struct Written {
        text: String,
        faint: bool,
    }

    impl Sink for Written {
        fn text(&mut self, text: &str) -> io::Result<()> {
            self.text.push_str(text);
            Ok(())
        }

        fn faint(&mut self, on: bool) -> io::Result<()> {
            if self.faint != on {
                self.faint = on;
                self.text.push(if on { '<' } else { '>' });
            }
            Ok(())
        }
    }

    fn rendered(options: RenderOptions, events: &[Event<'_>]) -> String {
        let (mut written, mut renderer) = (Written::default(), Renderer::new(options));
        for event in events {
            renderer.event(event, &mut written).unwrap();
        }
        renderer.finish(&mut written).unwrap();
        written.text
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
        assert_eq!(rendered(shown, &events), "<Thinking...\nLet me see\n...done thinking.\n\n>Yes.");
        assert_eq!(rendered(RenderOptions { hide_thinking: true }, &events), "Yes.");
    }

    #[test]
    fn thinking_that_ends_its_line_or_has_no_answer() {
        let shown = RenderOptions::default();
        assert_eq!(rendered(shown, &[think("a\n"), say("b")]), "<Thinking...\na\n...done thinking.\n\n>b");
        assert_eq!(rendered(shown, &[think("a")]), "<Thinking...\na>");
    }

    #[test]
    fn a_tool_call_is_told_and_the_answer_goes_on() {
        let call = Event::ToolCall { name: "f".into(), arguments: "{}".into() };
        let shown = rendered(RenderOptions::default(), &[call, say("b")]);
        assert_eq!(shown, "<[unsupported tool call: f {}]\n>b");
    }
}
