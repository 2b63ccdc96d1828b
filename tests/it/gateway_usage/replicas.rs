//! Three gateways on one PostgreSQL under many streams, while one after the other is killed: what they recorded is what the upstream server
//! counted, for each request, and no request is counted twice.
//!
//! `USAGE_STREAMS` and `USAGE_SECONDS` say how many at a time and for how long; `.ci/weekly` sets them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::number;
use crate::harness::gateway::Gateway;
use crate::harness::poll;
use crate::harness::postgres::Postgres;
use crate::harness::token_upstream::{Ending, Plan, Received, Served, TokenUpstream, chat, random, runtime};

const SEED: u64 = 19;
/// Between two kills, and how long a gateway is away.
const BETWEEN: Duration = Duration::from_secs(8);
const AWAY: Duration = Duration::from_millis(500);
/// What ended so long before a kill is recorded.
const WRITTEN_WITHIN: Duration = Duration::from_secs(2);
/// A prompt, and what it is estimated at together with its role.
const PROMPT: &str = "a prompt of forty-four bytes, for estimating";
const ESTIMATE: u64 = 13;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text:?}")))
}

/// What becomes of a request, by its number: the same for the server and the caller. The second is when the caller leaves.
fn plan(request: u64, slow: u32) -> (Plan, Option<u64>) {
    let random = |what: u64, range: u64| random(SEED, request * 8 + what) % range;
    let output = 1 + random(0, 60);
    let (ending, leaves) = match random(1, 20) {
        0..4 => (Ending::Cut, None),
        4 => (Ending::CutAfterCounts, None),
        5 => (Ending::Error, None),
        6 => (Ending::Missing, None),
        7..11 => (Ending::Complete, Some(1 + random(2, output))),
        _ => (Ending::Complete, None),
    };
    let pause = Duration::from_millis(50 + random(3, 350)) * slow;
    (Plan { input: 1 + random(4, 5000), output, burst: 1 + random(5, 3), pause, ending }, leaves)
}

/// What the caller knows of a request.
#[derive(Clone, Debug)]
struct Asked {
    gateway: usize,
    received: Option<Received>,
    ended: Instant,
}

struct Kill {
    gateway: usize,
    before: Instant,
    after: Instant,
}

struct Shared {
    addresses: Vec<String>,
    key: String,
    slow: u32,
    next: AtomicU64,
    asked: Mutex<HashMap<u64, Asked>>,
    is_over: AtomicBool,
}

