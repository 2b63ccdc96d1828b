//! Request bodies: limits, and reading them in full.

use std::io::Read as _;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use thiserror::Error;

use crate::gateway::authn::{CredentialRevoked, SignedBodyError, credential_revoked};
use crate::gateway::config::Config;
use crate::gateway::rejection::Rejection;
use crate::http::TooSlow;

/// How large a body may be, and the setting that says so.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimit {
    /// In bytes; 0 means unlimited.
    pub bytes: u64,
    /// Its setting; `None` where there is none.
    pub setting: Option<&'static str>,
}

impl BodyLimit {
    /// Of what is sent to an account endpoint.
    const ACCOUNT: Self = Self { bytes: 64 * 1024, setting: None };

    fn exceeded(self) -> Rejection {
        Rejection::new(413, TooLarge(self).to_string())
    }

    fn size(self) -> String {
        match self.bytes {
            bytes if bytes.is_multiple_of(1 << 30) => format!("{} GiB", bytes >> 30),
            bytes if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
            bytes if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
            bytes => format!("{bytes} bytes"),
        }
    }

    fn named(self) -> String {
        self.setting.map(|setting| format!(" (setting {setting})")).unwrap_or_default()
    }
}

/// The largest bodies.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    usual: BodyLimit,
    blob: BodyLimit,
    scanned: BodyLimit,
}

impl Limits {
    /// As the configuration has them.
    pub fn new(config: &Config) -> Self {
        let limit = |bytes, setting| BodyLimit { bytes, setting: Some(setting) };
        Self {
            usual: limit(config.max_body, "max-body"),
            blob: limit(config.max_blob, "max-blob"),
            scanned: limit(config.max_scanned_body, "max-scanned-body"),
        }
    }

    /// Of a route, by its path in the table.
    pub fn of(self, path: &str) -> BodyLimit {
        if path.starts_with("/api/blobs/") { self.blob } else { self.usual }
    }

    /// Of JSON that is read in full; never without a limit.
    pub fn scanned(self) -> BodyLimit {
        self.scanned
    }
}

/// A body turned out larger than its limit.
#[derive(Debug, Error)]
#[error("the request body is larger than {}, the limit of this gateway{}", .0.size(), .0.named())]
struct TooLarge(BodyLimit);

/// A body that ends in an error when it exceeds the limit. One that says so beforehand is refused at once.
///
/// # Errors
/// 413.
pub fn limited(body: Body, headers: &HeaderMap, limit: BodyLimit) -> Result<Body, Rejection> {
    if limit.bytes == 0 {
        return Ok(body);
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit.bytes) {
        return Err(limit.exceeded());
    }
    if body.is_end_stream() {
        return Ok(body);
    }
    let limited = Limited::new(body, usize::try_from(limit.bytes).unwrap_or(usize::MAX));
    Ok(Body::new(limited.map_err(move |error| match error.downcast::<LengthLimitError>() {
        Ok(_) => TooLarge(limit).into(),
        Err(other) => other,
    })))
}

/// What to answer when an error came from [`limited`], from [`MinDataRateBody`](crate::http::MinDataRateBody) or from
/// [`RevalidatingBody`](crate::gateway::authn::RevalidatingBody): it is the sender's own fault.
pub fn fault_of_the_sender(error: &(dyn std::error::Error + 'static)) -> Option<Rejection> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<TooLarge>() {
            return Some(Rejection::new(413, error.to_string()));
        }
        if error.is::<TooSlow>() {
            return Some(Rejection::new(408, "the request body arrives too slowly (body-timeout)"));
        }
        if error.is::<CredentialRevoked>() {
            return Some(credential_revoked());
        }
        if let Some(error) = error.downcast_ref::<SignedBodyError>() {
            return Some(error.rejection());
        }
        cause = error.source();
    }
    None
}

