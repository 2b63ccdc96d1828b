//! Newline-delimited JSON over a streamed body: splits bytes into lines, whatever the frames they came in.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full};
use reqwest::Response;
use tokio::sync::mpsc;

use super::error::{ApiError, Unreachable, innermost, seconds};
use crate::http::{CoalescedBody, ResponseBody};

/// The longest line that is taken, in bytes. Stock Ollama stops at 8 MB; images and embeddings can be longer.
pub const MAX_LINE: usize = 64 * 1024 * 1024;

/// A line grew beyond the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line of more than {0} bytes")]
pub struct LineTooLong(pub usize);

/// Collects bytes until a line is complete.
#[derive(Debug)]
pub struct LineBuffer {
    rest: BytesMut,
    limit: usize,
}

impl Default for LineBuffer {
    fn default() -> Self {
        Self::new(MAX_LINE)
    }
}

impl LineBuffer {
    /// A buffer that refuses lines of more than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { rest: BytesMut::new(), limit }
    }

    /// Takes bytes and gives back the lines that they complete.
    ///
    /// # Errors
    /// [`LineTooLong`] once the unfinished line exceeds the limit.
    pub fn push(&mut self, bytes: Bytes) -> Result<Batch, LineTooLong> {
        let Some(end) = bytes.iter().rposition(|&byte| byte == b'\n') else {
            self.grow(&bytes)?;
            return Ok(Batch::default());
        };
        if self.rest.is_empty() {
            self.grow(&bytes[end + 1..])?;
            return Ok(Batch(bytes.slice(..end)));
        }
        let first = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(end);
        if self.rest.len() + first > self.limit {
            return Err(LineTooLong(self.limit));
        }
        self.rest.extend_from_slice(&bytes[..end]);
        let lines = self.rest.split().freeze();
        self.grow(&bytes[end + 1..])?;
        Ok(Batch(lines))
    }

    /// What is left when the stream ends: a last line without its newline.
    pub fn finish(&mut self) -> Batch {
        Batch(self.rest.split().freeze())
    }

    fn grow(&mut self, bytes: &[u8]) -> Result<(), LineTooLong> {
        if self.rest.len() + bytes.len() > self.limit {
            return Err(LineTooLong(self.limit));
        }
        self.rest.extend_from_slice(bytes);
        Ok(())
    }
}

/// Complete lines, joined by newlines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch(Bytes);

impl Batch {
    /// The lines that hold something besides white space.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty())
    }
}

/// The lines of one streamed answer.
pub struct LineStream {
    source: Source,
    lines: LineBuffer,
    host: String,
    timeout: Option<Duration>,
    ended: bool,
}

impl LineStream {
    /// Reads the body of `response`; `timeout` bounds each wait for more of it.
    pub(super) fn new(response: Response, host: String, timeout: Option<Duration>) -> Self {
        Self::of(Source::Pump(pump(response)), host, timeout)
    }

    /// The same for a body that is read without reqwest.
    pub(super) fn direct(body: ResponseBody<Full<Bytes>>, host: String, timeout: Option<Duration>) -> Self {
        Self::of(Source::Direct(Box::new(body)), host, timeout)
    }

    fn of(source: Source, host: String, timeout: Option<Duration>) -> Self {
        Self { source, lines: LineBuffer::default(), host, timeout, ended: false }
    }

    /// The host that is being read from.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The lines that have arrived since the last call, or `None` at the end of the body. A caller that prints them flushes
    /// before calling again: this is the one place where a stream waits.
    ///
    /// # Errors
    /// [`ApiError::Cut`] when the connection breaks, [`ApiError::Protocol`] for a line above [`MAX_LINE`],
    /// [`ApiError::Unreachable`] when the time limit passes.
    pub async fn next(&mut self) -> Result<Option<Batch>, ApiError> {
        if self.ended {
            return Ok(None);
        }
        let received = match self.timeout {
            None => self.source.next().await,
            Some(limit) => {
                tokio::time::timeout(limit, self.source.next()).await.map_err(|_| ApiError::Unreachable {
                    host: self.host.clone(),
                    reason: format!("nothing more came for {}", seconds(limit)),
                    kind: Unreachable::Timeout,
                })?
            }
        };
        match received {
            None => {
                self.ended = true;
                Ok(Some(self.lines.finish()))
            }
            Some(Ok(bytes)) => self
                .lines
                .push(bytes)
                .map(Some)
                .map_err(|error| ApiError::Protocol { host: self.host.clone(), reason: error.to_string() }),
            Some(Err(reason)) => {
                self.ended = true;
                Err(ApiError::Cut { host: self.host.clone(), reason })
            }
        }
    }
}

