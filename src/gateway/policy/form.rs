//! The model that a form (`multipart/form-data`) names. As with JSON, what is forwarded is put together from what was read.
//!
//! A form is read until it has named its model, and the rest is checked while it is forwarded: a recording may be long. The upstream server
//! acts on a form when it has all of it. So it does not act on one that turns out to be ambiguous, since that ends before its last boundary.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use multer::{Field, Multipart};

use super::body::{BodyLimit, RefusedBody, fault_of_the_sender};
use super::form_input::{FormInput, Progress};
use super::models::{require_model, sendable};
use super::scan_budget::Reservation;
use super::scanned_body::ScannedBody;
use crate::gateway::model_access::ModelAccess;
use crate::gateway::rejection::Rejection;

/// The most fields of a form. A transcription has about ten.
const MAX_FIELDS: usize = 100;
/// In bytes.
const MAX_MODEL_LENGTH: usize = 4096;

/// The form to forward: its type with the boundary, the model, and its bytes. `field` names the model. What stands before it is held in the memory of
/// `reservation`, up to `held`.
///
/// # Errors
/// 400 for a body that is not a form, or names several models or none, 403 for a model that may not be used, 413 for one that comes after
/// more than `held`, 503 without room in the budget; and those of the body.
pub async fn canonical(
    body: Body,
    headers: &HeaderMap,
    field: &'static str,
    models: ModelAccess,
    held: BodyLimit,
    mut reservation: Reservation,
) -> Result<(String, String, Body), Rejection> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).ok_or_else(malformed)?;
    let boundary = multer::parse_boundary(kind).map_err(|_| malformed())?;
    let (input, progress) = FormInput::new(body);
    let form = Multipart::new(input, boundary);

    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(|_| Rejection::new(500, "no random numbers from the operating system"))?;
    let boundary: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let kind = format!("multipart/form-data; boundary={boundary}");
    let mut reader =
        FormReader { form, progress, boundary, field, models, part: None, fields: 0, named: None, ended: false };
    let mut before = Vec::new();
    while reader.named.is_none() {
        let Some(piece) = reader.next().await? else { return Err(no_model()) };
        if (before.len() + piece.len()) as u64 > held.bytes {
            let message = format!("{}; send the field {field} first", held.exceeded().message());
            return Err(Rejection::new(413, message));
        }
        reservation.append(&mut before, &piece)?;
    }
    let model = reader.named.clone().unwrap_or_default();
    let before = Body::new(ScannedBody::new([before.into()], reservation)).into_data_stream();
    let rest = stream::try_unfold(reader, async |mut reader: FormReader| {
        let piece = reader.next().await.map_err(|rejection| axum::Error::new(RefusedBody(rejection)))?;
        Ok(piece.map(|piece| (piece, reader)))
    });
    Ok((kind, model, Body::from_stream(before.chain(rest.into_stream()))))
}

/// Reads a form and writes it again, piece by piece.
struct FormReader {
    form: Multipart<'static>,
    progress: Progress,
    /// Of the form to forward.
    boundary: String,
    field: &'static str,
    models: ModelAccess,
    /// The field whose content is being forwarded.
    part: Option<Field<'static>>,
    fields: usize,
    named: Option<String>,
    ended: bool,
}

impl FormReader {
    /// The next piece; `None` after the last boundary.
    async fn next(&mut self) -> Result<Option<Bytes>, Rejection> {
        if let Some(part) = &mut self.part {
            let content = part.chunk().await.map_err(problem)?;
            self.progress.found();
            if content.is_none() {
                self.part = None;
            }
            return Ok(Some(content.unwrap_or(Bytes::from_static(b"\r\n"))));
        }
        if self.ended {
            return Ok(None);
        }
        let part = self.form.next_field().await.map_err(problem)?;
        self.progress.found();
        let Some(mut part) = part else {
            self.ended = true;
            self.progress.finish().await.map_err(|error| ended_early(&error))?;
            return if self.named.is_some() {
                Ok(Some(format!("--{}--\r\n", self.boundary).into()))
            } else {
                Err(no_model())
            };
        };
        self.fields += 1;
        if self.fields > MAX_FIELDS {
            return Err(Rejection::new(400, format!("the form has more than {MAX_FIELDS} fields")));
        }
        let field = self.field;
        let name = part.name().ok_or_else(malformed)?.to_owned();
        let mut head = format!("--{}\r\nContent-Disposition: form-data; name=\"{}\"", self.boundary, quotable(&name)?);
        if let Some(file) = part.file_name() {
            head += &format!("; filename=\"{}\"", quotable(file)?);
        }
        if let Some(content_type) = part.content_type() {
            head += &format!("\r\nContent-Type: {}", quotable(content_type.as_ref())?);
        }
        head += "\r\n\r\n";
        if !name.eq_ignore_ascii_case(field) {
            self.part = Some(part);
            return Ok(Some(head.into()));
        }
        if self.named.is_some() || part.file_name().is_some() || name != field {
            return Err(Rejection::new(400, format!("the form must have the field {field} exactly once, as text")));
        }
        let mut model = Vec::new();
        while let Some(content) = part.chunk().await.map_err(problem)? {
            self.progress.found();
            if model.len() + content.len() > MAX_MODEL_LENGTH {
                return Err(Rejection::new(400, format!("{field} is longer than {MAX_MODEL_LENGTH} bytes")));
            }
            model.extend_from_slice(&content);
        }
        self.progress.found();
        let model = std::str::from_utf8(&model).map_err(|_| malformed())?;
        require_model(&self.models, model)?;
        self.named = Some(model.to_owned());
        Ok(Some(format!("{head}{}\r\n", sendable(model)).into()))
    }
}

