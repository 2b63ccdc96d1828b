//! What a person types as the path of a request, made into the path and the query that are sent and signed. It is read as the
//! HTTP client reads it, so that what is checked, what is signed and what is sent are one and the same.

use url::Url;

use crate::address::BaseUrl;
use crate::exit::{Exit, Problem};

/// A path below a host's base path, with its decoded query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPath {
    /// Begins with a slash, escaped as it is sent, without dot segments.
    pub path: String,
    /// Name and value of each parameter.
    pub query: Vec<(String, String)>,
}

impl RequestPath {
    /// Reads a path, or a whole URL at `base`.
    ///
    /// # Errors
    /// Exit 2 for a URL of another origin or with a user name, for a path that leaves the base path, and for what is neither.
    pub fn read(text: &str, base: &BaseUrl) -> Result<Self, Problem> {
        let problem = |message: String| Problem::new(Exit::Usage, message).hint("write it as /api/tags");
        if text.contains(|c: char| c.is_control() || c == '\\') || text.starts_with("//") {
            return Err(problem(format!("invalid path {text:?}")));
        }
        if text.contains('#') {
            return Err(problem(format!("the path {text:?} contains #, and what follows it is never sent")));
        }
        let is_url = text.split_once("://").is_some_and(|(before, _)| !before.contains(['/', '?']));
        let whole = if is_url { text.to_owned() } else { base.join(text) };
        let url = Url::parse(&whole).map_err(|error| problem(format!("invalid path {text:?}: {error}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(problem("a URL with a user name or password is not accepted".to_owned()));
        }
        let origin =
            |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default());
        let own = Url::parse(&base.to_string()).map_err(|error| problem(format!("invalid address {base}: {error}")))?;
        if origin(&url) != origin(&own) {
            let message = format!("{text:?} is not at {base}, and a credential is sent to its own host only");
            return Err(Problem::new(Exit::Usage, message).hint("pass the host with --host, and only the path here"));
        }
        let below = url.path().strip_prefix(base.path()).filter(|rest| rest.starts_with('/'));
        let Some(path) = below else {
            return Err(problem(format!("the path {text:?} is outside of {base}")));
        };
        Ok(Self { path: path.to_owned(), query: url.query_pairs().into_owned().collect() })
    }

    /// Makes sure that a signature, which adds the time as `ts`, does not replace something else.
    ///
    /// # Errors
    /// Exit 2 where the query holds a `ts`.
    pub fn require_no_time(&self) -> Result<(), Problem> {
        if !self.query.iter().any(|(name, _)| name == "ts") {
            return Ok(());
        }
        let message = "the path must not contain the parameter ts, which the signature adds";
        Err(Problem::new(Exit::Usage, message).hint("leave out ts"))
    }

    /// The query as it is handed to a session.
    pub fn pairs(&self) -> Vec<(&str, &str)> {
        self.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, base: &str) -> Result<String, Exit> {
        let read = RequestPath::read(text, &BaseUrl::parse(base).unwrap().url).map_err(|problem| problem.exit)?;
        let query: Vec<String> = read.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Ok(format!("{} {}", read.path, query.join(",")))
    }

    #[test]
    fn a_path_or_a_url_of_the_same_host() {
        assert_eq!(read("/api/tags", "https://h"), Ok("/api/tags ".into()));
        assert_eq!(read("api/tags?b=1&a=x%20y+z", "https://h"), Ok("/api/tags b=1,a=x y z".into()));
        assert_eq!(read("/api/x", "https://h/base"), Ok("/api/x ".into()));
        assert_eq!(read("https://H:443/base/api/x", "https://h/base"), Ok("/api/x ".into()));
        assert_eq!(read("/r?u=http://o/", "https://h"), Ok("/r u=http://o/".into()));
        assert_eq!(read("/api/ü", "https://h"), Ok("/api/%C3%BC ".into()));
    }

    #[test]
    fn nothing_leaves_the_host_or_its_base_path() {
        for text in [
            "https://other/api",
            "http://h/api",
            "https://h:444/api",
            "https://u:p@h/api",
            "//other/api",
            "/api#x",
            "/a\\b",
            "/a\nb",
            "ftp://h/x",
        ] {
            assert_eq!(read(text, "https://h"), Err(Exit::Usage), "{text}");
        }
        for text in ["/../api", "/%2e%2e/api", "/x/../../api", "https://h/api", "https://h/basement/x"] {
            assert_eq!(read(text, "https://h/base"), Err(Exit::Usage), "{text}");
        }
        // What is checked is what is sent.
        assert_eq!(read("/api/x/../user/./keys", "https://h"), Ok("/api/user/keys ".into()));
    }
}
