//! The WebDriver protocol: one JSON request and one JSON response for each command, over plain HTTP on loopback.
//!
//! The threads block anyway, so that a dozen calls need no client library.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::harness::gateway::Answer;

/// What the driver says when it did not do it.
#[derive(Debug)]
pub struct Failure {
    /// The kind of it, such as `stale element reference`; empty when no answer came.
    pub kind: String,
    /// For people.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self { kind: String::new(), message: format!("the driver does not answer: {error}") }
    }
}

/// Sends a command and gives the `value` of its answer.
pub fn ask(port: u16, method: &str, path: &str, body: Option<&Value>, deadline: Duration) -> Result<Value, Failure> {
    let body = body.map(ToString::to_string).unwrap_or_default();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(deadline))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut bytes = Vec::new();
    let mut some = vec![0; 64 << 10];
    // It may keep the connection open: the answer is there when it is whole.
    let answer = loop {
        let read = match stream.read(&mut some) {
            // A signal to this process ends a read that has a time limit.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read?,
        };
        bytes.extend_from_slice(&some[..read]);
        match Answer::parse(&bytes) {
            Ok(answer) => break answer,
            Err(message) if read == 0 => return Err(Failure { kind: String::new(), message }),
            Err(_) => {}
        }
    };
    let mut value = answer.json()["value"].take();
    if answer.status == 200 {
        return Ok(value);
    }
    let mut text = |name: &str| value[name].take().as_str().unwrap_or_default().to_owned();
    Err(Failure { kind: text("error"), message: text("message") })
}
