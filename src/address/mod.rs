//! Names that come from people and scripts: hosts, origins and models.
//!
//! Everything here is pure text work. `OLLAMA_HOST` and model names are read as stock Ollama reads them, so that a
//! value which works there means the same thing here.

mod base_url;
mod model;
mod origin;
mod page_origin;

pub use base_url::{BaseUrl, HostError, OriginError, Parsed};
pub use model::{ModelName, ModelNameError, ModelSource};
pub use origin::{Origin, Scheme};
pub use page_origin::{OriginPattern, OriginPatternError, PageOrigin};
