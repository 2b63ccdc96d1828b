//! A request on its way to the upstream server. A small body goes with the head in one write.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody as _};
use thiserror::Error;

use super::connection::Connection;

/// So much is gathered before it is written, in bytes.
const BATCH: usize = 64 * 1024;

/// Why a request did not get there.
#[derive(Debug, Error)]
pub enum RequestWriteError {
    /// The caller's body broke off, or became too large.
    #[error("the request's body broke off: {0}")]
    Body(axum::Error),
    /// The body is not as long as was announced.
    #[error("the request's body is not as long as was announced")]
    Length,
    /// The upstream server takes no more.
    #[error("the upstream server takes no more: {0}")]
    Connection(#[from] std::io::Error),
}

/// How its end is told.
#[derive(Clone, Copy, Debug)]
enum Framing {
    /// What is left of the announced length.
    Length(u64),
    Chunks,
}

/// See the module.
pub struct RequestWriter {
    buffer: Vec<u8>,
    /// How much of it was written.
    at: usize,
    body: Option<Body>,
    framing: Framing,
    has_body: bool,
    done: bool,
}

impl RequestWriter {
    /// `head` is the request line and the headers, without those that tell the body's end, and without the empty line.
    pub fn new(mut head: Vec<u8>, body: Body, needs_length: bool) -> Self {
        let framing = match body.size_hint().exact() {
            Some(length) => Framing::Length(length),
            None => Framing::Chunks,
        };
        match framing {
            Framing::Length(0) if !needs_length => {}
            Framing::Length(length) => {
                head.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
            }
            Framing::Chunks => head.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        }
        head.extend_from_slice(b"\r\n");
        let has_body = !matches!(framing, Framing::Length(0));
        let body = has_body.then_some(body);
        Self { buffer: head, at: 0, body, framing, has_body, done: false }
    }

    /// Whether all of it was sent.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Makes it start anew. False when it cannot, since something of a body was taken from the caller.
    pub fn rewind(&mut self) -> bool {
        (self.at, self.done) = (0, false);
        !self.has_body
    }

    /// Sends as much as there is and as is taken.
    ///
    /// # Errors
    /// [`RequestWriteError`].
    pub fn poll(
        &mut self,
        connection: &mut Connection,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), RequestWriteError>> {
        loop {
            let gathered = self.gather(context)?;
            while self.at < self.buffer.len() {
                self.at += ready!(connection.poll_write(context, &self.buffer[self.at..]))?;
            }
            ready!(connection.poll_flush(context))?;
            if self.body.is_none() {
                self.done = true;
                if self.has_body {
                    // It is not sent again, and the answer may take a while.
                    self.buffer = Vec::new();
                    self.at = 0;
                }
                return Poll::Ready(Ok(()));
            }
            self.buffer.clear();
            self.at = 0;
            if !gathered {
                return Poll::Pending;
            }
        }
    }

    /// Takes what the caller has sent by now. False when that was all for now.
    fn gather(&mut self, context: &mut Context<'_>) -> Result<bool, RequestWriteError> {
        while self.buffer.len() < BATCH
            && let Some(body) = &mut self.body
        {
            match Pin::new(body).poll_frame(context) {
                Poll::Pending => return Ok(false),
                Poll::Ready(None) => {
                    match self.framing {
                        Framing::Length(0) => {}
                        Framing::Length(_) => return Err(RequestWriteError::Length),
                        Framing::Chunks => self.buffer.extend_from_slice(b"0\r\n\r\n"),
                    }
                    self.body = None;
                }
                Poll::Ready(Some(frame)) => {
                    // Trailers are not forwarded.
                    if let Ok(data) = frame.map_err(RequestWriteError::Body)?.into_data() {
                        self.push(&data)?;
                    }
                }
            }
        }
        Ok(true)
    }

    fn push(&mut self, data: &[u8]) -> Result<(), RequestWriteError> {
        match &mut self.framing {
            Framing::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(RequestWriteError::Length)?;
            }
            // An empty chunk would be the end.
            Framing::Chunks if data.is_empty() => return Ok(()),
            Framing::Chunks => {
                self.buffer.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
            }
        }
        self.buffer.extend_from_slice(data);
        if let Framing::Chunks = self.framing {
            // At once, not with the next one: there are servers that hand a chunk on only when its line has ended.
            self.buffer.extend_from_slice(b"\r\n");
        }
        Ok(())
    }
}