/// Where the bytes of a stream come from.
enum Source {
    /// The connection, which is read only when a caller wants lines.
    Direct(Box<ResponseBody<Full<Bytes>>>),
    /// A task that reads reqwest's body.
    Pump(mpsc::Receiver<Result<Bytes, reqwest::Error>>),
}

impl Source {
    /// What has arrived, the reason why the body ended early, or nothing at its end.
    async fn next(&mut self) -> Option<Result<Bytes, String>> {
        match self {
            Self::Direct(body) => {
                let frame = body.frame().await?;
                Some(frame.map(|frame| frame.into_data().unwrap_or_default()).map_err(|error| innermost(&error)))
            }
            Self::Pump(batches) => batches.recv().await.map(|batch| batch.map_err(|error| innermost(&error))),
        }
    }
}

/// Reads a body in a task of its own. The receiver yields what had arrived before each wait, then the error that ended the body, if one
/// did. Dropping the receiver ends the task and with it the request.
///
/// The frames are joined in a task because waking a spawned task is a push on a queue, while waking the root future of a `current_thread`
/// runtime is a system call each time.
fn pump(response: Response) -> mpsc::Receiver<Result<Bytes, reqwest::Error>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut body = CoalescedBody::new(reqwest::Body::from(response));
        let read = async {
            while let Some(frame) = body.frame().await {
                let batch = frame.map(|frame: Frame<Bytes>| frame.into_data().unwrap_or_default());
                if sender.send(batch).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = sender.closed() => {}
            () = read => {}
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]], limit: usize) -> Result<Vec<Vec<u8>>, LineTooLong> {
        let mut buffer = LineBuffer::new(limit);
        let mut lines = Vec::new();
        for piece in pieces {
            let batch = buffer.push(Bytes::copy_from_slice(piece))?;
            lines.extend(batch.lines().map(<[u8]>::to_vec));
        }
        lines.extend(buffer.finish().lines().map(<[u8]>::to_vec));
        Ok(lines)
    }

    #[test]
    fn gives_a_line_as_soon_as_it_is_complete() {
        let mut buffer = LineBuffer::default();
        assert_eq!(buffer.push(Bytes::from_static(b"{\"a\":1")).unwrap().lines().count(), 0);
        let batch = buffer.push(Bytes::from_static(b"}\n{\"b\"")).unwrap();
        assert_eq!(batch.lines().collect::<Vec<_>>(), [b"{\"a\":1}"]);
    }

    #[test]
    fn keeps_a_last_line_without_newline_and_drops_blank_ones() {
        assert_eq!(read(&[b"a\r\n\n \nb"], 100).unwrap(), [b"a", b"b"]);
    }

    #[test]
    fn refuses_a_line_above_the_limit_however_it_is_cut() {
        assert!(read(&[b"12345\n"], 5).is_ok());
        assert!(read(&[b"123", b"45", b"\n"], 5).is_ok());
        assert_eq!(read(&[b"123", b"456", b"\n"], 5), Err(LineTooLong(5)));
        assert_eq!(read(&[b"123", b"456\n"], 5), Err(LineTooLong(5)));
        assert_eq!(read(&[b"a\n123456"], 5), Err(LineTooLong(5)));
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_lines(
            text in "[ab\n\r{}\u{e9}]{0,80}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let bytes = text.as_bytes();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            at.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for to in at.into_iter().chain([bytes.len()]) {
                pieces.push(&bytes[from..to]);
                from = to;
            }
            prop_assert_eq!(read(&pieces, 1000).unwrap(), read(&[bytes], 1000).unwrap());
        }
    }
}
