//! Writes a request. A small body goes out with the head, in one write.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body;
use thiserror::Error;

use super::pool::Connection;
use super::{BoxError, RequestHead};

/// How much is collected before it is written, in bytes.
const BATCH: usize = 64 * 1024;

/// Why a request was not sent to its end.
#[derive(Debug, Error)]
pub enum RequestWriteError {
    /// The body failed: its sender broke it off, or it exceeded a limit.
    #[error("the request body failed: {0}")]
    Body(BoxError),
    /// The body does not have the announced length.
    #[error("the request body does not have the announced length")]
    Length,
    /// Writing failed.
    #[error("the server stopped reading the request: {0}")]
    Connection(#[from] std::io::Error),
}

/// How the end of the body is marked.
#[derive(Clone, Copy, Debug)]
enum Framing {
    /// What is left of the announced length, in bytes.
    Length(u64),
    Chunked,
}

/// A request that is being sent.
pub struct RequestWriter<B> {
    buffer: Vec<u8>,
    /// How much of the buffer was written.
    written: usize,
    /// `None` once all of it is in the buffer.
    body: Option<B>,
    framing: Framing,
    has_body: bool,
    /// What was written stays in the buffer, to be written again.
    kept: bool,
    done: bool,
    /// Why the body failed, until it is reported.
    failed: Option<RequestWriteError>,
}

impl<B> RequestWriter<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    /// A request that was not sent yet. With `kept` it can be sent a second time, and is held in memory meanwhile.
    pub fn new(head: RequestHead, body: B, kept: bool) -> Self {
        let RequestHead { method, bytes: mut buffer } = head;
        let framing = match body.size_hint().exact() {
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        };
        match framing {
            // Methods that usually have a body say so when it is empty (RFC 9110, section 8.6).
            Framing::Length(0) if !matches!(method.as_str(), "POST" | "PUT" | "PATCH") => {}
            Framing::Length(length) => {
                buffer.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
            }
            Framing::Chunked => buffer.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        }
        buffer.extend_from_slice(b"\r\n");
        let has_body = !matches!(framing, Framing::Length(0));
        let body = has_body.then_some(body);
        Self { buffer, written: 0, body, framing, has_body, kept, done: false, failed: None }
    }

    /// Whether all of it was sent.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Starts over, once. `false` when that is not possible, because part of a body was consumed and is not kept.
    pub fn rewind(&mut self) -> bool {
        (self.written, self.done) = (0, false);
        std::mem::take(&mut self.kept) || !self.has_body
    }

    /// Sends as much as the body provides and the server accepts. When the body fails, what came before is sent first, as far as the server
    /// accepts it at once. So the server sees a cut request, whether the body fails before or after the connection is open.
    ///
    /// # Errors
    /// [`RequestWriteError`].
    pub fn poll(
        &mut self,
        connection: &mut Connection,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), RequestWriteError>> {
        let sent = self.poll_send(connection, context);
        self.failed.take().map_or(sent, |error| Poll::Ready(Err(error)))
    }

    fn poll_send(
        &mut self,
        connection: &mut Connection,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), RequestWriteError>> {
        loop {
            let has_more = self.collect(context);
            while self.written < self.buffer.len() {
                self.written += ready!(connection.poll_write(context, &self.buffer[self.written..]))?;
            }
            ready!(connection.poll_flush(context))?;
            if self.body.is_none() {
                self.done = true;
                if self.has_body && !self.kept {
                    // It is not sent again, and the response may take a while.
                    self.buffer = Vec::new();
                    self.written = 0;
                }
                return Poll::Ready(Ok(()));
            }
            if !self.kept {
                self.buffer.clear();
                self.written = 0;
            }
            if !has_more {
                return Poll::Pending;
            }
        }
    }

    /// Collects what the body provides without waiting. `false` when it has to be waited for, or failed: [`Self::poll`] says why.
    pub fn collect(&mut self, context: &mut Context<'_>) -> bool {
        let collected = match self.failed {
            None => self.fill(context),
            Some(_) => return false,
        };
        collected.unwrap_or_else(|error| {
            if let Framing::Length(0) = self.framing {
                // Sending the rest would complete the request, and the server would carry it out.
                self.written = self.buffer.len();
            }
            self.failed = Some(error);
            false
        })
    }

    fn fill(&mut self, context: &mut Context<'_>) -> Result<bool, RequestWriteError> {
        while (self.kept || self.buffer.len() < BATCH)
            && let Some(body) = &mut self.body
        {
            match Pin::new(body).poll_frame(context) {
                Poll::Pending => return Ok(false),
                Poll::Ready(None) => {
                    match self.framing {
                        Framing::Length(0) => {}
                        Framing::Length(_) => return Err(RequestWriteError::Length),
                        Framing::Chunked => self.buffer.extend_from_slice(b"0\r\n\r\n"),
                    }
                    self.body = None;
                }
                Poll::Ready(Some(frame)) => {
                    // Trailers are not forwarded.
                    if let Ok(data) = frame.map_err(|error| RequestWriteError::Body(error.into()))?.into_data() {
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
            Framing::Chunked if data.is_empty() => return Ok(()),
            Framing::Chunked => {
                self.buffer.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
            }
        }
        self.buffer.extend_from_slice(data);
        if let Framing::Chunked = self.framing {
            // At once, not with the next chunk: some servers pass a chunk on only when its line has ended.
            self.buffer.extend_from_slice(b"\r\n");
        }
        Ok(())
    }
}
