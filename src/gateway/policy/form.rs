//! The model that a form (`multipart/form-data`) names. As with JSON, what is forwarded is put together from what was read.

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use multer::Multipart;

use super::models::{require_model, sendable};
use crate::gateway::rejection::Rejection;
use crate::keyspec::Models;

/// The form to forward: its type with the boundary, and its bytes. `field` names the model.
///
/// # Errors
/// 400 for a body that is not a form, or names several models or none, 403 for a model that may not be used.
pub async fn canonical(
    bytes: Bytes,
    headers: &HeaderMap,
    field: &str,
    models: &Models,
) -> Result<(String, Vec<u8>), Rejection> {
    let malformed = || Rejection::new(400, "the request body is not a form (multipart/form-data)");
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).ok_or_else(malformed)?;
    let boundary = multer::parse_boundary(kind).map_err(|_| malformed())?;
    let stream = futures_of(bytes);
    let mut form = Multipart::new(stream, boundary);

    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(|_| Rejection::new(500, "no random numbers from the operating system"))?;
    let boundary: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let (mut body, mut named) = (Vec::new(), false);
    while let Some(part) = form.next_field().await.map_err(|_| malformed())? {
        let name = part.name().ok_or_else(malformed)?.to_owned();
        let file = part.file_name().map(str::to_owned);
        let content_type = part.content_type().map(ToString::to_string);
        let mut content = part.bytes().await.map_err(|_| malformed())?;
        if name.eq_ignore_ascii_case(field) {
            if named || file.is_some() || name != field {
                return Err(Rejection::new(400, format!("the form must have the field {field} exactly once, as text")));
            }
            named = true;
            let model = std::str::from_utf8(&content).map_err(|_| malformed())?;
            require_model(models, model)?;
            content = sendable(model).into();
        }
        body.extend_from_slice(
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"", quotable(&name)?).as_bytes(),
        );
        if let Some(file) = file {
            body.extend_from_slice(format!("; filename=\"{}\"", quotable(&file)?).as_bytes());
        }
        if let Some(content_type) = content_type {
            body.extend_from_slice(format!("\r\nContent-Type: {}", quotable(&content_type)?).as_bytes());
        }
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(&content);
        body.extend_from_slice(b"\r\n");
    }
    if !named {
        return Err(Rejection::new(400, "the request does not name a model"));
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok((format!("multipart/form-data; boundary={boundary}"), body))
}

/// A text that means the same within quotes to every reader.
fn quotable(text: &str) -> Result<&str, Rejection> {
    let odd = |c: char| c.is_control() || matches!(c, '"' | '\\');
    if text.contains(odd) {
        Err(Rejection::new(400, "a form field has a name that cannot be forwarded"))
    } else {
        Ok(text)
    }
}

/// The bytes as the stream that is asked for.
fn futures_of(bytes: Bytes) -> http_body_util::BodyDataStream<http_body_util::Full<Bytes>> {
    http_body_util::BodyDataStream::new(http_body_util::Full::new(bytes))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    async fn of(body: &str, kind: &'static str) -> Result<String, u16> {
        let headers: HeaderMap = [(header::CONTENT_TYPE, HeaderValue::from_static(kind))].into_iter().collect();
        let models = ["tiny".parse().unwrap()].into_iter().collect();
        match canonical(body.replace('\n', "\r\n").into(), &headers, "model", &models).await {
            Ok((_, bytes)) => Ok(String::from_utf8(bytes).unwrap()),
            Err(rejection) => Err(rejection.status()),
        }
    }

    const KIND: &str = "multipart/form-data; boundary=X";

    fn part(name: &str, content: &str) -> String {
        format!("--X\nContent-Disposition: form-data; name=\"{name}\"\n\n{content}\n")
    }

    #[tokio::test]
    async fn the_form_model_is_checked_and_the_file_is_forwarded() {
        let audio = "--X\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\nContent-Type: audio/wav\n\nRIFF--X\n";
        let sent = of(&format!("{}{audio}--X--\n", part("model", "tiny")), KIND).await.unwrap();
        assert!(sent.contains("name=\"model\"\r\n\r\ntiny\r\n"), "{sent}");
        assert!(sent.contains("filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\nRIFF--X\r\n"), "{sent}");
        assert_eq!(of(&format!("{}--X--\n", part("model", "nope")), KIND).await, Err(403));
    }

    #[tokio::test]
    async fn ambiguous_forms_are_refused() {
        let tiny = part("model", "tiny");
        for body in [
            format!("{tiny}{}--X--\n", part("model", "nope")),
            format!("{tiny}{}--X--\n", part("Model", "nope")),
            format!("{}--X--\n", part("prompt", "x")),
            format!("{tiny}--X\nContent-Disposition: form-data\n\nx\n--X--\n"),
            "--X--\n".to_owned(),
            tiny.clone(),
            "--X\nContent-Disposition: form-data; name=\"model\"; filename=\"f\"\n\ntiny\n--X--\n".to_owned(),
        ] {
            assert_eq!(of(&body, KIND).await, Err(400), "{body}");
        }
        assert_eq!(of(&format!("{tiny}--X--\n"), "application/json").await, Err(400));
    }
}
