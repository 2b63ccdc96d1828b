//! The body of a response that is counted on its way to the caller.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use http_body::{Frame, SizeHint};

use super::meter::Meter;
use super::response::Ended;

/// See the module. Without a meter it is the body as it is.
pub struct MeteredBody<B: HttpBody> {
    body: B,
    meter: Option<Meter>,
    /// What comes after what was held back.
    end: Option<Result<(), BoxError>>,
    ended: bool,
}

impl<B: HttpBody> MeteredBody<B> {
    /// Counts `body`.
    pub fn new(body: B, meter: Option<Meter>) -> Self {
        Self { body, meter, end: None, ended: false }
    }

    /// Whether its length is that of the upstream server's response.
    fn keeps_length(&self) -> bool {
        self.meter.as_ref().is_none_or(|meter| !meter.takes_out_usage())
    }
}

impl<B> HttpBody for MeteredBody<B>
where
    B: HttpBody<Data = Bytes, Error = BoxError> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        loop {
            if let Some(end) = this.end.take() {
                return Poll::Ready(end.err().map(Err));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
            let Some(meter) = &mut this.meter else { return Poll::Ready(frame) };
            let (ended, end) = match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        let data = meter.pass(data);
                        if data.is_empty() {
                            continue;
                        }
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(Err(error)) => (Ended::Broken, Err(error)),
                None => (Ended::Clean, Ok(())),
            };
            this.ended = true;
            this.end = Some(end);
            let held = meter.finish(ended);
            if !held.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(held))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self.keeps_length() {
            true => self.body.is_end_stream(),
            false => self.ended && self.end.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        if self.keeps_length() { self.body.size_hint() } else { SizeHint::default() }
    }
}

impl<B: HttpBody> Drop for MeteredBody<B> {
    fn drop(&mut self) {
        // The server may not ask for the end of a body that says that it has ended.
        if !self.ended
            && self.body.is_end_stream()
            && let Some(meter) = &mut self.meter
        {
            let _ = meter.finish(Ended::Clean);
        }
    }
}
