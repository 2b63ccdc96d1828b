//! A relay between the client and the real gateway that fails at the n-th request, before or after it is forwarded.

use std::sync::{Arc, Mutex};

use crate::harness::gateway::Answer;
use crate::harness::http::{Reply, Request, Server, Step};

/// How it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The connection ends, and the gateway has seen nothing.
    Before,
    /// The gateway has done what it was asked, and the connection ends.
    After,
    /// The same, where the gateway has made a key; everything else passes.
    AfterMaking,
    /// As [`Failure::After`], in the middle of the answer.
    Cut,
    /// An answer of this status in the gateway's place.
    Status(u16),
    /// No answer at all until the client has had enough.
    Hang,
}

#[derive(Default)]
struct State {
    count: usize,
    /// From which request on, and up to which.
    fails: Option<(std::ops::Range<usize>, Failure)>,
    failed: bool,
}

pub struct Relay {
    server: Server,
    state: Arc<Mutex<State>>,
}

impl Relay {
    /// In front of a gateway at `127.0.0.1:PORT`.
    pub fn start(address: String) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let server = Server::start({
            let state = state.clone();
            move |request| respond(&address, request, &state)
        });
        Self { server, state }
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Fails at these requests, counted from here on from 0.
    pub fn fail(&self, at: std::ops::Range<usize>, failure: Failure) {
        *self.state.lock().unwrap() = State { fails: Some((at, failure)), ..State::default() };
    }

    /// Fails no more. Gives how many requests came since the last call, and whether one failed.
    pub fn stop_failing(&self) -> (usize, bool) {
        let before = std::mem::take(&mut *self.state.lock().unwrap());
        (before.count, before.failed)
    }
}

fn respond(address: &str, request: &Request, state: &Mutex<State>) -> Reply {
    let failure = {
        let mut state = state.lock().unwrap();
        let number = state.count;
        state.count += 1;
        let failure = state.fails.as_ref().filter(|(at, _)| at.contains(&number)).map(|(_, failure)| *failure);
        state.failed |= failure.is_some();
        failure
    };
    match failure {
        Some(Failure::Before) => return Reply::drop_connection(),
        Some(Failure::Hang) => return Reply::ndjson([Step::Hang]),
        Some(Failure::Status(429)) => return Reply::retry_after(429, "7"),
        Some(Failure::Status(status)) => return Reply::json(status, r#"{"error":"out of order"}"#),
        _ => {}
    }
    let answer = forward(address, request);
    // 201: a key was made.
    if failure == Some(Failure::After) || (failure == Some(Failure::AfterMaking) && answer.status == 201) {
        return Reply::drop_connection();
    }
    let reply = match failure.filter(|failure| *failure != Failure::AfterMaking) {
        Some(_) => Reply::sized(
            answer.status,
            answer.body.len(),
            [Step::Send(answer.body[..answer.body.len() / 2].to_vec()), Step::Cut],
        ),
        None => Reply::new(answer.status, answer.body.clone()),
    };
    let framing = ["content-length", "transfer-encoding", "connection", "date"];
    let headers = answer.headers.iter().filter(|(name, _)| !framing.contains(&&**name));
    headers.fold(reply, |reply, (name, value)| reply.header(name, value))
}

fn forward(address: &str, request: &Request) -> Answer {
    use std::io::{Read as _, Write as _};
    let mut bytes = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
    for (name, value) in &request.headers {
        if !["connection", "content-length", "transfer-encoding"].contains(&&*name.to_ascii_lowercase()) {
            bytes += &format!("{name}: {value}\r\n");
        }
    }
    bytes += &format!("Connection: close\r\nContent-Length: {}\r\n\r\n", request.body.len());
    let mut stream = std::net::TcpStream::connect(address).expect("a gateway that listens");
    stream.set_read_timeout(Some(crate::harness::DEADLINE)).expect("a timeout");
    let mut answer = Vec::new();
    stream.write_all(bytes.as_bytes()).and_then(|()| stream.write_all(&request.body)).expect("a gateway that reads");
    stream.read_to_end(&mut answer).expect("a gateway that answers");
    Answer::parse(&answer).expect("an answer")
}
