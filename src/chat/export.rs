//! A conversation as a file: Markdown to read, JSON to continue from.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::conversation::{Conversation, Message};

/// What kind of file a name asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// `.json`
    Json,
    /// Everything else.
    Markdown,
}

impl ExportFormat {
    /// By the end of the name.
    pub fn of(name: &str) -> Self {
        if name.to_ascii_lowercase().ends_with(".json") { Self::Json } else { Self::Markdown }
    }
}

/// The file's text, ending in a newline.
pub fn export(conversation: &Conversation, model: &str, host: &str, format: ExportFormat) -> String {
    match format {
        ExportFormat::Json => to_json(conversation, model, host),
        ExportFormat::Markdown => to_markdown(conversation, model, host),
    }
}

fn to_json(conversation: &Conversation, model: &str, host: &str) -> String {
    let file = json!({
        "version": 1,
        "model": model,
        "host": host,
        "system": conversation.system,
        "options": conversation.options,
        "messages": conversation.sent(),
    });
    let text = serde_json::to_string_pretty::<Value>(&file).unwrap_or_default();
    text + "\n"
}

fn to_markdown(conversation: &Conversation, model: &str, host: &str) -> String {
    let mut text = format!("# Conversation with {model}\n\nHost: {host}\n");
    for message in conversation.sent() {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n## {}\n\n", heading(message));
        if !message.thinking.is_empty() {
            for line in message.thinking.trim().lines() {
                let _ = writeln!(text, "{}", format!("> {line}").trim_end());
            }
            text.push('\n');
        }
        if !message.images.is_empty() {
            let _ = writeln!(text, "*{} attached*\n", files(message.images.len()));
        }
        for call in &message.tool_calls {
            let _ = writeln!(text, "```json\n{call}\n```\n");
        }
        let _ = writeln!(text, "{}", message.content.trim());
    }
    text
}

fn heading(message: &Message) -> &str {
    match message.role.as_str() {
        "user" => "You",
        "assistant" => "Model",
        "system" => "System",
        other => other,
    }
}

fn files(count: usize) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk() -> Conversation {
        let mut talk = Conversation::default();
        talk.set_system("Be brief.");
        talk.ask(Message { images: vec!["QQ==".into()], ..Message::new("user", "What is this?") });
        talk.answered(Message { thinking: "Let me\n\nsee".into(), ..Message::new("assistant", "A letter.\n") });
        talk
    }

    #[test]
    fn markdown_reads_well() {
        assert_eq!(
            export(&talk(), "tiny", "http://h", ExportFormat::of("a.md")),
            "# Conversation with tiny\n\nHost: http://h\n\n## System\n\nBe brief.\n\n## You\n\n*1 file attached*\n\nWhat is this?\n\n\
             ## Model\n\n> Let me\n>\n> see\n\nA letter.\n"
        );
    }

    #[test]
    fn json_holds_everything() {
        let text = export(&talk(), "tiny", "http://h", ExportFormat::of("A.JSON"));
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["messages"].as_array().unwrap().len(), 3);
        assert_eq!(value["messages"][1]["images"][0], "QQ==");
        assert_eq!(value["system"], "Be brief.");
        assert!(text.ends_with("}\n"));
    }
}
