//! Patterns of models, as people write them: on lines, or with commas or spaces between them.

use crate::keyspec::{Models, PatternError};

/// Reads them. Nothing at all means every model.
///
/// # Errors
/// For the first that is none.
pub fn read(text: &str) -> Result<Models, PatternError> {
    text.split([',', ' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()).map(str::parse).collect()
}

/// In one line.
pub fn line(models: &Models) -> String {
    models.patterns().iter().map(|pattern| pattern.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_on_lines_or_between_commas() {
        assert_eq!(line(&read("tiny:*,\r\n  llama3.2\n\n").unwrap()), "tiny:*, llama3.2:latest");
        assert!(read(" \n,").unwrap().patterns().is_empty());
        assert_eq!(read("tiny, http://x").unwrap_err().0, "http://x");
    }
}
