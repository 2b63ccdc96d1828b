//! Requests and responses in progress at the same time: neither waits for the other, and a truncation ends both.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use base64::Engine as _;

use crate::gateway_upstream::GatewaySetup;
use crate::harness::DEADLINE;
use crate::harness::gateway::Answer;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Reads up to the empty line behind a head.
fn head(from: &mut impl Read) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        assert_eq!(from.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&text));
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

/// Reads one chunk and the end of its line, as a server would that hands on whole chunks only.
fn chunk(from: &mut impl BufRead) -> Vec<u8> {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    let size = usize::from_str_radix(line.trim_end(), 16).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    let mut data = vec![0; size + 2];
    from.read_exact(&mut data).unwrap();
    assert!(data.ends_with(b"\r\n"));
    data.truncate(size);
    data
}

fn caller(setup: &GatewaySetup, framing: &str) -> TcpStream {
    let mut caller = TcpStream::connect(setup.gateway.address()).unwrap();
    caller.set_read_timeout(Some(DEADLINE)).unwrap();
    caller.set_write_timeout(Some(DEADLINE)).unwrap();
    let path = format!("/api/blobs/sha256:{}", "0a".repeat(32));
    let (host, key) = (setup.gateway.address(), &setup.header);
    write!(caller, "POST {path} HTTP/1.1\r\nHost: {host}\r\n{key}\r\n{framing}\r\n\r\n").unwrap();
    caller
}

/// The end of a chunk's line is part of it: a server that waits for it before it answers would wait for ever.
#[test]
fn each_chunk_is_forwarded_before_the_next_arrives() {
    let setup = GatewaySetup::new(|_, stream| {
        let mut reader = BufReader::new(stream);
        head(&mut reader);
        reader.get_mut().write_all(OK).unwrap();
        loop {
            let data = chunk(&mut reader);
            let said = [format!("{:x}\r\n", data.len()).as_bytes(), &data, b"\r\n"].concat();
            reader.get_mut().write_all(&said).unwrap();
            if data.is_empty() {
                return;
            }
        }
    });
    let mut caller = caller(&setup, "Transfer-Encoding: chunked");
    caller.write_all(b"3\r\none\r\n").unwrap();
    let mut answer = BufReader::new(caller.try_clone().unwrap());
    assert!(head(&mut answer).starts_with("HTTP/1.1 200 "));
    assert_eq!(chunk(&mut answer), b"one");
    caller.write_all(b"3\r\ntwo\r\n").unwrap();
    assert_eq!(chunk(&mut answer), b"two");
    caller.write_all(b"0\r\n\r\n").unwrap();
    assert_eq!(chunk(&mut answer), b"");
}

/// A response to a request that has not arrived in full ends with the credential.
#[test]
fn a_key_that_is_revoked_during_its_upload_cuts_the_response() {
    let setup = GatewaySetup::new(|_, stream| {
        let mut reader = BufReader::new(stream);
        head(&mut reader);
        reader.get_mut().write_all(OK).unwrap();
        reader.get_mut().write_all(b"3\r\none\r\n").unwrap();
        let _ = reader.read_to_end(&mut Vec::new());
    });
    let mut caller = caller(&setup, "Transfer-Encoding: chunked");
    let mut answer = BufReader::new(caller.try_clone().unwrap());
    assert!(head(&mut answer).starts_with("HTTP/1.1 200 "));
    assert_eq!(chunk(&mut answer), b"one");
    let listed = setup.gateway.ask("GET", "/api/user/keys", &[&setup.header], "").json();
    let id = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(listed["keys"][0]["id"].as_str().unwrap());
    let revoked = setup.gateway.ask("DELETE", &format!("/api/user/keys/{id}"), &[&setup.header], "");
    assert_eq!(revoked.status, 200, "{}", revoked.text());
    // The gateway may have closed the connection already.
    let _ = caller.write_all(b"3\r\ntwo\r\n");
    let mut rest = Vec::new();
    let _ = answer.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"0\r\n\r\n"), "it looks complete: {}", String::from_utf8_lossy(&rest));
}

/// More than all buffers on the way hold, both ways at once.
#[test]
fn a_large_body_is_echoed_while_it_is_uploaded() {
    const SIZE: usize = 24 << 20;
    let setup = GatewaySetup::new(|_, mut stream| {
        head(&mut stream);
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").unwrap();
        let (mut piece, mut left) = (vec![0; 100_000], SIZE);
        while left > 0 {
            let read = stream.read(&mut piece).unwrap();
            assert!(read > 0);
            stream.write_all(&piece[..read]).unwrap();
            left -= read;
        }
    });
    for _ in 0..2 {
        let caller = caller(&setup, &format!("Content-Length: {SIZE}"));
        let mut sends = caller.try_clone().unwrap();
        let sent = std::thread::spawn(move || {
            for number in 0..SIZE / 1024 {
                sends.write_all(&[(number % 251) as u8; 1024]).unwrap();
            }
        });
        let mut answer = BufReader::new(caller);
        assert!(head(&mut answer).starts_with("HTTP/1.1 200 "));
        let mut block = [0; 1024];
        for number in 0..SIZE / 1024 {
            answer.read_exact(&mut block).unwrap();
            assert!(block == [(number % 251) as u8; 1024], "block {number}");
        }
        sent.join().unwrap();
    }
}

