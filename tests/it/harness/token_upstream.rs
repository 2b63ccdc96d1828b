//! An upstream server that streams responses of `/api/chat` token by token and keeps account of what it generated, and a caller that reads
//! such a stream or leaves in the middle of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use super::DEADLINE;

/// How the server ends a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With the final message.
    Complete,
    /// It breaks the connection off after the final message.
    CutAfterCounts,
    /// It breaks the connection off without one.
    Cut,
    /// With an error message.
    Error,
    /// As a whole response, but without the final message.
    Missing,
}

/// What the server does with a request.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What it says of the prompt, in tokens.
    pub input: u64,
    /// What it generates, a message for each.
    pub output: u64,
    /// Messages that it writes at once, and the time between.
    pub burst: u64,
    /// See `burst`.
    pub pause: Duration,
    /// The end.
    pub ending: Ending,
}

/// What the server did.
#[derive(Clone, Debug)]
pub struct Served {
    /// The plan.
    pub plan: Plan,
    /// When the request was read.
    pub began: Instant,
    /// When it was over. `None` for the ending: the gateway left before.
    pub ended: Option<(Option<Ending>, Instant)>,
    /// The tokens that were generated.
    pub sent: u64,
}

impl Served {
    /// The tokens that the request has used, as the server would say.
    pub fn used(&self) -> u64 {
        self.plan.input + self.sent
    }
}

type Planner = dyn Fn(&Value) -> (u64, Plan) + Send + Sync;

#[derive(Default)]
struct State {
    served: HashMap<u64, Served>,
    /// When tokens were used.
    timeline: Vec<(Instant, u64)>,
}

/// See the module. It ends with the test's process.
pub struct TokenUpstream {
    url: String,
    state: Arc<Mutex<State>>,
}

impl TokenUpstream {
    /// With the number and the plan of each request. A number comes once.
    pub fn start(plan: impl Fn(&Value) -> (u64, Plan) + Send + Sync + 'static) -> Self {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (state, plan) = (Arc::<Mutex<State>>::default(), Arc::<Planner>::from(Box::new(plan) as Box<Planner>));
        let shared = state.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone(), plan.clone()));
            }
        });
        Self { url, state }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it did, by the number of the request.
    pub fn served(&self) -> HashMap<u64, Served> {
        self.state.lock().unwrap().served.clone()
    }

    /// How many requests are not over.
    pub fn running(&self) -> usize {
        self.state.lock().unwrap().served.values().filter(|served| served.ended.is_none()).count()
    }

    /// When tokens were used, in the order of time.
    pub fn timeline(&self) -> Vec<(Instant, u64)> {
        self.state.lock().unwrap().timeline.clone()
    }
}

/// One that a thread of its own drives.
pub fn runtime() -> Handle {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    handle
}

