//! Request bodies: limits, and reading them in full.

use std::num::NonZeroU64;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use thiserror::Error;

use super::scan_budget::{Reservation, ScanLimits};
use crate::gateway::authn::CredentialRevoked;
use crate::gateway::config::Config;
use crate::gateway::limits::Subject;
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::rejection::Rejection;
use crate::http::TooSlow;
use crate::keyspec::size_text;

/// How large a body may be, and what says so.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimit {
    /// In bytes; 0 means unlimited.
    pub bytes: u64,
    /// What says so.
    pub by: LimitedBy,
}

/// What says how large a body may be.
#[derive(Clone, Copy, Debug)]
pub enum LimitedBy {
    /// The setting of that name.
    Setting(&'static str),
    /// The program.
    Program,
    /// The limit `request-size` of the caller's.
    Subject(Subject),
}

impl BodyLimit {
    /// Of what is sent to an account endpoint.
    pub(super) const ACCOUNT: Self = Self { bytes: 64 * 1024, by: LimitedBy::Program };

    pub(super) fn exceeded(self) -> Rejection {
        let rejection = Rejection::new(413, TooLarge(self).to_string());
        match self.by {
            LimitedBy::Subject(_) => rejection.because(RefusalCode::Size),
            LimitedBy::Setting(_) | LimitedBy::Program => rejection,
        }
    }

    /// The smaller one.
    fn at_most(self, other: Option<(Subject, NonZeroU64)>) -> Self {
        match other {
            Some((subject, bytes)) if self.bytes == 0 || bytes.get() < self.bytes => {
                Self { bytes: bytes.get(), by: LimitedBy::Subject(subject) }
            }
            _ => self,
        }
    }

    /// Refuses a body that says that it is larger.
    ///
    /// # Errors
    /// 413.
    pub fn check_announced(self, headers: &HeaderMap) -> Result<(), Rejection> {
        let is_larger = self.bytes > 0 && announced_length(headers).is_some_and(|length| length > self.bytes);
        if is_larger { Err(self.exceeded()) } else { Ok(()) }
    }

    fn owner(self) -> String {
        match self.by {
            LimitedBy::Setting(setting) => format!("this gateway (setting {setting})"),
            LimitedBy::Program => "this gateway".to_owned(),
            LimitedBy::Subject(subject) => subject.words().into_owned(),
        }
    }
}

/// The largest bodies.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    usual: BodyLimit,
    blob: BodyLimit,
    scanned: BodyLimit,
    memory: ScanLimits,
    counting: ScanLimits,
}

impl Limits {
    /// As the configuration has them.
    pub fn new(config: &Config) -> Self {
        let limit = |bytes, setting| BodyLimit { bytes, by: LimitedBy::Setting(setting) };
        Self {
            usual: limit(config.max_body, "max-body"),
            blob: limit(config.max_blob, "max-blob"),
            scanned: limit(config.max_scanned_body, "max-scanned-body"),
            memory: ScanLimits::new(config),
            counting: ScanLimits::for_counting(config),
        }
    }

    /// With a limit of the caller's, where that is smaller.
    pub fn at_most(self, size: Option<(Subject, NonZeroU64)>) -> Self {
        let Self { usual, blob, scanned, .. } = self;
        Self { usual: usual.at_most(size), blob: blob.at_most(size), scanned: scanned.at_most(size), ..self }
    }

    /// Of a route, by its path in the table.
    pub fn of(self, path: &str) -> BodyLimit {
        if path.starts_with("/api/blobs/") { self.blob } else { self.usual }
    }

    /// Of what is read in full; never without a limit.
    pub fn scanned(self) -> BodyLimit {
        self.scanned
    }

    /// Of what all bodies together occupy that are read for counting alone.
    pub fn counting(self) -> ScanLimits {
        self.counting
    }

    /// Of what all scanned bodies together occupy.
    pub fn memory(self) -> ScanLimits {
        self.memory
    }
}

/// A body turned out larger than its limit.
#[derive(Debug, Error)]
#[error("the request body is larger than {}, the limit of {}", size_text(.0.bytes), .0.owner())]
struct TooLarge(BodyLimit);

/// A body that ends in an error when it exceeds the limit. One that says so beforehand is refused at once.
///
/// # Errors
/// 413.
pub fn limited(body: Body, headers: &HeaderMap, limit: BodyLimit) -> Result<Body, Rejection> {
    if limit.bytes == 0 {
        return Ok(body);
    }
    limit.check_announced(headers)?;
    if body.is_end_stream() {
        return Ok(body);
    }
    let limited = Limited::new(body, usize::try_from(limit.bytes).unwrap_or(usize::MAX));
    Ok(Body::new(limited.map_err(move |error| match error.downcast::<LengthLimitError>() {
        Ok(_) => TooLarge(limit).into(),
        Err(other) => other,
    })))
}

