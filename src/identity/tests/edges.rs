//! The curve's edges: points of small and of mixed order, second spellings of points and scalars. Where verifiers are known to differ
//! (with or without the cofactor) ours takes the narrower side. The vectors are made here from the eight points of small order.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT as B, EIGHT_TORSION};
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity as _;
use proptest::prelude::*;
use sha2::{Digest as _, Sha512};

use crate::identity::{Challenge, PublicKeyError, VerifyError, verify};

const PREFIX: &[u8] = b"\0\0\0\x0bssh-ed25519\0\0\0\x20";

fn challenge(ts: i64) -> Challenge {
    Challenge::new("POST", "/api/me", ts)
}

fn of_blob(blob: &[u8], signature: &[u8]) -> String {
    format!("{}:{}", STANDARD.encode(blob), STANDARD.encode(signature))
}

fn check(key: &[u8; 32], r: &[u8; 32], s: &[u8; 32], challenge: &Challenge) -> Result<(), VerifyError> {
    verify(&of_blob(&[PREFIX, key].concat(), &[&r[..], s].concat()), challenge).map(drop)
}

/// The number that a message stands for in the equation.
fn hash(r: &[u8; 32], key: &[u8; 32], challenge: &Challenge) -> Scalar {
    let digest = Sha512::new().chain_update(r).chain_update(key).chain_update(challenge.as_str()).finalize();
    Scalar::from_bytes_mod_order_wide(&digest.into())
}

