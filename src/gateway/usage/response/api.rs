//! The APIs whose responses report tokens, by route.

/// The API of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// `/api/generate`.
    Generate,
    /// `/api/chat`.
    Chat,
    /// `/api/embed`.
    Embed,
    /// `/api/embeddings`, which reports no tokens.
    Embeddings,
    /// `/v1/chat/completions`.
    OpenAiChat,
    /// `/v1/completions`.
    OpenAiCompletions,
    /// `/v1/embeddings`.
    OpenAiEmbeddings,
    /// `/v1/responses`.
    Responses,
    /// `/v1/messages`.
    Messages,
    /// `/v1/audio/transcriptions`, which reports no tokens.
    Transcription,
}

impl Api {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Generate,
        Self::Chat,
        Self::Embed,
        Self::Embeddings,
        Self::OpenAiChat,
        Self::OpenAiCompletions,
        Self::OpenAiEmbeddings,
        Self::Responses,
        Self::Messages,
        Self::Transcription,
    ];

    /// The API of a route, by its path in the table of routes. `None` for a route that runs no model.
    pub fn of(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|api| api.path() == path)
    }

    /// The path of its route.
    pub fn path(self) -> &'static str {
        match self {
            Self::Generate => "/api/generate",
            Self::Chat => "/api/chat",
            Self::Embed => "/api/embed",
            Self::Embeddings => "/api/embeddings",
            Self::OpenAiChat => "/v1/chat/completions",
            Self::OpenAiCompletions => "/v1/completions",
            Self::OpenAiEmbeddings => "/v1/embeddings",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
            Self::Transcription => "/v1/audio/transcriptions",
        }
    }

    /// Whether it is Ollama's own API: a stream is a sequence of JSON objects, one a line. The other APIs stream server-sent events.
    pub fn is_native(self) -> bool {
        matches!(self, Self::Generate | Self::Chat | Self::Embed | Self::Embeddings)
    }

    /// Whether it generates no tokens.
    pub fn is_embedding(self) -> bool {
        matches!(self, Self::Embed | Self::Embeddings | Self::OpenAiEmbeddings)
    }
}