/// One stream after the other.
async fn work(shared: Arc<Shared>) {
    while !shared.is_over.load(Ordering::Relaxed) {
        let request = shared.next.fetch_add(1, Ordering::Relaxed);
        let (gateway, (_, leaves)) = (usize::try_from(request % 3).unwrap(), plan(request, shared.slow));
        let body =
            json!({ "model": format!("m{request}"), "messages": [{ "role": "user", "content": PROMPT }] }).to_string();
        let received = chat(&shared.addresses[gateway], &shared.key, &body, leaves).await;
        let is_lost = received.is_none();
        if let Some(Received { status, begin, .. }) = &received {
            assert_eq!(*status, 200, "{}", String::from_utf8_lossy(begin));
        }
        shared.asked.lock().unwrap().insert(request, Asked { gateway, received, ended: Instant::now() });
        if is_lost {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A row of the table.
#[derive(Clone, Debug)]
struct Record {
    status: String,
    input: u64,
    output: u64,
    is_estimate: bool,
}

/// All rows, by the number of the request.
fn records(server: &Postgres, database: &str) -> HashMap<u64, Vec<Record>> {
    let rows = server.sql(
        database,
        "SELECT model, status, input, output, is_estimate FROM usage_records JOIN usage_series ON number = series",
    );
    let mut records = HashMap::<u64, Vec<Record>>::new();
    for row in rows.lines() {
        let columns: Vec<&str> = row.split('|').collect();
        let [model, status, input, output, is_estimate] = columns[..] else { panic!("{row}") };
        let request = model.strip_prefix('m').and_then(|rest| rest.strip_suffix(":latest")?.parse().ok());
        let request = request.unwrap_or_else(|| panic!("{row}"));
        let (input, output) = (input.parse().unwrap(), output.parse().unwrap());
        let record = Record { status: status.to_owned(), input, output, is_estimate: is_estimate == "t" };
        records.entry(request).or_default().push(record);
    }
    records
}

/// Whether the record is what the server counted, and the caller saw.
fn is_right(record: &Record, served: &Served, asked: &Asked, leaves: bool) -> bool {
    let Record { status, input, output, is_estimate } = record;
    let (plan, ended) = (served.plan, served.ended.map(|(ended, _)| ended));
    let exact = (*input, *output, *is_estimate) == (plan.input, plan.output, false);
    let of_messages = (*input, *output, *is_estimate) == (ESTIMATE, served.sent, true);
    let received = asked.received.as_ref().map_or(0, |received| received.messages);
    let left_early = *input == ESTIMATE && *is_estimate && (received..=served.sent).contains(output);
    match ended.flatten() {
        // The final message may have come before the caller had left.
        Some(Ending::Complete) if leaves => status == "complete" && exact || status == "cancelled" && left_early,
        Some(Ending::Complete | Ending::CutAfterCounts) => status == "complete" && exact,
        Some(Ending::Cut) => status == "cut" && of_messages,
        Some(Ending::Error | Ending::Missing) => status == "failed" && of_messages,
        None => leaves && status == "cancelled" && left_early,
    }
}

/// The sums of rows of `gateway usage`, or of the table.
type Sums = [u64; 8];
const SUMS: [&str; 8] =
    ["requests", "input_tokens", "output_tokens", "estimated_tokens", "failed", "cut_off", "cancelled", "bytes"];

fn shown(gateway: &Gateway, by: &str) -> Vec<(String, Sums)> {
    let rows = gateway.admin(&["usage", "--json", "--since", "2d", "--by", by]).expect_code(0).json();
    let period =
        |row: &Value| row.get(if by == "hour" { "hour" } else { "date" }).map(|time| time.as_str().unwrap().to_owned());
    let rows = rows["usage"].as_array().unwrap().clone();
    rows.iter().map(|row| (period(row).unwrap_or_default(), SUMS.map(|name| number(row, name)))).collect()
}

/// The same of single records: `period` is a term of SQL.
fn recorded(server: &Postgres, database: &str, period: &str) -> Vec<(String, Sums)> {
    let rows = server.sql(
        database,
        &format!(
            "SELECT {period} AS period, count(*), sum(input), sum(output), sum(CASE WHEN is_estimate THEN input + output ELSE 0 END), \
             count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'cut'), \
             count(*) FILTER (WHERE status = 'cancelled'), sum(bytes) FROM usage_records GROUP BY period ORDER BY period"
        ),
    );
    let sums = |row: &str| {
        let (period, rest) = row.split_once('|').unwrap();
        let mut columns = rest.split('|').map(|column| column.parse().unwrap());
        (period.to_owned(), SUMS.map(|_| columns.next().unwrap()))
    };
    rows.lines().map(sums).collect()
}

/// Series whose totals are not the sums of their records.
fn wrong_series(server: &Postgres, database: &str, table: &str, is_everybody: bool) -> String {
    let (what, series) = match is_everybody {
        true => ("(account = '')", "model"),
        false => ("(account <> '')", "number::text"),
    };
    let sums = "sum(input) AS input, sum(output) AS output, sum(bytes) AS bytes";
    server.sql(
        database,
        &format!(
            "SELECT count(*) FROM (SELECT {series} AS name, count(*) AS requests, {sums} FROM usage_records \
             JOIN usage_series ON number = series GROUP BY name) AS r FULL JOIN (SELECT {series} AS name, sum(requests) AS requests, \
             {sums} FROM {table} JOIN usage_series ON number = series WHERE {what} GROUP BY name) AS t USING (name) \
             WHERE (r.requests, r.input, r.output, r.bytes) IS DISTINCT FROM (t.requests, t.input, t.output, t.bytes)"
        ),
    )
}

#[test]
#[allow(clippy::print_stderr, reason = "figures for who runs it by hand")]
fn each_request_is_recorded_once_as_the_upstream_server_counted_it_although_gateways_are_killed() {
    let (streams, time) = (setting("USAGE_STREAMS", 500), Duration::from_secs(setting("USAGE_SECONDS", 20)));
    // Each stream is four connections, of two of which the test has one end.
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(maximum.unwrap_or(1 << 20)), maximum }).unwrap();
    let slow = u32::try_from(streams.div_ceil(500)).unwrap();
    let upstream = TokenUpstream::start(move |request: &Value| {
        let request = request["model"].as_str().unwrap()[1..].parse().unwrap();
        (request, plan(request, slow).0)
    });
    let server = Postgres::start();
    let database = server.database();
    // Each has a loopback address of its own, so that no other process takes its port while it is down.
    let place = std::process::id().to_be_bytes();
    let start = |number: u8| {
        let listen = format!("127.{}.{}.{}:0", 140 + 10 * number + (place[1] & 7), place[2], place[3].max(1));
        Gateway::start_replica(&database, upstream.url(), &listen, &[])
    };
    let mut gateways: Vec<Gateway> = (0..3).map(start).collect();
    gateways[0].add_user("ada", "member");
    let key = gateways[0].key(&gateways[0].device_added_to("ada"), &["k"]);
    let key = format!("Authorization: Bearer {key}");
    for gateway in &gateways {
        poll("the key", || (gateway.ask("POST", "/api/me", &[&key], "").status == 200).then_some(()));
    }
    let shared = Arc::new(Shared {
        addresses: gateways.iter().map(Gateway::address).collect(),
        key,
        slow,
        next: AtomicU64::new(0),
        asked: Mutex::default(),
        is_over: AtomicBool::new(false),
    });
    let (runtime, mut tasks) = (runtime(), JoinSet::new());
    for _ in 0..streams {
        tasks.spawn_on(work(shared.clone()), &runtime);
    }
    let (end, mut kills) = (Instant::now() + time, Vec::new());
    while kills.is_empty() || Instant::now() + BETWEEN < end {
        std::thread::sleep(BETWEEN);
        let gateway = kills.len() % 3;
        let before = Instant::now();
        gateways[gateway].end(Signal::KILL);
        kills.push(Kill { gateway, before, after: Instant::now() });
        std::thread::sleep(AWAY);
        gateways[gateway].restart();
    }
    std::thread::sleep(end.saturating_duration_since(Instant::now()));
    shared.is_over.store(true, Ordering::Relaxed);
    runtime.block_on(async {
        while let Some(ended) = tasks.join_next().await {
            ended.expect("a stream that ends");
        }
    });
    poll("the end of all requests at the upstream server", || (upstream.running() == 0).then_some(()));

    let (served, asked) = (upstream.served(), shared.asked.lock().unwrap().clone());
    let end_of = |request: &u64| served[request].ended.unwrap().1.max(asked[request].ended);
    let is_exempt = |request: &u64| {
        kills.iter().any(|kill| {
            let is_there = kill.gateway == asked[request].gateway;
            is_there && served[request].began <= kill.after && end_of(request) + WRITTEN_WITHIN >= kill.before
        })
    };
    let (exempt, due): (Vec<u64>, Vec<u64>) = served.keys().copied().partition(is_exempt);
    poll("a record of each request", || {
        let found = records(&server, &database);
        due.iter().all(|request| found.contains_key(request)).then_some(())
    });
    // What waits at the end is written, too.
    for gateway in &mut gateways {
        gateway.end(Signal::TERM).expect_code(0);
    }
    let found = records(&server, &database);
    let mut counts = HashMap::<&str, u64>::new();
    for (request, records) in &found {
        let [record] = &records[..] else { panic!("request {request} was counted twice: {records:?}") };
        let served = served.get(request).unwrap_or_else(|| panic!("request {request} was never made: {record:?}"));
        let (asked, leaves) = (&asked[request], plan(*request, slow).1.is_some());
        assert!(is_right(record, served, asked, leaves), "request {request}: {record:?} {served:?} {asked:?}");
        *counts.entry(&record.status).or_default() += 1;
    }
    for period in ["hour", "day"] {
        let term = match period {
            "hour" => "to_char(to_timestamp(ended_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:00:00\"Z\"')",
            _ => "to_char(to_timestamp(ended_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
        };
        assert_eq!(shown(&gateways[0], period), recorded(&server, &database, term), "by {period}");
    }
    for by in ["person", "key"] {
        assert_eq!(shown(&gateways[0], by), recorded(&server, &database, "''"), "by {by}");
    }
    for table in ["usage_hours", "usage_days"] {
        for is_everybody in [true, false] {
            assert_eq!(wrong_series(&server, &database, table, is_everybody), "0", "{table}");
        }
    }
    let kept = exempt.iter().filter(|request| found.contains_key(request)).count();
    eprintln!(
        "{streams} streams at a time, {} requests, {} kills; recorded: {counts:?}; within 2 s of a kill: {}, of which {kept} are recorded",
        served.len(),
        kills.len(),
        exempt.len(),
    );
    // With 2,000 streams about half are within 2 s of a kill.
    assert!(
        2 * due.len() > exempt.len()
            && ["complete", "cut", "cancelled", "failed"].iter().all(|status| counts[status] > 5)
    );
}
