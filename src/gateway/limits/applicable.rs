//! Which limits apply to a request, and whose they are.

use std::num::NonZeroU64;

use uuid::Uuid;

use crate::gateway::config::Config;
use crate::gateway::environments::EnvironmentRules;
use crate::gateway::groups::GroupsOfPerson;
use crate::gateway::policy_name::PolicyName;
use crate::gateway::roles::RoleRules;
use crate::gateway::store::{KeyRecord, User};
use crate::keyspec::{KeyId, RequestLimits};

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Of an API key, with those that replace it.
    Key,
    /// Of a person: all devices and keys together.
    Person,
    /// Of a person in an environment.
    PersonIn(PolicyName),
    /// Of a group: all of its people together.
    Group(PolicyName),
    /// Of an environment: all callers in it together.
    Environment(PolicyName),
    /// Of the gateway: all callers together.
    Gateway,
}

/// The limits that apply to one request.
#[derive(Clone, Debug)]
pub struct Applicable<'a> {
    /// The first key of the chain of replacements, if a key asks. So a replacement does not begin anew.
    pub key: Option<&'a KeyId>,
    /// Those of the key.
    pub of_key: RequestLimits,
    /// The person's account.
    pub person: Uuid,
    /// Those of the person.
    pub of_person: RequestLimits,
    /// The person's groups, each with its own.
    pub groups: GroupsOfPerson<'a>,
    /// Those of the environment, if the request is in one.
    pub environment: Option<InEnvironment>,
    /// Those of the gateway.
    pub of_gateway: RequestLimits,
}

/// The limits of an environment.
#[derive(Clone, Copy, Debug)]
pub struct InEnvironment {
    /// Which one.
    pub name: PolicyName,
    /// Those of all callers in it together.
    pub of_all: RequestLimits,
    /// Those of the person there.
    pub of_person: RequestLimits,
}

/// A subject, as its use is found.
#[derive(Clone, Copy)]
pub(super) enum Account<'a> {
    Key(&'a KeyId),
    Person(Uuid),
    PersonIn(Uuid, PolicyName),
    Group(PolicyName),
    Environment(PolicyName),
    Gateway,
}

impl Account<'_> {
    /// Whose it is.
    pub(super) fn subject(self) -> Subject {
        match self {
            Self::Key(_) => Subject::Key,
            Self::Person(_) => Subject::Person,
            Self::PersonIn(_, environment) => Subject::PersonIn(environment),
            Self::Group(name) => Subject::Group(name),
            Self::Environment(name) => Subject::Environment(name),
            Self::Gateway => Subject::Gateway,
        }
    }

    /// Its name, by which what it uses of budgets is found.
    pub(super) fn text(self) -> String {
        match self {
            Self::Key(id) => key_subject(id),
            Self::Person(id) => format!("person:{id}"),
            Self::PersonIn(id, environment) => format!("person-in:{environment}:{id}"),
            Self::Group(name) => format!("group:{name}"),
            Self::Environment(name) => format!("environment:{name}"),
            Self::Gateway => "gateway".to_owned(),
        }
    }
}

impl<'a> Applicable<'a> {
    /// Those of a person who uses that key, or a device, in that environment.
    pub fn new(
        user: &'a User,
        role: &RoleRules,
        key: Option<&'a KeyRecord>,
        environment: Option<&EnvironmentRules>,
        config: &'a Config,
    ) -> Self {
        Self {
            key: key.map(|key| key.first.as_ref().unwrap_or(&key.id)),
            of_key: key.map(|key| key.rights.limits).unwrap_or_default(),
            person: user.id,
            of_person: role.limits.tightest(user.limits),
            groups: config.groups.of(&user.groups),
            environment: environment.map(|rules| InEnvironment {
                name: rules.name,
                of_all: rules.limits,
                of_person: rules.role_limits.get(&user.role).copied().unwrap_or_default(),
            }),
            of_gateway: config.limits,
        }
    }
}

impl Applicable<'_> {
    /// Each subject with its limits, the narrowest first.
    pub(super) fn each(&self) -> impl Iterator<Item = (Account<'_>, RequestLimits)> {
        let key = self.key.map(|id| (Account::Key(id), self.of_key));
        let person = (Account::Person(self.person), self.of_person);
        let here = self.environment;
        let person_here = here.map(|here| (Account::PersonIn(self.person, here.name), here.of_person));
        let groups = self.groups.iter().map(|(name, rules)| (Account::Group(**name), rules.limits));
        let environment = here.map(|here| (Account::Environment(here.name), here.of_all));
        let gateway = (Account::Gateway, self.of_gateway);
        key.into_iter().chain([person]).chain(person_here).chain(groups).chain(environment).chain([gateway])
    }
}

/// The smallest size of a request, and whose limit that is. Of equal ones the first.
pub fn request_size(applicable: &Applicable<'_>) -> Option<(Subject, NonZeroU64)> {
    let all = applicable.each().filter_map(|(account, limits)| Some((account, limits.request_size?)));
    all.min_by_key(|(_, size)| *size).map(|(account, size)| (account.subject(), size))
}

/// The name of a key's subject, by the first of its line of replacements.
pub(super) fn key_subject(key: &KeyId) -> String {
    format!("key:{key}")
}
