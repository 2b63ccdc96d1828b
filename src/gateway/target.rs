//! The request target as it was sent, and the one route that it can mean.
//!
//! Nothing is decoded or tidied up: a path that another reader could take for another route (percent-encoded, dotted, with
//! doubled slashes, in absolute form) is refused, and what is forwarded is built from the route that was matched.

use axum::http::request::Parts;
use percent_encoding::percent_decode_str;

use super::rejection::Rejection;
use super::routes::{self, Matched};
use crate::identity::BodyDigest;

const MAX_TARGET_LENGTH: usize = 8 * 1024;

/// A target without the base path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The HTTP method, in capitals.
    pub method: &'a str,
    /// The path without the base path. It means the same to every reader: nothing in it is encoded or can be shortened.
    pub path: &'a str,
    /// Everything after the question mark, as it was sent; `None` without one.
    pub query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Reads a request's target. `base` is our base path: empty, or beginning with a slash and not ending with one.
    ///
    /// # Errors
    /// 400 for a form that is not plain, 404 for a path outside the base path.
    pub fn read(request: &'a Parts, base: &str) -> Result<Self, Rejection> {
        let uri = &request.uri;
        if uri.scheme().is_some() || uri.authority().is_some() {
            return Err(Rejection::new(400, "the request target must be a path, not a full URL"));
        }
        let path = uri.path();
        let length = path.len() + uri.query().map_or(0, str::len);
        if length > MAX_TARGET_LENGTH {
            return Err(Rejection::new(414, "the path and query are longer than 8 KiB"));
        }
        if !is_plain(path) {
            let message = "the path must not contain percent-encoding, dot segments or double slashes";
            return Err(Rejection::new(400, message));
        }
        let path = match path.strip_prefix(base) {
            Some("") => "/",
            Some(below) if below.starts_with('/') => below,
            _ => return Err(Rejection::new(404, format!("not found: the API of this gateway is below {base}/"))),
        };
        Ok(Self { method: request.method.as_str(), path, query: uri.query() })
    }

    /// Finds the row of the route table for this method and path.
    ///
    /// # Errors
    /// 404, 405.
    pub fn route(&self) -> Result<Matched<'a>, Rejection> {
        routes::find(self.method, self.path)
    }

    /// The one `ts` among the parameters, as it was written; `None` when there is none.
    ///
    /// # Errors
    /// 400 when it is there twice, or written so that another reader might find it and we not.
    pub fn ts(&self) -> Result<Option<&'a str>, Rejection> {
        let Some(query) = self.query else { return Ok(None) };
        let mut found = None;
        for (name, value) in pairs(query) {
            if name == "ts" {
                if found.replace(value).is_some() {
                    return Err(Rejection::new(400, "the parameter ts is given twice"));
                }
            } else if name.contains('%') || name.eq_ignore_ascii_case("ts") || query.contains(';') {
                return Err(Rejection::new(
                    400,
                    "the query is ambiguous: separate parameters with & and do not encode their names",
                ));
            }
        }
        Ok(found)
    }

    /// The digest of the body, if the query has one.
    ///
    /// # Errors
    /// 400 when it is there twice, malformed, or its name is written so that another reader might find it and we not.
    pub fn body_digest(&self) -> Result<Option<BodyDigest>, Rejection> {
        let Some(query) = self.query else { return Ok(None) };
        let name = BodyDigest::PARAMETER;
        let mut digests = pairs(query).filter(|(found, _)| *found == name);
        let spellings = query.split(['&', ';']).filter(|pair| {
            let found = pair.split('=').next().unwrap_or_default();
            percent_decode_str(found).decode_utf8_lossy().eq_ignore_ascii_case(name)
        });
        if spellings.count() != digests.clone().count() {
            return Err(Rejection::new(400, format!("write the parameter {name} in lower case and without encoding")));
        }
        let Some((_, value)) = digests.next() else { return Ok(None) };
        if digests.next().is_some() {
            return Err(Rejection::new(400, format!("the parameter {name} is given twice")));
        }
        BodyDigest::parse(value).map(Some).map_err(|error| Rejection::new(400, error.to_string()))
    }

    /// The parameters that are not the gateway's own, as they were sent: what is forwarded.
    pub fn other_parameters(&self) -> Option<String> {
        let others: Vec<&str> = self.query?.split('&').filter(|pair| !is_own(pair) && !pair.is_empty()).collect();
        (!others.is_empty()).then(|| others.join("&"))
    }

    /// The value of a parameter without escapes.
    pub fn parameter(&self, name: &str) -> Option<&'a str> {
        pairs(self.query?).find(|(found, _)| *found == name).map(|(_, value)| value)
    }
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> + Clone {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Whether a parameter belongs to the signature.
fn is_own(pair: &str) -> bool {
    let name = pair.split_once('=').map_or(pair, |(name, _)| name);
    name == "ts" || name == BodyDigest::PARAMETER
}

/// Begins with a slash; nothing but letters, digits and `-._~:@!$&'()*+,=` between single slashes; no `.` or `..`.
fn is_plain(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:@!$&'()*+,=/".contains(&byte);
    let mut segments = rest.strip_suffix('/').unwrap_or(rest).as_bytes().split(|byte| *byte == b'/');
    path.bytes().all(plain) && (rest.is_empty() || segments.all(|segment| !matches!(segment, b"" | b"." | b"..")))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use proptest::prelude::*;

    use super::*;

    fn parts(method: &str, uri: &str) -> Parts {
        Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0
    }

    #[test]
    fn ambiguous_targets_are_refused() {
        for path in [
            "/api/%67enerate",
            "//api/generate",
            "/api//generate",
            "/api/../api/generate",
            "/./api/generate",
            "/api/generate/.",
            "/api/generate%00",
            "/api\\generate",
            "/api/generate;x",
            "/api/..",
            "/%2e%2e/api/tags",
            "http://h/api/tags",
            "*",
        ] {
            let Ok(request) = Request::builder().method("GET").uri(path).body(()) else { continue };
            let parts = request.into_parts().0;
            assert_eq!(Target::read(&parts, "").unwrap_err().status(), 400, "{path}");
        }
    }

    #[test]
    fn the_base_path_is_removed_and_required() {
        for (uri, path) in [("/prefix/api/me?ts=1", "/api/me"), ("/prefix/", "/"), ("/prefix", "/")] {
            assert_eq!(Target::read(&parts("POST", uri), "/prefix").unwrap().path, path);
        }
        for uri in ["/api/me", "/prefixed/api/me", "/"] {
            assert_eq!(Target::read(&parts("POST", uri), "/prefix").unwrap_err().status(), 404, "{uri}");
        }
    }

    #[test]
    fn ts_must_appear_once_and_unencoded() {
        let ts = |uri: &str| Target::read(&parts("GET", uri), "").unwrap().ts().map(|ts| ts.map(str::to_owned));
        assert_eq!(ts("/api/tags").unwrap(), None);
        assert_eq!(ts("/api/tags?a=1&ts=5").unwrap().as_deref(), Some("5"));
        for uri in ["/?ts=1&ts=1", "/?t%73=1", "/?ts=1&%74s=2", "/?TS=1", "/?ts=1;ts=2&a", "/?a=1;ts=2"] {
            assert_eq!(ts(uri).unwrap_err().status(), 400, "{uri}");
        }
    }

    #[test]
    fn the_digest_of_the_body_must_appear_once_and_in_its_form() {
        let digest = |uri: &str| Target::read(&parts("GET", uri), "").unwrap().body_digest();
        let value = BodyDigest::parameter_of(b"{}", 1);
        assert_eq!(digest("/api/tags?ts=1").unwrap(), None);
        assert_eq!(digest("/?a%2Db=body-sha256&body-sha2567=1&c=1;2").unwrap(), None);
        assert_eq!(digest(&format!("/?body-sha256={value}&ts=1")).unwrap(), Some(BodyDigest::parse(&value).unwrap()));
        for query in [
            format!("body-sha256={value}&body-sha256={value}"),
            format!("body-sha256={value}&body-sha256"),
            "body-sha256=".to_owned(),
            "body-sha256".to_owned(),
            "body-sha256=0".to_owned(),
            // Spelled so that another reader finds it.
            format!("Body-SHA256={value}"),
            format!("body%2Dsha256={value}"),
            format!("%62ODY-sha256={value}"),
            format!("body-sha256={value}&BODY-SHA256={value}"),
            format!("a=1;body-sha256={value}"),
            format!("body-sha256={value};body-sha256={value}"),
        ] {
            assert_eq!(digest(&format!("/?{query}")).unwrap_err().status(), 400, "{query}");
        }
    }

    #[test]
    fn the_parameters_of_a_signature_are_not_forwarded() {
        let others = |uri: &str| Target::read(&parts("GET", uri), "").unwrap().other_parameters();
        assert_eq!(others("/?ts=1"), None);
        assert_eq!(others("/?a=1&ts=1&&b=2").as_deref(), Some("a=1&b=2"));
        assert_eq!(others("/?a=1&body-sha256=0&ts=1").as_deref(), Some("a=1"));
        assert_eq!(others("/?body-sha256&ts=1"), None);
        assert_eq!(others("/?body-sha2567=1").as_deref(), Some("body-sha2567=1"));
    }

    proptest! {
        #[test]
        fn never_panics(uri in "/[ -~]{0,40}", base in "(/[a-z]{1,3})?") {
            if let Ok(request) = Request::builder().uri(&uri).body(()) {
                let parts = request.into_parts().0;
                if let Ok(target) = Target::read(&parts, &base) {
                    let _ = (target.ts(), target.body_digest(), target.other_parameters(), target.route());
                    prop_assert!(!target.path.contains('%') && !target.path.contains("//"));
                }
            }
        }
    }
}
