//! Removes the key from a link that connects the server's own key, in answers on their way to a caller.
//!
//! The upstream server offers it in a 401, which never gets as far as here, but also in the middle of a stream that began well (a web
//! search in `/v1/responses`; read in Ollama's source, `writeWebSearchError`). The person who opens it connects the server's key to
//! their own account. The key is overwritten, and nothing else is: the answer keeps its length and its form.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;

use super::signin_link::{Progress, SigninLink};
use crate::http::BodyFilter;

/// What is looked for first: without it the link leads elsewhere. No usual encoding changes any of it.
const HOST: &[u8; 10] = b"ollama.com";
const BEFORE: usize = HOST.len() - 1;
/// What is written over a key. It has no meaning in JSON, URLs and HTML.
const WITHHELD: &[u8] = b"-withheld-by-the-gateway";
/// So many bytes are held back at most, for a key that is escaped beyond all use.
const MAX_HELD: usize = 1024;

static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(HOST));

/// Called for each key that was withheld.
pub type Report = Arc<dyn Fn() + Send + Sync>;

/// Filters one answer, piece by piece.
pub struct SigninLinkFilter {
    /// The end of what came, for a host that is cut over pieces, and its length.
    tail: ([u8; BEFORE], usize),
    /// The link that was begun.
    link: Option<Box<SigninLink>>,
    /// What may be a key and is held back until that is known.
    held: Vec<u8>,
    /// The next byte may belong to a key.
    holding: bool,
    report: Report,
}

impl SigninLinkFilter {
    /// Calls `report` for each key that is withheld.
    pub fn new(report: Report) -> Self {
        Self { tail: ([0; BEFORE], 0), link: None, held: Vec::new(), holding: false, report }
    }

    /// Where in `piece` the link goes on, behind its host, if the host ends there.
    fn find_host(&self, piece: &[u8]) -> Option<usize> {
        let (tail, length) = (&self.tail.0, self.tail.1);
        // The end of what came and the beginning of this.
        let mut seam = [0; 2 * BEFORE];
        let begin = piece.len().min(BEFORE);
        seam[..length].copy_from_slice(&tail[..length]);
        seam[length..length + begin].copy_from_slice(&piece[..begin]);
        let across = FINDER.find(&seam[..length + begin]).filter(|at| *at < length);
        across.map(|at| at + HOST.len() - length).or_else(|| FINDER.find(piece).map(|at| at + HOST.len()))
    }

    /// Notes that `piece` came.
    fn came(&mut self, piece: &[u8]) {
        let (tail, length) = (&mut self.tail.0, &mut self.tail.1);
        if let Some(end) = piece.len().checked_sub(BEFORE) {
            tail.copy_from_slice(&piece[end..]);
            *length = BEFORE;
            return;
        }
        let kept = (*length).min(BEFORE - piece.len());
        tail.copy_within(*length - kept..*length, 0);
        tail[kept..kept + piece.len()].copy_from_slice(piece);
        *length = kept + piece.len();
    }

    /// Reads `bytes[at..]`; what is before was read already. Returns the keys that end in it, and where the part begins that may turn out to
    /// be a key.
    fn scan(&mut self, bytes: &[u8], mut at: usize) -> (Vec<Range<usize>>, usize) {
        let mut keys = Vec::new();
        let mut hold = std::mem::take(&mut self.holding).then_some(0);
        loop {
            let Some(mut link) = self.link.take() else {
                let Some(next) = self.find_host(&bytes[at..]) else {
                    self.came(&bytes[at..]);
                    return (keys, bytes.len());
                };
                self.came(&bytes[at..at + next]);
                at += next;
                self.link = Some(Box::default());
                continue;
            };
            let begin = at;
            let mut over = false;
            while let Some(byte) = bytes.get(at).filter(|_| !over) {
                at += 1;
                match link.push(*byte) {
                    Progress::Open => hold = None,
                    Progress::Key => over = at - *hold.get_or_insert(at) > MAX_HELD,
                    Progress::Found => keys.extend(hold.take().map(|from| from..at)),
                    Progress::Over => over = true,
                }
            }
            self.came(&bytes[begin..at]);
            if !over {
                self.link = Some(link);
                self.holding = hold.is_some();
                return (keys, hold.unwrap_or(bytes.len()));
            }
            hold = None;
        }
    }
}

