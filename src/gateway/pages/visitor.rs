//! The person whose browser asks for a page, for what is recorded of the request.

use std::sync::{Arc, OnceLock};

use crate::gateway::authn::Caller;

/// See the module. An extension of each request for a page; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct PageVisitor(Arc<OnceLock<Caller>>);

impl PageVisitor {
    /// The person is known.
    pub(super) fn set(&self, caller: Caller) {
        let _ = self.0.set(caller);
    }

    /// The person, once the page has found the session.
    pub fn caller(&self) -> Option<&Caller> {
        self.0.get()
    }
}
