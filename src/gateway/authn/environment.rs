//! Refusing credentials that are not for the environment that a request came to.

use super::authenticator::{Authenticator, REFUSED};
use super::caller::{Caller, Credential, Place};
use crate::gateway::environments::Misplaced;
use crate::gateway::origin::Origin;
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::rejection::Rejection;
use crate::gateway::store::Event;

impl Misplaced {
    /// Its code.
    pub fn code(self) -> RefusalCode {
        match self {
            Self::Address(_) => RefusalCode::Address,
            Self::Undefined(_) | Self::Other { .. } | Self::Unlabelled(_) | Self::Role(_) => RefusalCode::Environment,
        }
    }

    /// 403 for the caller.
    pub fn rejection(self) -> Rejection {
        Rejection::new(403, self.to_string()).because(self.code())
    }
}

impl Authenticator {
    /// The caller in the environment that the request is in, if it is in one.
    ///
    /// # Errors
    /// 403 for a credential that is not for it, 401 for a key that is too old there.
    pub(super) fn in_environment(&self, caller: Caller, origin: Origin) -> Result<Caller, Rejection> {
        let environments = self.directory.environments();
        let admitted = environments.admit(origin.entry, caller.label(caller.role()), caller.role(), origin.address);
        let environment = admitted.map_err(|misplaced| {
            let subject = match caller.credential() {
                Credential::Key(key) => key.id.to_string(),
                Credential::Device(device) => device.key.fingerprint(),
                Credential::Workload(_) | Credential::Session(_) => caller.user().name.clone(),
            };
            let event = Event::new(self.clock.now(), caller.actor(), REFUSED, subject).of_account(caller.user());
            self.note_refusal(event.refused(misplaced.code()), origin, &misplaced.to_string());
            misplaced.rejection()
        })?;
        if let (Some(rules), Credential::Key(key)) = (environment, caller.credential())
            && !rules.allows_age(key, self.clock.now())
        {
            let how = format!("is older than the environment {} allows", rules.name);
            return Err(self.ended(&key.id, key.user, &how, RefusalCode::KeyAge, origin));
        }
        Ok(caller.at(Place { entry: origin.entry, environment: environment.cloned() }))
    }
}
