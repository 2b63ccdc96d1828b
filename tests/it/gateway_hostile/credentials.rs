//! Credentials that are malformed, too large, duplicated, mixed or forged, as bytes on the wire: each is rejected, and none is repeated
//! in a response or in the log.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE};
use rustix::process::Signal;

use super::*;
use crate::harness::contains;
use crate::harness::signature::TestDevice;

/// The order of the curve's prime subgroup, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

struct Given {
    upstream: Recorder,
    gateway: Gateway,
    device: TestDevice,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A gateway before a recorder, and a device of ada's whose signatures are made by hand.
fn given() -> Given {
    let upstream = Recorder::start();
    let gateway = Gateway::start_with(&upstream.url(), &["--set", "header-timeout=5s"]);
    gateway.add_user("ada", "member");
    let device = TestDevice::new(7);
    let target = format!("/api/me?ts={}", now());
    let header = format!("Authorization: {}", device.sign(&format!("POST,{target}")));
    let refused = gateway.ask("POST", &target, &[&header], "");
    gateway.admin(&["approve", refused.json()["signin_url"].as_str().unwrap(), "--user", "ada"]).expect_code(0);
    Given { upstream, gateway, device }
}

impl Given {
    /// Asks for the models with these lines of header. The status, 0 where the connection just ended, and what went on.
    fn ask(&self, target: &str, lines: &[u8]) -> (u16, Vec<RecordedRequest>) {
        let head = format!("GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.gateway.address());
        let answer = self.gateway.raw([head.as_bytes(), lines, b"\r\n\r\n"].concat());
        let status = Answer::parse(&answer).map_or(0, |answer| answer.status);
        (status, self.upstream.take())
    }

    #[track_caller]
    fn passes(&self, target: &str, lines: &str) {
        let (status, seen) = self.ask(target, lines.as_bytes());
        assert_eq!((status, seen.len()), (200, 1), "{lines:?}");
        for name in ["authorization", "x-api-key"] {
            assert_eq!(seen[0].header(name), None, "{lines:?}");
        }
    }

    #[track_caller]
    fn refused(&self, target: &str, lines: impl AsRef<[u8]>) -> u16 {
        let (status, seen) = self.ask(target, lines.as_ref());
        let lines = lines.as_ref();
        let shown = String::from_utf8_lossy(&lines[..lines.len().min(300)]);
        assert!([0, 400, 401, 414, 431].contains(&status), "{target} {shown:?}: {status}");
        assert_eq!(seen, [], "{target} {shown:?}");
        status
    }

    /// A target of that time and the parts of its header.
    fn signed(&self) -> (String, Vec<u8>, Vec<u8>) {
        let target = format!("/api/tags?ts={}", now());
        let header = self.device.sign(&format!("GET,{target}"));
        let (blob, signature) = header.split_once(':').unwrap();
        let decode = |text: &str| BASE64_STANDARD.decode(text).unwrap();
        (target, decode(blob), decode(signature))
    }
}

fn header(blob: &[u8], signature: &[u8]) -> String {
    format!("Authorization: {}:{}", BASE64_STANDARD.encode(blob), BASE64_STANDARD.encode(signature))
}

#[test]
fn ambiguous_headers_are_refused() {
    let mut given = given();
    let device = given.gateway.device_of("ada");
    let [key, other] = ["one", "two"].map(|name| given.gateway.key(&device, &[name]));
    let tags = "/api/tags";
    for line in [
        format!("Authorization: Bearer {key}"),
        format!("authorization:bEaReR {key}"),
        format!("AUTHORIZATION: \t BEARER   {key}  \t"),
        format!("x-API-key: {key}"),
        format!("X-API-Key: {key}\r\nAuthorization: Bearer"),
        format!("X-API-Key: {key}\r\nAuthorization: Bearer {key}\r\nConnection: x-api-key, authorization"),
        format!("X-API-Key: {key}\r\nX_API_KEY: {other}"),
    ] {
        given.passes(tags, &line);
    }
    let (target, blob, signature) = given.signed();
    let signed = header(&blob, &signature);
    let long = "k".repeat(1 << 20);
    for line in [
        format!("Authorization: Bearer\t{key}"),
        format!("Authorization: Bearer\r\n {key}"),
        format!("Authorization: Bearer {key}\r\n\tx"),
        format!("Authorization : Bearer {key}"),
        format!("Authorization: Bearer {key}\0"),
        format!("Authorization: Bearer \0{key}"),
        format!("Authorization: Bearer {key}\x7f"),
        format!("Authorization: Bearer {key}\u{e9}"),
        format!("Authorization: Bearer \u{feff}{key}"),
        format!("Authorization: Bearer Bearer {key}"),
        format!("Authorization: Bearer {key}, Bearer {key}"),
        format!("Authorization: Bearer {key} x"),
        format!("Authorization: Bearer \"{key}\""),
        format!("Authorization: Bearer token={key}"),
        format!("Authorization: Bearer{key}"),
        format!("Authorization: Digest {key}"),
        format!("Authorization: Token {}", key.to_uppercase()),
        format!("Authorization: Token Bearer {key}"),
        format!("Authorization: Basic {key}"),
        format!("Authorization: Basic {}", BASE64_STANDARD.encode(format!("{key}:"))),
        format!("Authorization: Basic {}", BASE64_STANDARD.encode(&key)),
        format!("Authorization: Basic {}", BASE64_STANDARD.encode("ada:AAAA:BBBB")),
        format!("Authorization: Bearer {}", key.to_uppercase()),
        format!("Authorization: Bearer {key}a"),
        format!("Authorization: Bearer {}", &key[..key.len() - 1]),
        format!("Authorization: Bearer {key}\r\nAuthorization: Bearer {key}"),
        format!("Authorization: Bearer {key}\r\nauthorization: Bearer {other}"),
        format!("Authorization: Bearer {key}\r\nAuthorization:"),
        format!("Authorization: Bearer {key}\r\nX-API-Key: {other}"),
        format!("X-API-Key: {key}\r\nX-API-Key: {other}"),
        format!("X-API-Key: Bearer {key}"),
        format!("{signed}\r\nX-API-Key: {key}"),
        format!("{signed}\r\nX-API-Key: \"{key}\""),
        format!("{signed}\r\n{signed}"),
        format!("X-API-Key: {}", signed.strip_prefix("Authorization: ").unwrap()),
        format!("Proxy-Authorization: Bearer {key}"),
        format!("X_API_KEY: {key}"),
        format!("Cookie: Authorization={key}"),
        format!("Authorization: Bearer {long}"),
        format!("X-API-Key: {long}"),
        format!("Authorization: Bearer {key}\r\nX-Long: {long}"),
        format!("Authorization: Bearer {key}\r\n{}", "X-A: b\r\n".repeat(10_000)),
        format!("{}Authorization: Bearer {key}", "X-A: b\r\n".repeat(100)),
    ] {
        given.refused(&target, &line);
    }
    // Bytes that are no UTF-8.
    for odd in [&b"\xff"[..], b"\xc3\x28", b"\x80"] {
        given.refused(tags, [b"Authorization: Bearer ", key.as_bytes(), odd].concat());
        given.refused(tags, [b"X-API-Key: ", odd, key.as_bytes()].concat());
    }
    for parameters in [format!("key={key}"), format!("api_key={key}"), format!("access_token={key}")] {
        assert_eq!(given.refused(&format!("{tags}?{parameters}"), "X: y"), 401);
    }
    // It still works, and has said nothing of any of them.
    given.passes(tags, &bearer(&key));
    let output = given.gateway.end(Signal::TERM).expect_code(0);
    for secret in [&*key, &other, &BASE64_STANDARD.encode(&signature)] {
        assert!(!contains(output.stderr().as_bytes(), secret.as_bytes()), "a credential is in the log");
    }
}

#[test]
fn a_signature_key_has_exactly_one_encoding() {
    let given = given();
    let (target, blob, signature) = given.signed();
    given.passes(&target, &header(&blob, &signature));
    given.passes(&target, &header(&blob, &signature).replace(": ", ": bearer "));
    let point = &blob[blob.len() - 32..];
    let named = |name: &str, parts: &[&[u8]]| {
        let mut out = Vec::new();
        for part in [&[name.as_bytes()], parts].concat() {
            out.extend_from_slice(&u32::try_from(part.len()).unwrap().to_be_bytes());
            out.extend_from_slice(part);
        }
        out
    };
    assert_eq!(named("ssh-ed25519", &[point]), blob);
    let uncompressed = [&[4][..], point, point].concat();
    for other in [
        named("ssh-rsa", &[&[1, 0, 1], point]),
        named("ssh-rsa", &[point]),
        named("ssh-dss", &[point]),
        named("ecdsa-sha2-nistp256", &[b"nistp256", &uncompressed]),
        named("sk-ssh-ed25519@openssh.com", &[point, b"ssh:"]),
        named("ssh-ed25519-cert-v01@openssh.com", &[&[0; 32], point]),
        named("SSH-ED25519", &[point]),
        named("ssh-ed25519\0", &[point]),
        named("ssh-ed448", &[point]),
        named("", &[point]),
        named("ssh-ed25519", &[point, b""]),
        named("ssh-ed25519", &[&[&[0], point].concat()]),
        named("ssh-ed25519", &[&point[..31]]),
        named("ssh-ed25519", &[]),
        [&blob[..], b"\0"].concat(),
        [&blob[..], &blob].concat(),
        blob[..blob.len() - 1].to_vec(),
        [&[0xff, 0xff, 0xff, 0xff][..], &blob[4..]].concat(),
        point.to_vec(),
        Vec::new(),
    ] {
        assert_eq!(given.refused(&target, header(&other, &signature)), 401, "{other:?}");
    }
    // Points that anybody can sign for, or that are spelled in a second way.
    let mut small = vec![[0; 32], [0xff; 32]];
    small.push(std::array::from_fn(|at| u8::from(at == 0)));
    small.push(std::array::from_fn(|at| [0xec, 0xff, 0x7f][usize::from(at > 0) + usize::from(at == 31)]));
    small.push(std::array::from_fn(|at| [0xee, 0xff, 0x7f][usize::from(at > 0) + usize::from(at == 31)]));
    for point in small {
        let forged = named("ssh-ed25519", &[&point]);
        for r in [point, [0; 32], std::array::from_fn(|at| u8::from(at == 0))] {
            assert_eq!(given.refused(&target, header(&forged, &[r, [0; 32]].concat())), 401, "{point:?}");
        }
    }

    let text = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
    let (key, sign) = (text(&blob), text(&signature));
    // S + L means the same to a lax verifier.
    let mut lax = signature.clone();
    let mut carry = 0;
    for (byte, order) in lax[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    let slack = {
        // The last letter before the padding holds four bits that mean nothing.
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let last = sign.as_bytes()[sign.len() - 3];
        let at = letters.iter().position(|letter| *letter == last).unwrap();
        format!("{}{}==", &sign[..sign.len() - 3], char::from(letters[at + 1]))
    };
    let mut odd = signature.clone();
    odd[0] ^= 1;
    for (key, sign) in [
        (&*key, text(&lax)),
        (&key, text(&odd)),
        (&key, slack),
        (&key, BASE64_STANDARD_NO_PAD.encode(&signature)),
        (&key, format!("{sign}=")),
        (&key, format!("{sign}{sign}")),
        (&key, format!("{sign}:{sign}")),
        (&key, format!(":{sign}")),
        (&key, String::new()),
        (&key, text(&signature[..63])),
        (&key, text(&[&signature[..], &[0]].concat())),
        (&key, text(&[0; 64])),
        (&key, format!("{}%3D%3D", sign.trim_end_matches('='))),
        (&format!("{key}="), sign.clone()),
        (&format!("{key}===="), sign.clone()),
        (&key[..key.len() - 1], sign.clone()),
        ("", sign.clone()),
        (&format!("ssh-ed25519 {key}"), sign.clone()),
    ] {
        given.refused(&target, format!("Authorization: {key}:{sign}"));
    }
    // The other alphabet, in a signature that has letters of it.
    let (target, blob, signature) = (0..100)
        .map(|n| {
            let target = format!("/api/tags?n={n}&ts={}", now());
            let header = given.device.sign(&format!("GET,{target}"));
            let (blob, signature) = header.split_once(':').unwrap();
            (target, blob.to_owned(), BASE64_STANDARD.decode(signature).unwrap())
        })
        .find(|(_, _, signature)| BASE64_STANDARD.encode(signature).contains(['+', '/']))
        .unwrap();
    let authorization = |signature: String| format!("Authorization: {blob}:{signature}");
    given.passes(&target, &authorization(BASE64_STANDARD.encode(&signature)));
    assert_eq!(given.refused(&target, authorization(BASE64_URL_SAFE.encode(&signature))), 401);
}

#[test]
fn ts_must_appear_once_in_plain_digits() {
    let given = given();
    let (now, path) = (now(), "/api/tags");
    let ask = |parameters: &str| {
        let target = format!("{path}?{parameters}");
        (target.clone(), format!("Authorization: {}", given.device.sign(&format!("GET,{target}"))))
    };
    let (target, header) = ask(&format!("a=1&ts={now}&z=2"));
    given.passes(&target, &header);
    for parameters in [
        "a=1".to_owned(),
        "ts".to_owned(),
        "ts=".to_owned(),
        format!("ts={now}&ts={now}"),
        format!("ts={now}&ts={}", now - 1000),
        format!("ts={now}&ts"),
        format!("ts={now}&TS={now}"),
        format!("Ts={now}"),
        format!("%74s={now}"),
        format!("t%73={now}"),
        format!("ts={now}&%74%73={now}"),
        format!("ts%00={now}"),
        format!("ts[]={now}"),
        format!("a;ts={now}"),
        format!("a=1;ts={now}&b=2"),
        format!("ts={now};ts=1"),
        format!("ts={now};"),
        format!("ts=%31{}", &now.to_string()[1..]),
        format!("ts=-{now}"),
        format!("ts=+{now}"),
        format!("ts={now}.0"),
        format!("ts={now}e0"),
        format!("ts=0x{now:x}"),
        format!("ts={now}000"),
        format!("ts={}", "9".repeat(12)),
        format!("ts={}", "9".repeat(13)),
        format!("ts={}", u64::MAX),
        "ts=99999999999999999999999999999999".to_owned(),
        format!("ts={}", "1".repeat(7000)),
        "ts=0".to_owned(),
        format!("ts={}", now - 120),
        format!("ts={}", now + 120),
    ] {
        let (target, header) = ask(&parameters);
        given.refused(&target, header);
    }
    // Nor is a time in another place.
    let (target, header) = ask(&format!("ts={now}"));
    given.passes(&target, &header);
    given.refused(path, format!("{header}\r\nX-Ts: {now}"));
    given.refused(&format!("{path}?ts={}", now - 1), &header);
    given.refused("/api/ps", &header);
}
