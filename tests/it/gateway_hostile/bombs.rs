//! Small requests that are expensive to read. They take little memory, and others do not wait for them.

use std::sync::mpsc::Receiver;
use std::thread;

use sha2::{Digest as _, Sha256};

use super::body::zstd;
use super::*;

/// The most that a block of zstd holds, in bytes.
const BLOCK: usize = 128 * 1024;
const MIB: usize = 1 << 20;

fn block(kind: usize, size: usize, content: &[u8], is_last: bool) -> Vec<u8> {
    let header = usize::from(is_last) | kind << 1 | size << 3;
    [&header.to_le_bytes()[..3], content].concat()
}

fn raw(content: &[u8], is_last: bool) -> Vec<u8> {
    block(0, content.len(), content, is_last)
}

/// So many blocks that are full of one byte, in four bytes each.
fn run(byte: u8, blocks: usize) -> Vec<u8> {
    block(1, BLOCK, &[byte], false).repeat(blocks)
}

/// The same of a text that repeats itself: one sequence in each block, with tables of a single symbol (RFC 8878).
fn repeated(text: &[u8], blocks: usize) -> Vec<u8> {
    let offset = text.len() + 3;
    let code = offset.ilog2() as usize;
    let blocks = (0..blocks).map(|at| {
        let literals = if at == 0 { text } else { b"" };
        let match_length = BLOCK - literals.len() - 65_539;
        let bits = (1_usize << code | (offset - (1 << code))) << 16 | match_length;
        let bytes = (bits.ilog2() / 8 + 1) as usize;
        let tables = [1, 0x54, literals.len(), code, 52].map(|byte| u8::try_from(byte).unwrap());
        let literals = [&[u8::try_from(literals.len() << 3).unwrap()], literals].concat();
        let content = [&literals[..], &tables, &bits.to_le_bytes()[..bytes]].concat();
        block(2, content.len(), &content, false)
    });
    blocks.flatten().collect()
}

/// With a window of 2 MiB.
fn frame(blocks: &[&[u8]]) -> Vec<u8> {
    [b"\x28\xb5\x2f\xfd\x00\x58", blocks.concat().as_slice()].concat()
}

fn form_field(name: &str, content: &str) -> String {
    format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
}

const FORM: &str = "Content-Type: multipart/form-data; boundary=X\r\n";
const PACKED: &str = "Content-Encoding: zstd\r\n";

/// The bytes of a request.
fn request(gateway: &Gateway, key: &str, path: &str, lines: &str, body: &[u8]) -> Vec<u8> {
    let (host, key, length) = (gateway.address(), bearer(key), body.len());
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{key}\r\n{lines}Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn send(gateway: &Gateway, key: &str, path: &str, lines: &str, body: &[u8]) -> Answer {
    Answer::parse(&gateway.raw(request(gateway, key, path, lines, body))).unwrap()
}

/// The most memory that the gateway had so far, in bytes.
fn peak(gateway: &Gateway) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.child().pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")).unwrap();
    peak.parse::<usize>().unwrap() << 10
}

fn limited_key(gateway: &Gateway, name: &str) -> String {
    gateway.add_user(name, "member");
    let scopes = "--scope=inference,models:read";
    gateway.key(&gateway.device_of(name), &["limited", scopes, "--model", "tiny"])
}