/// What `Content-Length` says, in bytes.
pub fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A body that turned out not to be permitted while it was read or forwarded. It ends there, so the upstream server never gets all of it.
#[derive(Debug, Error)]
#[error("the request body was refused: {}", .0.message())]
pub struct RefusedBody(pub Rejection);

/// What to answer when an error came from [`limited`], from [`MinDataRateBody`](crate::http::MinDataRateBody), from
/// [`RevalidatingBody`](crate::gateway::authn::RevalidatingBody), or is a [`RefusedBody`]: it is the sender's own fault.
pub fn fault_of_the_sender(error: &(dyn std::error::Error + 'static)) -> Option<Rejection> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(TooLarge(limit)) = error.downcast_ref() {
            return Some(limit.exceeded());
        }
        if error.is::<TooSlow>() {
            return Some(Rejection::new(408, "the request body arrives too slowly (body-timeout)"));
        }
        if let Some(RefusedBody(rejection)) = error.downcast_ref() {
            return Some(rejection.clone());
        }
        if let Some(CredentialRevoked(rejection)) = error.downcast_ref() {
            return Some(rejection.clone());
        }
        cause = error.source();
    }
    None
}

/// Whether a body is packed as zstd, the one encoding that Ollama takes.
///
/// # Errors
/// 415 for another encoding.
pub fn is_packed(headers: &HeaderMap) -> Result<bool, Rejection> {
    let encodings: Vec<_> = headers.get_all(header::CONTENT_ENCODING).iter().collect();
    match encodings.as_slice() {
        [] => Ok(false),
        [one] if one.as_bytes().eq_ignore_ascii_case(b"identity") => Ok(false),
        [one] if one.as_bytes().eq_ignore_ascii_case(b"zstd") => Ok(true),
        _ => Err(Rejection::new(415, "unsupported Content-Encoding: only zstd is supported")),
    }
}

/// Reads a body as it comes. The capacity of the result is reserved.
///
/// # Errors
/// 413 when it is larger than `limit`; 408 when it comes too slowly; 400 when it breaks off; 503 without room in the budget.
pub async fn receive(
    body: Body,
    headers: &HeaderMap,
    limit: BodyLimit,
    reservation: &mut Reservation,
) -> Result<Vec<u8>, Rejection> {
    let limit = if limit.bytes == 0 { BodyLimit { bytes: u64::from(u32::MAX), ..limit } } else { limit };
    let body = limited(body, headers, limit)?;
    let length = body.size_hint().exact().or_else(|| announced_length(headers)).unwrap_or_default();
    reservation.would_grow(usize::try_from(length).unwrap_or(usize::MAX))?;
    collect(body, reservation).await?.map_err(|error| {
        fault_of_the_sender(&error).unwrap_or_else(|| Rejection::new(400, "the request body ended early"))
    })
}

/// All of a body, as long as there is room for it. The inner error is that of the body.
///
/// # Errors
/// 503 without room in the budget.
pub async fn collect<B>(mut body: B, reservation: &mut Reservation) -> Result<Result<Vec<u8>, B::Error>, Rejection>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => match frame.into_data() {
                Ok(data) => reservation.append(&mut bytes, &data)?,
                // Trailers.
                Err(_) => continue,
            },
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(bytes))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    fn limit(bytes: u64) -> BodyLimit {
        BodyLimit { bytes, by: LimitedBy::Setting("max-body") }
    }

    async fn read(body: &'static str, headers: &HeaderMap) -> Result<Vec<u8>, Rejection> {
        receive(Body::from(body), headers, limit(10), &mut Reservation::uncounted()).await
    }

    #[tokio::test]
    async fn other_encodings_and_long_bodies_are_refused() {
        for pairs in [&[("content-encoding", "gzip")][..], &[("content-encoding", "zstd, gzip")]] {
            assert_eq!(is_packed(&headers(pairs)).unwrap_err().status(), 415);
        }
        let mut two = headers(&[("content-encoding", "zstd")]);
        two.append("content-encoding", HeaderValue::from_static("identity"));
        assert_eq!(is_packed(&two).unwrap_err().status(), 415);
        assert_eq!(read("1234567890", &headers(&[])).await.unwrap(), b"1234567890");
        assert_eq!(read("12345678901", &headers(&[])).await.unwrap_err().status(), 413);
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
        // The caller's own limit, where it is smaller.
        let own = |bytes| limits.at_most(NonZeroU64::new(bytes).map(|bytes| (Subject::Key, bytes)));
        let message = own(1 << 20).scanned().exceeded().message().to_owned();
        assert_eq!(message, "the request body is larger than 1 MiB, the limit of this key");
        assert_eq!(own(1 << 20).of("/api/blobs/x").exceeded().code(), Some(RefusalCode::Size));
        assert_eq!(own(17 << 20).scanned().exceeded().code(), None);
        assert_eq!(own(0).of("/api/blobs/x").bytes, 0);
    }
}
