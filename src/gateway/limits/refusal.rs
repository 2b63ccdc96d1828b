//! How a caller is told that a limit is reached: 429, when to try again, and the header fields `RateLimit` and `RateLimit-Policy` of
//! draft-ietf-httpapi-ratelimit-headers.

use std::borrow::Cow;

use super::{Exceeded, Subject};
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::rejection::Rejection;
use crate::keyspec::{Limit, phrase};

/// Nobody knows when another request ends: so long a caller waits at least.
const PAUSE_SECONDS: u64 = 1;

impl Subject {
    /// In words, from the caller's side.
    pub fn words(self) -> Cow<'static, str> {
        match self {
            Self::Key => "this key".into(),
            Self::Person => "your account".into(),
            Self::PersonIn(environment) => format!("your account in the environment {environment}").into(),
            Self::Group(name) => format!("your group {name}").into(),
            Self::Environment(name) => format!("the environment {name}").into(),
            Self::Gateway => "this gateway".into(),
        }
    }

    /// The name of its policy.
    pub(super) fn name(self) -> Cow<'static, str> {
        match self {
            Self::Key => "key".into(),
            Self::Person => "person".into(),
            Self::PersonIn(environment) => format!("person-in:{environment}").into(),
            Self::Group(name) => format!("group:{name}").into(),
            Self::Environment(name) => format!("environment:{name}").into(),
            Self::Gateway => "gateway".into(),
        }
    }
}

impl From<Exceeded> for Rejection {
    fn from(exceeded: Exceeded) -> Self {
        match exceeded {
            Exceeded::Rate(subject, per_minute, wait) => {
                // Rounded up: a caller that comes earlier is refused again.
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                let (whose, name) = (subject.words(), subject.name());
                let limit = phrase(Limit::RequestsPerMinute, per_minute.get().into());
                let message = format!("the limit of {whose}, {limit}, is used up; try again in {seconds} s");
                Self::new(429, message)
                    .because(RefusalCode::Rate)
                    .header("retry-after", &seconds.to_string())
                    .header("ratelimit-policy", &format!("\"{name}\";q={per_minute};w=60"))
                    .header("ratelimit", &format!("\"{name}\";r=0;t={seconds}"))
            }
            Exceeded::Streams(subject, most) => {
                let (whose, name) = (subject.words(), subject.name());
                let limit = phrase(Limit::Streams, most.get().into());
                let message =
                    format!("the limit of {whose}, {limit}, is reached; try again when one of them has ended");
                Self::new(429, message)
                    .because(RefusalCode::Concurrency)
                    .header("retry-after", &PAUSE_SECONDS.to_string())
                    .header("ratelimit-policy", &format!("\"{name}\";q={most};qu=\"concurrent-requests\""))
                    .header("ratelimit", &format!("\"{name}\";r=0"))
            }
        }
    }
}
