//! Connect URLs, as stock's server and its desktop app write them.

use proptest::prelude::*;

use super::recorded_key;
use crate::address::{BaseUrl, HostError};
use crate::identity::{ConnectUrl, ConnectUrlError};

/// What `ollama serve` on a machine called `vm` offered.
const RECORDED: &str = "https://ollama.com/connect?name=vm&key=c3NoLWVkMjU1MTkgQUFBQUMzTnphQzFsWkRJMU5URTVBQUFBSUNxQXVLQkZTUVZpRjZLc2dxTThtMGZlNkVia3hUTzlqSGFacWFiVzVSUzA";

fn key_parameter() -> &'static str {
    RECORDED.split_once("&key=").unwrap().1
}

fn built(base: &BaseUrl, name: &str) -> ConnectUrl {
    ConnectUrl::new(base, name, recorded_key().public())
}

#[test]
fn is_built_as_recorded() {
    let url = built(&BaseUrl::ollama_com(), "vm");
    assert_eq!(url.to_string(), RECORDED);
    assert_eq!(ConnectUrl::parse(RECORDED).unwrap(), url);

    let base = BaseUrl::parse("http://[::1]:8080/prefix").unwrap().url;
    let url = built(&base, "Ann's laptop/ü&+");
    assert_eq!(
        url.to_string(),
        format!("http://[::1]:8080/prefix/connect?name=Ann%27s%20laptop%2F%C3%BC%26%2B&key={}", key_parameter())
    );
    assert_eq!(url.path(), "/prefix/connect");
    assert_eq!(url.origin(), base.origin());
    assert_eq!(ConnectUrl::parse(&url.to_string()).unwrap(), url);
}

#[test]
fn both_of_stocks_escapings_are_read() {
    let key = key_parameter();
    for (query, name) in [
        (format!("name=my%20mac&key={key}"), "my mac"),
        (format!("name=my+mac&key={key}&launch=true"), "my mac"),
        (format!("key={key}&launch=true&name=a%2Bb%26c"), "a+b&c"),
        (format!("name=a:b@c=$&key={key}"), "a:b@c=$"),
        (format!("name=&key={key}"), ""),
        (format!("key={key}"), ""),
        (format!("name=%zz%ff&key={key}#x"), "%zz\u{fffd}"),
    ] {
        let url = ConnectUrl::parse(&format!("https://ollama.com/connect?{query}")).unwrap();
        assert_eq!(url.device_name(), name, "{query}");
        assert_eq!(url.key(), recorded_key().public());
        assert!(url.origin().is_ollama_com());
        assert_eq!(ConnectUrl::parse(&url.to_string()).unwrap(), url);
    }
}

#[test]
fn what_points_elsewhere_shows() {
    for elsewhere in [
        "https://ollama.com.evil.example",
        "https://evil.example/ollama.com",
        "http://ollama.com",
        "https://ollama.com:8443",
        "https://оllama.com",
    ] {
        let url = ConnectUrl::parse(&RECORDED.replace("https://ollama.com", elsewhere)).unwrap();
        assert!(!url.origin().is_ollama_com(), "{elsewhere}");
        assert_ne!(url, built(&BaseUrl::ollama_com(), "vm"));
    }
    let url = ConnectUrl::parse(&RECORDED.replace("/connect", "/a/../connect")).unwrap();
    assert_eq!(url.path(), "/connect");
}

#[test]
fn what_is_no_connect_url_is_refused() {
    let key = key_parameter();
    let parse = |text: &str| ConnectUrl::parse(text).unwrap_err();
    for text in [
        "",
        "connect?key=x",
        "javascript:alert(1)//connect",
        "file:///connect",
        "https:///connect?key=x\n",
        "https://ollama.com\\@evil.example/connect",
        " https://ollama.com/connect",
    ] {
        assert!(matches!(parse(text), ConnectUrlError::NotAUrl(_)), "{text}");
    }
    assert_eq!(
        parse(&format!("https://ollama.com@evil.example/connect?key={key}")),
        ConnectUrlError::Host(HostError::Credentials)
    );
    for path in ["/", "/connect/", "/disconnect", "/connect/x"] {
        assert_eq!(parse(&format!("https://ollama.com{path}?key={key}")), ConnectUrlError::Path(path.to_owned()));
    }
    let at = |query: &str| parse(&format!("https://ollama.com/connect?{query}"));
    assert_eq!(at("name=vm"), ConnectUrlError::NoKey);
    assert_eq!(at(&format!("key={key}&key={key}")), ConnectUrlError::Repeated("key"));
    assert_eq!(at(&format!("name=a&key={key}&name=b")), ConnectUrlError::Repeated("name"));
    assert!(matches!(at("key=x"), ConnectUrlError::Key(_)));
    assert!(matches!(at(&format!("key={key}=")), ConnectUrlError::Key(_)));
}

proptest! {
    #[test]
    fn any_name_survives(name in any::<String>()) {
        let url = built(&BaseUrl::local(), &name);
        prop_assert!(url.to_string().is_ascii());
        prop_assert_eq!(ConnectUrl::parse(&url.to_string()).unwrap(), url);
    }

    #[test]
    fn nothing_makes_the_reader_panic(text in any::<String>(), host in "[a-z0-9.\\[\\]:%@/]{0,20}") {
        let _ = ConnectUrl::parse(&text);
        let _ = ConnectUrl::parse(&format!("https://{host}/connect?name={text}&key={}", key_parameter()));
    }
}