/// Each way to write a point of small order: with either sign of x, and with y a second time above the prime where there is room.
fn small_encodings() -> Vec<[u8; 32]> {
    let mut all = Vec::new();
    for point in EIGHT_TORSION {
        let canonical = point.compress().to_bytes();
        for sign in [0, 0x80] {
            let mut one = canonical;
            one[31] = (one[31] & 0x7f) | sign;
            all.push(one);
            // y + p, for the y below 19: p is 2^255 - 19.
            if canonical[1..31] == [0; 30] && canonical[31] & 0x7f == 0 {
                let mut second = [0xff; 32];
                (second[0], second[31]) = (canonical[0] + 0xed, 0x7f | sign);
                all.push(second);
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

#[test]
fn no_point_of_small_order_is_a_key_with_any_other_beside_it() {
    let encodings = small_encodings();
    assert_eq!(encodings.len(), 14, "all there are");
    for key in &encodings {
        for r in &encodings {
            for ts in 0..4 {
                let err = check(key, r, &[0; 32], &challenge(ts)).unwrap_err();
                assert!(matches!(err, VerifyError::Key(PublicKeyError::Unusable(_))), "{key:02x?} {r:02x?}: {err:?}");
            }
        }
    }
}

/// With R of small order (r is zero, in any spelling) the owner of a key could make signatures that tell what the key is.
#[test]
fn a_signature_has_no_r_of_small_order() {
    let secret = Scalar::from(7_u8).invert();
    let key = (secret * B).compress().to_bytes();
    for r in small_encodings() {
        for ts in 0..16 {
            let challenge = challenge(ts);
            let s = hash(&r, &key, &challenge) * secret;
            assert_eq!(check(&key, &r, s.as_bytes(), &challenge), Err(VerifyError::WrongSignature), "{r:02x?}");
        }
    }
}

#[test]
fn a_number_is_written_in_one_way() {
    let (secret, nonce) = (Scalar::from(1234567_u32), Scalar::from(89_u8).invert());
    let (key, r) = ((secret * B).compress().to_bytes(), (nonce * B).compress().to_bytes());
    let challenge = challenge(1);
    let s = nonce + hash(&r, &key, &challenge) * secret;
    assert_eq!(check(&key, &r, s.as_bytes(), &challenge), Ok(()));
    // The order is one above the largest number.
    let order = {
        let mut bytes = (-Scalar::ONE).to_bytes();
        bytes[0] += 1;
        bytes
    };
    let mut again = s.to_bytes();
    for _ in 1..16 {
        let mut carry = 0;
        for (byte, more) in again.iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(more) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        if carry != 0 {
            return;
        }
        assert_eq!(Scalar::from_bytes_mod_order(again), s);
        assert_eq!(check(&key, &r, &again, &challenge), Err(VerifyError::WrongSignature));
    }
}

#[test]
fn a_blob_is_laid_out_in_one_way() {
    let key = (Scalar::from(5_u8) * B).compress().to_bytes();
    let with = |before: &[u8], key: &[u8], after: &[u8]| {
        verify(&of_blob(&[before, key, after].concat(), &[1; 64]), &challenge(1))
    };
    assert_eq!(with(PREFIX, &key, b""), Err(VerifyError::WrongSignature), "the key itself is read");
    for (before, after) in [
        (&b"\0\0\0\x0bssh-ed25519\0\0\0\x21\0"[..], &b""[..]),
        (b"\0\0\0\x0bssh-ed25519\0\0\0\x21", b"\0"),
        (b"\0\0\0\x0bssh-ed25519\0\0\0\x1f", b""),
        (b"\0\0\0\x0bssh-ed25519\x80\0\0\x20", b""),
        (b"\0\0\0\x0bssh-ed25519\0\0\0\0\0\0\0\x20", b""),
        (b"\0\0\0\x0bssh-ed25519\x20\0\0\0", b""),
        (b"\x0b\0\0\0ssh-ed25519\0\0\0\x20", b""),
        (b"\0\0\0\x0cssh-ed25519\0\0\0\0\x20", b""),
        (b"\0\0\0\x0bSSH-ED25519\0\0\0\x20", b""),
        (b"\xff\xff\xff\xffssh-ed25519\0\0\0\x20", b""),
        (b"ssh-ed25519\0\0\0\x20", b""),
        (b"", b""),
        (PREFIX, b"\0"),
        (PREFIX, PREFIX),
        (PREFIX, b"\0\0\0\x04test"),
    ] {
        assert!(matches!(with(before, &key, after), Err(VerifyError::Key(_))), "{before:02x?} {after:02x?}");
    }
}

proptest! {
    /// R with a part of small order: a verifier that multiplies by the cofactor takes it, ours does not.
    #[test]
    fn r_has_no_part_of_small_order(a in 1_u64.., r in 1_u64.., torsion in 0_usize..8, ts in 0_i64..) {
        let (secret, nonce, challenge) = (Scalar::from(a), Scalar::from(r), challenge(ts));
        let key = (secret * B).compress().to_bytes();
        let r = (nonce * B + EIGHT_TORSION[torsion]).compress().to_bytes();
        let s = nonce + hash(&r, &key, &challenge) * secret;
        let wanted = if torsion == 0 { Ok(()) } else { Err(VerifyError::WrongSignature) };
        prop_assert_eq!(check(&key, &r, s.as_bytes(), &challenge), wanted);
    }

    /// A key with a part of small order is a key of its own (another line, another fingerprint, approved for itself), and only who has
    /// the secret can sign for it: with the cofactor each of these signatures would be valid, without it those where that part vanishes.
    #[test]
    fn a_key_of_mixed_order_is_good_for_its_owner_alone(a in 1_u64.., r in 1_u64.., torsion in 0_usize..8, ts in 0_i64..) {
        let (secret, nonce, challenge) = (Scalar::from(a), Scalar::from(r), challenge(ts));
        let point: EdwardsPoint = secret * B + EIGHT_TORSION[torsion];
        let (key, r) = (point.compress().to_bytes(), (nonce * B).compress().to_bytes());
        let k = hash(&r, &key, &challenge);
        let s = nonce + k * secret;
        // k has 253 bits and is not reduced by 8: its last three bits say how much of the small part is left.
        let rest = (0..k.as_bytes()[0] % 8).fold(EdwardsPoint::default(), |sum, _| sum + EIGHT_TORSION[torsion]);
        prop_assert_eq!(check(&key, &r, s.as_bytes(), &challenge).is_ok(), rest.is_identity());
        // The key without that part is no other name for it.
        let plain = (secret * B).compress().to_bytes();
        prop_assert_eq!(check(&plain, &r, s.as_bytes(), &challenge).is_ok(), torsion == 0);
    }
}
