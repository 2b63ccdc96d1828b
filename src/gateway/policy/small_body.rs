//! Reads the short bodies that account endpoints take.

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;

use super::body::{BodyLimit, is_packed, receive};
use super::scan_budget::Reservation;
use super::unpack::unpack;
use crate::gateway::rejection::Rejection;

/// Reads the body of a request to an account endpoint: 64 KiB at most, also when it is unpacked.
///
/// # Errors
/// As for [`receive`] and [`unpack`].
pub async fn read_small(body: Body, headers: &HeaderMap) -> Result<Bytes, Rejection> {
    let (packed, mut reservation) = (is_packed(headers)?, Reservation::uncounted());
    let bytes = receive(body, headers, BodyLimit::ACCOUNT, &mut reservation).await?;
    if !packed {
        return Ok(bytes.into());
    }
    let unpacked = tokio::task::spawn_blocking(move || unpack(&bytes, BodyLimit::ACCOUNT, &mut reservation)).await;
    unpacked.unwrap_or_else(|_| Err(Rejection::new(400, "the request body cannot be read"))).map(Bytes::from)
}
