//! The sign-in link of the upstream server's own key, which no caller gets.

use serde_json::json;

use super::bearer;
use crate::harness::contains;
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::http::{Reply, Server, Step};
use crate::harness::signature::TestDevice;

#[test]
fn the_upstream_signin_link_is_never_forwarded() {
    let link = "https://ollama.com/connect?name=server&key=c2VjcmV0";
    let body = json!({ "error": "unauthorized", "signin_url": link }).to_string();
    let upstream = Server::start(move |_| Reply::json(401, &body));
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let key = gateway.key(&device, &["k"]);
    for path in ["/api/generate", "/v1/chat/completions", "/v1/messages"] {
        let answer = gateway.ask("POST", path, &[&bearer(&key)], r#"{"model":"gpt-oss:120b-cloud"}"#);
        assert_eq!(answer.status, 502, "{path}");
        assert!(!answer.text().contains("signin_url") && !answer.text().contains("ollama.com/connect"), "{path}");
    }
}

/// A link of the upstream server's own key, in every form in which an answer can hold it: the key in it does not get through, and
/// everything else of the answer does, however it is cut into pieces.
#[test]
fn the_upstream_signin_link_is_removed_from_a_stream() {
    let encoded = TestDevice::new(0x55).key().encoded;
    let raw = format!("https://ollama.com/connect?name=vm&key={encoded}");
    let forms = [
        raw.clone(),
        raw.replace('&', "\\u0026"),
        raw.replace('/', "\\/").replace('&', "\\\\u0026"),
        raw.replace('&', "&amp;"),
        raw.replace(':', "%3A").replace('/', "%2F").replace('?', "%3F").replace('=', "%3D").replace('&', "%26"),
        raw.replace('?', "%253f").replace('=', "%253d").replace('&', "%2526"),
        format!("https://ollama.com/connect?key={encoded}&name=vm&launch=true"),
    ];
    let answers: Vec<String> =
        forms.iter().map(|link| format!("data: {{\"error\":\"sign in at {link}, then try again\"}}\n\n")).collect();
    let sent = std::sync::Arc::new(std::sync::Mutex::new(Reply::json(200, "{}")));
    let next = sent.clone();
    let upstream = Server::start(move |_| next.lock().unwrap().clone());
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let key = bearer(&gateway.key(&gateway.device_of("ada"), &["k"]));
    let ask = |reply: Reply| {
        *sent.lock().unwrap() = reply;
        gateway.ask("POST", "/v1/responses", &[&key], "{}")
    };
    let secret = &encoded[encoded.len() - 40..];
    for answer in &answers {
        for size in [1, 7, answer.len()] {
            let pieces = answer.as_bytes().chunks(size).map(|piece| Step::Send(piece.to_vec()));
            let got = ask(Reply::script(200, pieces).header("Content-Type", "text/event-stream"));
            assert!(!contains(&got.body, secret.as_bytes()), "pieces of {size}: {}", got.text());
            assert!(!contains(&got.body, &encoded.as_bytes()[60..90]), "pieces of {size}: {}", got.text());
            let (before, after) = (answer.split("connect").next().unwrap(), ", then try again\"}\n\n");
            assert!(got.text().starts_with(before) && got.text().ends_with(after), "{}", got.text());
            assert_eq!(got.body.len(), answer.len());
        }
        let whole = ask(Reply::json(200, answer));
        assert!(!contains(&whole.body, secret.as_bytes()) && whole.body.len() == answer.len(), "{}", whole.text());
    }
    gateway.child().wait_stderr(|text| text.contains("withheld the sign-in link of the upstream server"));

    // What is no such link passes as it is.
    let (short, other) = (&encoded[..encoded.len() - 1], encoded.replace("c3NoLWVk", "c3NoLXJz"));
    for text in [
        "open https://ollama.com/connect?name=x&key=YOUR-KEY in a browser".to_owned(),
        "https://ollama.com/connect? is the page".to_owned(),
        "https://ollama.com/connect?name=vm&key=c2VjcmV0".to_owned(),
        format!("https://ollama.com/connect?name=vm&key={short}"),
        format!("https://ollama.com/connect?name=vm&key={other}"),
        format!("https://ollama.com/connect?name=vm&monkey={encoded}"),
        format!("https://ollama.com/connect?name=vm and key={encoded}"),
        format!("https://gpu.example.com/connect?name=vm&key={encoded}"),
        format!("https://ollama.com/settings?key={encoded}"),
        encoded.clone(),
    ] {
        for size in [1, 7, text.len()] {
            let pieces = text.as_bytes().chunks(size).map(|piece| Step::Send(piece.to_vec()));
            assert_eq!(ask(Reply::script(200, pieces)).text(), text, "pieces of {size}");
        }
    }
    // What is held back at the end of an answer is not lost.
    let cut = &raw[..raw.len() - 20];
    assert_eq!(ask(Reply::json(200, cut)).text(), cut);
    let broken = [Step::send(cut), Step::Cut];
    *sent.lock().unwrap() = Reply::script(200, broken);
    let request = format!(
        "POST /v1/responses HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{key}\r\nContent-Length: 2\r\n\r\n{{}}",
        gateway.address()
    );
    let answer = gateway.raw(request);
    assert!(Answer::parse(&answer).is_err(), "it looks whole");
}
