//! Hashes, roots, the frontier, and what is stored.

use super::{Definition, Log, record};
use crate::transparency_log::{Frontier, Hash, Subtree, cover, root_of_complete, root_of_parts};

/// Records and roots of the tests of certificate-transparency, for trees of 0 to 8 records.
const RECORDS: [&[u8]; 8] = [b"", b"\0", b"\x10", b" !", b"01", b"@ABC", b"PQRSTUVW", b"`abcdefghijklmno"];
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn hex(hash: Hash) -> String {
    hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn roots_are_those_of_certificate_transparency() {
    let mut frontier = Frontier::new();
    for (record, root) in RECORDS.iter().zip(ROOTS) {
        assert_eq!(hex(frontier.root()), root, "size {}", frontier.size());
        frontier.append(Hash::of_record(record));
    }
    assert_eq!(hex(frontier.root()), ROOTS[8]);
    assert_eq!(frontier.head().size, 8);
}

#[test]
fn roots_and_frontiers_are_those_of_the_definition() {
    let mut definition = Definition::of_size(300);
    let mut log = Log::default();
    for size in 0..=300 {
        assert_eq!(log.frontier.size(), size);
        assert_eq!(log.frontier.root(), definition.root(0..size), "size {size}");
        let subtrees = log.frontier.subtrees();
        let hashes: Vec<Hash> = subtrees.iter().map(|subtree| definition.root(subtree.leaves())).collect();
        assert_eq!(log.frontier.hashes(), hashes, "size {size}");
        // What is stored is enough to make it again.
        let stored = subtrees.iter().map(|subtree| log.hash(*subtree)).collect();
        assert_eq!(Frontier::from_hashes(size, stored).as_ref(), Some(&log.frontier), "size {size}");
        if size < 300 {
            log.append(&record(size));
        }
    }
}

#[test]
fn the_records_and_every_eighth_level_are_stored() {
    let log = Log::of_size(65_536 + 300);
    let of_level = |level| log.stored.keys().filter(|subtree| subtree.level == level).count();
    assert_eq!([of_level(0), of_level(8), of_level(16)], [65_836, 257, 1]);
    assert_eq!(log.stored.len(), 65_836 + 257 + 1);
    assert_eq!(log.stored[&Subtree { level: 16, index: 0 }], log.frontier.hashes()[0]);
}

#[test]
fn a_cover_is_without_gaps_and_as_short_as_possible() {
    for first in 0..70 {
        for end in first..70 {
            let parts = cover(first..end);
            let leaves: Vec<u64> = parts.iter().flat_map(|part| part.leaves()).collect();
            assert_eq!(leaves, (first..end).collect::<Vec<_>>());
            let mergeable = |pair: &[Subtree]| pair[0].level == pair[1].level && pair[0].index.is_multiple_of(2);
            assert!(!parts.windows(2).any(mergeable), "{first}..{end}: {parts:?}");
        }
    }
    let largest = cover(0..u64::MAX);
    assert_eq!(largest.len(), 64);
    assert_eq!(largest[63].leaves(), u64::MAX - 1..u64::MAX);
}

#[test]
fn a_frontier_is_read_back_as_it_was_written() {
    for size in [0, 1, 2, 3, 7, 255, 256, 257, 300] {
        let frontier = Log::of_size(size).frontier;
        let bytes = frontier.to_bytes();
        assert_eq!(Frontier::from_bytes(&bytes).as_ref(), Some(&frontier));
        for length in 0..bytes.len() {
            assert_eq!(Frontier::from_bytes(&bytes[..length]), None, "{length} of {} bytes", bytes.len());
        }
        assert_eq!(Frontier::from_bytes(&[&bytes[..], &[0]].concat()), None);
        assert_eq!(Frontier::from_bytes(&[&bytes[..], &[0; Hash::LENGTH]].concat()), None);
    }
    let too_large = (Frontier::MAX_SIZE + 1).to_be_bytes();
    assert_eq!(Frontier::from_bytes(&[&too_large[..], &[0; Hash::LENGTH]].concat()), None);
}

#[test]
fn hashes_have_one_spelling() {
    let hash = Hash::of_record(b"");
    let text = hash.to_string();
    assert_eq!(Hash::from_base64(&text), Some(hash));
    assert_eq!(format!("{hash:?}"), format!("Hash({text})"));
    // The last digit has two bits too many: with one of them set, lax readers would take it for the same.
    assert!(text.ends_with("0="), "{text}");
    let spellings = ["", &text[..43], &format!("{text}="), &format!("{text}\n"), &text.replace("0=", "1="), "AAAA"];
    for wrong in spellings {
        assert_eq!(Hash::from_base64(wrong), None, "{wrong}");
    }
    assert_eq!(Hash::from_slice(&[0; 31]), None);
    assert_eq!(Hash::from_slice(&[0; 33]), None);
}

#[test]
fn a_root_needs_a_fitting_number_of_hashes() {
    let hash = Hash::of_empty_tree();
    assert_eq!(root_of_complete(&[hash]), Some(hash));
    for count in [0, 3, 5, 6, 7, 127] {
        assert_eq!(root_of_complete(&vec![hash; count]), None, "{count}");
    }
    assert_eq!(root_of_parts(&[]), None);
    assert_eq!(Frontier::from_hashes(3, vec![hash]), None);
    assert_eq!(Frontier::from_hashes(4, vec![hash; 2]), None);
}
