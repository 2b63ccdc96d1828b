//! One budget, many clients, three gateways: how much is used beyond it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::http::{Gate, Reply, Request, Server, Step};
use crate::harness::postgres::Postgres;
use crate::harness::token_upstream::{Ending, Plan, Received, TokenUpstream, chat, random, runtime};
use crate::harness::{DEADLINE, poll};

const SEED: u64 = 1964;
const CLIENTS: u64 = 64;
/// Tokens of a response at most, and of a prompt as the server says and as it is estimated.
const OUTPUT: u64 = 200;
const INPUT: u64 = 20;
const PROMPT: &str = "a prompt of seventy-six bytes, that is with its role a text of eighty bytes.";
/// What gateways do not know of each other.
const LAG: Duration = Duration::from_secs(2);
/// All clients are refused for so long in the end.
const CALM: Duration = Duration::from_secs(3);

/// How a run is.
#[derive(Clone, Copy, Debug)]
struct Run {
    limit: u64,
    cuts: bool,
    /// Tokens of a response at least.
    shortest: u64,
    burst: u64,
    pause: Duration,
}

impl Run {
    /// What the server does with a request, and when its caller leaves.
    fn plan(self, request: u64) -> (Plan, Option<u64>) {
        let random = |what: u64, range: u64| random(SEED, request * 8 + what) % range;
        let output = self.shortest + random(0, OUTPUT + 1 - self.shortest);
        let (ending, leaves) = match random(1, 10) {
            0 | 1 => (Ending::Cut, None),
            2 | 3 => (Ending::Complete, Some(1 + random(2, output))),
            _ => (Ending::Complete, None),
        };
        // Some that break off do so early.
        let output = if ending == Ending::Cut { 1 + random(3, output) } else { output };
        (Plan { input: INPUT, output, burst: self.burst, pause: self.pause, ending }, leaves)
    }

    /// Lets all clients ask until none is accepted any more; returns what was used, and of that what was in the time after the budget was
    /// used up.
    #[allow(clippy::print_stderr, reason = "figures for who runs it by hand")]
    fn use_up(self) -> (u64, u64) {
        let upstream = TokenUpstream::start(move |request: &Value| {
            let request = request["options"]["seed"].as_u64().unwrap();
            (request, self.plan(request).0)
        });
        let (server, folder) = (Postgres::start(), Sandbox::new());
        let database = server.database();
        let cuts = if self.cuts { "on-exceed = \"cut\"\n" } else { "" };
        let tables = format!("[roles.member.limits]\ntokens-per-day = {}\n{cuts}", self.limit);
        let file = folder.write("gateway.toml", tables);
        let start = || Gateway::start_on(&database, upstream.url(), &["--config", file.to_str().unwrap()]);
        let gateways = [start(), start(), start()];
        gateways[0].add_user("ada", "member");
        let key = gateways[0].key(&gateways[0].device_added_to("ada"), &["k"]);
        let key = format!("Authorization: Bearer {key}");
        for gateway in &gateways {
            poll("the key", || (gateway.ask("POST", "/api/me", &[&key], "").status == 200).then_some(()));
        }
        let shared = Arc::new(Shared {
            run: self,
            addresses: gateways.each_ref().map(Gateway::address),
            key,
            next: AtomicU64::new(0),
            accepted: Mutex::new(Instant::now()),
            is_over: AtomicBool::new(false),
        });
        let (runtime, mut tasks) = (runtime(), JoinSet::new());
        for client in 0..CLIENTS {
            tasks.spawn_on(ask(shared.clone(), client), &runtime);
        }
        let end = Instant::now() + DEADLINE;
        while upstream.running() > 0 || shared.accepted.lock().unwrap().elapsed() < CALM {
            assert!(Instant::now() < end, "requests are still accepted");
            std::thread::sleep(Duration::from_millis(50));
        }
        shared.is_over.store(true, Ordering::Relaxed);
        runtime.block_on(async {
            while let Some(ended) = tasks.join_next().await {
                ended.expect("a client that ends");
            }
        });
        poll("the end of all requests", || (upstream.running() == 0).then_some(()));

        let used: u64 = upstream.served().values().map(|served| served.used()).sum();
        let timeline = upstream.timeline();
        let mut sum = 0;
        let crossed = timeline.iter().find(|(_, tokens)| {
            sum += tokens;
            sum >= self.limit
        });
        let (crossed, _) = crossed.expect("a budget that is used up");
        let lag = timeline.iter().filter(|(at, _)| at >= crossed && *at <= *crossed + LAG);
        let lag: u64 = lag.map(|(_, tokens)| tokens).sum();
        let last = timeline.last().unwrap().0;
        eprintln!(
            "{self:?}: {used} tokens used in {} requests, {} beyond the limit; {lag} in the 2 s after it was reached; the last {:?} after",
            upstream.served().len(),
            used - self.limit,
            last - *crossed,
        );
        (used, lag)
    }
}

struct Shared {
    run: Run,
    addresses: [String; 3],
    key: String,
    next: AtomicU64,
    /// When a request that was accepted has ended last.
    accepted: Mutex<Instant>,
    is_over: AtomicBool,
}

