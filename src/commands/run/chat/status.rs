//! `/status`: whom this conversation is with, and as whom.

use super::Chat;
use crate::profile::CredentialSource;

impl Chat<'_> {
    /// Prints it. Nobody is asked: it says what is used, not whether it is still accepted.
    pub(super) fn status(&self) -> anyhow::Result<()> {
        let profile = self.context.profile.as_ref();
        let store = self.context.store_in_use().map(|store| format!(", in the {store} store")).unwrap_or_default();
        let credential = match self.context.source {
            CredentialSource::None => "none".to_owned(),
            CredentialSource::File => "an API key from the credentials file".to_owned(),
            CredentialSource::Environment => "the API key in OLLAMA_API_KEY".to_owned(),
            CredentialSource::ProfileKey => format!("an API key{store}"),
            CredentialSource::ProfileDevice => format!("this device's key{store}"),
        };
        let of_profile = matches!(self.context.source, CredentialSource::ProfileKey | CredentialSource::ProfileDevice);
        let account = profile.filter(|_| of_profile).and_then(|profile| profile.account.as_ref());
        let said = self.talk.messages.iter().filter(|message| message.role != "system").count();
        let context = match (self.meter.used(), self.window()) {
            (Some(used), Some(window)) => format!("{used} of {window} tokens"),
            (Some(used), None) => format!("{used} tokens"),
            (None, Some(window)) => format!("{window} tokens"),
            (None, None) => "not known".to_owned(),
        };
        let mut facts = vec![
            ("Model", self.model.as_str().to_owned()),
            ("Host", self.context.url().to_string()),
            ("Credential", credential),
        ];
        facts.extend(account.map(|account| ("Account", account.label().to_owned())));
        facts.push(("Messages", said.to_string()));
        facts.push(("Context", context));
        self.app.printer.facts(&facts)?;
        Ok(())
    }
}
