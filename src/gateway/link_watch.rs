//! Looks for the link that connects the server's own key, in answers on their way to a caller.
//!
//! The server behind offers it in a 401, which never gets as far as here, but also in the midst of a stream that began well (a web
//! search in `/v1/responses`; read in Ollama's source, `writeWebSearchError`). Whoever opens it makes the server's key their own.

use memchr::memmem::Finder;

/// What the link begins with. What follows is the key, so it is enough to stop here.
const LINK: &[u8; 19] = b"ollama.com/connect?";
const BEFORE: usize = LINK.len() - 1;

/// Watches one answer, piece by piece.
pub struct LinkWatch {
    finder: Finder<'static>,
    /// The end of what has passed, for a link that is cut over pieces.
    tail: Vec<u8>,
}

impl Default for LinkWatch {
    fn default() -> Self {
        Self { finder: Finder::new(LINK), tail: Vec::with_capacity(2 * BEFORE) }
    }
}

impl LinkWatch {
    /// Whether the link is there once `piece` has come.
    pub fn sees(&mut self, piece: &[u8]) -> bool {
        self.tail.extend_from_slice(&piece[..piece.len().min(BEFORE)]);
        if self.finder.find(&self.tail).is_some() || self.finder.find(piece).is_some() {
            return true;
        }
        if piece.len() >= BEFORE {
            self.tail.clear();
            self.tail.extend_from_slice(&piece[piece.len() - BEFORE..]);
        } else {
            self.tail.drain(..self.tail.len().saturating_sub(BEFORE));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(pieces: &[&[u8]]) -> bool {
        let mut watch = LinkWatch::default();
        pieces.iter().any(|piece| watch.sees(piece))
    }

    #[test]
    fn the_link_is_seen_however_it_is_cut() {
        let text = b"data: {\"text\":\"sign in at https://ollama.com/connect?name=vm\\u0026key=abc\"}\n\n";
        for size in 1..text.len() {
            assert!(seen(&text.chunks(size).collect::<Vec<_>>()), "pieces of {size}");
        }
        assert!(!seen(&[b"https://ollama.com/connect", b" and then ?", b"ollama.com/", b"x", b"connect?"]));
    }

    proptest! {
        #[test]
        fn it_is_seen_where_it_is_and_nowhere_else(text in "[a/c]{0,20}(ollama\\.com/connect\\?|ollama\\.com/)?[a/c]{0,30}", cuts in proptest::collection::vec(1_usize..9, 1..40)) {
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
