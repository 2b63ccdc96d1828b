//! Untrusted text, dates and sentences as a page shows them; the paths of the pages, and where a sign-in leads.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::address::BaseUrl;
use crate::gateway::pages::form::{Form, hidden};
use crate::identity::{ConnectUrl, ConnectUrlError, PublicKey};

/// In characters: a longer name says nothing more.
const LONGEST_NAME: usize = 80;
/// In characters.
const LONGEST_TEXT: usize = 300;

/// A device's name in a form that shows all that is in it: characters that reorder, hide or control are written as `\u{202e}`.
/// Cut after 80 characters; applied to its own result it changes nothing. Maud escapes the markup when it writes the name.
pub fn visible_name(name: &str) -> String {
    escape_hidden(name, LONGEST_NAME)
}

/// A device's name as markup that keeps it apart from the text around it.
pub fn device_name(name: &str) -> Markup {
    match visible_name(name).as_str() {
        "" => html! { em { "unnamed" } },
        name => html! { bdi.device dir="ltr" { (name) } },
    }
}

/// The same as [`visible_name`] for a sentence or an address, cut after 300 characters.
pub fn visible_text(text: &str) -> String {
    escape_hidden(text, LONGEST_TEXT)
}

fn escape_hidden(text: &str, longest: usize) -> String {
    let (mut shown, mut length) = (String::new(), 0);
    let mut chars = text.trim().chars().peekable();
    while let Some(c) = chars.next() {
        // A joiner within an emoji of several pictures hides nothing.
        let joins = c == JOINER && shown.ends_with(is_picture) && chars.peek().is_some_and(|next| is_picture(*next));
        // Stacked marks would cover the lines above and below.
        let stacked = is_mark(c) && shown.chars().rev().take(3).filter(|c| is_mark(*c)).count() == 3;
        let width = if (is_hidden(c) && !joins) || stacked { c.escape_unicode().len() } else { 1 };
        length += width;
        if length > longest {
            shown.truncate(shown.trim_end_matches(JOINER).len());
            shown.push('…');
            break;
        }
        if width == 1 { shown.push(c) } else { shown.extend(c.escape_unicode()) }
    }
    shown
}

/// What has no appearance of its own, or changes that of its neighbours.
fn is_hidden(c: char) -> bool {
    match c {
        ' '..='~' => false,
        c if c.is_control() || c.is_whitespace() => true,
        // Soft hyphen, joiners, fillers, and the marks of the bidirectional algorithm.
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' => true,
        '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' => true,
        '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffc}' => true,
        // Variation selectors beyond those of emoji, tags, and private-use characters.
        '\u{fe00}'..='\u{fe0e}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{10ffff}' => true,
        _ => false,
    }
}

const JOINER: char = '\u{200d}';

/// What a joiner makes one emoji of.
fn is_picture(c: char) -> bool {
    matches!(c, '\u{2194}'..='\u{21aa}' | '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' | '\u{fe0f}' | '\u{1f000}'..='\u{1faff}')
}

/// The blocks of combining marks.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{e31}' | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}' | '\u{fe20}'..='\u{fe2f}')
}

/// A Unix time as `21 Nov 2026, 04:50 UTC`.
pub fn date(at: i64) -> String {
    let Ok(at) = Timestamp::from_second(at) else { return "unknown".to_owned() };
    at.strftime("%-d %b %Y, %H:%M UTC").to_string()
}

/// The same to the second, for people and programs.
pub fn moment(at: i64) -> Markup {
    let Ok(time) = Timestamp::from_second(at) else { return html! { "unknown" } };
    html! { time datetime=(time) { (time.strftime("%-d %b %Y, %H:%M:%S UTC")) } }
}

/// A Unix time as `2026-11-21`, in UTC, for the name of a file.
pub fn file_date(at: i64) -> String {
    Timestamp::from_second(at).map_or_else(|_| "unknown".to_owned(), |at| at.strftime("%Y-%m-%d").to_string())
}

/// A Unix time as `21 Nov 2026`, in UTC.
pub fn day(at: i64) -> String {
    let Ok(at) = Timestamp::from_second(at) else { return "unknown".to_owned() };
    at.strftime("%-d %b %Y").to_string()
}

/// A message of the API as a sentence: they begin small and end without a dot.
pub fn sentence(message: &str) -> String {
    capitalized(message) + "."
}

