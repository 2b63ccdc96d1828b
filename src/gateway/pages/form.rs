//! Bodies of forms, read strictly: a limited size, a limited time, one value for each name.

use std::collections::HashMap;
use std::time::Duration;

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use secrecy::SecretString;
use thiserror::Error;
use zeroize::Zeroize as _;

/// In bytes.
const LARGEST: usize = 16 * 1024;
const SLOWEST: Duration = Duration::from_secs(10);
const MOST_FIELDS: usize = 16;

/// What was filled in. Not printable, since passwords are in it.
pub struct Form(HashMap<String, String>);

/// Why a body is not taken as a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FormError {
    /// Of another type.
    #[error("This page takes forms only.")]
    NotAForm,
    /// Larger than any form of ours, or cut off.
    #[error("The form is larger than 16 KB, or did not arrive whole.")]
    TooLarge,
    /// Too slow.
    #[error("The form took more than 10 seconds to arrive.")]
    TooSlow,
    /// One name twice, so that two readers may see two things, or more names than any form of ours has.
    #[error("The form holds a field twice, or too many fields.")]
    Doubled,
}

impl FormError {
    /// The status to answer with.
    pub fn status(self) -> StatusCode {
        match self {
            Self::NotAForm => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Doubled => StatusCode::BAD_REQUEST,
        }
    }
}

impl Form {
    /// Reads one.
    ///
    /// # Errors
    /// [`FormError`].
    pub async fn read(headers: &HeaderMap, body: Body) -> Result<Self, FormError> {
        let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(FormError::NotAForm);
        }
        let read = tokio::time::timeout(SLOWEST, axum::body::to_bytes(body, LARGEST)).await;
        let body = read.map_err(|_| FormError::TooSlow)?.map_err(|_| FormError::TooLarge)?;
        let mut fields = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(&body) {
            if fields.len() == MOST_FIELDS || fields.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(FormError::Doubled);
            }
        }
        Ok(Self(fields))
    }

    /// A field; empty when it is not there.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Takes out a field that is a secret.
    pub fn secret(&mut self, name: &str) -> SecretString {
        SecretString::from(self.0.remove(name).unwrap_or_default())
    }
}

impl Drop for Form {
    fn drop(&mut self) {
        self.0.values_mut().for_each(|value| value.zeroize());
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    async fn read(kind: &'static str, body: String) -> Result<Form, FormError> {
        Form::read(&[(CONTENT_TYPE, kind.parse().unwrap())].into_iter().collect(), Body::from(body)).await
    }

    const FORM: &str = "application/x-www-form-urlencoded";

    #[tokio::test]
    async fn refuses_what_no_form_of_ours_is() {
        let refused = async |kind, body: &str| read(kind, body.to_owned()).await.err();
        assert_eq!(refused("application/json", "{}").await, Some(FormError::NotAForm));
        assert_eq!(refused("text/plain", "a=b").await, Some(FormError::NotAForm));
        assert_eq!(refused(FORM, &"a".repeat(LARGEST + 1)).await, Some(FormError::TooLarge));
        assert_eq!(refused(FORM, "key=a&key=a").await, Some(FormError::Doubled));
        assert_eq!(refused(FORM, "key=a&%6bey=b").await, Some(FormError::Doubled));
        let many: Vec<String> = (0..17).map(|n| format!("f{n}=")).collect();
        assert_eq!(refused(FORM, &many.join("&")).await, Some(FormError::Doubled));
    }

    #[tokio::test]
    async fn reads_fields_and_lets_go_of_secrets() {
        let mut form =
            read("application/x-www-form-urlencoded; charset=UTF-8", "a=1+2%26&p=s%C3%A4".to_owned()).await.unwrap();
        assert_eq!((form.get("a"), form.get("b")), ("1 2&", ""));
        assert_eq!(form.secret("p").expose_secret(), "sä");
        assert_eq!(form.get("p"), "");
    }
}
