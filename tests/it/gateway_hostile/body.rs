//! Request bodies that name different models to the gateway and to the upstream server, and bodies that are expensive to read: a
//! limited key gets its model or a rejection.

use super::*;

/// What went on, if something did, as JSON; and the status.
fn ask(given: &(Recorder, Gateway, String), path: &str, lines: &str, body: &[u8]) -> (u16, Option<Value>) {
    let (upstream, gateway, key) = given;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{}\r\n{lines}Content-Length: {}\r\n\r\n",
        gateway.address(),
        bearer(key),
        body.len()
    );
    let answer = gateway.raw([head.as_bytes(), body].concat());
    let status =
        Answer::parse(&answer).unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(body))).status;
    let mut seen = upstream.take();
    assert!(seen.len() <= 1);
    let seen = seen.pop().map(|seen| {
        assert_eq!(seen.line, format!("POST {} HTTP/1.1", path.split('?').next().unwrap()));
        assert_eq!(seen.header("content-encoding"), None);
        serde_json::from_slice(&seen.body).unwrap()
    });
    (status, seen)
}

fn given(pattern: &str) -> (Recorder, Gateway, String) {
    let upstream = Recorder::start();
    let gateway = Gateway::start_with(&upstream.url(), &["--set", "max-scanned-body=256KiB"]);
    gateway.add_user("ada", "maintainer");
    let scopes = "--scope=inference,models:read,models:write";
    let key = gateway.key(&gateway.device_of("ada"), &["limited", scopes, "--model", pattern]);
    (upstream, gateway, key)
}

pub(super) fn zstd(content: &[u8]) -> Vec<u8> {
    // One frame of raw blocks, as the format has it (RFC 8878): magic, header, blocks of at most 128 KiB.
    let mut out = b"\x28\xb5\x2f\xfd\x00\x58".to_vec();
    for (at, block) in content.chunks(1 << 17).enumerate() {
        let last = u32::from((at + 1) << 17 >= content.len());
        out.extend_from_slice(&((u32::try_from(block.len()).unwrap() << 3) | last).to_le_bytes()[..3]);
        out.extend_from_slice(block);
    }
    out
}

/// A frame that says `times` times 128 KiB of spaces in four bytes each.
fn bomb(times: usize) -> Vec<u8> {
    let mut out = b"\x28\xb5\x2f\xfd\x00\x58".to_vec();
    for at in 0..times {
        let last = u32::from(at + 1 == times);
        out.extend_from_slice(&((1_u32 << 17 << 3) | 2 | last).to_le_bytes()[..3]);
        out.push(b' ');
    }
    out
}

