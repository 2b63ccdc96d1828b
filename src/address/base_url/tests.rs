//! `OLLAMA_HOST` against the recorded cases, the values stock would misread, and arbitrary text.

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    value: String,
    connect: String,
}

fn parse(value: &str) -> BaseUrl {
    let parsed = BaseUrl::parse(value).unwrap();
    assert_eq!(parsed.warning, None, "{value}");
    parsed.url
}

#[test]
fn reads_every_recorded_value_as_stock_does() {
    let vectors: Vectors = serde_json::from_str(include_str!("../../../tests/it/fixtures/vectors/hosts.json")).unwrap();
    assert_eq!(vectors.cases.len(), 24);
    for case in vectors.cases {
        let url = parse(&case.value);
        assert_eq!(url.connect_form(), case.connect, "{:?}", case.value);
        assert_eq!(parse(&url.to_string()), url, "{:?}", case.value);
    }
}

#[test]
fn a_bad_port_becomes_the_default_of_the_scheme_and_is_said() {
    for (value, connect) in [
        (":66000", "http://127.0.0.1:11434"),
        (":-1", "http://127.0.0.1:11434"),
        ("example.com:", "http://example.com:11434"),
        ("http://h:x", "http://h:80"),
        ("https://h:99999999999999999999", "https://h:443"),
        ("[::1]:70000", "http://[::1]:11434"),
    ] {
        let parsed = BaseUrl::parse(value).unwrap();
        assert_eq!(parsed.url.connect_form(), connect, "{value}");
        let warning = parsed.warning.unwrap();
        assert!(warning.contains("65535") && warning.contains(value), "{warning}");
    }
    assert_eq!(BaseUrl::parse(":0"), Err(HostError::PortZero { value: ":0".into() }));
}

#[test]
fn a_credential_in_the_value_is_refused_and_not_repeated() {
    for value in ["https://user:hunter2@h", "user:hunter2@h", "https://hunter2@h/p", "https://a:hunt/er2@h"] {
        let err = BaseUrl::parse(value).unwrap_err();
        assert_eq!(err, HostError::Credentials, "{value}");
        assert!(!format!("{err} {err:?}").contains("hunt"));
    }
    let err = BaseUrl::parse("https://h/p?key=hunter2").unwrap_err();
    assert!(err.to_string().contains("https://h/p") && !format!("{err} {err:?}").contains("hunter2"));
    assert!(matches!(BaseUrl::parse("h#x"), Err(HostError::QueryOrFragment { mark: '#', .. })));
}

#[test]
fn what_stock_would_misread_is_an_error() {
    assert!(matches!(BaseUrl::parse("ftp://h"), Err(HostError::Scheme { .. })));
    assert!(matches!(BaseUrl::parse("://h"), Err(HostError::Scheme { .. })));
    assert!(matches!(BaseUrl::parse("http:/h"), Err(HostError::SingleSlash { .. })));
    for value in [
        "a b",
        "h\\evil",
        "a\tb",
        "[::1",
        "a:b:c",
        "[::1]x",
        "[[::1]]:1",
        "fe80::1%eth0",
        "%6fllama.com",
        "1.2.3.4.5",
        "h<x>",
    ] {
        assert!(
            matches!(BaseUrl::parse(value), Err(HostError::Invalid { .. })),
            "{value:?} gave {:?}",
            BaseUrl::parse(value)
        );
    }
}

#[test]
fn equal_servers_have_equal_addresses() {
    for (one, other) in [
        ("https://OLLAMA.COM:443/", "ollama.com"),
        ("Ollama.com/", "https://ollama.com"),
        ("http://[::ffff:127.0.0.1]:80", "http://127.0.0.1"),
        ("http://[0:0::1]", "http://[::1]"),
        ("http://bücher.example", "http://xn--bcher-kva.example"),
        ("http://127.1", "http://127.0.0.1"),
        ("http://h//a///b/", "http://h/a/b"),
        ("http://h/a/../b", "http://h/b"),
        ("HTTP://h", "http://h:80"),
    ] {
        assert_eq!(parse(one), parse(other), "{one} {other}");
    }
    assert_eq!(parse("ollama.com"), BaseUrl::ollama_com());
    assert_eq!(parse(""), BaseUrl::local());
    assert_ne!(parse("ollama.com:443"), BaseUrl::ollama_com(), "stock speaks plain http there");
}

#[test]
fn shows_joins_and_names_itself() {
    let url = parse("https://example.com/ollama/");
    assert_eq!(url.to_string(), "https://example.com/ollama");
    assert_eq!(url.path(), "/ollama");
    assert_eq!(url.join("/api/me?ts=1"), "https://example.com/ollama/api/me?ts=1");
    assert_eq!(url.join("api/me"), "https://example.com/ollama/api/me");
    assert_eq!(url.profile_name(), "example.com");
    assert_eq!(url.origin().to_string(), "https://example.com");

    let url = parse("[::1]:8080");
    assert_eq!((url.host(), url.port(), url.path()), ("[::1]", 8080, ""));
    assert_eq!(url.profile_name(), "[::1]:8080");
    assert_eq!(url.join("/"), "http://[::1]:8080/");
    assert_eq!(BaseUrl::local().profile_name(), "127.0.0.1:11434");
    assert!(BaseUrl::local().is_loopback() && BaseUrl::ollama_com().is_ollama_com());
}

#[test]
fn is_a_string_in_json() {
    let url = parse("https://h:8443/p");
    let json = serde_json::to_string(&url).unwrap();
    assert_eq!(json, r#""https://h:8443/p""#);
    assert_eq!(serde_json::from_str::<BaseUrl>(&json).unwrap(), url);
    assert!(serde_json::from_str::<BaseUrl>(r#""https://h:99999""#).is_err());
}

proptest! {
    #[test]
    fn never_panics(value in any::<String>()) {
        let _ = BaseUrl::parse(&value);
        let _ = value.parse::<Origin>();
    }

    #[test]
    fn what_is_shown_means_the_same_again(
        value in "(https?://)?[a-zA-Z0-9.\\[\\]:%-]{0,24}(:[0-9]{0,6})?(/[a-z0-9./%é-]{0,12})?"
    ) {
        if let Ok(parsed) = BaseUrl::parse(&value) {
            let url = parsed.url;
            prop_assert_eq!(&BaseUrl::parse(&url.to_string()).unwrap().url, &url);
            prop_assert_eq!(&BaseUrl::parse(&url.connect_form()).unwrap().url, &url);
            prop_assert_eq!(url.origin().to_string().parse::<Origin>().unwrap(), url.origin());
            prop_assert!(!url.path().ends_with('/'));
        }
    }
}
