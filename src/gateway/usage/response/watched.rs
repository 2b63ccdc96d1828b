//! Which members of a message count, by API: only those at these depths, and never equal names elsewhere.
//!
//! As Ollama 0.33.0 writes them: `api/types.go`, `openai/openai.go`, `openai/responses.go`, `anthropic/anthropic.go`.

use super::api::Api;
use super::message::Field;

/// A value that is watched.
#[derive(Debug)]
pub struct Watched {
    /// What it means.
    pub field: Option<Field>,
    /// The members that are watched, if it is an object.
    pub members: &'static [(&'static str, &'static Watched)],
    /// The elements, if it is an array and they are watched.
    pub element: Option<&'static Watched>,
}

/// A value that is not watched, with everything in it.
pub static UNWATCHED: Watched = Watched { field: None, members: &[], element: None };

const fn value(field: Field) -> Watched {
    Watched { field: Some(field), members: &[], element: None }
}

const fn object(members: &'static [(&'static str, &'static Watched)]) -> Watched {
    Watched { field: None, members, element: None }
}

const fn array(element: &'static Watched) -> Watched {
    Watched { field: None, members: &[], element: Some(element) }
}

static TEXT: Watched = value(Field::Text);
static DONE: Watched = value(Field::Done);
static INPUT: Watched = value(Field::Input);
static OUTPUT: Watched = value(Field::Output);
static ERROR: Watched = value(Field::Error);
static TYPE: Watched = value(Field::Type);
static STATUS: Watched = value(Field::Status);
static FINISH_REASON: Watched = value(Field::FinishReason);
static RENDERED_PROMPT: Watched = value(Field::RenderedPrompt);
static TOOL_CALL: Watched = value(Field::ToolCall);
static TOOL_CALLS: Watched = array(&TOOL_CALL);

static GENERATE: Watched = object(&[
    ("response", &TEXT),
    ("thinking", &TEXT),
    ("done", &DONE),
    ("prompt_eval_count", &INPUT),
    ("eval_count", &OUTPUT),
    ("tool_calls", &TOOL_CALLS),
    ("error", &ERROR),
    ("_debug_info", &RENDERED_PROMPT),
]);

static CHAT_MESSAGE: Watched = object(&[("content", &TEXT), ("thinking", &TEXT), ("tool_calls", &TOOL_CALLS)]);
static CHAT: Watched = object(&[
    ("message", &CHAT_MESSAGE),
    ("done", &DONE),
    ("prompt_eval_count", &INPUT),
    ("eval_count", &OUTPUT),
    ("error", &ERROR),
    ("_debug_info", &RENDERED_PROMPT),
]);

static EMBED: Watched = object(&[("prompt_eval_count", &INPUT), ("error", &ERROR)]);
static NO_COUNTS: Watched = object(&[("text", &TEXT), ("error", &ERROR)]);

static OPENAI_USAGE: Watched = Watched {
    field: Some(Field::Usage),
    members: &[("prompt_tokens", &INPUT), ("completion_tokens", &OUTPUT)],
    element: None,
};
/// A message of a whole response, or the part of one that a chunk adds.
static OPENAI_MESSAGE: Watched = object(&[("content", &TEXT), ("reasoning", &TEXT), ("tool_calls", &TOOL_CALLS)]);
static OPENAI_CHOICE: Watched = Watched {
    field: Some(Field::Choice),
    members: &[
        ("delta", &OPENAI_MESSAGE),
        ("message", &OPENAI_MESSAGE),
        ("text", &TEXT),
        ("finish_reason", &FINISH_REASON),
    ],
    element: None,
};
static OPENAI_CHOICES: Watched = Watched { field: Some(Field::Choices), members: &[], element: Some(&OPENAI_CHOICE) };
static OPENAI: Watched = object(&[("choices", &OPENAI_CHOICES), ("usage", &OPENAI_USAGE), ("error", &ERROR)]);
static OPENAI_EMBEDDINGS: Watched = object(&[("usage", &OPENAI_USAGE), ("error", &ERROR)]);

/// That of Responses and of Messages.
static TOKENS: Watched = Watched {
    field: Some(Field::Usage),
    members: &[("input_tokens", &INPUT), ("output_tokens", &OUTPUT)],
    element: None,
};

static RESPONSES_PART: Watched = object(&[("text", &TEXT)]);
static RESPONSES_PARTS: Watched = array(&RESPONSES_PART);
static RESPONSES_ITEM: Watched =
    object(&[("content", &RESPONSES_PARTS), ("summary", &RESPONSES_PARTS), ("arguments", &TEXT)]);
static RESPONSES_ITEMS: Watched = array(&RESPONSES_ITEM);
static RESPONSES_IN_EVENT: Watched = object(&[("usage", &TOKENS)]);
/// An event, or a whole response.
static RESPONSES: Watched = object(&[
    ("type", &TYPE),
    ("delta", &TEXT),
    ("response", &RESPONSES_IN_EVENT),
    ("output", &RESPONSES_ITEMS),
    ("status", &STATUS),
    ("usage", &TOKENS),
    ("error", &ERROR),
]);

static MESSAGES_DELTA: Watched = object(&[("text", &TEXT), ("thinking", &TEXT), ("partial_json", &TEXT)]);
static MESSAGES_BLOCK: Watched = object(&[("text", &TEXT), ("thinking", &TEXT), ("input", &TOOL_CALL)]);
static MESSAGES_BLOCKS: Watched = array(&MESSAGES_BLOCK);
/// An event, or a whole response.
static MESSAGES: Watched = object(&[
    ("type", &TYPE),
    ("delta", &MESSAGES_DELTA),
    ("content", &MESSAGES_BLOCKS),
    ("usage", &TOKENS),
    ("error", &ERROR),
]);

/// What is watched of the messages of an API.
pub fn watched(api: Api) -> &'static Watched {
    match api {
        Api::Generate => &GENERATE,
        Api::Chat => &CHAT,
        Api::Embed => &EMBED,
        Api::Embeddings | Api::Transcription => &NO_COUNTS,
        Api::OpenAiChat | Api::OpenAiCompletions => &OPENAI,
        Api::OpenAiEmbeddings => &OPENAI_EMBEDDINGS,
        Api::Responses => &RESPONSES,
        Api::Messages => &MESSAGES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::usage::response::follower::MAX_OPEN;

    #[test]
    fn the_follower_has_room_for_every_path() {
        fn depth(value: &Watched) -> usize {
            let members = value.members.iter().map(|(_, member)| depth(member));
            let deepest = members.chain(value.element.map(depth)).max();
            deepest.map_or(0, |deepest| deepest + 1)
        }
        assert!(Api::ALL.into_iter().all(|api| depth(watched(api)) <= MAX_OPEN));
    }
}