/// One client, which asks each gateway in turn.
async fn ask(shared: Arc<Shared>, client: u64) {
    for number in client.. {
        if shared.is_over.load(Ordering::Relaxed) {
            return;
        }
        let request = shared.next.fetch_add(1, Ordering::Relaxed);
        let (plan, leaves) = shared.run.plan(request);
        let body = json!({
            "model": "tiny", "messages": [{ "role": "user", "content": PROMPT }],
            "options": { "seed": request, "num_predict": plan.output },
        });
        let address = &shared.addresses[usize::try_from(number % 3).unwrap()];
        let received = chat(address, &shared.key, &body.to_string(), leaves).await;
        let Received { status, begin, .. } = received.expect("a gateway that answers");
        match status {
            200 => *shared.accepted.lock().unwrap() = Instant::now(),
            429 => {
                let text = String::from_utf8_lossy(&begin);
                assert!(text.contains("\"code\":\"budget\"") || text.contains("tokens per day"), "{text}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            _ => panic!("{}", String::from_utf8_lossy(&begin)),
        }
    }
}

#[test]
fn many_clients_of_three_gateways_use_little_more_than_one_budget() {
    let run = Run { limit: 60_000, cuts: false, shortest: 1, burst: 4, pause: Duration::from_millis(20) };
    let (used, lag) = run.use_up();
    assert!(used <= run.limit + CLIENTS * (INPUT + OUTPUT) + lag, "{used} of {}, {lag}", run.limit);
}

#[test]
fn with_cut_they_use_what_is_generated_until_all_gateways_know() {
    let run = Run { limit: 60_000, cuts: true, shortest: 1, burst: 4, pause: Duration::from_millis(20) };
    let (used, lag) = run.use_up();
    assert!(used <= run.limit + lag + CLIENTS * run.burst, "{used} of {}, {lag}", run.limit);
}

/// No stream has ended when the budget is used up: each gateway has to know what streams at the others have used so far.
#[test]
fn with_cut_streams_that_last_long_are_cut_in_time_too() {
    let run = Run { limit: 5_000, cuts: true, shortest: 180, burst: 1, pause: Duration::from_millis(100) };
    let (used, lag) = run.use_up();
    assert!(used <= run.limit + lag + CLIENTS, "{used} of {}, {lag}", run.limit);
}

/// What a request may use at most is not set aside for it.
#[test]
fn a_request_that_may_use_very_much_delays_and_refuses_no_other() {
    let gate = Gate::new();
    let held = gate.clone();
    let server =
        Server::start(move |request: &Request| match (request.path(), request.text().contains("1000000000")) {
            (_, false) => super::hundred(request),
            ("/api/chat", true) => Reply::ndjson([
                Step::send(super::token("a")),
                Step::WaitFor(held.clone()),
                Step::send(super::done(1, 1)),
            ]),
            _ => Reply::script(
                200,
                [
                    Step::send(
                        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\n",
                    ),
                    Step::WaitFor(held.clone()),
                    Step::send("data: [DONE]\n\n"),
                ],
            )
            .header("content-type", "text/event-stream"),
        });
    let (database, folder) = (Postgres::shared().database(), Sandbox::new());
    let file = folder
        .write("gateway.toml", "[limits]\ntokens-per-day = 2100\n[roles.member.limits]\ntokens-per-hour = 2100\n");
    let start = || Gateway::start_on(&database, &server.url(), &["--config", file.to_str().unwrap()]);
    let gateways = [start(), start()];
    gateways[0].add_user("ada", "member");
    let key = gateways[0].key(&gateways[0].device_added_to("ada"), &["k"]);
    let key = &format!("Authorization: Bearer {key}");
    for gateway in &gateways {
        poll("the key", || (gateway.ask("POST", "/api/me", &[key], "").status == 200).then_some(()));
    }
    let greedy = [
        ("/api/chat", r#"{"model":"tiny","messages":[],"options":{"num_predict":1000000000}}"#),
        ("/v1/chat/completions", r#"{"model":"tiny","messages":[],"stream":true,"max_tokens":1000000000}"#),
    ];
    let ask = |gateway: &Gateway, path: &str, body: &str| -> Answer { gateway.ask("POST", path, &[key], body) };
    std::thread::scope(|scope| {
        let under_way: Vec<_> = gateways
            .iter()
            .flat_map(|gateway| greedy.map(|(path, body)| scope.spawn(move || ask(gateway, path, body).status)))
            .collect();
        poll("the requests that may use much", || (server.requests().len() == under_way.len()).then_some(()));
        // They take as long as without the others, which are not over before they are.
        for number in 0..20 {
            let (path, _) = greedy[number % 2];
            assert_eq!(ask(&gateways[number % 2], path, super::CHAT).status, 200, "request {number}");
        }
        assert!(under_way.iter().all(|request| !request.is_finished()));
        gate.open();
        for request in under_way {
            assert_eq!(request.join().unwrap(), 200);
        }
    });
}
