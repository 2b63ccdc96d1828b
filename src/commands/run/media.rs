//! Images and sounds named by their path in the prompt, and the value of `--format`.

use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::app::App;
use crate::exit::{Exit, Problem};

/// What stock Ollama attaches, by file name.
const EXTENSIONS: [&str; 5] = ["jpg", "jpeg", "png", "webp", "wav"];
/// The largest file that is attached, in bytes; as stock.
const MAX_FILE_SIZE: u64 = 100 * 1024 * 1024;
/// What a shell escapes with a backslash when a file is dragged onto a terminal.
const ESCAPED: &str = " ()[]{}$&;'\\*?~";

/// Takes the paths of existing files out of the prompt and gives the files in Base64.
///
/// # Errors
/// A file that exists but cannot be read, is too large, or is not an image or sound.
pub fn attach(app: &App, prompt: &str) -> anyhow::Result<(String, Vec<String>)> {
    let mut text = prompt.to_owned();
    let mut files = Vec::new();
    for written in candidates(prompt) {
        let path = unescape(&written);
        let Some(bytes) = load(Path::new(&path))? else {
            continue;
        };
        let what = if path.to_ascii_lowercase().ends_with(".wav") { "sound" } else { "image" };
        app.printer.note(&format!("Attached the {what} {path}"));
        for form in [format!("'{path}'"), format!("'{written}'"), format!("\"{written}\""), written] {
            text = text.replace(&form, "");
        }
        files.push(STANDARD.encode(bytes));
    }
    let text = if files.is_empty() { text } else { text.trim().to_owned() };
    Ok((text, files))
}

/// Whether a line begins with the path of a file that is there and could be attached.
pub fn begins_with_file(line: &str) -> bool {
    let found = candidates(line);
    found.first().is_some_and(|written| line.starts_with(written.as_str()) && Path::new(&unescape(written)).is_file())
}

/// Stretches that look like a path to a file of a known kind: they begin with `/`, `./`, `../`, `\` or a drive letter and end
/// at the first known extension. Spaces may be part of them.
fn candidates(prompt: &str) -> Vec<String> {
    prompt.lines().flat_map(in_line).collect()
}

fn in_line(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let ends = path_ends(line);
    let mut from = 0;
    // Each path ends at the first known extension behind its beginning, so no stretch is looked at twice.
    while let Some(start) = path_start(&line[from..]).map(|start| from + start) {
        let Some(end) = ends.iter().copied().find(|end| *end > start) else { break };
        found.push(line[start..end].to_owned());
        from = end;
    }
    found
}

fn path_start(text: &str) -> Option<usize> {
    let start = text.find(['/', '\\'])?;
    match text.as_bytes()[..start] {
        [.., letter, b':'] if letter.is_ascii_alphabetic() => Some(start - 2),
        [.., b'.', b'.'] => Some(start - 2),
        [.., b'.'] => Some(start - 1),
        _ => Some(start),
    }
}

/// Where a known extension ends in the line, in order.
fn path_ends(line: &str) -> Vec<usize> {
    let lower = line.to_ascii_lowercase();
    let mut ends: Vec<usize> = EXTENSIONS
        .iter()
        .flat_map(|extension| {
            let dotted = format!(".{extension}");
            lower.match_indices(&dotted).map(|(at, _)| at + dotted.len()).collect::<Vec<_>>()
        })
        .filter(|end| !lower[*end..].starts_with(|next: char| next.is_alphanumeric() || next == '_'))
        .collect();
    ends.sort_unstable();
    ends
}

fn unescape(written: &str) -> String {
    let mut path = String::with_capacity(written.len());
    let mut characters = written.chars().peekable();
    while let Some(character) = characters.next() {
        match characters.peek() {
            Some(next) if character == '\\' && ESCAPED.contains(*next) => {
                path.push(*next);
                characters.next();
            }
            _ => path.push(character),
        }
    }
    path
}

