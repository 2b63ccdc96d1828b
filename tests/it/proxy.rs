//! `proxy`: programs that can neither sign nor hold a key use this profile's credential. Web pages, other system accounts and account
//! routes are refused, and the credential goes to one host and into no log.

mod attacks;
mod credential;
mod forwarding;
mod start;
mod streams;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::DEADLINE;
use crate::harness::cmd::{Child, Output, Sandbox};
use crate::harness::gateway::Answer;
use crate::harness::http::{Reply, Server};

/// The API key that is added.
const KEY: &str = "the-profiles-key-0123456789";
/// The local token.
const TOKEN: &str = "local-token-9876543210";

/// A running proxy.
struct Proxy {
    child: Child,
    listening: Value,
}

/// A request with every part that a test varies.
struct RequestSpec<'a> {
    method: &'a str,
    target: &'a str,
    host: Option<&'a str>,
    headers: &'a [&'a str],
    body: &'a str,
}

impl Proxy {
    /// With these arguments, in that sandbox, with [`KEY`] in the environment.
    fn start(sandbox: &Sandbox, args: &[&str]) -> Self {
        Self::wait(
            sandbox.command(Self::line(args)).env("OLLAMA_API_KEY", KEY).deadline(Duration::from_secs(300)).spawn(),
        )
    }

    /// With what the profile keeps.
    fn with_profile(sandbox: &Sandbox, args: &[&str]) -> Self {
        Self::wait(sandbox.command(Self::line(args)).deadline(Duration::from_secs(300)).spawn())
    }

    /// With [`TOKEN`] as the local token.
    fn with_token(sandbox: &Sandbox, args: &[&str]) -> Self {
        let command = sandbox.command(Self::line(args)).args(["--token-stdin"]).stdin(format!("{TOKEN}\n"));
        Self::wait(command.env("OLLAMA_API_KEY", KEY).deadline(Duration::from_secs(300)).spawn())
    }

    fn line<'a>(args: &[&'a str]) -> Vec<&'a str> {
        [&["proxy", "--json", "--listen", "127.0.0.1:0"], args].concat()
    }

    fn wait(child: Child) -> Self {
        let is_event = |line: &str| {
            let event = serde_json::from_str::<Value>(line).ok()?;
            (event["event"] == "listening").then_some(event)
        };
        let text = child.wait_stderr(|text| text.lines().any(|line| is_event(line).is_some()));
        let listening = text.lines().find_map(is_event).unwrap();
        Self { child, listening }
    }

    fn url(&self) -> String {
        self.listening["url"].as_str().unwrap().to_owned()
    }

    /// `127.0.0.1:PORT`
    fn address(&self) -> String {
        self.listening["listen"].as_str().unwrap().to_owned()
    }

    fn port(&self) -> String {
        self.address().rsplit_once(':').unwrap().1.to_owned()
    }

    /// Ends it, and gives what it printed.
    fn end(self) -> Output {
        self.child.signal(Signal::TERM);
        self.child.finish()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).expect("a proxy that listens");
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Sends bytes on a connection of their own and gives everything that comes back.
    fn raw(&self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let mut stream = self.connect();
        // It may have answered and closed before everything is written.
        let _ = stream.write_all(bytes.as_ref());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let _ = stream.shutdown(Shutdown::Both);
        answer
    }

    fn ask(&self, method: &str, target: &str, headers: &[&str], body: &str) -> Answer {
        self.request(&RequestSpec { method, target, host: None, headers, body })
    }

    fn request(&self, asked: &RequestSpec<'_>) -> Answer {
        let address = self.address();
        let RequestSpec { method, target, host, headers, body } = asked;
        let mut request =
            format!("{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", host.unwrap_or(&address));
        for header in *headers {
            request += &format!("{header}\r\n");
        }
        if !body.is_empty() {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        let answer = self.raw(format!("{request}\r\n{body}"));
        Answer::parse(&answer)
            .unwrap_or_else(|error| panic!("{method} {target}: {error}: {:?}", String::from_utf8_lossy(&answer)))
    }
}

/// A server that always answers so, and a proxy for it.
fn with_upstream(reply: impl Fn() -> Reply + Send + Sync + 'static, more: &[&str]) -> (Server, Proxy, Sandbox) {
    let (upstream, sandbox) = (Server::start(move |_| reply()), Sandbox::new());
    let proxy = Proxy::start(&sandbox, &[&["--host", &upstream.url()], more].concat());
    (upstream, proxy, sandbox)
}