/// The same number for the same seed and place: 64 random bits.
pub fn random(seed: u64, place: u64) -> u64 {
    let mut bits = seed.wrapping_add(place.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A request: its path and its body.
async fn read_request(reader: &mut OwnedReadHalf, read: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let head = loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if reader.read_buf(read).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8_lossy(&read[..head]).into_owned();
    let length = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok();
    let length: usize = text.lines().find_map(length).unwrap_or(0);
    while read.len() < head + length {
        if reader.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
    let body = read[head..head + length].to_vec();
    read.drain(..head + length);
    Some((text.split(' ').nth(1)?.to_owned(), body))
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>, plan: Arc<Planner>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let (mut reader, mut writer) = stream.into_split();
    let mut read = Vec::new();
    while let Some((path, body)) = read_request(&mut reader, &mut read).await {
        if path != "/api/chat" {
            let body = r#"{"models":[],"version":"0.99.1"}"#;
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
            writer.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await.ok()?;
            continue;
        }
        let request: Value = serde_json::from_slice(&body).expect("a request of the test");
        let (number, plan) = plan(&request);
        let model = request["model"].as_str().unwrap();
        let began = Instant::now();
        {
            let mut state = state.lock().unwrap();
            let before = state.served.insert(number, Served { plan, began, ended: None, sent: 0 });
            assert!(before.is_none(), "request {number} came twice");
            state.timeline.push((began, plan.input));
        }
        let generated = |tokens| {
            let mut state = state.lock().unwrap();
            state.timeline.push((Instant::now(), tokens));
            state.served.get_mut(&number).unwrap().sent += tokens;
        };
        let end = generate(&mut reader, &mut writer, model, plan, &generated).await;
        state.lock().unwrap().served.get_mut(&number).unwrap().ended = Some((end, Instant::now()));
        if !matches!(end, Some(Ending::Complete | Ending::Error | Ending::Missing)) {
            return None;
        }
    }
    Some(())
}

/// One response; `None` if the gateway left.
async fn generate(
    reader: &mut OwnedReadHalf,
    writer: &mut (impl tokio::io::AsyncWrite + Unpin),
    model: &str,
    plan: Plan,
    generated: &impl Fn(u64),
) -> Option<Ending> {
    let begin = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
    writer.write_all(begin.as_bytes()).await.ok()?;
    let mut left = plan.output;
    while left > 0 {
        let burst = left.min(plan.burst);
        left -= burst;
        let line = format!(
            "{{\"model\":\"{model}\",\"message\":{{\"role\":\"assistant\",\"content\":\"word \"}},\"done\":false}}\n"
        );
        let lines = line.repeat(usize::try_from(burst).unwrap());
        // Before it is written: nothing can be counted that is not noted.
        generated(burst);
        writer.write_all(chunk(&lines).as_bytes()).await.ok()?;
        tokio::select! {
            () = sleep(plan.pause) => {}
            // The gateway sends nothing more on this connection, unless it leaves.
            _ = reader.readable() => if reader.try_read(&mut [0]).is_ok_and(|read| read == 0) { return None },
        }
    }
    let (input, output) = (plan.input, plan.output);
    let last = match plan.ending {
        Ending::Complete | Ending::CutAfterCounts => format!(
            "{{\"model\":\"{model}\",\"message\":{{\"role\":\"assistant\",\"content\":\"\"}},\"done\":true,\"done_reason\":\"stop\",\
             \"prompt_eval_count\":{input},\"eval_count\":{output}}}\n"
        ),
        Ending::Error => "{\"error\":\"out of memory\"}\n".to_owned(),
        Ending::Cut | Ending::Missing => String::new(),
    };
    if !last.is_empty() {
        writer.write_all(chunk(&last).as_bytes()).await.ok()?;
    }
    if !matches!(plan.ending, Ending::Cut | Ending::CutAfterCounts) {
        writer.write_all(b"0\r\n\r\n").await.ok()?;
    }
    Some(plan.ending)
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// What a caller got.
#[derive(Clone, Debug)]
pub struct Received {
    /// The status.
    pub status: u16,
    /// Messages of the response.
    pub messages: u64,
    /// The beginning of the response, with its header.
    pub begin: Vec<u8>,
}

/// Sends a request of `/api/chat` and reads the response to its end, or leaves once as many messages came. `None` if there was no status.
pub async fn chat(address: &str, key: &str, body: &str, leave_after: Option<u64>) -> Option<Received> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let head = format!("POST /api/chat HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{key}\r\n");
    let request = format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.ok()?;
    let (mut begin, mut messages, mut last) = (Vec::new(), 0, 0);
    let mut piece = vec![0; 8192];
    while leave_after.is_none_or(|count| messages < count) {
        let read = timeout(DEADLINE, stream.read(&mut piece)).await.expect("more of a response, or its end");
        let Ok(count @ 1..) = read else { break };
        for byte in &piece[..count] {
            messages += u64::from(*byte == b'\n' && last == b'}');
            last = *byte;
        }
        if begin.len() < 4096 {
            begin.extend_from_slice(&piece[..count]);
        }
    }
    let status = std::str::from_utf8(begin.get(9..12)?).ok()?.parse().ok()?;
    Some(Received { status, messages, begin })
}
