//! Request bodies: limits, and reading them in full.

use std::io::Read as _;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::gateway::authn::{CredentialRevoked, credential_revoked};
use crate::gateway::rejection::Rejection;
use crate::http::TooSlow;

/// The largest bodies, in bytes; 0 is no limit.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of most routes.
    pub usual: u64,
    /// Of `/api/blobs`.
    pub blob: u64,
    /// Of JSON that is read in full; never without a limit.
    pub scanned: u64,
}

impl Limits {
    /// The limit of a route, by its path in the table.
    pub fn of(self, path: &str) -> u64 {
        if path.starts_with("/api/blobs/") { self.blob } else { self.usual }
    }
}

fn too_large(limit: u64) -> Rejection {
    Rejection::new(413, format!("the request is larger than the {limit} bytes that this gateway takes"))
}

/// A body that ends in an error when it exceeds the limit. One that says so beforehand is refused at once.
pub fn limited(body: Body, headers: &HeaderMap, limit: u64) -> Result<Body, Rejection> {
    if limit == 0 {
        return Ok(body);
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    if body.is_end_stream() {
        return Ok(body);
    }
    Ok(Body::new(Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX))))
}

/// What to answer when an error came from [`limited`], from [`MinDataRateBody`](crate::http::MinDataRateBody) or from
/// [`RevalidatingBody`](crate::gateway::authn::RevalidatingBody): it is the sender's own fault.
pub fn fault_of_the_sender(error: &(dyn std::error::Error + 'static)) -> Option<Rejection> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return Some(Rejection::new(413, "the request is larger than this gateway takes"));
        }
        if error.is::<TooSlow>() {
            return Some(Rejection::new(408, "the request's body comes too slowly for this gateway"));
        }
        if error.is::<CredentialRevoked>() {
            return Some(credential_revoked());
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
pub async fn read(body: Body, headers: &HeaderMap, limit: u64) -> Result<Bytes, Rejection> {
    let limit = if limit == 0 { u64::from(u32::MAX) } else { limit };
    let encodings: Vec<_> = headers.get_all(header::CONTENT_ENCODING).iter().collect();
    let zstd = match encodings.as_slice() {
        [] => false,
        [one] if one.as_bytes().eq_ignore_ascii_case(b"identity") => false,
        [one] if one.as_bytes().eq_ignore_ascii_case(b"zstd") => true,
        _ => return Err(Rejection::new(415, "this gateway unpacks zstd and nothing else")),
    };
    let body = limited(body, headers, limit)?;
    let bytes = match body.collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) => {
            let rejection = fault_of_the_sender(&error);
            return Err(rejection.unwrap_or_else(|| Rejection::new(400, "the request broke off")));
        }
    };
    if zstd { unpack(&bytes, limit) } else { Ok(bytes) }
}

/// Reads what is meant for an account endpoint: 64 KiB at most.
///
/// # Errors
/// As for [`read`].
pub async fn read_small(body: Body, headers: &HeaderMap) -> Result<Bytes, Rejection> {
    read(body, headers, 64 * 1024).await
}

fn unpack(packed: &[u8], limit: u64) -> Result<Bytes, Rejection> {
    let damaged = || Rejection::new(400, "the request is not what its Content-Encoding says");
    let mut rest = packed;
    let mut bytes = Vec::new();
    // One frame after the other, as the format has it.
    while !rest.is_empty() {
        let decoder = ruzstd::decoding::StreamingDecoder::new(&mut rest).map_err(|_| damaged())?;
        let room = (limit + 1).saturating_sub(bytes.len() as u64);
        decoder.take(room).read_to_end(&mut bytes).map_err(|_| damaged())?;
        if bytes.len() as u64 > limit {
            return Err(too_large(limit));
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

    fn packed(text: &str) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[tokio::test]
    async fn zstd_is_unpacked_within_the_limit() {
        let zstd = headers(&[("content-encoding", "zstd")]);
        let read = async |bytes: Vec<u8>, limit| read(Body::from(bytes), &zstd, limit).await;
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
            assert_eq!(read(Body::from("x"), &headers(pairs), 10).await.unwrap_err().status(), 415);
        }
        let mut two = headers(&[("content-encoding", "zstd")]);
        two.append("content-encoding", HeaderValue::from_static("identity"));
        assert_eq!(read(Body::from("x"), &two, 10).await.unwrap_err().status(), 415);
        assert_eq!(read(Body::from("12345678901"), &headers(&[]), 10).await.unwrap_err().status(), 413);
        assert_eq!(limited(Body::empty(), &headers(&[("content-length", "11")]), 10).unwrap_err().status(), 413);
        assert!(limited(Body::empty(), &headers(&[("content-length", "11")]), 0).is_ok());
    }
}
