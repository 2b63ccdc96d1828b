//! Decodes the chunked transfer coding (RFC 9112, section 7.1) in place, all chunks of a read at once: a server that streams tokens writes
//! many small chunks, so a chunk must cost next to nothing.
//!
//! Strict, against response splitting: sizes are hexadecimal digits and nothing else, lines end in CR LF. Extensions are skipped and
//! trailers dropped, within limits.

use thiserror::Error;

/// The longest extensions of a chunk, and the longest trailers of a body, in bytes.
const MAX_EXTENSION: usize = 4096;
const MAX_TRAILERS: usize = 16 * 1024;
/// The most digits of the size of a chunk that is decoded at once.
const MAX_SMALL_DIGITS: usize = 4;
const CRLF: &[u8] = b"\r\n";

/// The body does not follow the grammar of the chunked coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the chunks of the response are malformed")]
pub struct MalformedChunks;

/// Decodes one chunked body, piece by piece.
#[derive(Debug, Default)]
pub struct ChunkedDecoder {
    state: State,
    /// What is left of the current chunk, in bytes.
    left: u64,
    /// The length of the current extension, or of the trailers so far, in bytes.
    length: usize,
    /// How many digits the current size has.
    digits: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Extension,
    /// After the CR of a size line.
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    /// At the start of a line after the last chunk.
    Trailers,
    /// Within such a line.
    Trailer,
    /// After the CR of such a line.
    TrailerEnd,
    /// After the CR of the empty line that ends the body.
    End,
    Done,
    /// After a fault.
    Malformed,
}

/// The result of [`ChunkedDecoder::decode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// How many bytes of the body are now at the beginning of the piece.
    pub body: usize,
    /// How many bytes of the piece were used: fewer than all only at the end of the body and before a fault.
    pub used: usize,
}

impl ChunkedDecoder {
    /// Decodes a piece in place: the bytes of the body move to its beginning. Bytes before a fault are returned first, so that the result
    /// does not depend on how the body was cut into pieces; [`ChunkedDecoder::check`] and the next call then report the fault.
    ///
    /// # Errors
    /// [`MalformedChunks`].
    pub fn decode(&mut self, piece: &mut [u8]) -> Result<Decoded, MalformedChunks> {
        self.check()?;
        let (mut at, mut body) = (0, 0);
        while at < piece.len() && self.state != State::Done {
            if self.state == State::Size
                && self.digits == 0
                && let Some((data, end)) = whole_chunk(&piece[at..])
            {
                piece.copy_within(at + data..at + end - CRLF.len(), body);
                body += end - CRLF.len() - data;
                at += end;
                continue;
            }
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

    /// Whether no fault follows what was decoded so far.
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

    /// Takes one byte of the framing between the data of two chunks.
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
                self.grow(MAX_EXTENSION)?;
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
                self.grow(MAX_TRAILERS)?;
                State::Trailer
            }
            (State::End, b'\n') => State::Done,
            _ => return Err(MalformedChunks),
        };
        Ok(())
    }

    fn grow(&mut self, limit: usize) -> Result<(), MalformedChunks> {
        self.length += 1;
        if self.length > limit { Err(MalformedChunks) } else { Ok(()) }
    }
}

/// Where the data of a small chunk begins, and where the chunk ends, if all of it is at the beginning of `bytes` and nothing but its size stands
/// before the data. The same as byte by byte, of which a token's chunk would need six.
#[inline]
fn whole_chunk(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (digits, byte) in bytes.iter().take(MAX_SMALL_DIGITS + 1).enumerate() {
        match char::from(*byte).to_digit(16) {
            Some(digit) => length = length << 4 | digit as usize,
            None if length == 0 => return None,
            None => {
                let data = digits + CRLF.len();
                let end = data + length + CRLF.len();
                let is_whole = bytes.get(digits..data) == Some(CRLF) && bytes.get(end - CRLF.len()..end) == Some(CRLF);
                return is_whole.then_some((data, end));
            }
        }
    }
    None
}

fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The body, the bytes after it, and whether it has ended.
    fn read(pieces: &[&[u8]]) -> Result<(Vec<u8>, Vec<u8>, bool), MalformedChunks> {
        let (mut chunks, mut body, mut rest) = (ChunkedDecoder::default(), Vec::new(), Vec::new());
        for piece in pieces {
            let mut piece = piece.to_vec();
            let decoded = chunks.decode(&mut piece)?;
            chunks.check()?;
            body.extend_from_slice(&piece[..decoded.body]);
            rest.extend_from_slice(&piece[decoded.used..]);
        }
        Ok((body, rest, chunks.is_done()))
    }

    fn whole(text: &str) -> Result<(String, String, bool), MalformedChunks> {
        let (body, rest, done) = read(&[text.as_bytes()])?;
        Ok((String::from_utf8(body).unwrap(), String::from_utf8(rest).unwrap(), done))
    }

    #[test]
    fn chunks_are_joined_and_bytes_after_the_end_are_left() {
        let of = |body: &str, rest: &str, done| Ok((body.to_owned(), rest.to_owned(), done));
        assert_eq!(whole("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), of("abcde", "", true));
        assert_eq!(whole("0\r\n\r\nHTTP/1.1"), of("", "HTTP/1.1", true));
        assert_eq!(whole("A;name=\"v\"\r\n0123456789\r\n0\r\nx: y\r\nz: \r\n\r\n"), of("0123456789", "", true));
        assert_eq!(whole("0003 \r\nabc\r\n"), of("abc", "", false));
        assert_eq!(whole("3\r\nab"), of("ab", "", false));
        for length in [0xfff, 0xffff, 0x10000] {
            let data = "a".repeat(length);
            assert_eq!(whole(&format!("{length:x}\r\n{data}\r\n0\r\n\r\n")), of(&data, "", true));
            assert_eq!(whole(&format!("{length:x}\r\n{data}\rX")), Err(MalformedChunks));
        }
    }

    #[test]
    fn an_ambiguous_framing_is_malformed() {
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
        assert_eq!(whole(&format!("3;{}\r\n", "x".repeat(MAX_EXTENSION + 1))), Err(MalformedChunks));
        assert_eq!(whole(&format!("0\r\n{}", "a: b\r\n".repeat(MAX_TRAILERS / 4 + 1))), Err(MalformedChunks));
    }

    #[test]
    fn data_before_a_fault_is_returned() {
        let mut chunks = ChunkedDecoder::default();
        let mut piece = *b"3\r\nabc\r\n2\r\nde?";
        assert_eq!(chunks.decode(&mut piece), Ok(Decoded { body: 5, used: 13 }));
        assert_eq!(&piece[..5], b"abcde");
        assert_eq!(
            (chunks.check(), chunks.decode(&mut []), chunks.is_done()),
            (Err(MalformedChunks), Err(MalformedChunks), false)
        );
    }

    proptest! {
        #[test]
        fn the_result_does_not_depend_on_the_pieces(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..12), cuts in prop::collection::vec(1_usize..30, 1..60)) {
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
