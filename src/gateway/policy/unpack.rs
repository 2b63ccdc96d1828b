//! Unpacks zstd, the one encoding that Ollama takes, within limits of memory and of time.

use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::body::BodyLimit;
use super::scan_budget::Reservation;
use crate::gateway::rejection::Rejection;

/// A body may become so many times as long. Text becomes three to thirty times as long.
const MAX_RATIO: usize = 100;
/// Any body may become this long, in bytes, whatever the ratio.
const MIN_UNPACKED_LIMIT: usize = 1 << 20;
/// How far back a frame may refer, in bytes: no encoder may exceed it in HTTP (RFC 9659).
const MAX_WINDOW: usize = 8 << 20;
/// Each frame makes new tables.
const MAX_FRAMES: usize = 1000;
/// After so many bytes memory and limits are looked at. A block may hold as many.
const STEP: usize = 128 * 1024;

/// The bytes that were packed; their capacity is reserved.
///
/// # Errors
/// 413 when they are more than `limit`, or too many for what was sent; 400 when it is damaged or needs too much memory; 503 without room in
/// the budget.
pub fn unpack(packed: &[u8], limit: BodyLimit, reservation: &mut Reservation) -> Result<Vec<u8>, Rejection> {
    let by_ratio = packed.len().saturating_mul(MAX_RATIO).max(MIN_UNPACKED_LIMIT);
    let most = by_ratio.min(usize::try_from(limit.bytes).unwrap_or(usize::MAX));
    let check = |length: usize| match length > most {
        false => Ok(()),
        true if most < by_ratio => Err(limit.exceeded()),
        true => Err(Rejection::new(
            413,
            format!(
                "the request body is more than {MAX_RATIO} times as long when it is unpacked: send it without Content-Encoding"
            ),
        )),
    };
    let (mut rest, mut bytes) = (packed, Vec::new());
    let mut frames = 0;
    // One frame after the other, as the format has it.
    while !rest.is_empty() {
        frames += 1;
        if frames > MAX_FRAMES {
            return Err(Rejection::new(400, format!("the request body has more than {MAX_FRAMES} zstd frames")));
        }
        // A new one each time: one that is used again allocates the window of the next frame beforehand.
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW as u64);
        decoder.init(&mut rest).map_err(|error| match error {
            FrameDecoderError::WindowSizeTooBig { .. } => {
                Rejection::new(400, "the request body needs a zstd window of more than 8 MiB (RFC 9659)")
            }
            _ => damaged(),
        })?;
        let (begin, mut steps, mut inside) = (bytes.len(), 0, 0);
        while !decoder.is_finished() {
            steps += 1;
            // What it holds back is at most the window, and what it has read in steps of one to two blocks. While that grows, it is there twice.
            let holds = 2 * (steps * 2 * STEP).min(MAX_WINDOW + 2 * STEP);
            reservation.grow(holds - inside)?;
            inside = holds;
            decoder.decode_blocks(&mut rest, BlockDecodingStrategy::UptoBytes(STEP)).map_err(|_| damaged())?;
            let ready = decoder.can_collect();
            // Unless it is finished, it has read a whole step each time, most of which it may hold back.
            check(if decoder.is_finished() { bytes.len() + ready } else { begin + steps * STEP })?;
            reservation.make_room(&mut bytes, ready)?;
            decoder.collect_to_writer(&mut bytes).map_err(|_| damaged())?;
        }
        drop(decoder);
        reservation.shrink_to(reservation.bytes() - inside);
    }
    Ok(bytes)
}

fn damaged() -> Rejection {
    Rejection::new(400, "the request body is not valid zstd")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::policy::body::LimitedBy;

    fn read(packed: &[u8], bytes: u64) -> Result<Vec<u8>, Rejection> {
        unpack(packed, BodyLimit { bytes, by: LimitedBy::Setting("max-scanned-body") }, &mut Reservation::uncounted())
    }

    fn packed(text: &str) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest)
    }

    /// A frame that says so many times 128 KiB of spaces, in four bytes each.
    fn spaces(times: usize) -> Vec<u8> {
        let mut frame = b"\x28\xb5\x2f\xfd\x00\x58".to_vec();
        for at in 0..times {
            let last = u32::from(at + 1 == times);
            frame.extend_from_slice(&((1_u32 << 17 << 3) | 2 | last).to_le_bytes()[..3]);
            frame.push(b' ');
        }
        frame
    }

    #[test]
    fn it_is_unpacked_within_the_limit() {
        assert_eq!(read(&packed("hello"), 30).unwrap(), b"hello");
        let two = [packed("hello "), packed("you")].concat();
        assert_eq!(read(&two, 99).unwrap(), b"hello you");
        let rejection = read(&packed(&"a".repeat(100_000)), 1000).unwrap_err();
        assert!(
            rejection.status() == 413 && rejection.message().contains("max-scanned-body"),
            "{}",
            rejection.message()
        );
        assert_eq!(read(b"{}", 1000).unwrap_err().status(), 400);
        let mut cut = packed("hello hello");
        cut.truncate(cut.len() - 3);
        assert_eq!(read(&cut, 1000).unwrap_err().status(), 400);
    }

    #[test]
    fn it_becomes_no_more_than_a_hundred_times_as_long() {
        assert_eq!(read(&spaces(8), 16 << 20).unwrap().len(), 1 << 20);
        for bomb in [spaces(9), spaces(1000), spaces(8).repeat(3)] {
            let rejection = read(&bomb, 16 << 20).unwrap_err();
            assert!(rejection.status() == 413 && rejection.message().contains("100 times"), "{}", rejection.message());
        }
        // Twelve MiB and as much as a hundredth of it that cannot be packed.
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            // Knuth's linear congruential generator: the low bits repeat, the high ones do not.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        })
        .take(200_000)
        .collect();
        let noise = ruzstd::encoding::compress_to_vec(noise.as_slice(), ruzstd::encoding::CompressionLevel::Fastest);
        assert_eq!(read(&[spaces(96), noise].concat(), 16 << 20).unwrap().len(), (12 << 20) + 200_000);
    }

    #[test]
    fn many_frames_and_large_windows_are_refused() {
        let frames = packed("").repeat(MAX_FRAMES);
        assert_eq!(read(&frames, 1000).unwrap(), b"");
        assert_eq!(read(&[frames, packed("")].concat(), 1000).unwrap_err().status(), 400);
        let mut window = spaces(1);
        // 16 MiB.
        window[5] = 14 << 3;
        let rejection = read(&window, 16 << 20).unwrap_err();
        assert!(rejection.status() == 400 && rejection.message().contains("window"), "{}", rejection.message());
    }
}
