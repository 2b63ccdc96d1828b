//! A response: status, headers, and a body given whole or as a script.

use super::Gate;

/// One step of a scripted body.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends these bytes at once; in a chunked answer they are one chunk.
    Send(Vec<u8>),
    /// Sends these bytes as they are, outside the chunk framing: for broken or split chunks.
    Raw(Vec<u8>),
    /// Waits until the test opens the gate (or the client leaves).
    WaitFor(Gate),
    /// Closes the connection here, before the body is complete.
    Cut,
    /// Resets the connection (RST) here.
    Reset,
    /// Sends nothing more and waits until the client leaves, see `Server::wait_disconnects`.
    Hang,
}

impl Step {
    /// [`Step::Send`] from text.
    pub fn send(text: impl Into<String>) -> Self {
        Self::Send(text.into().into_bytes())
    }
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Whole(Vec<u8>),
    Chunked(Vec<Step>),
    /// Announced as this many bytes, whatever the script then sends.
    Sized(usize, Vec<Step>),
    /// Neither length nor chunks: it ends when the connection does.
    UntilClose(Vec<Step>),
    /// The connection ends without any answer: `true` by a reset.
    Nothing(bool),
}

/// What the server answers.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
    pub(super) date_offset: i64,
    pub(super) delay: Option<Gate>,
}

impl Reply {
    fn with(status: u16, body: Body) -> Self {
        Self { status, headers: Vec::new(), body, date_offset: 0, delay: None }
    }

    /// A whole body with its `Content-Length`.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::with(status, Body::Whole(body.into()))
    }

    /// A JSON body, sent as the text given.
    pub fn json(status: u16, body: impl ToString) -> Self {
        Self::new(status, body.to_string()).header("Content-Type", "application/json; charset=utf-8")
    }

    /// A chunked body, step by step; ended properly unless the script cuts it.
    pub fn script(status: u16, steps: impl IntoIterator<Item = Step>) -> Self {
        Self::with(status, Body::Chunked(steps.into_iter().collect()))
    }

    /// A chunked 200 answer of `application/x-ndjson`, one chunk a step.
    pub fn ndjson(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::script(200, steps).header("Content-Type", "application/x-ndjson")
    }

    /// A body announced with `Content-Length: length`, whatever the script sends.
    pub fn sized(status: u16, length: usize, steps: impl IntoIterator<Item = Step>) -> Self {
        Self::with(status, Body::Sized(length, steps.into_iter().collect()))
    }

    /// A body that ends with the connection.
    pub fn until_close(status: u16, steps: impl IntoIterator<Item = Step>) -> Self {
        Self::with(status, Body::UntilClose(steps.into_iter().collect()))
    }

    /// A redirect. 307 and 308 ask the client to repeat method and body.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::new(status, "").header("Location", location)
    }

    /// 429 or 503 with `Retry-After`, in seconds or as a date.
    pub fn retry_after(status: u16, value: &str) -> Self {
        Self::json(status, r#"{"error":"try again later"}"#).header("Retry-After", value)
    }

    /// The connection is closed without an answer.
    pub fn drop_connection() -> Self {
        Self::with(0, Body::Nothing(false))
    }

    /// The connection is reset without an answer.
    pub fn reset_connection() -> Self {
        Self::with(0, Body::Nothing(true))
    }

    /// Adds a header. `Date` given here replaces the server's own; an empty `Date` leaves it out.
    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Shifts this answer's `Date` by so many seconds against the server's clock.
    pub fn date_offset(mut self, seconds: i64) -> Self {
        self.date_offset = seconds;
        self
    }

    /// Holds the whole answer, status line included, until the gate opens.
    pub fn after(mut self, gate: &Gate) -> Self {
        self.delay = Some(gate.clone());
        self
    }
}
