//! The origin of a page, as browsers and editors write it in `Origin`. Which of them may ask is said by `--allow-origin`.

use std::str::FromStr;

use thiserror::Error;

/// Why a text is no origin that can be allowed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoOrigin {
    /// A star, or `null`, which any page can make itself.
    #[error("{0:?} would let every page use your credential")]
    Everybody(String),
    /// Something else.
    #[error("{0:?} is no origin: it is a scheme, a host and perhaps a port")]
    Malformed(String),
}

/// `scheme://host[:port]` in lower case, without the scheme's own port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedOrigin(String);

impl AllowedOrigin {
    /// Whether the value of an `Origin` header is this one.
    pub fn is(&self, header: &str) -> bool {
        normal(header).is_some_and(|origin| origin == self.0)
    }
}

impl FromStr for AllowedOrigin {
    type Err = NoOrigin;

    fn from_str(text: &str) -> Result<Self, NoOrigin> {
        if text.contains('*') || text.trim().eq_ignore_ascii_case("null") {
            return Err(NoOrigin::Everybody(text.to_owned()));
        }
        let origin = normal(text.strip_suffix('/').unwrap_or(text));
        origin.map(Self).ok_or_else(|| NoOrigin::Malformed(text.to_owned()))
    }
}

fn normal(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let (scheme, host) = text.split_once("://")?;
    let scheme_fits = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let host_fits = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]~%".contains(&byte));
    if !scheme_fits || !host_fits || host.is_empty() {
        return None;
    }
    let own_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    let host = host.strip_suffix(own_port).filter(|host| !own_port.is_empty() && !host.is_empty()).unwrap_or(host);
    Some(format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_itself_and_no_other() {
        let app: AllowedOrigin = "https://App.example:443/".parse().unwrap();
        assert!(app.is("https://app.example") && app.is("https://app.example:443"));
        for other in [
            "http://app.example",
            "https://app.example.evil.example",
            "https://app.example:8443",
            "https://app.example/",
            "https://evil.example",
            "null",
            "",
        ] {
            assert!(!app.is(other), "{other}");
        }
        let editor: AllowedOrigin = "vscode-webview://1a2b3c".parse().unwrap();
        assert!(editor.is("vscode-webview://1a2b3c") && !editor.is("vscode-webview://1a2b3d"));
    }

    #[test]
    fn nobody_allows_everybody_by_mistake() {
        for text in ["*", "https://*.example", "null"] {
            assert!(matches!(text.parse::<AllowedOrigin>(), Err(NoOrigin::Everybody(_))), "{text}");
        }
        for text in ["", "example.com", "https://", "https://a/b", "https://a b", "https://u@a", "file://", "://a"] {
            assert!(matches!(text.parse::<AllowedOrigin>(), Err(NoOrigin::Malformed(_))), "{text}");
        }
    }
}