/// 18 requests under 2 KB of each shape, six at a time, and the same content without compression.
#[test]
fn small_requests_take_little_memory_however_long_they_become() {
    let upstream = Server::start(|_| Reply::json(200, "{}"));
    let gateway = Gateway::start(&upstream.url());
    let key = limited_key(&gateway, "ada");
    assert_eq!(send(&gateway, &key, "/api/generate", "", br#"{"model":"tiny"}"#).status, 200);

    let start = br#"{"model":"tiny","#;
    let members = frame(&[&raw(start, false), &repeated(br#""":0,"#, 127), &raw(br#""":0}"#, true)]);
    let nesting = frame(&[&raw(&[start, &br#""a":"#[..]].concat(), false), &run(b'[', 127), &raw(b"0", true)]);
    let fields = form_field("model", "tiny") + &form_field("file", "");
    let fields = fields.trim_end().to_owned() + "\r\n\r\n";
    let form = frame(&[&raw(fields.as_bytes(), false), &run(0, 440), &raw(b"\r\n--X--\r\n", true)]);
    let shapes = [
        ("/api/generate", PACKED.to_owned(), members),
        ("/api/generate", PACKED.to_owned(), nesting),
        ("/v1/audio/transcriptions", format!("{PACKED}{FORM}"), form),
    ];
    let before = peak(&gateway);
    for (path, lines, body) in &shapes {
        assert!(body.len() < 2048, "{path}: {} bytes", body.len());
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for _ in 0..3 {
                        let answer = send(&gateway, &key, path, lines, body);
                        assert_eq!(answer.status, 413, "{}", answer.text());
                        assert!(answer.text().contains("more than 100 times"), "{}", answer.text());
                    }
                });
            }
        });
    }
    // What unpacks to no more than a MiB is read.
    let many = frame(&[&raw(start, false), &repeated(br#""":0,"#, 7), &raw(br#""":0}"#, true)]);
    let deep = frame(&[&raw(&[start, &br#""a":"#[..]].concat(), false), &run(b'[', 7), &raw(b"0", true)]);
    for (body, words) in [(many, "more than 1000 members"), (deep, "more than 1000 levels")] {
        let answer = send(&gateway, &key, "/api/generate", PACKED, &body);
        assert!(answer.status == 400 && answer.text().contains(words), "{}", answer.text());
    }
    let grown = peak(&gateway).saturating_sub(before);
    assert!(grown < 64 * MIB, "{grown} bytes");
    assert_eq!(upstream.seen(), ["POST /api/generate"]);
}

/// On one thread: eight requests of another account, one after the other, are over before three bodies are scanned.
#[test]
fn others_are_served_while_bodies_are_scanned() {
    let upstream = Server::start(|_| Reply::json(200, "{}"));
    let gateway = Gateway::start_with(&upstream.url(), &["--set", "threads=1"]);
    let (ada, bob) = (limited_key(&gateway, "ada"), limited_key(&gateway, "bob"));
    // 12 MiB of numbers, after 130 KiB that cannot be packed.
    let noise: String =
        (0..130 * 1024_u32).map(|n| char::from(b'a' + (n.wrapping_mul(2_654_435_761) >> 24) as u8 % 26)).collect();
    let (head, tail) = noise.split_at(BLOCK);
    let blocks = [raw(br#"{"model":"tiny","a":[""#, false), raw(head.as_bytes(), false), raw(tail.as_bytes(), false)];
    let numbers = [raw(br#"","#, false), repeated(b"0,", 96), raw(b"0]}", true)].concat();
    let heavy = frame(&[&blocks.concat(), &numbers]);
    let heavy = request(&gateway, &ada, "/api/generate", PACKED, &heavy);

    let mut scanned: Vec<TcpStream> = (0..3)
        .map(|_| {
            let mut stream = TcpStream::connect(gateway.address()).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            stream.write_all(&heavy).unwrap();
            stream
        })
        .collect();
    for _ in 0..8 {
        assert_eq!(send(&gateway, &bob, "/api/chat", "", br#"{"model":"tiny"}"#).status, 200);
    }
    for stream in &mut scanned {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(Answer::parse(&answer).unwrap().status, 200);
    }
    let seen = upstream.seen();
    assert!(seen.len() == 11 && seen[10] == "POST /api/generate", "{seen:?}");
    let length = br#"{"model":"tiny","a":["",0]}"#.len() + noise.len() + 96 * BLOCK;
    assert_eq!(upstream.requests()[10].body.len(), length);
}

/// So many connections on which these bytes are sent, and what comes back.
fn hold(gateway: &Gateway, bytes: &[u8], connections: usize) -> (Vec<TcpStream>, Receiver<Result<Answer, String>>) {
    let (refused, answers) = std::sync::mpsc::channel();
    let connect = |_| {
        let mut stream = TcpStream::connect(gateway.address()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        // It may be refused before all is written.
        let _ = stream.write_all(bytes);
        let (mut reader, refused) = (stream.try_clone().unwrap(), refused.clone());
        thread::spawn(move || {
            let mut answer = Vec::new();
            let _ = reader.read_to_end(&mut answer);
            let _ = refused.send(Answer::parse(&answer));
        });
        stream
    };
    ((0..connections).map(connect).collect(), answers)
}

/// Four accounts fill the memory together. A fifth one still gets some, 6 MiB.
#[test]
fn accounts_that_fill_the_scan_memory_leave_some_to_others() {
    let upstream = Server::start(|_| Reply::json(200, "{}"));
    let settings = ["--set", "max-scanned-body=1MiB", "--set", "scan-memory=100MiB"];
    let gateway = Gateway::start_with(&upstream.url(), &settings);
    let body = format!(r#"{{"model":"tiny","a":"{}"}}"#, "x".repeat(MIB - 100));
    let held: Vec<_> = ["ada", "bob", "cat", "dan"]
        .iter()
        .map(|name| {
            let bytes = request(&gateway, &limited_key(&gateway, name), "/api/generate", "", body.as_bytes());
            let held = hold(&gateway, &bytes[..bytes.len() - 1], 30);
            // Until it gets no more.
            assert_eq!(held.1.recv_timeout(DEADLINE).unwrap().unwrap().status, 503);
            held
        })
        .collect();
    let bytes = request(&gateway, &limited_key(&gateway, "eve"), "/api/generate", "", body.as_bytes());
    let (all_but_one, last) = bytes.split_at(bytes.len() - 1);
    let (streams, answers) = hold(&gateway, all_but_one, 2);
    for mut stream in streams {
        let _ = stream.write_all(last);
    }
    for _ in 0..2 {
        let answer = answers.recv_timeout(DEADLINE).unwrap().unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    drop(held);
}

/// A signed body is held back until its digest is checked.
#[test]
fn signed_bodies_that_are_held_back_count_as_scan_memory() {
    let upstream = Server::start(|_| Reply::json(200, "{}"));
    // At least 22 MiB for each account.
    let settings = ["--set", "max-scanned-body=1MiB", "--set", "scan-memory=1MiB"];
    let gateway = Gateway::start_with(&upstream.url(), &settings);
    let [ada, bob] = ["ada", "bob"].map(|name| {
        gateway.add_user(name, "member");
        gateway.key(&gateway.device_of(name), &["own"])
    });
    let target = |body: &str| {
        let digest = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("/api/generate?body-sha256={digest}")
    };
    let body = format!(r#"{{"model":"tiny","a":"{}"}}"#, "x".repeat(MIB - 100));
    let bytes = request(&gateway, &ada, &target(&body), "", body.as_bytes());
    let (all_but_one, last) = bytes.split_at(bytes.len() - 1);
    let (streams, answers) = hold(&gateway, all_but_one, 40);
    let answer = answers.recv_timeout(DEADLINE).unwrap().unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")), "{}", answer.text());
    assert!(answer.text().contains("scan-memory"), "{}", answer.text());
    assert_eq!(send(&gateway, &bob, &target(&body), "", body.as_bytes()).status, 200);
    // What is complete is forwarded, and its memory is free again.
    for mut stream in streams {
        let _ = stream.write_all(last);
    }
    let rest: Vec<u16> = (1..40).filter_map(|_| Some(answers.recv_timeout(DEADLINE).unwrap().ok()?.status)).collect();
    assert!(rest.iter().all(|status| [200, 503].contains(status)), "{rest:?}");
    assert!(rest.iter().filter(|status| **status == 200).count() >= 10, "{rest:?}");
    for _ in 0..3 {
        assert_eq!(send(&gateway, &ada, &target(&body), "", body.as_bytes()).status, 200);
    }
}

/// An account fills its share of the memory with bodies that are not yet complete. Then it is refused; other accounts are not.
#[test]
fn bodies_beyond_the_scan_memory_are_refused() {
    let upstream = Server::start(|_| Reply::json(200, "{}"));
    // A quarter is more than twice the body and 20 MiB.
    let settings = ["--set", "max-scanned-body=1MiB", "--set", "scan-memory=100MiB"];
    let gateway = Gateway::start_with(&upstream.url(), &settings);
    let (ada, bob) = (limited_key(&gateway, "ada"), limited_key(&gateway, "bob"));
    let body = format!(r#"{{"model":"tiny","a":"{}"}}"#, "x".repeat(MIB - 100));
    let bytes = request(&gateway, &ada, "/api/generate", "", body.as_bytes());
    let (all_but_one, last) = bytes.split_at(bytes.len() - 1);
    let small = br#"{"model":"tiny"}"#;

    let (streams, answers) = hold(&gateway, all_but_one, 40);
    // 40 MiB do not fit into a share of 25.
    let answer = answers.recv_timeout(DEADLINE).unwrap().unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")), "{}", answer.text());
    assert!(answer.text().contains("scan-memory"), "{}", answer.text());
    assert_eq!(send(&gateway, &bob, "/api/generate", "", body.as_bytes()).status, 200);

    // What is complete is forwarded, and its memory is free again.
    for mut stream in streams {
        let _ = stream.write_all(last);
    }
    let rest: Vec<u16> = (1..40).filter_map(|_| Some(answers.recv_timeout(DEADLINE).unwrap().ok()?.status)).collect();
    assert!(rest.iter().all(|status| [200, 503].contains(status)), "{rest:?}");
    assert!(rest.iter().filter(|status| **status == 200).count() >= 10, "{rest:?}");
    for _ in 0..3 {
        assert_eq!(send(&gateway, &ada, "/api/generate", "", body.as_bytes()).status, 200);
    }
    assert_eq!(send(&gateway, &ada, "/api/generate", PACKED, &zstd(small)).status, 200);
}

/// A recording streams through. Only what precedes the model is held, up to `max-scanned-body`.
#[test]
fn long_forms_are_not_held_in_memory() {
    let upstream = Server::start(|_| Reply::json(200, "{}"));
    let gateway = Gateway::start_with(&upstream.url(), &["--set", "max-scanned-body=1MiB"]);
    let key = limited_key(&gateway, "ada");
    let transcribe =
        |form: String| send(&gateway, &key, "/v1/audio/transcriptions", FORM, (form + "--X--\r\n").as_bytes());
    let recording = "\u{1}".repeat(40 * MIB);
    let (model, file) = (form_field("model", "tiny"), form_field("file", &recording));

    let before = peak(&gateway);
    let answer = transcribe(format!("{model}{file}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let forwarded = upstream.requests().pop().unwrap();
    assert_eq!(forwarded.body.iter().filter(|byte| **byte == 1).count(), recording.len());
    let answer = transcribe(format!("{file}{model}"));
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert!(answer.text().contains("send the field model first"), "{}", answer.text());
    let grown = peak(&gateway).saturating_sub(before);
    assert!(grown < 20 * MIB, "{grown} bytes");
}

/// A form that turns out ambiguous while it is forwarded never reaches the upstream server as a whole.
#[test]
fn a_second_model_cuts_off_a_form() {
    let upstream = Recorder::start();
    let gateway = Gateway::start(&upstream.url());
    let key = limited_key(&gateway, "ada");
    let (model, file) = (form_field("model", "tiny"), form_field("file", &"x".repeat(MIB)));
    for second in ["tiny", "nope"] {
        let form = format!("{model}{file}{}--X--\r\n", form_field("model", second));
        let answer = send(&gateway, &key, "/v1/audio/transcriptions", FORM, form.as_bytes());
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.text().contains("model exactly once"), "{}", answer.text());
    }
    assert!(upstream.all().iter().all(|request| !request.whole));
}
