//! `--format`: the word `json`, a JSON schema, or a file that holds one.

use std::path::Path;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::exit::{Exit, Problem};

/// The value of `format` in the request.
pub fn read(text: &str) -> anyhow::Result<Box<RawValue>> {
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
        Err(error) => Err(problem(format!("the format {text:?} is no valid JSON: {error}")).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_word_a_schema_and_a_file() {
        assert_eq!(read("json").unwrap().get(), "\"json\"");
        assert_eq!(read(r#"{"type":"object"}"#).unwrap().get(), r#"{"type":"object"}"#);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("schema.json");
        std::fs::write(&file, r#"{"type":"array"}"#).unwrap();
        assert_eq!(read(file.to_str().unwrap()).unwrap().get(), r#"{"type":"array"}"#);
        std::fs::write(&file, "[1]").unwrap();
        assert!(read(file.to_str().unwrap()).is_err());
        assert!(read("{").is_err());
        assert!(read("/nonexistent/schema").is_err());
    }
}
