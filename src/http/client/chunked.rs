//! Reads a body in chunks (RFC 9112, section 7.1), in place and as much as is there at once: a server that streams tokens writes many small
//! chunks, and what lies between them must not cost more than they do.
//!
//! Strict, since what two readers read differently is how answers are passed off as others: sizes are hexadecimal digits and nothing
//! else, lines end in CR LF. Extensions are skipped and trailers dropped, within limits.

use thiserror::Error;

/// All that a size may have in front of its line's end, extensions included, and all that trailers may be, in bytes.
const LONGEST_LINE: usize = 4096;
const LONGEST_TRAILERS: usize = 16 * 1024;

/// What cannot be read as chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the chunks of the answer are malformed")]
pub struct MalformedChunks;

/// How far a body in chunks was read.
#[derive(Debug, Default)]
pub struct ChunkedDecoder {
    state: State,
    /// Of the chunk that is being read.
    left: u64,
    /// How much of a size's line, or of the trailers, was read.
    length: usize,
    digits: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Extension,
    /// The size's line has had its CR.
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    /// At the start of a line behind the last chunk.
    Trailers,
    /// Within such a line.
    Trailer,
    /// Such a line has had its CR.
    TrailerEnd,
    /// The empty line behind all has had its CR.
    End,
    Done,
    /// What came is malformed from here on.
    Malformed,
}

/// What [`ChunkedDecoder::read`] made of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// How much of the body is now at the piece's beginning, in bytes.
    pub body: usize,
    /// How much of the piece was used, in bytes: less than all of it at the end and before a fault only.
    pub used: usize,
}

impl ChunkedDecoder {
    /// Reads a piece, and moves what of the body is in it to its beginning. What comes before a fault is given out first, so that it makes no
    /// difference how it was cut; the fault is then what [`ChunkedDecoder::check`] and the next call say.
    ///
    /// # Errors
    /// [`MalformedChunks`].
    pub fn read(&mut self, piece: &mut [u8]) -> Result<Decoded, MalformedChunks> {
        self.check()?;
        let (mut at, mut body) = (0, 0);
        while at < piece.len() && self.state != State::Done {
            if self.state == State::Data {
                let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(piece.len() - at);
                piece.copy_within(at..at + length, body);
                body += length;
                at += length;
                self.left -= length as u64;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                continue;
            }
            if let Err(malformed) = self.step(piece[at]) {
                self.state = State::Malformed;
                return if body > 0 { Ok(Decoded { body, used: at }) } else { Err(malformed) };
            }
            at += 1;
        }
        Ok(Decoded { body, used: at })
    }

    /// Whether what comes next can be read.
    ///
    /// # Errors
    /// [`MalformedChunks`].
    pub fn check(&self) -> Result<(), MalformedChunks> {
        if self.state == State::Malformed { Err(MalformedChunks) } else { Ok(()) }
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// One byte of what stands between the chunks.
    fn step(&mut self, byte: u8) -> Result<(), MalformedChunks> {
        self.state = match (self.state, byte) {
            (State::Size, _) if byte.is_ascii_hexdigit() => {
                self.digits += 1;
                if self.digits > 16 {
                    return Err(MalformedChunks);
                }
                // Such a digit always has a value below 16.
                let value = char::from(byte).to_digit(16).unwrap_or_default();
                self.left = self.left << 4 | u64::from(value);
                State::Size
            }
            (State::Size | State::Extension, b'\r') if self.digits > 0 => State::SizeEnd,
            (State::Size, b';' | b' ' | b'\t') if self.digits > 0 => State::Extension,
            (State::Extension, _) if !is_control(byte) => {
                self.grow(LONGEST_LINE)?;
                State::Extension
            }
            (State::SizeEnd, b'\n') => {
                (self.digits, self.length) = (0, 0);
                if self.left == 0 { State::Trailers } else { State::Data }
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::Trailers, b'\r') => State::End,
            (State::Trailer, b'\r') => State::TrailerEnd,
            (State::TrailerEnd, b'\n') => State::Trailers,
            (State::Trailers | State::Trailer, _) if !is_control(byte) => {
                self.grow(LONGEST_TRAILERS)?;
                State::Trailer
            }
            (State::End, b'\n') => State::Done,
            _ => return Err(MalformedChunks),
        };
        Ok(())
    }

    fn grow(&mut self, longest: usize) -> Result<(), MalformedChunks> {
        self.length += 1;
        if self.length > longest { Err(MalformedChunks) } else { Ok(()) }
    }
}

fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The body, and what follows it.
    fn read(pieces: &[&[u8]]) -> Result<(Vec<u8>, Vec<u8>, bool), MalformedChunks> {
        let (mut chunks, mut body, mut rest) = (ChunkedDecoder::default(), Vec::new(), Vec::new());
        for piece in pieces {
            let mut piece = piece.to_vec();
            let read = chunks.read(&mut piece)?;
            chunks.check()?;
            body.extend_from_slice(&piece[..read.body]);
            rest.extend_from_slice(&piece[read.used..]);
        }
        Ok((body, rest, chunks.is_done()))
    }

