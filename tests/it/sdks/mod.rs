//! The libraries that programs are written with, unmodified and as their makers released them, against the real gateway: Ollama's,
//! OpenAI's and Anthropic's, of Python and of Node. `scripts/sdks` prepares them; what they are told goes by `tests/sdks`.

mod anthropic;
mod browser;
mod documentation;
mod given;
mod ollama;
mod openai;
mod program;
mod refusals;
mod streams;
mod upstream;
