//! Where the pages are, and where a sign-in leads.
//!
//! The destination after a sign-in is rebuilt from a word or a device key, so that no link can send a person elsewhere.

use maud::{Markup, html};

use super::display;
use super::form::{Form, hidden};
use crate::address::BaseUrl;
use crate::identity::{ConnectUrl, ConnectUrlError, PublicKey};

/// The account of the person who is signed in.
pub const ACCOUNT: &str = "/account";
/// The keys and devices.
pub const KEYS: &str = "/settings/keys";
/// The form for a new key.
pub const NEW_KEY: &str = "/settings/keys/new";
/// Revoking a key.
pub const REVOKE_KEY: &str = "/settings/keys/revoke";
/// The devices, below the keys.
pub const DEVICES: &str = "/settings/keys#devices";
/// Disconnecting a device.
pub const DISCONNECT_DEVICE: &str = "/settings/devices/disconnect";
/// The sign-in, which leads to the form for a new key.
pub const LOGIN_FOR_NEW_KEY: &str = "/login?to=new-key";
/// The sign-in, which leads to the keys.
pub const LOGIN_FOR_KEYS: &str = "/login?to=keys";

/// The field of the sign-in form with the device's name: `name` is the account's.
const DEVICE_NAME_FIELD: &str = "device";

/// Where a sign-in leads.
pub enum AfterSignIn {
    /// To the account.
    Account,
    /// To the keys and devices.
    Keys,
    /// To the form for a new key.
    NewKey,
    /// To the approval of that device.
    Device(Box<DeviceLink>),
}

impl AfterSignIn {
    /// From a word in an address or a form. Any other word leads to the account, so that no link can send a person elsewhere.
    pub fn named(word: &str) -> Self {
        match word {
            "keys" => Self::Keys,
            "new-key" => Self::NewKey,
            _ => Self::Account,
        }
    }

    /// From the fields of the sign-in form.
    pub fn from_form(form: &Form) -> Self {
        match DeviceLink::from_form(form, DEVICE_NAME_FIELD) {
            Some(link) => Self::Device(Box::new(link)),
            None => Self::named(form.get("to")),
        }
    }

    /// The hidden fields that [`from_form`](Self::from_form) reads.
    pub fn fields(&self) -> Markup {
        match self {
            Self::Account => html! {},
            Self::Keys => hidden("to", "keys"),
            Self::NewKey => hidden("to", "new-key"),
            Self::Device(link) => link.fields(DEVICE_NAME_FIELD),
        }
    }

    /// Its path.
    pub fn path(&self) -> String {
        match self {
            Self::Account => ACCOUNT.to_owned(),
            Self::Keys => KEYS.to_owned(),
            Self::NewKey => NEW_KEY.to_owned(),
            Self::Device(link) => link.path(),
        }
    }
}

/// The device of a connect link or of a form.
pub struct DeviceLink {
    /// In its visible form.
    pub name: String,
    /// Its key.
    pub key: PublicKey,
}

impl DeviceLink {
    /// From the query of a connect link to a gateway of that public address.
    ///
    /// # Errors
    /// For a link that names no device, or not exactly one.
    pub fn from_query(public: &BaseUrl, query: &str) -> Result<Self, ConnectUrlError> {
        let link = ConnectUrl::parse(&public.join(&format!("/connect?{query}")))?;
        Ok(Self { name: display::visible_name(link.device_name()), key: link.key().clone() })
    }

    /// The device that a form names, with the device's name in `name_field`.
    pub fn from_form(form: &Form, name_field: &str) -> Option<Self> {
        let key = PublicKey::from_encoded(form.get("key")).ok()?;
        Some(Self { name: display::visible_name(form.get(name_field)), key })
    }

    /// The name as markup.
    pub fn name(&self) -> Markup {
        display::device_name(&self.name)
    }

    /// The hidden fields that [`from_form`](Self::from_form) reads.
    pub fn fields(&self, name_field: &str) -> Markup {
        html! { (hidden("key", &self.key.encoded())) (hidden(name_field, &self.name)) }
    }

    /// The path of its approval page.
    pub fn path(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("name", &self.name).append_pair("key", &self.key.encoded());
        format!("/connect?{}", query.finish())
    }
}
