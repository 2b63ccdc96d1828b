//! The parameters of a request, decoded so that they can be signed. What two readers could decode differently is refused.

use std::borrow::Cow;

use url::form_urlencoded;

use crate::gateway::Rejection;

/// A name and its value.
pub type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The decoded parameters in their order. `ts` is left out: it belongs to a signature, and like every credential that comes in it goes no
/// further.
///
/// # Errors
/// 400 for a percent sign that begins no byte, bytes that are no text, a semicolon (which some take for `&`), a sign that does not
/// stand in an address.
pub fn decoded(query: &str) -> Result<Vec<Pair<'_>>, Rejection> {
    if !is_plain(query) {
        return Err(Rejection::new(400, "the parameters cannot be passed on as they are: escape them as a form does"));
    }
    let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "ts").collect();
    // What stands there for bytes that are no text.
    if pairs.iter().any(|(name, value)| name.contains('\u{fffd}') || value.contains('\u{fffd}')) {
        return Err(Rejection::new(400, "the parameters are no text in UTF-8"));
    }
    Ok(pairs)
}

fn is_plain(query: &str) -> bool {
    let bytes = query.as_bytes();
    let is_hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    bytes.iter().enumerate().all(|(at, byte)| match byte {
        b'%' => is_hex(at + 1) && is_hex(at + 2),
        b';' | b'#' => false,
        byte => byte.is_ascii_graphic(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(query: &str) -> Option<Vec<(String, String)>> {
        let pairs = decoded(query).ok()?;
        Some(pairs.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    #[test]
    fn what_could_be_read_differently_is_refused() {
        for query in ["a=%", "a=%4", "a=%zz", "a=1;b=2", "a=%ff", "a=%c3%28", "%fe=1", "a=\u{e9}", "a= b", "a=b#c"] {
            assert_eq!(read(query), None, "{query}");
        }
    }

    #[test]
    fn what_is_plain_is_decoded_and_a_signatures_time_left_out() {
        let wanted = [("range", "7d"), ("a b", "1+2&3=é"), ("x", ""), ("x", "2")];
        let wanted: Vec<_> = wanted.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(read("range=7d&ts=5&a+b=1%2B2%263%3D%C3%A9&&x&x=2&%74s=6").unwrap(), wanted);
    }

    proptest! {
        #[test]
        fn nothing_changes_its_meaning(pairs in proptest::collection::vec((".{0,8}", ".{0,8}"), 0..5)) {
            prop_assume!(pairs.iter().all(|(name, value)| name != "ts" && !(name.clone() + value).contains('\u{fffd}')));
            let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
            prop_assert_eq!(read(&query).unwrap(), pairs);
        }
    }
}
