//! Looks for the link that connects the server's own key, in answers on their way to a caller.
//!
//! The upstream server offers it in a 401, which never gets as far as here, but also in the middle of a stream that began well (a web
//! search in `/v1/responses`; read in Ollama's source, `writeWebSearchError`). The person who opens it
//! connects the server's key to their own account.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::http::{BodyFilter, CutOff};

/// What the link begins with. What follows is the key, so it is enough to stop here.
const LINK: &[u8; 19] = b"ollama.com/connect?";
const BEFORE: usize = LINK.len() - 1;

static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(LINK));

/// Watches one answer, piece by piece.
#[derive(Default)]
pub struct SigninLinkFilter {
    /// The end of what has passed, for a link that is cut over pieces, and its length.
    tail: ([u8; BEFORE], usize),
}

/// An answer is cut off before the link that connects the key of the upstream server, which is not for callers.
#[derive(Debug, thiserror::Error)]
#[error("the upstream Ollama is not signed in to ollama.com")]
struct Withheld;

impl BodyFilter for SigninLinkFilter {
    fn inspect(&mut self, piece: &[u8]) -> Result<(), CutOff> {
        let Some(allowed) = self.sees(piece) else { return Ok(()) };
        tracing::warn!("response cut off: it contained the sign-in link of the upstream server");
        Err(CutOff { allowed, error: Withheld.into() })
    }
}

impl SigninLinkFilter {
    /// How much of `piece` may pass, when the link is there once it has come.
    fn sees(&mut self, piece: &[u8]) -> Option<usize> {
        let (tail, length) = (&self.tail.0, self.tail.1);
        // The end of what passed and the beginning of this, then the end of that again.
        let mut seam = [0; 2 * BEFORE];
        let begin = piece.len().min(BEFORE);
        seam[..length].copy_from_slice(&tail[..length]);
        seam[length..length + begin].copy_from_slice(&piece[..begin]);
        let seam = &seam[..length + begin];
        if length > 0 && FINDER.find(seam).is_some_and(|at| at < length) {
            return Some(0);
        }
        if let Some(at) = FINDER.find(piece) {
            return Some(at);
        }
        let end = if piece.len() >= BEFORE { &piece[piece.len() - BEFORE..] } else { seam };
        let end = &end[end.len().saturating_sub(BEFORE)..];
        self.tail.0[..end.len()].copy_from_slice(end);
        self.tail.1 = end.len();
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(pieces: &[&[u8]]) -> bool {
        let mut watch = SigninLinkFilter::default();
        pieces.iter().any(|piece| watch.sees(piece).is_some())
    }

    #[test]
    fn the_link_is_found_across_chunk_boundaries() {
        let text = b"data: {\"text\":\"sign in at https://ollama.com/connect?name=vm\\u0026key=abc\"}\n\n";
        for size in 1..text.len() {
            assert!(seen(&text.chunks(size).collect::<Vec<_>>()), "pieces of {size}");
        }
        assert!(!seen(&[b"https://ollama.com/connect", b" and then ?", b"ollama.com/", b"x", b"connect?"]));
    }

    #[test]
    fn data_before_the_link_is_forwarded() {
        assert_eq!(SigninLinkFilter::default().sees(b"see https://ollama.com/connect?x"), Some(12));
        let mut watch = SigninLinkFilter::default();
        assert_eq!((watch.sees(b"see ollama.com/con"), watch.sees(b"nect?")), (None, Some(0)));
        let mut watch = SigninLinkFilter::default();
        assert_eq!((watch.sees(b"ollama.com/con"), watch.sees(b" ollama.com/connect?")), (None, Some(1)));
    }

    proptest! {
        #[test]
        fn the_link_is_found_only_where_it_is(text in "[a/c]{0,20}(ollama\\.com/connect\\?|ollama\\.com/)?[a/c]{0,30}", cuts in proptest::collection::vec(1_usize..9, 1..40)) {
            let (mut rest, mut pieces) = (text.as_bytes(), Vec::new());
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            prop_assert_eq!(seen(&pieces), text.contains("ollama.com/connect?"));
        }
    }
}
