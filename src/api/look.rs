//! A first look at a host: does anything answer, what time is it there, does it say that it is a gateway. No credential is shown.

use reqwest::Method;
use reqwest::header::HeaderMap;

use super::dates::clock_offset;
use super::error::ApiError;
use super::session::{GATEWAY_HEADER, Session};

/// What a host shows to everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Seconds by which this machine's clock is ahead of the host's (negative: behind), where the host sends its time. Its
    /// seconds are whole, and the request takes time: one or two mean nothing.
    pub clock_offset: Option<i64>,
    /// The version of the gateway, where it is one of ours.
    pub gateway: Option<String>,
}

impl Session<'_> {
    /// `HEAD /`, without the credential.
    ///
    /// # Errors
    /// No answer, and an answer that is not a success.
    pub async fn look(&self) -> Result<Look, ApiError> {
        let response = self.unsigned().request(Method::HEAD, "/").harmless().send().await?;
        Ok(Look {
            clock_offset: clock_offset(response.headers(), self.now()),
            gateway: gateway_version(response.headers()),
        })
    }
}

fn gateway_version(headers: &HeaderMap) -> Option<String> {
    Some(headers.get(GATEWAY_HEADER)?.to_str().ok()?.to_owned())
}
