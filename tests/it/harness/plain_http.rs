//! One request over plain HTTP to a server on this machine, on a connection of its own: for the servers that tests control and for
//! callers that are no program of ours.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use url::Url;

use super::DEADLINE;
use super::gateway::Answer;

/// Sends it and gives what comes back. `headers` are lines such as `Authorization: Bearer …`.
#[track_caller]
pub fn ask(method: &str, url: &str, headers: &[&str], body: &str) -> Answer {
    let parsed = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
    assert_eq!(parsed.scheme(), "http", "{url}");
    let (host, port) = (parsed.host_str().unwrap(), parsed.port_or_known_default().unwrap());
    let target = &parsed[url::Position::BeforePath..url::Position::AfterQuery];
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n");
    for header in headers {
        request += &format!("{header}\r\n");
    }
    request += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
    // Both names of this machine are the same address to the servers of the tests.
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap_or_else(|error| panic!("{method} {url}: {error}"));
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes);
    let parsed = Answer::parse(&bytes);
    parsed.unwrap_or_else(|error| panic!("{method} {url}: {error}, {ended:?}: {:?}", String::from_utf8_lossy(&bytes)))
}

/// Sends a form.
#[track_caller]
pub fn post_form(url: &str, headers: &[&str], fields: &[(&str, &str)]) -> Answer {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    ask("POST", url, &[&[super::pages::FORM], headers].concat(), &body)
}