fn malformed() -> Rejection {
    Rejection::new(400, "the request body is not a form (multipart/form-data)")
}

fn no_model() -> Rejection {
    Rejection::new(400, "the request does not name a model")
}

fn problem(error: multer::Error) -> Rejection {
    fault_of_the_sender(&error).unwrap_or_else(|| match error {
        multer::Error::StreamReadFailed(error) => ended_early(&*error),
        _ => malformed(),
    })
}

fn ended_early(error: &(dyn std::error::Error + 'static)) -> Rejection {
    fault_of_the_sender(error).unwrap_or_else(|| Rejection::new(400, "the request body ended early"))
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

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::gateway::policy::body::LimitedBy;

    const HELD: BodyLimit = BodyLimit { bytes: 1 << 20, by: LimitedBy::Program };

    async fn forwarded(body: impl Into<Body>, kind: &'static str) -> Result<Bytes, Rejection> {
        let headers: HeaderMap = [(header::CONTENT_TYPE, HeaderValue::from_static(kind))].into_iter().collect();
        let models = ["tiny".parse().unwrap()].into_iter().collect::<crate::keyspec::Models>().into();
        let (_, _, body) = canonical(body.into(), &headers, "model", models, HELD, Reservation::uncounted()).await?;
        let sent = body.collect().await.map_err(|error| fault_of_the_sender(&error).unwrap())?;
        Ok(sent.to_bytes())
    }

    async fn of(body: &str, kind: &'static str) -> Result<String, u16> {
        let sent = forwarded(body.replace('\n', "\r\n"), kind).await.map_err(|rejection| rejection.status())?;
        Ok(String::from_utf8(sent.to_vec()).unwrap())
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

    /// What a file of a MiB is: held if it comes before the model, and not if it comes after.
    #[tokio::test]
    async fn what_comes_before_the_model_is_limited() {
        let file = |length: usize| part("file", &"x".repeat(length)).replace('\n', "\r\n");
        let model = part("model", "tiny").replace('\n', "\r\n");
        let end = "--X--\r\n";
        let sent = forwarded(format!("{}{model}{end}", file(900_000)), KIND).await.unwrap();
        assert!(sent.len() > 900_000);
        let rejection = forwarded(format!("{}{model}{end}", file(1 << 20)), KIND).await.unwrap_err();
        assert_eq!(rejection.status(), 413);
        assert!(rejection.message().ends_with("send the field model first"), "{}", rejection.message());
        let sent = forwarded(format!("{model}{}{end}", file(5 << 20)), KIND).await.unwrap();
        assert_eq!(sent.iter().filter(|byte| **byte == b'x').count(), 5 << 20);
        // And in the smallest frames.
        let bytes = format!("{}{model}{end}", file(20_000)).into_bytes();
        let single = stream::iter(bytes.into_iter().map(|byte| Ok::<_, axum::Error>(Bytes::copy_from_slice(&[byte]))));
        assert!(forwarded(Body::from_stream(single), KIND).await.unwrap().len() > 20_000);
    }

    #[tokio::test]
    async fn fields_and_headers_are_limited() {
        let form = |count: usize| part("model", "tiny") + &part("a", "").repeat(count - 1) + "--X--\n";
        assert!(of(&form(100), KIND).await.is_ok());
        assert_eq!(of(&form(101), KIND).await, Err(400));
        for endless in
            [" ".repeat(1 << 20), format!("{}--X\nContent-Disposition: {}", part("model", "tiny"), "a".repeat(1 << 20))]
        {
            let rejection = forwarded(endless.replace('\n', "\r\n"), KIND).await.unwrap_err();
            assert!(rejection.message().contains("header of more than 64 KiB"), "{}", rejection.message());
        }
        let long = format!("{}--X--\n", part("model", &"a".repeat(5000)));
        assert_eq!(of(&long, KIND).await, Err(400));
    }

    /// A signed digest is checked at the end of the body, behind the last boundary.
    #[tokio::test]
    async fn a_body_that_fails_behind_the_last_boundary_is_cut_off() {
        let form = format!("{}{}--X--\n", part("model", "tiny"), part("file", "x")).replace('\n', "\r\n");
        let refused = RefusedBody(Rejection::new(401, "another digest"));
        let body = stream::iter([Ok(Bytes::from(form)), Err(refused)]);
        let rejection = forwarded(Body::from_stream(body), KIND).await.unwrap_err();
        assert_eq!(rejection.status(), 401);
    }

    /// A second model ends what is forwarded before its last boundary.
    #[tokio::test]
    async fn a_second_model_cuts_off_the_form() {
        let body = format!("{}{}{}--X--\n", part("model", "tiny"), part("file", "x"), part("model", "tiny"))
            .replace('\n', "\r\n");
        let headers: HeaderMap = [(header::CONTENT_TYPE, HeaderValue::from_static(KIND))].into_iter().collect();
        let models = ["tiny".parse().unwrap()].into_iter().collect::<crate::keyspec::Models>().into();
        let (kind, _, mut body) =
            canonical(body.into(), &headers, "model", models, HELD, Reservation::uncounted()).await.unwrap();
        let last = format!("--{}--", kind.split_once("boundary=").unwrap().1);
        let mut sent = Vec::new();
        let error = loop {
            match body.frame().await.unwrap() {
                Ok(frame) => sent.extend_from_slice(frame.data_ref().unwrap()),
                Err(error) => break error,
            }
        };
        let sent = String::from_utf8(sent).unwrap();
        assert!(sent.contains("name=\"file\"") && !sent.contains(&last), "{sent}");
        assert_eq!(fault_of_the_sender(&error).unwrap().status(), 400);
    }
}
