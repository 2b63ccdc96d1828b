//! A response that lists models, for a caller who may see some of them.

use axum::body::{Body, Bytes, HttpBody};

use super::body::{Limits, collect, fault_of_the_sender};
use super::list_filter::{filter, find};
use super::scanned_body::ScannedBody;
use super::scanner::{MAX_SCANNED_INLINE, Scanner};
use super::{Authorized, Named};
use crate::gateway::authn::Caller;
use crate::gateway::model_access::ModelAccess;
use crate::gateway::rejection::Rejection;
use crate::keyspec::CanonicalModel;

/// A list is read in full, up to this many bytes: about 50,000 models.
const MAX_LIST_LENGTH: usize = 16 * 1024 * 1024;

/// Which models of a response the caller may see, and where they are in it.
#[derive(Debug)]
pub struct ModelList {
    caller: Caller,
    models: ModelAccess,
    list: &'static str,
    members: &'static [&'static str],
    /// Of these the one that was asked for.
    wanted: Option<CanonicalModel>,
}

/// The list of which a single model is an item.
const ALL: (&str, &[&str]) = ("data", &["id"]);

impl ModelList {
    /// `None` where the response lists no models, or the caller may see them all.
    pub fn of(request: &Authorized) -> Option<Self> {
        let (list, members) = match request.route().models {
            Named::Listed(list, members) if !request.models().is_all() => (list, members),
            Named::Path if request.wanted().is_some() => ALL,
            _ => return None,
        };
        let (caller, models, wanted) = (request.caller().clone(), request.models().clone(), request.wanted().cloned());
        Some(Self { caller, models, list, members, wanted })
    }

    /// The response without the other models, and its length.
    ///
    /// # Errors
    /// 404 for a single model that is not in it, 502 for a response that cannot be read, 503 while too many are read.
    pub async fn filter<B>(self, body: B, limits: Limits, scanner: &Scanner) -> Result<(Body, usize), Rejection>
    where
        B: HttpBody<Data = Bytes> + Unpin,
        B::Error: Into<axum::BoxError>,
    {
        let unreadable = || Rejection::new(502, "bad gateway: the upstream server's list of models cannot be read");
        let Self { caller, models, list, members, wanted } = self;
        let mut reservation = scanner.reserve(&caller, limits.memory());
        let body = http_body_util::Limited::new(body, MAX_LIST_LENGTH);
        let answer = collect(body, &mut reservation).await?;
        let answer = answer.map_err(|error| fault_of_the_sender(&*error).unwrap_or_else(unreadable))?;
        let at_once = answer.len() <= MAX_SCANNED_INLINE;
        let work = move || {
            // It becomes no longer.
            reservation.grow(answer.len())?;
            let kept = match wanted {
                None => filter(&answer, list, members, &models).ok_or_else(unreadable)?,
                // Whether the caller may use it was checked before.
                Some(wanted) => find(&answer, list, members, &wanted)
                    .ok_or_else(unreadable)?
                    .ok_or_else(|| Rejection::new(404, format!("model {:?} not found", wanted.as_str())))?,
            };
            let (length, capacity) = (kept.len(), answer.capacity());
            drop(answer);
            reservation.shrink_to(reservation.bytes() - capacity);
            Ok((Body::new(ScannedBody::new([kept.into()], reservation)), length))
        };
        if at_once { work() } else { scanner.run(&caller, work).await }
    }
}
