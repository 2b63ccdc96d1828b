//! Each target with its examples, as they are and changed a few thousand times, the same way in each run. `scripts/fuzz` looks much
//! further: it sees which changes reach new code.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::TARGETS;

/// Changed examples for each target.
const CHANGED: u32 = 4000;

/// Small, and the same everywhere (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or_default() % limit.max(1)
    }
}

fn files(folder: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// The words of a dictionary in libFuzzer's form: `"text"`, with `\xNN`, `\"` and `\\`.
fn words(path: &Path) -> Vec<Vec<u8>> {
    let Ok(text) = fs::read_to_string(path) else { return Vec::new() };
    let quoted = text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    quoted.map(unquoted).collect()
}

fn unquoted(word: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = word;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        if let Some(hex) = rest[at..].strip_prefix("\\x") {
            out.push(u8::from_str_radix(&hex[..2], 16).unwrap());
            rest = &hex[2..];
        } else {
            out.push(rest.as_bytes()[at + 1]);
            rest = &rest[at + 2..];
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

fn changed(examples: &[Vec<u8>], words: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = examples[random.below(examples.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let to = at + random.below(bytes.len() - at + 1).min(random.below(20));
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 => drop(bytes.drain(at..to)),
            2 => bytes.insert(at, u8::try_from(random.below(256)).unwrap()),
            3 => {
                let twice = bytes[at..to].to_vec();
                bytes.splice(at..at, twice);
            }
            4 => {
                let other = &examples[random.below(examples.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[random.below(other.len())..]);
            }
            _ if !words.is_empty() => drop(bytes.splice(at..to, words[random.below(words.len())].iter().copied())),
            _ => {}
        }
    }
    bytes
}

#[test]
fn no_example_and_no_change_of_one_is_taken_wrongly() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for (name, target) in TARGETS {
        let examples = files(&fuzz.join("corpus").join(name));
        assert!(examples.len() > 5, "{name} has hardly any examples");
        let words = words(&fuzz.join(format!("dictionaries/{name}.dict")));
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let more = (0..CHANGED).map(|_| changed(&examples, &words, &mut random)).collect::<Vec<_>>();
        for bytes in examples.iter().chain(&more) {
            if catch_unwind(AssertUnwindSafe(|| target(bytes))).is_err() {
                panic!("{name} with {:?}", bytes.escape_ascii().to_string());
            }
        }
    }
}

/// A target that has no folder, or a folder without a target, would be forgotten.
#[test]
#[cfg(feature = "gateway")]
fn every_target_is_built_and_has_examples() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    let mut built: Vec<_> = manifest
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""))
        .collect();
    let mut folders: Vec<_> = fs::read_dir(fuzz.join("corpus"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut targets: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
    built.sort_unstable();
    folders.sort_unstable();
    targets.sort_unstable();
    for name in &targets {
        let code = fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        let call = format!("libfuzzer_sys::fuzz_target!(|data: &[u8]| ollama_auth::fuzzing::{name}(data));");
        assert!(code.lines().any(|line| line == call), "{name}");
    }
    assert_eq!(built, targets);
    assert_eq!(folders, targets);
}

/// It has its own lock file, which no other build updates.
#[test]
#[cfg(feature = "gateway")]
fn the_lock_file_knows_every_dependency() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap().parse::<toml::Table>().unwrap();
    let lock = fs::read_to_string(root.join("fuzz/Cargo.lock")).unwrap().parse::<toml::Table>().unwrap();
    let ours =
        lock["package"].as_array().unwrap().iter().find(|package| package["name"].as_str() == Some("ollama-auth"));
    let locked = ours.unwrap()["dependencies"].as_array().unwrap();
    for name in manifest["dependencies"].as_table().unwrap().keys() {
        // Where there are two versions of one, its version follows the name.
        let known = locked.iter().any(|entry| entry.as_str().unwrap().split(' ').next() == Some(name));
        assert!(known, "{name}: cargo metadata --offline --manifest-path fuzz/Cargo.toml");
    }
}
