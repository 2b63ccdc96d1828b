//! What an API key is: its form, what it may do, which models it may use, from where, how long it lives. Pure, and shared by the client and
//! the gateway.
//!
//! ```text
//! olauth_<32 base62 digits of chance><6 base62 digits of CRC-32>    the key itself, shown once
//! key_<8 to 60 letters and digits>                                   its public id, no secret
//! ```

mod addresses;
mod form;
mod id;
mod lifetime;
mod limit_use;
mod limit_value;
mod limits;
mod pattern;
mod pattern_matcher;
mod redaction;
mod scope;
mod secret;
mod size;
mod token_number;

pub use addresses::{AddressError, AddressList, AddressRules, Network};
pub use form::KeyForm;
pub use id::{KeyId, KeyIdError};
pub use lifetime::{KeyFacts, KeyState, Lifetime, LifetimeError, expires_soon};
pub use limit_use::LimitUse;
pub use limit_value::LimitValue;
pub use limits::{Limit, LimitError, MOST_TOKENS, RequestLimits, phrase};
pub use pattern::{CanonicalModel, CanonicalModelError, ModelFilter, ModelPattern, Models, PatternError};
pub use redaction::{hide_keys, holds_key, without_keys};
pub use scope::{Rights, Scope, ScopeError, Scopes, TooBroad};
pub use secret::{ApiKey, ApiKeyError, KeyHash};
pub use size::{parse_size, size_text};
pub use token_number::{parse_tokens, tokens_text};

/// The digits of base62, in the order of their values.
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// That many digits, each as likely as the other.
///
/// # Errors
/// When the system gives no random bytes.
fn random_digits(count: usize) -> Result<zeroize::Zeroizing<String>, getrandom::Error> {
    let mut digits = zeroize::Zeroizing::new(String::with_capacity(count));
    let mut bytes = zeroize::Zeroizing::new([0_u8; 64]);
    while digits.len() < count {
        getrandom::fill(&mut bytes[..])?;
        // Beyond the last multiple of 62 the small digits would be more likely.
        for byte in bytes.iter().filter(|byte| **byte < 248) {
            if digits.len() < count {
                digits.push(char::from(BASE62[usize::from(byte % 62)]));
            }
        }
    }
    Ok(digits)
}