    fn whole(text: &str) -> Result<(String, String, bool), MalformedChunks> {
        let (body, rest, done) = read(&[text.as_bytes()])?;
        Ok((String::from_utf8(body).unwrap(), String::from_utf8(rest).unwrap(), done))
    }

    #[test]
    fn chunks_are_joined_and_what_follows_is_left() {
        let of = |body: &str, rest: &str, done| Ok((body.to_owned(), rest.to_owned(), done));
        assert_eq!(whole("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), of("abcde", "", true));
        assert_eq!(whole("0\r\n\r\nHTTP/1.1"), of("", "HTTP/1.1", true));
        assert_eq!(whole("A;name=\"v\"\r\n0123456789\r\n0\r\nx: y\r\nz: \r\n\r\n"), of("0123456789", "", true));
        assert_eq!(whole("0003 \r\nabc\r\n"), of("abc", "", false));
        assert_eq!(whole("3\r\nab"), of("ab", "", false));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for text in [
            "\r\n",
            ";x\r\n",
            "x\r\n",
            "0x3\r\nabc",
            "-1\r\n",
            "+3\r\nabc",
            " 3\r\nabc",
            "3\nabc",
            "3\r\nabc\n",
            "3\r\nabcd",
            "3\r\r\nabc",
            "3;\nx\r\n",
            "00000000000000003\r\nabc",
            "0\r\n\n",
            "0\r\nx\n\r\n",
            "0\r\n\rX",
            "3;\0\r\nabc",
        ] {
            assert_eq!(whole(text), Err(MalformedChunks), "{text:?}");
        }
        assert_eq!(whole("ffffffffffffffff\r\nabc").unwrap().0, "abc");
        assert_eq!(whole(&format!("3;{}\r\n", "x".repeat(LONGEST_LINE + 1))), Err(MalformedChunks));
        assert_eq!(whole(&format!("0\r\n{}", "a: b\r\n".repeat(LONGEST_TRAILERS / 4 + 1))), Err(MalformedChunks));
    }

    #[test]
    fn what_comes_before_a_fault_is_given_out() {
        let mut chunks = ChunkedDecoder::default();
        let mut piece = *b"3\r\nabc\r\n2\r\nde?";
        assert_eq!(chunks.read(&mut piece), Ok(Decoded { body: 5, used: 13 }));
        assert_eq!(&piece[..5], b"abcde");
        assert_eq!(
            (chunks.check(), chunks.read(&mut []), chunks.is_done()),
            (Err(MalformedChunks), Err(MalformedChunks), false)
        );
    }

    proptest! {
        #[test]
        fn it_makes_no_difference_how_it_comes(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..12), cuts in prop::collection::vec(1_usize..30, 1..60)) {
            let mut sent = Vec::new();
            for chunk in &chunks {
                sent.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                sent.extend_from_slice(chunk);
                sent.extend_from_slice(b"\r\n");
            }
            sent.extend_from_slice(b"0\r\n\r\nrest");
            let (mut pieces, mut rest) = (Vec::new(), &sent[..]);
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            prop_assert_eq!(read(&pieces), Ok((chunks.concat(), b"rest".to_vec(), true)));
        }
    }
}
