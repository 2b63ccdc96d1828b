//! Keys and signed notes: what is refused, and why.

use secrecy::ExposeSecret as _;

use super::{every_byte_changed, signer, unsigned_spellings};
use crate::transparency_log::{KeyName, Note, NoteError, NoteKeyError, SignerKey, VerifierKey};

/// The note and the keys of the documentation of golang.org/x/mod/sumdb/note and of C2SP.
const C2SP_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const C2SP_NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
    Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

fn parsed(text: &str) -> Note {
    Note::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

#[test]
fn the_example_of_the_specification_is_verified() {
    let key: VerifierKey = C2SP_KEY.parse().unwrap();
    assert_eq!((key.to_string().as_str(), key.name().as_str(), key.id()), (C2SP_KEY, "example.com/foo", 0x530d_903a));
    let note = parsed(C2SP_NOTE);
    assert_eq!(note.text(), "This is an example message.\n");
    assert_eq!(note.verify(std::slice::from_ref(&key)), Ok(vec![&key]));
    assert_eq!(note.to_string(), C2SP_NOTE);
}

#[test]
fn a_note_with_any_byte_changed_is_refused() {
    let keys = [signer("gate.example/log", 1), signer("gate.example/log", 2)];
    let known: Vec<VerifierKey> = keys.iter().map(|key| key.verifier().clone()).collect();
    let note = Note::sign("one\n\nthree — ü\n", &keys[..1]).unwrap().to_string();
    assert!(parsed(&note).verify(&known).is_ok());
    let verify = |bytes: &[u8]| Note::parse(bytes).and_then(|note| note.verify(&known).map(|_| ()));
    for changed in every_byte_changed(&note) {
        assert!(verify(&changed).is_err(), "{}", changed.escape_ascii());
    }
    for length in 0..note.len() {
        assert!(verify(&note.as_bytes()[..length]).is_err(), "{length} bytes");
    }
    for other in unsigned_spellings(&note) {
        assert!(verify(other.as_bytes()).is_err(), "{other:?}");
    }
}

#[test]
fn unknown_signatures_are_ignored_and_wrong_ones_refuse_the_note() {
    let [now, next, other] = [signer("log", 1), signer("log", 2), signer("witness", 3)];
    let (text, key) = ("a\n", |key: &SignerKey| key.verifier().clone());
    let both = Note::sign(text, &[signer("log", 1), signer("witness", 3)]).unwrap();
    assert_eq!(both.verify(&[key(&now)]).unwrap(), [now.verifier()]);
    assert_eq!(both.verify(&[key(&next), key(&other), key(&now)]).unwrap(), [now.verifier(), other.verifier()]);
    assert_eq!(both.verify(&[key(&next)]), Err(NoteError::NotSigned));
    assert_eq!(both.verify(&[]), Err(NoteError::NotSigned));

    // The second signature is of another text: it counts only for whoever knows its key.
    let line = |text: &str, key: SignerKey| {
        let note = Note::sign(text, &[key]).unwrap().to_string();
        note.rsplit_once("\n\n").unwrap().1.to_owned()
    };
    let mixed = parsed(&format!("a\n\n{}{}", line("a\n", signer("log", 1)), line("b\n", signer("witness", 3))));
    assert_eq!(mixed.verify(&[key(&now)]).unwrap(), [now.verifier()]);
    let refused = Err(NoteError::BadSignature { name: other.verifier().name().clone(), id: other.verifier().id() });
    assert_eq!(mixed.verify(&[key(&now), key(&other)]), refused);
    // The same of one that is there twice, whichever is first.
    for (first, second) in [("a\n", "b\n"), ("b\n", "a\n")] {
        let twice = parsed(&format!("a\n\n{}{}", line(first, signer("log", 1)), line(second, signer("log", 1))));
        assert!(matches!(twice.verify(&[key(&now)]), Err(NoteError::BadSignature { .. })));
    }
    let twice = parsed(&format!("a\n\n{0}{0}", line("a\n", signer("log", 1))));
    assert_eq!(twice.verify(&[key(&now), key(&now)]).unwrap(), [now.verifier()]);
}

#[test]
fn what_is_no_note_is_refused() {
    let line = C2SP_NOTE.rsplit_once("\n\n").unwrap().1;
    let parse = |text: &str| Note::parse(text.as_bytes()).map(|_| ());
    assert_eq!(Note::parse(b"a\n\n\xff").map(|_| ()), Err(NoteError::NotText));
    assert_eq!(parse(&format!("a\tb\n\n{line}")), Err(NoteError::NotText));
    assert_eq!(parse(&format!("a\0\n\n{line}")), Err(NoteError::NotText));
    for text in ["", "\n", "a", "a\n", "a\n\n", &format!("a\n{line}"), line] {
        assert_eq!(parse(text), Err(NoteError::NoSignatures), "{text:?}");
    }
    let lines = [
        "\u{2014} \n",
        "\u{2014} name\n",
        "\u{2014} name \n",
        "\u{2014} name AAAAAA==\n",
        "\u{2014} name AAAAAAA\n",
        "\u{2014} name AAAAAAB=\n",
        "\u{2014} name AAAAAAA= \n",
        "\u{2014} na+me AAAAAAA=\n",
        "\u{2014} na\u{a0}me AAAAAAA=\n",
        "\u{2014}  AAAAAAA=\n",
        "- name AAAAAAA=\n",
    ];
    for wrong in lines {
        assert_eq!(parse(&format!("a\n\n{wrong}")), Err(NoteError::SignatureLine(1)), "{wrong:?}");
        assert_eq!(parse(&format!("a\n\n{line}{wrong}")), Err(NoteError::SignatureLine(2)), "{wrong:?}");
    }
    assert_eq!(parse(&format!("a\n\n{}", line.repeat(100))), Ok(()));
    assert_eq!(parse(&format!("a\n\n{}", line.repeat(101))), Err(NoteError::TooManySignatures));
    let longest = "a".repeat(Note::MAX_LENGTH - line.len() - 2);
    assert_eq!(parse(&format!("{longest}\n\n{line}")), Ok(()));
    assert_eq!(parse(&format!("{longest}a\n\n{line}")), Err(NoteError::TooLong));
}

#[test]
fn only_what_can_be_read_back_is_signed() {
    let sign = |text: &str, keys: &[SignerKey]| Note::sign(text, keys).map(|note| note.to_string());
    assert_eq!(sign("a\n", &[]), Err(NoteError::NoKey));
    for text in ["", "a", "a\nb", "a\r\n", "a\0\n"] {
        assert_eq!(sign(text, &[signer("log", 1)]), Err(NoteError::Unsignable), "{text:?}");
    }
    assert_eq!(sign(&format!("{}\n", "a".repeat(Note::MAX_LENGTH)), &[signer("log", 1)]), Err(NoteError::TooLong));
    let many: Vec<SignerKey> = (0..101).map(|seed| signer("log", seed)).collect();
    assert_eq!(sign("a\n", &many), Err(NoteError::TooManySignatures));
    for text in ["\n", "\n\n", "a\n\n\n", "\u{2014} log AAAA\n\n"] {
        let note = parsed(&sign(text, &[signer("log", 1)]).unwrap());
        assert_eq!(note.text(), text);
        assert!(note.verify(&[signer("log", 1).verifier().clone()]).is_ok(), "{text:?}");
    }
}

#[test]
fn a_key_with_any_character_changed_is_refused() {
    let key = SignerKey::generate(KeyName::new("gate.example/log").unwrap()).unwrap();
    let (secret, public) = (key.to_text(), key.verifier().to_string());
    let again = SignerKey::parse(secret.expose_secret()).unwrap();
    assert_eq!(again.verifier(), key.verifier());
    assert!(!format!("{key:?}").contains(&secret.expose_secret()[secret.expose_secret().len() - 20..]));
    for changed in every_byte_changed(secret.expose_secret()) {
        assert!(!std::str::from_utf8(&changed).is_ok_and(|text| SignerKey::parse(text).is_ok()));
    }
    for changed in every_byte_changed(&public) {
        assert!(!std::str::from_utf8(&changed).is_ok_and(|text| text.parse::<VerifierKey>().is_ok()));
    }
    for wrong in ["", "log", "log+530d903a", "log+530D903A+AAAA", "log+0530d903a+AAAA", &format!("{public}\n")] {
        assert!(matches!(wrong.parse::<VerifierKey>(), Err(NoteKeyError::VerifierForm)), "{wrong:?}");
        assert!(matches!(SignerKey::parse(wrong), Err(NoteKeyError::SignerForm)), "{wrong:?}");
    }
    assert!(matches!("log+530d903a+BAAA".parse::<VerifierKey>(), Err(NoteKeyError::Algorithm(4))));
    assert!(matches!("log+530d903a+AQAA".parse::<VerifierKey>(), Err(NoteKeyError::PublicKey)));
    let of_another_name = public.replace("gate", "fate");
    assert!(matches!(of_another_name.parse::<VerifierKey>(), Err(NoteKeyError::Id)));
    for name in ["", "a b", "a+b", "a\n", "a\u{2003}b", "a\u{7f}"] {
        assert!(matches!(KeyName::new(name), Err(NoteKeyError::Name)), "{name:?}");
    }
}

/// Such a key accepts a signature of anything. Its id is right.
#[test]
fn a_weak_public_key_is_refused() {
    use base64::Engine as _;
    use sha2::{Digest as _, Sha256};

    let mut key = [0; 33];
    (key[0], key[1]) = (1, 1);
    let id = Sha256::new().chain_update("log\n").chain_update(key).finalize();
    let id: String = id[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!("log+{id}+{}", base64::engine::general_purpose::STANDARD.encode(key));
    assert!(matches!(text.parse::<VerifierKey>(), Err(NoteKeyError::PublicKey)));
}