fn load(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    let problem =
        |message: String| Problem::new(Exit::Failed, message).hint("leave the path out, or name another file");
    let unusable = |error: std::io::Error| problem(format!("{} cannot be attached: {error}", path.display()));
    // A FIFO or a device would block forever or never end.
    match path.metadata() {
        Ok(found) if !found.is_file() => return Ok(None),
        Ok(found) if found.len() > MAX_FILE_SIZE => {
            return Err(problem(format!("{} is larger than 100 MB", path.display())).into());
        }
        Ok(_) => {}
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(unusable(error).into()),
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unusable)?;
    file.take(MAX_FILE_SIZE).read_to_end(&mut bytes).map_err(unusable)?;
    if !is_media(&bytes) {
        return Err(problem(format!("{} is not a JPEG, PNG or WebP image or a WAV sound", path.display())).into());
    }
    Ok(Some(bytes))
}

/// By content, so that a key file with a picture's name is not sent.
fn is_media(bytes: &[u8]) -> bool {
    let riff = |kind: &[u8]| bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(kind);
    bytes.starts_with(b"\xff\xd8\xff") || bytes.starts_with(b"\x89PNG\r\n\x1a\n") || riff(b"WEBP") || riff(b"WAVE")
}

/// The value of `format` in the request.
pub fn read_format(text: &str) -> anyhow::Result<Box<RawValue>> {
    let hint = "it is json, a JSON schema, or the path of a file that holds one";
    let problem = |message: String| Problem::new(Exit::Usage, message).hint(hint);
    if text == "json" {
        return Ok(RawValue::from_string("\"json\"".to_owned())?);
    }
    let schema = if text.trim_start().starts_with('{') {
        text.to_owned()
    } else {
        std::fs::read_to_string(Path::new(text))
            .map_err(|error| problem(format!("the format {text:?} cannot be read: {error}")))?
    };
    match serde_json::from_str::<Value>(&schema) {
        Ok(Value::Object(_)) => Ok(serde_json::from_str(&schema)?),
        Ok(_) => Err(problem(format!("the format {text:?} is JSON, but no schema (an object)")).into()),
        Err(error) => Err(problem(format!("the format {text:?} is not valid JSON: {error}")).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_paths_as_people_write_them() {
        let cases: [(&str, &[&str]); 8] = [
            ("what is in ./a.png and /tmp/b.JPG?", &["./a.png", "/tmp/b.JPG"]),
            ("see '/tmp/my picture.webp' now", &["/tmp/my picture.webp"]),
            ("/tmp/my\\ picture.png", &["/tmp/my\\ picture.png"]),
            ("C:\\pics\\a.jpeg", &["C:\\pics\\a.jpeg"]),
            ("../x.wav", &["../x.wav"]),
            ("no/path.pngx here", &[]),
            ("and/or without a file", &[]),
            ("", &[]),
        ];
        for (prompt, expected) in cases {
            assert_eq!(candidates(prompt), expected, "{prompt}");
        }
    }

    #[test]
    fn undoes_what_a_shell_escapes() {
        assert_eq!(unescape(r"/a\ b\(1\).png"), "/a b(1).png");
        assert_eq!(unescape(r"C:\pics\a.png"), r"C:\pics\a.png");
    }

    #[test]
    fn judges_by_content() {
        assert!(is_media(b"\x89PNG\r\n\x1a\n..."));
        assert!(is_media(b"RIFF....WAVEfmt "));
        assert!(!is_media(b"-----BEGIN OPENSSH PRIVATE KEY-----"));
        assert!(!is_media(b"RIFF"));
    }

    #[test]
    fn takes_the_word_a_schema_and_a_file() {
        assert_eq!(read_format("json").unwrap().get(), "\"json\"");
        assert_eq!(read_format(r#"{"type":"object"}"#).unwrap().get(), r#"{"type":"object"}"#);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("schema.json");
        std::fs::write(&file, r#"{"type":"array"}"#).unwrap();
        assert_eq!(read_format(file.to_str().unwrap()).unwrap().get(), r#"{"type":"array"}"#);
        std::fs::write(&file, "[1]").unwrap();
        assert!(read_format(file.to_str().unwrap()).is_err());
        assert!(read_format("{").is_err());
        assert!(read_format("/nonexistent/schema").is_err());
    }
}