impl BodyFilter for SigninLinkFilter {
    fn pass(&mut self, piece: Bytes) -> Bytes {
        let (mut bytes, seen) = match self.held.len() {
            0 => (piece, 0),
            seen => (Bytes::from([&std::mem::take(&mut self.held)[..], &piece].concat()), seen),
        };
        let (keys, certain) = self.scan(&bytes, seen);
        if !keys.is_empty() {
            let mut masked = BytesMut::from(bytes);
            for key in keys {
                masked[key].iter_mut().zip(WITHHELD.iter().cycle()).for_each(|(byte, mask)| *byte = *mask);
                (self.report)();
            }
            bytes = masked.freeze();
        }
        self.held = bytes.split_off(certain).into();
        bytes
    }

    fn held(&self) -> usize {
        self.held.len()
    }

    fn finish(&mut self) -> Bytes {
        std::mem::take(&mut self.held).into()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;

    /// What passes, and how many keys were withheld.
    fn filtered<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (String, usize) {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        let mut filter = SigninLinkFilter::new(Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        }));
        let mut passed = Vec::new();
        for piece in pieces {
            passed.extend_from_slice(&filter.pass(Bytes::copy_from_slice(piece)));
        }
        passed.extend_from_slice(&filter.finish());
        (String::from_utf8(passed).unwrap(), count.load(Ordering::Relaxed))
    }

    const KEY: &str =
        "c3NoLWVkMjU1MTkgQUFBQUMzTnphQzFsWkRJMU5URTVBQUFBSUEwVUd5SXBNRGMrUlV4VFdtRm9iM1o5aEl1U21hQ25yclc4dzhyUjJOL20";

    #[test]
    fn a_key_is_overwritten_for_any_piece_boundaries() {
        let text = format!("data: {{\"text\":\"open https://ollama.com/connect?name=vm\\u0026key={KEY} now\"}}\n\n");
        let expected = text.replace(&KEY[48..], "-withheld-by-the-gateway-withheld-by-the-gateway-withheld-b");
        for size in 1..=text.len() {
            assert_eq!(filtered(text.as_bytes().chunks(size)), (expected.clone(), 1), "pieces of {size}");
        }
    }

    #[test]
    fn several_links_are_found_in_one_piece() {
        let link = format!("ollama.com/connect?key={KEY}");
        let text = format!(
            "{link},{link}&key={KEY}\nollama.com/conollama.com/connect?key={KEY}&x ollama.comollama.com/connect?name=ollama.com&key={KEY}"
        );
        for size in [1, 5, 64, text.len()] {
            let (passed, count) = filtered(text.as_bytes().chunks(size));
            assert_eq!((count, passed.len()), (5, text.len()), "{passed}");
            assert!(!passed.contains(&KEY[60..]), "{passed}");
        }
    }

    #[test]
    fn no_more_than_a_key_is_held_back() {
        let mut filter = SigninLinkFilter::new(Arc::new(|| {}));
        let mut most = 0;
        let text = format!("ollama.com/connect?name=vm&key={}", &KEY[..106]);
        for byte in text.as_bytes() {
            let _ = filter.pass(Bytes::copy_from_slice(&[*byte]));
            most = most.max(filter.held());
        }
        assert_eq!((most, filter.finish().len()), (58, 58));
        let endless = format!("ollama.com/connect?key={}%{}", &KEY[..60], "25".repeat(100_000));
        for piece in endless.as_bytes().chunks(100) {
            let _ = filter.pass(Bytes::copy_from_slice(piece));
            assert!(filter.held() <= MAX_HELD + 100, "{}", filter.held());
        }
    }

    proptest! {
        #[test]
        fn the_result_does_not_depend_on_the_pieces(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just("ollama.com"), Just("/connect?"), Just("key="), Just("name=a"), Just("&"), Just("\\u0026"), Just("%26"),
                    Just(KEY), Just(&KEY[..60]), Just(&KEY[60..]), Just(" "), Just("olla"), Just("%2"), Just("\\"),
                ],
                0..12,
            ),
            cuts in proptest::collection::vec(1_usize..40, 1..40),
        ) {
            let text = parts.concat();
            let (mut rest, mut pieces) = (text.as_bytes(), Vec::new());
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            let whole = filtered([text.as_bytes()]);
            prop_assert_eq!(whole.0.len(), text.len());
            prop_assert!(whole.1 > 0 || whole.0 == text);
            prop_assert_eq!(filtered(pieces), whole);
        }
    }
}
