//! What an issuer says about itself (OpenID Connect Discovery 1.0, section 3).

use serde::Deserialize;
use url::Url;

use super::issuer_url::{IssuerUrl, endpoint};

/// The parts of it that are used, checked: every address is https, or on this machine if the issuer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Where its public keys are.
    pub jwks_uri: Url,
    /// Where a browser signs in.
    pub authorization_endpoint: Option<Url>,
    /// Where a code becomes tokens.
    pub token_endpoint: Option<Url>,
    /// Where more claims about a person are.
    pub userinfo_endpoint: Option<Url>,
    /// Where a browser signs out.
    pub end_session_endpoint: Option<Url>,
    /// Whether every answer to a browser names the issuer (RFC 9207).
    pub names_issuer: bool,
    /// How a client can prove itself at the token endpoint; without a list `client_secret_basic`.
    pub token_endpoint_auth_methods: Option<Vec<String>>,
    /// The scopes that it knows, if it tells; not all need to be among them.
    pub scopes: Option<Vec<String>>,
    /// Whether it tells others when a person signs out there.
    pub has_backchannel_logout: bool,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    userinfo_endpoint: Option<String>,
    end_session_endpoint: Option<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    scopes_supported: Option<Vec<String>>,
    #[serde(default)]
    backchannel_logout_supported: bool,
}

impl Metadata {
    /// Reads the document of that issuer.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(issuer: &IssuerUrl, document: &[u8]) -> Result<Self, String> {
        let document: Document =
            serde_json::from_slice(document).map_err(|error| format!("its description is not valid: {error}"))?;
        // The keys of another issuer would be taken for this one's.
        if document.issuer != issuer.as_str() {
            let named: String = document.issuer.chars().take(120).collect();
            return Err(format!("it describes itself as {named:?}"));
        }
        let address = |text: &str| {
            let url = endpoint(text).map_err(|error| format!("it names an address that cannot be used: {error}"))?;
            match url.scheme() == "https" || issuer.is_plain() {
                true => Ok(url),
                false => Err(format!("it names an address without https: {text:?}")),
            }
        };
        let optional = |text: &Option<String>| text.as_deref().map(address).transpose();
        Ok(Self {
            jwks_uri: address(&document.jwks_uri)?,
            authorization_endpoint: optional(&document.authorization_endpoint)?,
            token_endpoint: optional(&document.token_endpoint)?,
            userinfo_endpoint: optional(&document.userinfo_endpoint)?,
            end_session_endpoint: optional(&document.end_session_endpoint)?,
            names_issuer: document.authorization_response_iss_parameter_supported,
            token_endpoint_auth_methods: document.token_endpoint_auth_methods_supported,
            scopes: document.scopes_supported,
            has_backchannel_logout: document.backchannel_logout_supported,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(issuer: &str, document: &serde_json::Value) -> Result<Metadata, String> {
        Metadata::read(&issuer.parse().unwrap(), document.to_string().as_bytes())
    }

    #[test]
    fn a_description_is_of_this_issuer_and_leads_nowhere_unencrypted() {
        let issuer = "https://id.example";
        let good = json!({ "issuer": issuer, "jwks_uri": "https://keys.example/k", "token_endpoint": "https://id.example/t?x=1" });
        let read_good = read(issuer, &good).unwrap();
        assert_eq!(read_good.jwks_uri.as_str(), "https://keys.example/k");
        assert!(read_good.authorization_endpoint.is_none() && !read_good.names_issuer);
        for (member, value) in [
            ("issuer", json!("https://id.example/")),
            ("issuer", json!("https://evil.example")),
            ("issuer", json!(null)),
            ("jwks_uri", json!("http://keys.example/k")),
            ("jwks_uri", json!("http://127.0.0.1/k")),
            ("jwks_uri", json!("file:///etc/passwd")),
            ("token_endpoint", json!("http://id.example/t")),
            ("authorization_endpoint", json!("javascript:alert(1)")),
        ] {
            let mut bad = good.clone();
            bad[member] = value;
            assert!(read(issuer, &bad).is_err(), "{bad}");
        }
        let local = json!({ "issuer": "http://127.0.0.1:1", "jwks_uri": "http://127.0.0.1:1/k" });
        assert!(read("http://127.0.0.1:1", &local).is_ok());
        assert!(Metadata::read(&issuer.parse().unwrap(), b"<html>").is_err());
    }
}
