//! The page where a person approves a device: `<host>/connect?name=<device>&key=<encoded key>`.
//!
//! It is built here and compared with what a server offers, never followed blindly: a parsed URL keeps only what it is
//! understood to say, and prints as we would have built it.

use std::fmt;

use thiserror::Error;
use url::Url;

use super::public::{PublicKey, PublicKeyError};
use crate::address::{BaseUrl, HostError, Origin};

const PATH: &str = "/connect";

/// A connect URL. `Display` is the URL itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectUrl {
    base: BaseUrl,
    device_name: String,
    key: PublicKey,
}

/// Why a text is not a connect URL.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConnectUrlError {
    /// Not an absolute http or https URL; holds what is wrong.
    #[error("the sign-in address is not a web address: {0}")]
    NotAUrl(String),
    /// Its host cannot be used.
    #[error("the sign-in address cannot be used: {0}")]
    Host(#[from] HostError),
    /// Its path does not end in `/connect`.
    #[error("the sign-in address has the path {0:?} where one that ends in /connect belongs")]
    Path(String),
    /// `key` or `name` is given more than once, so that two readers may see two devices.
    #[error("the sign-in address has more than one {0:?}")]
    Repeated(&'static str),
    /// There is no `key`.
    #[error("the sign-in address names no key")]
    NoKey,
    /// Its `key` is not an encoded device key.
    #[error("the sign-in address contains an invalid key: {0}")]
    Key(#[from] PublicKeyError),
}

impl ConnectUrl {
    /// The URL at which `key` is approved under `device_name`.
    pub fn new(base: &BaseUrl, device_name: &str, key: &PublicKey) -> Self {
        Self { base: base.clone(), device_name: device_name.to_owned(), key: key.clone() }
    }

    /// Reads a connect URL. The name may be path-escaped (stock's server) or query-escaped (its desktop app); a plus
    /// sign in it is a space, as the page that is sent to reads it. Other parameters, such as `launch=true`, are dropped.
    ///
    /// # Errors
    /// [`ConnectUrlError`].
    pub fn parse(text: &str) -> Result<Self, ConnectUrlError> {
        let not_a_url = |reason: &str| ConnectUrlError::NotAUrl(reason.to_owned());
        // A browser drops or rewrites these, so that the address would not be the one that was looked at.
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
            return Err(not_a_url("it holds a space, a control character or a backslash"));
        }
        let url = Url::parse(text).map_err(|err| not_a_url(&err.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(not_a_url("it is neither http nor https"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(HostError::Credentials.into());
        }

        let prefix = url.path().strip_suffix(PATH).ok_or_else(|| ConnectUrlError::Path(url.path().to_owned()))?;
        let authority = url.host_str().ok_or_else(|| not_a_url("it has no host"))?;
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let base = BaseUrl::parse(&format!("{}://{authority}{port}{prefix}", url.scheme()))?.url;

        let (mut name, mut key) = (None, None);
        for (parameter, value) in url.query_pairs() {
            let (slot, label) = match parameter.as_ref() {
                "name" => (&mut name, "name"),
                "key" => (&mut key, "key"),
                _ => continue,
            };
            if slot.replace(value.into_owned()).is_some() {
                return Err(ConnectUrlError::Repeated(label));
            }
        }
        Ok(Self {
            base,
            device_name: name.unwrap_or_default(),
            key: PublicKey::from_encoded(&key.ok_or(ConnectUrlError::NoKey)?)?,
        })
    }

    /// The origin of the page.
    pub fn origin(&self) -> Origin {
        self.base.origin()
    }

    /// The server of the page.
    pub fn base(&self) -> &BaseUrl {
        &self.base
    }

    /// The path of the page: `/connect`, after the base path of the server.
    pub fn path(&self) -> String {
        format!("{}{PATH}", self.base.path())
    }

    /// The name the device is shown under. In a parsed URL it is untrusted text.
    pub fn device_name(&self) -> &str {
        &self.device_name
    }

    /// The key to approve.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }
}

impl fmt::Display for ConnectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = escape_name(&self.device_name);
        let key = self.key.encoded();
        write!(f, "{}?name={name}&key={key}", self.base.join(PATH))
    }
}

/// Escapes a name as stock's server does, with Go's `url.PathEscape`. That leaves `&` and `+` as they are, which
/// within a query end the name or become a space, so those two are escaped here as well.
fn escape_name(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => escaped.push(char::from(byte)),
            b'-' | b'_' | b'.' | b'~' | b'$' | b':' | b'=' | b'@' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
