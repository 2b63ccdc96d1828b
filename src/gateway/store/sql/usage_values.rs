//! How values of usage are stored, so that each fits: a batch that cannot be stored would keep back all that come after it.

use std::borrow::Cow;

/// Rows of a statement. SQLite takes 32,766 values.
pub(super) const ROWS: usize = 500;
/// Bytes of a text: PostgreSQL has an index of some.
const LONGEST: usize = 512;
/// What a total is at most: a sum of many is a 64-bit number, too.
pub(super) const MOST: u64 = (1 << 53) - 1;

/// A number as it is stored.
pub(super) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A text of requests, such as the name of a model, so that every database can store it.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    let text = &text[..text.floor_char_boundary(LONGEST)];
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}
