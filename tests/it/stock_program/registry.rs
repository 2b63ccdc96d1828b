//! A registry of models with one small model, `library/tiny`, which can be pulled and looked at but not run.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::http::{Reply, Server};

/// The registry.
pub struct Registry(Server);

impl Registry {
    /// Starts it.
    pub fn start() -> Self {
        let blobs: Vec<(Value, Vec<u8>)> =
            parts().into_iter().map(|(kind, bytes)| (described(kind, &bytes), bytes)).collect();
        let layers: Vec<&Value> = blobs[1..].iter().map(|(layer, _)| layer).collect();
        let manifest = json!({ "schemaVersion": 2, "config": blobs[0].0, "layers": layers,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json" });
        Self(Server::start(move |request| {
            let host = request.header("host").unwrap();
            let (place, name) = request.path().rsplit_once('/').unwrap();
            let blob = blobs.iter().find(|(layer, _)| layer["digest"] == name).map(|(_, bytes)| bytes);
            match (place, blob) {
                ("/v2/library/tiny/manifests", _) if name == "latest" => Reply::json(200, &manifest),
                ("/v2/library/tiny/blobs", Some(bytes)) if request.method == "HEAD" => {
                    Reply::sized(200, bytes.len(), [])
                }
                // Blobs are asked for where this header says, whatever the status.
                ("/v2/library/tiny/blobs", Some(_)) => {
                    Reply::new(200, "").header("Location", format!("http://{host}/data/{name}"))
                }
                ("/data", Some(bytes)) => Reply::new(206, bytes.clone()),
                _ => Reply::json(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#),
            }
        }))
    }

    /// The full name of a model of it.
    pub fn name(&self, model: &str) -> String {
        format!("127.0.0.1:{}/library/{model}", self.0.port())
    }
}

fn described(kind: &str, bytes: &[u8]) -> Value {
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": bytes.len() })
}

/// The configuration, then the layers.
fn parts() -> Vec<(&'static str, Vec<u8>)> {
    let config = json!({ "model_format": "gguf", "model_family": "llama", "model_families": ["llama"], "model_type": "32",
        "file_type": "F32", "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] } });
    vec![
        ("application/vnd.docker.container.image.v1+json", config.to_string().into_bytes()),
        ("application/vnd.ollama.image.model", gguf()),
        ("application/vnd.ollama.image.template", b"{{ .Prompt }}".into()),
        ("application/vnd.ollama.image.license", b"MIT License\n\nPermission is hereby granted".into()),
        ("application/vnd.ollama.image.params", br#"{"stop":["a","b"],"temperature":0.5}"#.into()),
        ("application/vnd.ollama.image.system", b"Be brief.".into()),
    ]
}

/// A model of 32 parameters, all zero.
fn gguf() -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let string = |name: &str, value: &str| [text(name), 8_u32.to_le_bytes().into(), text(value)].concat();
    let number = |name: &str, value: u32| [text(name), 4_u32.to_le_bytes().into(), value.to_le_bytes().into()].concat();
    let entries = [
        string("general.architecture", "llama"),
        number("general.file_type", 0),
        number("llama.context_length", 4096),
        number("llama.embedding_length", 32),
    ];
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    file.extend(1_u64.to_le_bytes());
    file.extend((entries.len() as u64).to_le_bytes());
    file.extend(entries.concat());
    file.extend(text("token_embd.weight"));
    // One dimension of 32, 32-bit floats, at the beginning of the data.
    file.extend(1_u32.to_le_bytes());
    file.extend(32_u64.to_le_bytes());
    file.extend([0; 12]);
    file.resize(file.len().next_multiple_of(32) + 128, 0);
    file
}
