//! Text from servers and files: streamed lines, what a terminal is shown, key files, names and patterns of models.

use bytes::Bytes;

use crate::api::LineBuffer;
use crate::identity::{DeviceKey, PublicKey};
use crate::keyspec::{CanonicalModel, ModelPattern};
#[cfg(feature = "gateway")]
use crate::transparency_log::{Checkpoint, ConsistencyProof, Note, SignedCheckpoint, TlogProof, VerifierKey};
use crate::ui::sanitize::{Sanitizer, clean, clean_text, is_dangerous};

/// The bytes in pieces: the first byte says how long they are.
fn pieces(data: &[u8]) -> (&[u8], impl Iterator<Item = &[u8]>) {
    let (length, rest) = data.split_first().map_or((1, data), |(first, rest)| (usize::from(*first % 16) + 1, rest));
    (rest, rest.chunks(length))
}

/// Lines of a streamed answer come out whole, whatever pieces they came in.
///
/// # Panics
/// When one does not.
pub fn ndjson(data: &[u8]) {
    const MAX_LINE_LENGTH: usize = 64;
    let (whole, pieces) = pieces(data);
    let mut buffer = LineBuffer::new(MAX_LINE_LENGTH);
    let mut found: Vec<Vec<u8>> = Vec::new();
    for piece in pieces {
        match buffer.push(Bytes::copy_from_slice(piece)) {
            Ok(batch) => found.extend(batch.lines().map(<[u8]>::to_vec)),
            Err(_) => {
                assert!(
                    whole.split(|byte| *byte == b'\n').any(|line| line.len() > MAX_LINE_LENGTH),
                    "no line is that long"
                );
                return;
            }
        }
    }
    found.extend(buffer.finish().lines().map(<[u8]>::to_vec));
    let lines = whole.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    assert_eq!(found, lines.map(<[u8]>::to_vec).collect::<Vec<_>>());
}

/// Nothing that a terminal would obey comes out.
///
/// # Panics
/// When something does.
pub fn sanitize(data: &[u8]) {
    let (whole, pieces) = pieces(data);
    let mut sanitizer = Sanitizer::default();
    let mut out = String::new();
    for piece in pieces {
        sanitizer.push(piece, &mut out);
    }
    sanitizer.finish(&mut out);
    let mut at_once = String::new();
    let mut sanitizer = Sanitizer::default();
    sanitizer.push(whole, &mut at_once);
    sanitizer.finish(&mut at_once);
    assert_eq!(out, at_once, "the pieces made a difference");

    let obeyed = |c: char| c.is_control() || is_dangerous(c);
    assert!(!out.contains(|c| obeyed(c) && !matches!(c, '\n' | '\t')), "{out:?}");
    assert_eq!(clean_text(&out), out, "cleaned twice, it is another text");
    let text = String::from_utf8_lossy(whole);
    let line = clean(&text);
    assert!(!line.contains(obeyed), "{line:?}");
    assert_eq!(clean(&line), line);
}

/// Key files: any text is a key in one spelling, or an error that can be shown.
///
/// # Panics
/// When a key has two spellings.
pub fn keyfile(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match DeviceKey::from_openssh(&text, None) {
        Ok(key) => {
            let Ok(written) = key.to_openssh(None) else { panic!("a key that cannot be written") };
            let again = DeviceKey::from_openssh(secrecy::ExposeSecret::expose_secret(&written), None);
            assert!(again.is_ok_and(|again| again.public() == key.public()), "it is another key when it was written");
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control), "{error:?}"),
    }
    let key = PublicKey::from_line(&text).or_else(|_| PublicKey::from_encoded(&text));
    match key {
        Ok(key) => {
            assert_eq!(PublicKey::from_line(&key.line()).as_ref(), Ok(&key));
            assert_eq!(PublicKey::from_encoded(&key.encoded()).as_ref(), Ok(&key));
            assert_eq!(key.wire_blob().len(), 51);
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control), "{error:?}"),
    }
}

/// Patterns of models, two in the first two lines, and a model in the third: a pattern that covers another matches every model
/// that the other matches, and a name still refers to the same model in its canonical form.
///
/// # Panics
/// When it does not.
pub fn models(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let mut pattern = || lines.next().and_then(|line| line.parse::<ModelPattern>().ok());
    let (one, other) = (pattern(), pattern());
    let model = lines.next().and_then(|line| CanonicalModel::parse(line).ok());
    if let Some(model) = &model {
        assert_eq!(CanonicalModel::parse(model.as_str()).as_ref(), Ok(model), "it has two forms");
    }
    for pattern in [&one, &other].into_iter().flatten() {
        assert_eq!(pattern.as_str().parse::<ModelPattern>().as_ref(), Ok(pattern), "it has two forms");
        assert!(pattern.covers(pattern), "{pattern} does not cover itself");
    }
    if let (Some(one), Some(other), Some(model)) = (one, other, model) {
        assert!(
            !one.covers(&other) || !other.matches(&model) || one.matches(&model),
            "{one} covers {other}, not {model}"
        );
    }
}

/// Keys, signed notes, checkpoints and proofs of a log: what is read has one spelling, and a proof contains a checkpoint, which is a note.
///
/// # Panics
/// When it can be written in two ways.
#[cfg(feature = "gateway")]
pub fn log_text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let same = |written: &str| assert_eq!(written.as_bytes(), data, "it has two spellings");
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text, "it has two spellings");
    }
    if let Ok(checkpoint) = Checkpoint::parse(&text) {
        assert_eq!(checkpoint.to_string(), text, "it has two spellings");
    }
    if let Ok(note) = Note::parse(data) {
        same(&note.to_string());
        assert!(note.text().ends_with('\n') && note.verify(&[]).is_err());
    }
    if let Ok(checkpoint) = SignedCheckpoint::parse(data) {
        same(&checkpoint.to_string());
        let note = Note::parse(data);
        assert!(note.is_ok_and(|note| note.text() == checkpoint.unverified().to_string()), "it is signed as another");
    }
    if let Ok(proof) = TlogProof::parse(data) {
        same(&proof.to_string());
    }
    if let Ok(proof) = ConsistencyProof::parse(data) {
        same(&proof.to_string());
    }
}
