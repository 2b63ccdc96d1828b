//! What a conversation holds: the messages so far, the settings, and the message that has no answer yet.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One message, in the form of `/api/chat`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The text.
    pub content: String,
    /// What preceded it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub thinking: String,
    /// Base64 of each attached file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// Functions that the model called, as it sent them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<Value>,
}

impl Message {
    /// A message of plain text.
    pub fn new(role: &str, content: impl Into<String>) -> Self {
        Self { role: role.to_owned(), content: content.into(), ..Self::default() }
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// Messages that came with the model; `/clear` keeps the model's, and so drops none of these.
    pub loaded: Vec<Message>,
    /// What was said here. Every user message in it was answered, at least in part.
    pub messages: Vec<Message>,
    /// The message that got no answer, because of an error or of Ctrl-C.
    pub pending: Option<Message>,
    /// What answered the message that is up, before it was put up again.
    pub taken_back: Vec<Message>,
    /// The system message that was set here.
    pub system: Option<String>,
    /// Parameters that were set here.
    pub options: Map<String, Value>,
}

impl Conversation {
    /// Sets the system message from here on. One that was set just before is replaced.
    pub fn set_system(&mut self, text: &str) {
        self.system = Some(text.to_owned());
        let message = Message::new("system", text);
        match self.messages.last_mut() {
            Some(last) if last.role == "system" => *last = message,
            _ => self.messages.push(message),
        }
    }

    /// Forgets what was said. The system message stays.
    pub fn clear(&mut self) {
        self.pending = None;
        self.taken_back.clear();
        self.messages = self.system.iter().map(|text| Message::new("system", text.as_str())).collect();
    }

    /// Adds a message to answer, in place of an unanswered one. A message that had an answer, which was only withdrawn for
    /// another one that never came, keeps that answer.
    pub fn ask(&mut self, message: Message) {
        if !self.taken_back.is_empty() {
            self.messages.extend(self.pending.take());
            self.messages.append(&mut self.taken_back);
        }
        self.pending = Some(message);
    }

    /// Takes the answer, whole or not, to the message that was put up. Without a word of answer that message stays up.
    pub fn answered(&mut self, answer: Message) {
        if answer.content.is_empty() && answer.tool_calls.is_empty() && answer.thinking.is_empty() {
            return;
        }
        self.taken_back.clear();
        self.messages.extend(self.pending.take());
        self.messages.push(answer);
    }

    /// Withdraws the last message's answer, so that it is answered again. `false` when there is no message.
    pub fn retry(&mut self) -> bool {
        if self.pending.is_some() {
            return true;
        }
        let Some(at) = self.messages.iter().rposition(|message| message.role == "user") else { return false };
        self.pending = Some(self.messages.remove(at));
        // After it come its answer, and system messages that were set since.
        let since = self.messages.split_off(at);
        let (system, answer) = since.into_iter().partition(|message| message.role == "system");
        self.messages.extend::<Vec<_>>(system);
        self.taken_back = answer;
        true
    }

    /// What is sent: everything so far, then the message that is up.
    pub fn sent(&self) -> Vec<&Message> {
        self.loaded.iter().chain(&self.messages).chain(&self.pending).collect()
    }

    /// The last answer.
    pub fn last_answer(&self) -> Option<&Message> {
        self.messages.iter().rev().find(|message| message.role == "assistant")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(conversation: &Conversation) -> String {
        conversation.sent().iter().map(|message| message.role.chars().next().unwrap()).collect()
    }

    #[test]
    fn a_message_without_an_answer_is_kept_aside_until_it_gets_one() {
        let mut talk = Conversation::default();
        talk.ask(Message::new("user", "one"));
        assert_eq!(roles(&talk), "u");
        talk.answered(Message::default());
        assert!(talk.messages.is_empty() && talk.pending.is_some());
        assert!(talk.retry());
        talk.answered(Message::new("assistant", "half"));
        assert_eq!(roles(&talk), "ua");
        // A new one takes the place of one that failed.
        talk.ask(Message::new("user", "two"));
        talk.ask(Message::new("user", "three"));
        assert_eq!(talk.sent().last().unwrap().content, "three");
        assert_eq!(roles(&talk), "uau");
    }

    #[test]
    fn retry_takes_the_answer_back_and_keeps_what_was_set_since() {
        let mut talk = Conversation::default();
        assert!(!talk.retry());
        talk.ask(Message::new("user", "one"));
        talk.answered(Message::new("assistant", "bad"));
        talk.set_system("be good");
        talk.set_system("be better");
        assert!(talk.retry());
        assert_eq!(roles(&talk), "su");
        assert_eq!(talk.messages[0].content, "be better");
    }

    #[test]
    fn an_answer_that_was_taken_back_for_nothing_is_not_lost() {
        let mut talk = Conversation::default();
        talk.ask(Message::new("user", "one"));
        talk.answered(Message::new("assistant", "good"));
        assert!(talk.retry() && talk.retry());
        talk.answered(Message::default());
        talk.ask(Message::new("user", "two"));
        let said: Vec<_> = talk.sent().iter().map(|message| message.content.as_str()).collect();
        assert_eq!(said, ["one", "good", "two"]);
        // A new message replaces it.
        talk.answered(Message::new("assistant", "bad"));
        assert!(talk.retry());
        talk.answered(Message::new("assistant", "better"));
        talk.ask(Message::new("user", "three"));
        assert_eq!(talk.sent().iter().filter(|message| message.content == "bad").count(), 0);
        assert_eq!(roles(&talk), "uauau");
    }

    #[test]
    fn clear_keeps_the_system_message_and_the_model_s_own() {
        let mut talk = Conversation { loaded: vec![Message::new("user", "l")], ..Conversation::default() };
        talk.set_system("s");
        talk.ask(Message::new("user", "one"));
        talk.answered(Message::new("assistant", "a"));
        talk.clear();
        assert_eq!(roles(&talk), "us");
    }

    #[test]
    fn only_what_there_is_is_sent() {
        let text = serde_json::to_string(&Message::new("user", "hi")).unwrap();
        assert_eq!(text, r#"{"role":"user","content":"hi"}"#);
    }
}