/// Reads a body, and unpacks it if it is packed as zstd, the one encoding that Ollama takes.
///
/// # Errors
/// 413 when it is, or becomes, larger than `limit`; 408 when it comes too slowly; 415 for another encoding; 400 when it breaks off or is
/// damaged.
pub async fn read(body: Body, headers: &HeaderMap, limit: BodyLimit) -> Result<Bytes, Rejection> {
    let limit = if limit.bytes == 0 { BodyLimit { bytes: u64::from(u32::MAX), ..limit } } else { limit };
    let encodings: Vec<_> = headers.get_all(header::CONTENT_ENCODING).iter().collect();
    let zstd = match encodings.as_slice() {
        [] => false,
        [one] if one.as_bytes().eq_ignore_ascii_case(b"identity") => false,
        [one] if one.as_bytes().eq_ignore_ascii_case(b"zstd") => true,
        _ => return Err(Rejection::new(415, "unsupported Content-Encoding: only zstd is supported")),
    };
    let body = limited(body, headers, limit)?;
    let bytes = match body.collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) => {
            let rejection = fault_of_the_sender(&error);
            return Err(rejection.unwrap_or_else(|| Rejection::new(400, "the request body ended early")));
        }
    };
    if zstd { unpack(&bytes, limit) } else { Ok(bytes) }
}

/// Reads the body of a request to an account endpoint: 64 KiB at most.
///
/// # Errors
/// As for [`read`].
pub async fn read_small(body: Body, headers: &HeaderMap) -> Result<Bytes, Rejection> {
    read(body, headers, BodyLimit::ACCOUNT).await
}

fn unpack(packed: &[u8], limit: BodyLimit) -> Result<Bytes, Rejection> {
    let damaged = || Rejection::new(400, "the request body is not valid zstd");
    let mut rest = packed;
    let mut bytes = Vec::new();
    // One frame after the other, as the format has it.
    while !rest.is_empty() {
        let decoder = ruzstd::decoding::StreamingDecoder::new(&mut rest).map_err(|_| damaged())?;
        let room = (limit.bytes + 1).saturating_sub(bytes.len() as u64);
        decoder.take(room).read_to_end(&mut bytes).map_err(|_| damaged())?;
        if bytes.len() as u64 > limit.bytes {
            return Err(limit.exceeded());
        }
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    fn limit(bytes: u64) -> BodyLimit {
        BodyLimit { bytes, setting: Some("max-body") }
    }

    fn packed(text: &str) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[tokio::test]
    async fn zstd_is_unpacked_within_the_limit() {
        let zstd = headers(&[("content-encoding", "zstd")]);
        let read = async |bytes: Vec<u8>, limit| read(Body::from(bytes), &zstd, self::limit(limit)).await;
        assert_eq!(read(packed("hello"), 30).await.unwrap(), "hello");
        let two = [packed("hello "), packed("you")].concat();
        assert_eq!(read(two, 99).await.unwrap(), "hello you");
        assert_eq!(read(packed(&"a".repeat(100_000)), 1000).await.unwrap_err().status(), 413);
        assert_eq!(read(b"{}".to_vec(), 1000).await.unwrap_err().status(), 400);
        let mut cut = packed("hello hello");
        cut.truncate(cut.len() - 3);
        assert_eq!(read(cut, 1000).await.unwrap_err().status(), 400);
    }

    #[tokio::test]
    async fn other_encodings_and_long_bodies_are_refused() {
        for pairs in [&[("content-encoding", "gzip")][..], &[("content-encoding", "zstd, gzip")]] {
            assert_eq!(read(Body::from("x"), &headers(pairs), limit(10)).await.unwrap_err().status(), 415);
        }
        let mut two = headers(&[("content-encoding", "zstd")]);
        two.append("content-encoding", HeaderValue::from_static("identity"));
        assert_eq!(read(Body::from("x"), &two, limit(10)).await.unwrap_err().status(), 415);
        assert_eq!(read(Body::from("12345678901"), &headers(&[]), limit(10)).await.unwrap_err().status(), 413);
        assert_eq!(limited(Body::empty(), &headers(&[("content-length", "11")]), limit(10)).unwrap_err().status(), 413);
        assert!(limited(Body::empty(), &headers(&[("content-length", "11")]), limit(0)).is_ok());
    }

    #[tokio::test]
    async fn an_exceeded_limit_is_named_with_its_setting() {
        let limits = Limits::new(&Config { max_scanned_body: 16 << 20, ..Config::default() });
        let message = limits.scanned().exceeded().message().to_owned();
        assert_eq!(
            message,
            "the request body is larger than 16 MiB, the limit of this gateway (setting max-scanned-body)"
        );
        let body = limited(Body::from("12345678901"), &headers(&[]), limit(10)).unwrap();
        let rejection = fault_of_the_sender(&body.collect().await.unwrap_err()).unwrap();
        assert_eq!(
            rejection.message(),
            "the request body is larger than 10 bytes, the limit of this gateway (setting max-body)"
        );
        assert!(!BodyLimit::ACCOUNT.exceeded().message().contains("setting"));
    }
}