#[test]
fn a_model_name_cannot_be_hidden() {
    let given = given("tiny");
    let run = |body: &[u8]| ask(&given, "/api/generate", "", body);
    let utf16: Vec<u8> = r#"{"model":"nope"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for body in [
        // The last one counts, whatever its case.
        &br#"{"model":"tiny","model":"nope"}"#[..],
        br#"{"model":"tiny","Model":"nope"}"#,
        br#"{"MODEL":"tiny","mODEL":"nope"}"#,
        br#"{"model":"tiny","\u006dodel":"nope"}"#,
        br#"{"model":"tiny","\u004DODE\u004c":"nope"}"#,
        br#"{"model":"tiny","model":"nope","model":null}"#,
        br#"{"model":"tiny","model":"nop\u0065"}"#,
        br#"{"model":"nope"}"#,
        br#"{"model":"nope"}{"model":"tiny"}"#,
        br#"{"model":"tiny:evil"}"#,
        br#"{"model":"evil/tiny"}"#,
        br#"{"model":"evil.example/library/tiny"}"#,
        br#"{"model":"tiny@sha256:0a"}"#,
        br#"{"model":"../tiny"}"#,
        br#"{"model":"tiny\u0000"}"#,
        br#"{"model":"tiny\n"}"#,
        br#"{"model":"t\u0131ny"}"#,
        br#"{"model":"tiny-cloud"}"#,
    ] {
        let (status, seen) = run(body);
        let shown = String::from_utf8_lossy(body);
        // Spaces around a name mean nothing.
        let harmless = seen.as_ref().is_some_and(|seen| *seen == json!({ "model": "tiny" })) && shown.contains("\\n");
        assert!(harmless || ([400, 403].contains(&status) && seen.is_none()), "{shown}: {status} {seen:?}");
    }
    for body in [
        &b""[..],
        b"{}",
        b"[]",
        b"[{\"model\":\"tiny\"}]",
        b"\"tiny\"",
        b"{\"model\":\"tiny\",}",
        b"{\"model\":\"tiny\"",
        b"{'model':'tiny'}",
        b"{model:\"tiny\"}",
        b"{\"model\":tiny}",
        b"{\"model\":1e400}",
        b"{\"model\":[\"tiny\"]}",
        b"{\"model\":{\"name\":\"tiny\"}}",
        b"{\"model\":true}",
        b"{\"options\":{\"model\":\"tiny\"}}",
        b"{\"model\":\"tiny\",\"a\":NaN}",
        b"{\"model\":\"tiny\",\"a\":01}",
        b"{\"model\":\"tiny\"/**/}",
        b"//\n{\"model\":\"tiny\"}",
        b"\xef\xbb\xbf{\"model\":\"tiny\"}",
        b"\xff\xfe{\0\"\0",
        b"{\"mod\xffel\":\"nope\",\"model\":\"tiny\"}",
        b"{\"model\":\"tiny\",\"a\":\"\xff\"}",
        b"{\"model\":\"ti\xc0\xaeny\"}",
        b"{\"model\":\"\\ud800\"}",
        b"{\"\\ud800model\":\"nope\",\"model\":\"tiny\"}",
        b"\0{\"model\":\"tiny\"}",
        b"\x1e{\"model\":\"tiny\"}",
        &utf16,
    ] {
        let (status, seen) = run(body);
        assert!(status == 400 && seen.is_none(), "{:?}: {status} {seen:?}", String::from_utf8_lossy(body));
    }
    // Forwarded in a form that has one reading.
    for (body, expected) in [
        (r#"{"model":"nope","MODEL":"tiny"}"#, r#"{"model":"tiny"}"#),
        (
            r#" {"Model":" tiny ","options":{"model":"nope","Model":"nope"}} "#,
            r#"{"model":"tiny","options":{"model":"nope","Model":"nope"}}"#,
        ),
        (r#"{"model":"tiny"}{"model":"nope"}"#, r#"{"model":"tiny"}"#),
        (r#"{"model":"tiny"},"model":"nope""#, r#"{"model":"tiny"}"#),
        (r#"{"prompt":"\ud83d\ude00","model":"tiny"}"#, r#"{"model":"tiny","prompt":"😀"}"#),
        (r#"{"mo\u0064el ":"nope","model":"tiny"}"#, r#"{"model":"tiny","model ":"nope"}"#),
        (r#"{"ｍodel":"nope","model":"tiny"}"#, r#"{"model":"tiny","ｍodel":"nope"}"#),
    ] {
        let (status, seen) = run(body.as_bytes());
        assert_eq!((status, seen.map(|seen| seen.to_string()).as_deref()), (200, Some(expected)), "{body}");
    }
    // Parameters name nothing.
    let (status, seen) = ask(&given, "/api/generate?model=nope&Model=nope", "", br#"{"model":"tiny"}"#);
    assert_eq!((status, seen), (200, Some(json!({ "model": "tiny" }))));
    // What JSON allows and few readers like.
    let deep = format!(r#"{{"model":"tiny","a":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let objects = format!(r#"{{"model":"tiny","a":{}1{}}}"#, r#"{"a":"#.repeat(10_000), "}".repeat(10_000));
    let many = format!(r#"{{{}"model":"tiny"}}"#, r#""model":"nope","#.repeat(10_000));
    for (body, statuses) in [
        (deep.as_str(), [200, 400]),
        (&objects, [200, 400]),
        (&many, [400, 400]),
        (r#"{"model":"tiny","a":1e400,"b":-1e-400}"#, [200, 200]),
    ] {
        let head = format!(
            "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}\r\nContent-Length: {}\r\n\r\n{body}",
            bearer(&given.2),
            body.len()
        );
        let answer = Answer::parse(&given.1.raw(head)).unwrap();
        assert!(statuses.contains(&answer.status), "{}", answer.text());
        let seen = given.0.take();
        assert!(
            seen.iter().all(|seen| seen.body.starts_with(br#"{"model":"tiny""#) && !contains_model_twice(&seen.body))
        );
    }
}

fn contains_model_twice(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).to_lowercase().matches(r#""model""#).count() != 1
}

/// Two letters beyond ASCII stand for ASCII ones where Go compares names.
#[test]
fn a_model_name_cannot_be_hidden_by_case_folding() {
    let given = given("tiny");
    for body in [
        r#"{"source":"tiny","destination":"tiny","ſource":"nope"}"#,
        r#"{"source":"tiny","destination":"tiny","\u017fource":"nope"}"#,
        r#"{"source":"tiny","destination":"tiny","De\u017FTINATION":"nope"}"#,
        r#"{"ſource":"nope","destination":"tiny"}"#,
    ] {
        let (status, seen) = ask(&given, "/api/copy", "", body.as_bytes());
        assert!(status == 403 && seen.is_none(), "{body}: {status}");
    }
    let (status, seen) = ask(&given, "/api/copy", "", r#"{"ſource":"tiny","deſtination":"tiny"}"#.as_bytes());
    assert_eq!((status, seen), (200, Some(json!({ "source": "tiny", "destination": "tiny" }))));
    // No name that counts has a k for the sign of Kelvin to hide; what it stands in is unknown, and so not made of.
    for body in [
        r#"{"model":"tiny","from":"tiny","\u212aind":"x"}"#,
        r#"{"model":"tiny","from":"tiny","fileſ":{}}"#,
        r#"{"name":"tiny","from":"nope"}"#,
    ] {
        assert_eq!(ask(&given, "/api/create", "", body.as_bytes()), (403, None), "{body}");
    }
}

#[test]
fn compressed_bodies_are_unpacked_within_limits() {
    let given = given("tiny");
    let run = |lines: &str, body: &[u8]| ask(&given, "/v1/chat/completions", lines, body);
    let packed = "Content-Encoding: zstd\r\n";
    assert_eq!(run(packed, &zstd(br#"{"model":"tiny"}"#)), (200, Some(json!({ "model": "tiny" }))));
    assert_eq!(run("content-encoding: ZSTD\r\n", &zstd(br#"{"model":"nope"}"#)), (403, None));
    // 128 MiB and 4 GiB from next to nothing.
    for times in [1_000, 32_000] {
        assert_eq!(run(packed, &bomb(times)), (413, None));
    }
    let mut window = bomb(1);
    // A declared window of terabytes allocates no such memory.
    window[5] = 0xf8;
    assert_eq!(run(packed, &window).0 / 100, 4);
    assert_eq!(run(packed, &[bomb(1), zstd(br#"{"model":"nope"}"#)].concat()), (403, None));
    assert_eq!(run(packed, &zstd(&zstd(br#"{"model":"tiny"}"#))), (400, None));
    let skippable = b"\x50\x2a\x4d\x18\xff\xff\xff\xff";
    assert_eq!(run(packed, skippable), (400, None));
    assert_eq!(run(packed, &b"\x28\xb5\x2f\xfd".repeat(1000)), (400, None));
    for lines in [
        "Content-Encoding: gzip\r\n",
        "Content-Encoding: deflate\r\n",
        "Content-Encoding: br\r\n",
        "Content-Encoding: zstd, gzip\r\n",
        "Content-Encoding: zstd,zstd\r\n",
        "Content-Encoding: zstd\r\nContent-Encoding: identity\r\n",
        "Content-Encoding: x-zstd\r\n",
        "Content-Encoding: zstd;q=1\r\n",
        "Content-Encoding:\r\n",
    ] {
        // A gzip bomb is not even begun.
        assert_eq!(run(lines, b"\x1f\x8b\x08\0\0\0\0\0\0\x03"), (415, None), "{lines:?}");
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", given.1.child().pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")).unwrap();
    assert!(peak.parse::<u64>().unwrap() < 300 * 1024, "{peak} kB were taken");
}
