//! Why a credential or a request was refused, as programs read it.

/// A stable name for the reason of a refusal. `docs/reference/http.md` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalCode {
    /// An API key that is malformed or not on record.
    UnknownKey,
    /// An API key that was revoked.
    RevokedKey,
    /// An API key that has expired.
    ExpiredKey,
    /// A signature that is malformed, or is not of this request.
    InvalidSignature,
    /// A signature of another time.
    SignatureTime,
    /// A signature that was used from another address before.
    ReplayedSignature,
    /// The account is disabled.
    DisabledAccount,
    /// The account, the device or the key is suspended.
    Suspended,
    /// A request from an address that the gateway, the role, the account or the API key is not accepted from.
    Address,
    /// A token of an issuer that no workload rule names.
    UnknownIssuer,
    /// A token that is malformed, is not signed by its issuer, or is for somebody else.
    InvalidToken,
    /// A token that has ended, or was issued longer ago than its rule allows.
    ExpiredToken,
    /// A token whose claims no workload rule matches.
    NoWorkload,
    /// A token whose issuer's keys cannot be read.
    IssuerUnavailable,
    /// A token that was exchanged for an API key before.
    ExchangedToken,
    /// An API key that is older than its owner's role allows.
    KeyAge,
    /// A credential that is not for this environment.
    Environment,
    /// The account has a role that is not defined.
    UndefinedRole,
    /// The credential does not have the scope.
    Scope,
    /// The credential may not use the model.
    Model,
    /// The credential may not make this change of accounts, devices or keys.
    Rights,
    /// More requests than a limit allows in that time.
    Rate,
    /// More requests at a time than a limit allows.
    Concurrency,
    /// A larger request than a limit allows.
    Size,
    /// More tokens than a budget has for this hour, day or month.
    Budget,
    /// The gateway is under maintenance.
    Maintenance,
    /// One proof, where a device's signature and an API key are demanded.
    SecondProof,
    /// A request that asks for more than a cap allows.
    Cap,
    /// Signing in with a wrong name or password.
    WrongPassword,
    /// Signing in, or typing codes of devices, too often; nothing was looked at.
    TooManyAttempts,
    /// A code that no pending device has.
    UnknownCode,
    /// The answer of a provider to a sign-in, or its word that somebody signed out, is not accepted.
    Provider,
    /// A person of a provider who gets no account, or none any more.
    NotAdmitted,
    /// Signing in with a password where people sign in at a provider only.
    LocalAccounts,
}

impl RefusalCode {
    /// Whether the caller is told the code, too.
    pub fn is_told(self) -> bool {
        let is_told = matches!(
            self,
            Self::Suspended
                | Self::Address
                | Self::Environment
                | Self::Maintenance
                | Self::Cap
                | Self::SecondProof
                | Self::UnknownIssuer
                | Self::InvalidToken
                | Self::ExpiredToken
                | Self::NoWorkload
                | Self::IssuerUnavailable
                | Self::ExchangedToken
        );
        self.is_limit() || is_told
    }

    /// Whether it is about a limit of the key, the person or the gateway.
    pub fn is_limit(self) -> bool {
        matches!(self, Self::Rate | Self::Concurrency | Self::Size | Self::Budget)
    }

    /// Its name: `unknown_key`.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnknownKey => "unknown_key",
            Self::RevokedKey => "revoked_key",
            Self::ExpiredKey => "expired_key",
            Self::InvalidSignature => "invalid_signature",
            Self::SignatureTime => "signature_time",
            Self::ReplayedSignature => "replayed_signature",
            Self::DisabledAccount => "disabled_account",
            Self::Suspended => "suspended",
            Self::Address => "address",
            Self::UnknownIssuer => "unknown_issuer",
            Self::InvalidToken => "invalid_token",
            Self::ExpiredToken => "expired_token",
            Self::NoWorkload => "no_workload",
            Self::IssuerUnavailable => "issuer_unavailable",
            Self::ExchangedToken => "exchanged_token",
            Self::KeyAge => "key_age",
            Self::Environment => "environment",
            Self::UndefinedRole => "undefined_role",
            Self::Scope => "scope",
            Self::Model => "model",
            Self::Rights => "rights",
            Self::Rate => "rate",
            Self::Concurrency => "concurrency",
            Self::Size => "size",
            Self::Budget => "budget",
            Self::Maintenance => "maintenance",
            Self::SecondProof => "second_proof",
            Self::Cap => "cap",
            Self::WrongPassword => "wrong_password",
            Self::TooManyAttempts => "too_many_attempts",
            Self::UnknownCode => "unknown_code",
            Self::Provider => "provider",
            Self::NotAdmitted => "not_admitted",
            Self::LocalAccounts => "local_accounts",
        }
    }
}
