//! Finds API keys in texts that are to be stored or shown, where they do not belong.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::secret::{ApiKey, DIGITS, KeyHash};

/// How often a text may be percent-encoded.
const ENCODINGS: usize = 3;

/// The text with a name in place of each API key, which `name` finds by the key's hash. Without a hash it has the form of a key and another
/// checksum: one whose case was changed, or with a typing error. A percent-encoded text with a key is decoded.
pub fn without_keys<'a>(text: &'a str, name: impl Fn(Option<&KeyHash>) -> String) -> Cow<'a, str> {
    let mut found = replaced(text, &name);
    let mut decoded = Cow::Borrowed(found.as_deref().unwrap_or(text)).into_owned();
    for _ in 0..ENCODINGS {
        if !decoded.contains('%') {
            break;
        }
        // What is decoded here was checked in its encoded form: it must not bring control characters with it.
        let visible = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        decoded = percent_decode_str(&decoded).decode_utf8_lossy().chars().map(visible).collect();
        if let Some(replaced) = replaced(&decoded, &name) {
            decoded.clone_from(&replaced);
            found = Some(replaced);
        }
    }
    found.map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The text for a log, without keys.
pub fn hide_keys(text: &str) -> Cow<'_, str> {
    without_keys(text, |_| "(an API key)".to_owned())
}

/// Whether an API key, or something of that form, is in the text.
pub fn holds_key(text: &str) -> bool {
    matches!(without_keys(text, |_| String::new()), Cow::Owned(_))
}

/// `None` if there is no key in the text.
fn replaced(text: &str, name: &impl Fn(Option<&KeyHash>) -> String) -> Option<String> {
    let (mut out, mut copied, mut from) = (String::new(), 0, 0);
    while let Some(start) = find_prefix(text, from) {
        let digits = start + ApiKey::PREFIX.len();
        let end = digits + DIGITS;
        let is_key = text.as_bytes().get(digits..end).is_some_and(|part| part.iter().all(u8::is_ascii_alphanumeric));
        if is_key {
            out.push_str(&text[copied..start]);
            out.push_str(&name(ApiKey::parse(&text[start..end]).ok().map(|key| key.hash()).as_ref()));
            copied = end;
        }
        from = if is_key { end } else { start + 1 };
    }
    (copied > 0).then(|| out + &text[copied..])
}

fn find_prefix(text: &str, from: usize) -> Option<usize> {
    let (bytes, prefix) = (text.as_bytes(), ApiKey::PREFIX.as_bytes());
    let at = bytes.get(from..)?.windows(prefix.len()).position(|part| part.eq_ignore_ascii_case(prefix))?;
    Some(from + at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str, known: &ApiKey) -> String {
        let name = |hash: Option<&KeyHash>| if hash == Some(&known.hash()) { "key_a" } else { "(key)" }.to_owned();
        without_keys(text, name).into_owned()
    }

    #[test]
    fn keys_are_replaced_wherever_they_stand() {
        let (key, other) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
        let (known, unknown) = (key.expose(), other.expose());
        let typo = with_typo(known);
        for (text, expected) in [
            (known.to_owned(), "key_a".to_owned()),
            (format!("ä \"{known}\" é"), "ä \"key_a\" é".to_owned()),
            (format!("{known}{known},{unknown}"), "key_akey_a,(key)".to_owned()),
            (format!("olauth_olauth_{known}x"), "olauth_olauth_key_ax".to_owned()),
            (format!("{}é", known.to_lowercase()), "(key)é".to_owned()),
            (known.to_uppercase(), "(key)".to_owned()),
            (typo, "(key)".to_owned()),
            (format!("/a%20b?k={}", known.replace('_', "%5F")), "/a b?k=key_a".to_owned()),
            (format!("%2522{}%2522", known.replace('_', "%255f")), "\"key_a\"".to_owned()),
            (known.bytes().map(|byte| format!("%{byte:02x}")).collect(), "key_a".to_owned()),
            (format!("{unknown} {}", known.replace('_', "%5f")), "(key) key_a".to_owned()),
            (format!("a%00%0A{}", known.replace('_', "%5f")), "a\u{fffd}\u{fffd}key_a".to_owned()),
        ] {
            assert_eq!(shown(&text, &key), expected);
            assert!(holds_key(&text));
        }
        for text in
            ["", "olauth_", "a%20b%zz%", "olauth_éééééééééééééééééééééééééééé", &known[..known.len() - 1], &known[1..]]
        {
            assert_eq!(shown(text, &key), text);
            assert!(!holds_key(text));
        }
    }

    fn with_typo(key: &str) -> String {
        let end = if key.ends_with('x') { "y" } else { "x" };
        format!("{}{end}", &key[..key.len() - 1])
    }

    proptest! {
        #[test]
        fn never_panics_and_leaves_no_key(before in any::<String>(), after in any::<String>()) {
            let key = ApiKey::generate().unwrap();
            let text = format!("{before}{}{after}", key.expose());
            prop_assert!(!shown(&text, &key).contains(key.expose()));
            let _ = shown(&before, &key);
        }
    }
}