/// A caller that is still sending must receive "too large", although the rest is not read.
#[test]
fn a_rejection_reaches_a_caller_that_is_still_sending() {
    for ends in [true, false] {
        let setup = GatewaySetup::new(move |_, mut stream| {
            head(&mut stream);
            stream.write_all(b"HTTP/1.1 413 No\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large").unwrap();
            if !ends {
                // It never reads more, and stays.
                std::thread::sleep(DEADLINE);
            }
        });
        let caller = caller(&setup, &format!("Content-Length: {}", 64 << 20));
        let mut sends = caller.try_clone().unwrap();
        let sent = std::thread::spawn(move || while sends.write_all(&[0; 65536]).is_ok() {});
        let mut answer = Vec::new();
        let mut reader = caller;
        let mut piece = [0; 4096];
        while !answer.ends_with(b"too large") {
            let read =
                reader.read(&mut piece).unwrap_or_else(|error| panic!("{ends}: {error}: {}", answer.escape_ascii()));
            assert!(read > 0, "{ends}: {}", answer.escape_ascii());
            answer.extend_from_slice(&piece[..read]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 413 "), "{}", answer.escape_ascii());
        let _ = reader.shutdown(Shutdown::Both);
        sent.join().unwrap();
    }
}

/// The upstream server must see that a body is cut, and the next request must not be taken for its rest.
#[test]
fn a_body_that_ends_early_ends_early_upstream() {
    for (framing, part) in [
        ("Content-Length: 100", ""),
        ("Content-Length: 100", "0123456789"),
        ("Transfer-Encoding: chunked", ""),
        ("Transfer-Encoding: chunked", "64\r\n0123456789"),
        ("Transfer-Encoding: chunked", "a\r\n0123456789\r\n"),
    ] {
        let (heard, hears) = mpsc::channel();
        let setup = GatewaySetup::new(move |number, mut stream| {
            if number > 0 {
                head(&mut stream);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nclean");
                return;
            }
            head(&mut stream);
            let mut body = Vec::new();
            let _ = stream.read_to_end(&mut body);
            heard.send(body).unwrap();
        });
        let mut sends = caller(&setup, framing);
        sends.write_all(part.as_bytes()).unwrap();
        sends.shutdown(Shutdown::Write).unwrap();
        let body = hears.recv_timeout(DEADLINE).unwrap();
        assert!(!body.ends_with(b"0\r\n\r\n") && body.len() < 100, "{framing}: {}", body.escape_ascii());
        let mut answer = Vec::new();
        let _ = sends.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", answer.escape_ascii());
        assert_eq!(setup.ask("POST", "/api/generate", "{}").text(), "clean");
    }
}

/// A response may be complete before its request: that connection is then unfinished and must not be reused.
#[test]
fn a_connection_with_an_unfinished_request_is_not_reused() {
    let setup = GatewaySetup::new(|number, mut stream| {
        loop {
            let mut piece = [0; 4096];
            if stream.read(&mut piece).unwrap_or(0) == 0 {
                return;
            }
            let said = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}");
            if stream.write_all(said.as_bytes()).is_err() {
                return;
            }
        }
    });
    let mut half = caller(&setup, "Content-Length: 1000");
    assert!(head(&mut half).starts_with("HTTP/1.1 200 "));
    assert_eq!(setup.ask("POST", "/api/generate", "{}").text(), "1");
}

/// Trailers after the chunks are discarded and are not part of the body.
#[test]
fn request_trailers_are_not_forwarded() {
    let (heard, hears) = mpsc::channel();
    let setup = GatewaySetup::new(move |_, stream| {
        let mut reader = BufReader::new(stream);
        head(&mut reader);
        let mut body = chunk(&mut reader);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let mut end = [0; 2];
        reader.read_exact(&mut end).unwrap();
        body.extend_from_slice(line.as_bytes());
        body.extend_from_slice(&end);
        heard.send(body).unwrap();
        reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        let mut rest = Vec::new();
        reader.get_mut().set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let _ = reader.read_to_end(&mut rest);
        assert_eq!(rest, b"");
    });
    let mut caller = caller(&setup, "Transfer-Encoding: chunked\r\nTrailer: X-Ollama-Auth-User\r\nConnection: close");
    caller.write_all(b"3;a=b\r\none\r\n0\r\nX-Ollama-Auth-User: root\r\n\r\n").unwrap();
    assert_eq!(hears.recv_timeout(DEADLINE).unwrap(), b"one0\r\n\r\n");
    let mut answer = Vec::new();
    caller.read_to_end(&mut answer).unwrap();
    assert_eq!(Answer::parse(&answer).unwrap().text(), "ok");
}
