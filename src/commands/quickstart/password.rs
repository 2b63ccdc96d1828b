//! A password for the account that lives as long as the quickstart: random, and easy to type.

use secrecy::SecretString;
use zeroize::Zeroizing;

const CONSONANTS: &[u8; 16] = b"bcdfghjklmnprstv";
const VOWELS: &[u8; 4] = b"aiou";
/// Six bits each.
const SYLLABLES: usize = 10;

/// 60 random bits as `mavo-tiku-resa-lino-deku`.
///
/// # Errors
/// When the system gives no random bytes.
pub fn readable() -> Result<SecretString, getrandom::Error> {
    let mut bytes = Zeroizing::new([0_u8; SYLLABLES]);
    getrandom::fill(&mut *bytes)?;
    let mut text = Zeroizing::new(String::with_capacity(3 * SYLLABLES));
    for (number, byte) in bytes.iter().enumerate() {
        if number > 0 && number % 2 == 0 {
            text.push('-');
        }
        text.push(char::from(CONSONANTS[usize::from(byte & 15)]));
        text.push(char::from(VOWELS[usize::from(byte >> 4 & 3)]));
    }
    Ok(SecretString::from(text.as_str()))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn it_can_be_read_and_is_another_each_time() {
        let (one, other) = (readable().unwrap(), readable().unwrap());
        assert_ne!(one.expose_secret(), other.expose_secret());
        let parts: Vec<&str> = one.expose_secret().split('-').collect();
        assert!(parts.len() == 5 && parts.iter().all(|part| part.len() == 4), "{parts:?}");
    }
}