/// A text with a capital at its beginning.
pub fn capitalized(text: &str) -> String {
    let mut rest = text.chars();
    let first: String = rest.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    first + rest.as_str()
}

/// The account of the person who is signed in.
pub const ACCOUNT: &str = "/account";
/// The keys and devices.
pub const KEYS: &str = "/settings/keys";
/// The form for a new key.
pub const NEW_KEY: &str = "/settings/keys/new";
/// Approving a device; without a device in the query, the form for its code.
pub const CONNECT: &str = "/connect";
/// Revoking a key.
pub const REVOKE_KEY: &str = "/settings/keys/revoke";
/// Changing the password.
pub const PASSWORD: &str = "/settings/password";
/// The account, after the password was changed.
pub const PASSWORD_CHANGED: &str = "/account?password=changed";
/// The events of the person.
pub const EVENTS: &str = "/settings/events";
/// The form that adds a device by its public key.
pub const NEW_DEVICE: &str = "/settings/devices/new";
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
    /// To the form for the code of a device.
    DeviceCode,
    /// To the approval of that device.
    Device(Box<DeviceLink>),
}

impl AfterSignIn {
    /// From a word in an address or a form. Any other word leads to the account, so that no link can send a person elsewhere.
    pub fn named(word: &str) -> Self {
        match word {
            "keys" => Self::Keys,
            "new-key" => Self::NewKey,
            "code" => Self::DeviceCode,
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
            Self::DeviceCode => hidden("to", "code"),
            Self::Device(link) => link.fields(DEVICE_NAME_FIELD),
        }
    }

    /// Its path.
    pub fn path(&self) -> String {
        match self {
            Self::Account => ACCOUNT.to_owned(),
            Self::Keys => KEYS.to_owned(),
            Self::NewKey => NEW_KEY.to_owned(),
            Self::DeviceCode => CONNECT.to_owned(),
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
        Ok(Self { name: visible_name(link.device_name()), key: link.key().clone() })
    }

    /// The device that a form names, with the device's name in `name_field`.
    pub fn from_form(form: &Form, name_field: &str) -> Option<Self> {
        let key = PublicKey::from_encoded(form.get("key")).ok()?;
        Some(Self { name: visible_name(form.get(name_field)), key })
    }

    /// The name as markup.
    pub fn name(&self) -> Markup {
        device_name(&self.name)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_and_control_characters_in_names_are_escaped() {
        assert_eq!(visible_name("Zoë's MacBook (2)"), "Zoë's MacBook (2)");
        assert_eq!(visible_name("書斎のPC 🖥️"), "書斎のPC 🖥️");
        assert_eq!(visible_name("a\u{202e}b\u{200b}c\nd\u{1b}[31m\0"), "a\\u{202e}b\\u{200b}c\\u{a}d\\u{1b}[31m\\u{0}");
        assert_eq!(visible_name("  lap\u{a0}top\u{e0041} "), "lap\\u{a0}top\\u{e0041}");
        assert_eq!(visible_name(&"x".repeat(500)).chars().count(), 81);
        let hostile = visible_name(&"\u{202e}é".repeat(50));
        assert!(hostile.chars().count() <= 81 && visible_name(&hostile) == hostile);
        let stacked = format!("a{}", "\u{301}".repeat(9));
        assert_eq!(visible_name(&stacked).matches("\\u{301}").count(), 2, "three on each");
        assert_eq!(visible_name("👩\u{200d}💻 bot"), "👩\u{200d}💻 bot");
        assert_eq!(visible_name("a\u{200d}b 👩\u{200d}\u{200d}💻\u{200d}x").matches("\\u{200d}").count(), 4);
        let family = visible_name(&"👩\u{200d}".repeat(100));
        assert!(visible_name(&family) == family && family.ends_with("👩…"), "{family}");
        assert_eq!(visible_name("<b>&\""), "<b>&\"", "maud escapes it");
    }

    #[test]
    fn dates_and_sentences_are_readable() {
        assert_eq!(date(1_795_236_626), "21 Nov 2026, 04:50 UTC");
        assert_eq!(date(i64::MAX), "unknown");
        assert_eq!((day(1_795_236_626), day(i64::MIN)), ("21 Nov 2026".into(), "unknown".into()));
        assert_eq!((sentence("a key"), sentence("")), ("A key.".into(), ".".into()));
    }
}
