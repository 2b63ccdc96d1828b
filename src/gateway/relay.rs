//! A body on its way through: nothing is held back, and an end that is no end is never made to look like one.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Bytes, HttpBody};
use http_body::{Frame, SizeHint};

use super::signin_link_filter::SigninLinkFilter;

/// How often hyper is let send what it has before it hears that an answer breaks off. It asks twice before it sends (1.12, `poll_loop`), and
/// drops what it has not sent when it hears of that.
const PATIENCE: u8 = 2;

/// Set when the answer on a connection breaks off. A caller that speaks HTTP/1.0 sees the end of an answer in the end of the connection, so the
/// connection is then reset instead of closed.
#[derive(Clone, Debug, Default)]
pub struct Broken(Arc<AtomicBool>);

impl Broken {
    /// The answer breaks off.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether one broke off.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// See the module.
pub struct Relay<B> {
    body: B,
    /// Why it breaks off, and how often that was not said yet.
    cut: Option<(axum::Error, u8)>,
    broken: Broken,
    links: Option<SigninLinkFilter>,
}

/// An answer is cut off before the link that connects the key of the upstream server, which is not for callers.
#[derive(Debug, thiserror::Error)]
#[error("the upstream server is not signed in to where it would run that")]
struct Withheld;

impl<B> Relay<B> {
    /// Relays `body` and cuts it off before the link that connects the key of the upstream server; `broken` is set when it breaks off.
    pub fn new(body: B, broken: Broken) -> Self {
        Self { links: Some(SigninLinkFilter::default()), ..Self::unfiltered(body, broken) }
    }

    /// The same for somebody whose own host it comes from: all of it is for them.
    pub fn unfiltered(body: B, broken: Broken) -> Self {
        Self { body, cut: None, broken, links: None }
    }
}

impl<B> HttpBody for Relay<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<axum::BoxError>,
{
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        loop {
            if let Some((error, waits)) = this.cut.take() {
                // What came before is the caller's.
                if waits < PATIENCE {
                    this.cut = Some((error, waits + 1));
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                this.broken.set();
                return Poll::Ready(Some(Err(error)));
            }
            let Some(next) = ready!(Pin::new(&mut this.body).poll_frame(context)) else { return Poll::Ready(None) };
            match next {
                Ok(frame) => {
                    let link = frame.data_ref().zip(this.links.as_mut()).and_then(|(data, links)| links.sees(data));
                    let Some(before) = link else { return Poll::Ready(Some(Ok(frame))) };
                    tracing::warn!(
                        "an answer was cut off before the link that connects the key of the upstream server"
                    );
                    this.cut = Some((axum::Error::new(Withheld), 0));
                    if let Some(data) = frame.data_ref().filter(|_| before > 0) {
                        return Poll::Ready(Some(Ok(Frame::data(data.slice(..before)))));
                    }
                }
                Err(error) => this.cut = Some((axum::Error::new(error), 0)),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.cut.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
