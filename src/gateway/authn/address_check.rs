//! Refusing requests from addresses that are not accepted, with an event.

use super::addresses::refused_address;
use super::authenticator::{Authenticator, REFUSED};
use super::caller::Caller;
use crate::gateway::origin::Origin;
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::rejection::Rejection;
use crate::gateway::store::{Actor, Event};
use crate::keyspec::AddressRules;

impl Authenticator {
    /// Refuses a request from an address that the gateway does not accept, before anything else is looked at.
    ///
    /// # Errors
    /// 403.
    pub fn accept_address(&self, rules: &AddressRules, origin: Origin) -> Result<(), Rejection> {
        if rules.allows(origin.address) {
            return Ok(());
        }
        let rejection = refused_address(origin.address);
        let event = Event::new(self.clock.now(), Actor::Gateway, "address.refused", "(any credential)");
        self.note_refusal(event.refused(RefusalCode::Address), origin, rejection.message());
        Err(rejection)
    }

    /// Refuses a caller whose role, account or API key is not accepted from the request's address.
    ///
    /// # Errors
    /// 403.
    pub fn refuse_address(&self, caller: &Caller, origin: Origin) -> Result<(), Rejection> {
        let Some(refusing) = caller.not_accepting() else { return Ok(()) };
        let event = Event::new(self.clock.now(), caller.actor(), REFUSED, refusing.subject());
        let event = event.of_account(caller.user()).refused(RefusalCode::Address);
        self.note_refusal(event, origin, &refusing.reason(caller.address()));
        Err(refusing.rejection(caller.address()))
    }
}
