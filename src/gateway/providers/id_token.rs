//! What an ID token and a logout token must say beyond the signature (OpenID Connect Core 1.0, section 3.1.3; Back-Channel Logout 1.0,
//! section 2.6).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq as _;

use super::claims::Claims;
use super::client::{ProviderClient, ProviderError, Tokens};
use super::settings::ProviderSettings;
use crate::gateway::oidc::{Expected, TokenKind, Verified};

/// By how many seconds the clocks of provider and gateway may differ.
pub const LEEWAY: i64 = 60;
/// The longest subject, in bytes (OpenID Connect Core 1.0, section 2, has 255).
const LONGEST_SUBJECT: usize = 255;

/// A person, as the provider has just said.
pub struct Person {
    /// Who it is there.
    pub subject: String,
    /// All that it says.
    pub claims: Claims,
    /// The session at the provider.
    pub session: Option<String>,
    /// When the person proved there who they are, in Unix seconds.
    pub authenticated_at: Option<i64>,
}

/// A sign-out at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignOut {
    /// The person.
    pub subject: Option<String>,
    /// The session; without one, all of the person.
    pub session: Option<String>,
    /// Of the token: it counts once.
    pub id: String,
    /// When the token was made, in Unix seconds.
    pub issued_at: i64,
    /// When the token ends.
    pub expires_at: i64,
}

impl ProviderClient {
    /// Who the person is, by the tokens of a sign-in, or of a refresh: then there is no nonce.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn person(
        &self,
        provider: &ProviderSettings,
        tokens: &Tokens,
        nonce: Option<&str>,
    ) -> Result<Person, ProviderError> {
        let token = tokens.id_token.as_deref().ok_or_else(|| invalid("the provider gave no ID token"))?;
        let audience = [provider.client_id.as_str()];
        let expected = Expected { issuer: &provider.issuer, audience: &audience, leeway: LEEWAY, kind: TokenKind::Id };
        let verified = self.issuers.verify(token, &expected).await?;
        check_party(provider, &verified)?;
        if let Some(nonce) = nonce {
            let is_ours = verified.text("nonce").is_some_and(|told| told.as_bytes().ct_eq(nonce.as_bytes()).into());
            if !is_ours {
                return Err(invalid("the ID token has another nonce than the browser"));
            }
        }
        check_access_token(&verified, &tokens.access_token)?;
        let subject = subject(&verified)?;
        let session = verified.text("sid").map(str::to_owned);
        let authenticated_at = verified.claims.get("auth_time").and_then(Value::as_i64);
        let mut claims = Claims((*verified.claims).clone());
        if claims.lacks_any_of(provider)
            && let Some(more) = self.userinfo(provider, &tokens.access_token).await?
        {
            // Otherwise an access token of somebody else could bring their claims in.
            if more.get("sub").and_then(Value::as_str) != Some(&subject) {
                return Err(invalid("the userinfo endpoint speaks of another person"));
            }
            claims.add(more);
        }
        Ok(Person { subject, claims, session, authenticated_at })
    }

    /// What a logout token says.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn sign_out(&self, provider: &ProviderSettings, token: &str) -> Result<SignOut, ProviderError> {
        let audience = [provider.client_id.as_str()];
        let expected =
            Expected { issuer: &provider.issuer, audience: &audience, leeway: LEEWAY, kind: TokenKind::Logout };
        let verified = self.issuers.verify(token, &expected).await?;
        let text = |name: &str| verified.text(name).map(str::to_owned);
        let id = text("jti").ok_or_else(|| invalid("the logout token has no id"))?;
        let (subject, session) = (text("sub"), text("sid"));
        if subject.is_none() && session.is_none() {
            return Err(invalid("the logout token names neither a person nor a session"));
        }
        let issued_at = verified.issued_at.ok_or_else(|| invalid("the logout token does not say when it was made"))?;
        Ok(SignOut { subject, session, id, issued_at, expires_at: verified.expires_at })
    }
}

fn invalid(text: &str) -> ProviderError {
    ProviderError::Invalid(text.to_owned())
}

/// Whether the token was made for this gateway: it may be for others too, but then it says who asked for it.
fn check_party(provider: &ProviderSettings, verified: &Verified) -> Result<(), ProviderError> {
    let is_shared = matches!(verified.claims.get("aud"), Some(Value::Array(all)) if all.len() > 1);
    match verified.claims.get("azp") {
        Some(Value::String(party)) if *party == provider.client_id => Ok(()),
        None if !is_shared => Ok(()),
        _ => Err(invalid("the ID token was made for another client")),
    }
}

/// Whether the access token is the one that came with the ID token, where that says so.
fn check_access_token(verified: &Verified, token: &SecretString) -> Result<(), ProviderError> {
    let Some(hash) = verified.claims.get("at_hash") else { return Ok(()) };
    let token = token.expose_secret();
    let digest = match format!("{:?}", verified.algorithm) {
        algorithm if algorithm.ends_with("256") => Sha256::digest(token).to_vec(),
        algorithm if algorithm.ends_with("384") => Sha384::digest(token).to_vec(),
        // Ed25519 uses SHA-512 itself.
        _ => Sha512::digest(token).to_vec(),
    };
    let half = URL_SAFE_NO_PAD.encode(&digest[..digest.len() / 2]);
    if hash.as_str() == Some(&half) { Ok(()) } else { Err(invalid("the ID token came with another access token")) }
}

fn subject(verified: &Verified) -> Result<String, ProviderError> {
    let subject = verified.text("sub").filter(|text| (1..=LONGEST_SUBJECT).contains(&text.len()));
    subject.map(str::to_owned).ok_or_else(|| invalid("the ID token names no person"))
}
