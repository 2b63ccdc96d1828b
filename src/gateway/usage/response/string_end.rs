//! Where a JSON string ends.

use memchr::memchr3;

/// Up to here, in bytes, a loop over words is faster than `memchr`.
const SHORT: usize = 48;
const WORD: usize = size_of::<u64>();
const ONES: u64 = u64::from_ne_bytes([1; WORD]);
const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; WORD]);

/// Where the first quotation mark, backslash or line feed is. A line feed cannot stand in a string.
#[inline]
pub fn special(bytes: &[u8]) -> Option<usize> {
    let (short, long) = bytes.split_at(bytes.len().min(SHORT));
    let (words, last) = short.as_chunks::<WORD>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The lowest bit that is set is at the first byte that is found; those above it can be wrong.
        let found = zero_bytes(word ^ (ONES * b'"' as u64))
            | zero_bytes(word ^ (ONES * b'\\' as u64))
            | zero_bytes(word ^ (ONES * b'\n' as u64));
        if found != 0 {
            return Some(index * WORD + found.trailing_zeros() as usize / 8);
        }
    }
    if let Some(at) = last.iter().position(|byte| matches!(byte, b'"' | b'\\' | b'\n')) {
        return Some(short.len() - last.len() + at);
    }
    memchr3(b'"', b'\\', b'\n', long).map(|at| SHORT + at)
}

/// The high bit of the lowest byte that is zero, and perhaps of some above it.
#[inline]
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGH_BITS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_found_wherever_it_is(
            bytes in proptest::collection::vec(prop_oneof![
                6 => proptest::sample::select(&b"\x00\x01!#[]\x09\x0b\xa2\xdc\x8a\xff"[..]),
                1 => proptest::sample::select(&b"\"\\\n"[..]),
            ], 0..120),
            from in 0_usize..120,
        ) {
            let bytes = bytes.get(from..).unwrap_or(&bytes);
            let expected = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | b'\n'));
            prop_assert_eq!(special(bytes), expected);
        }
    }
}
