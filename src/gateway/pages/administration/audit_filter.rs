//! The filters of the page with the event log: what its form and links say, and what is asked of the store.

use std::net::IpAddr;

use http::StatusCode;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use maud::{Markup, html};

use crate::gateway::pages::display;
use crate::gateway::pages::form::FieldError;
use crate::gateway::pages::page_context::PageContext;
use crate::gateway::store::EventFilter;

/// In characters: longer than any value that is stored.
const LONGEST: usize = 300;
/// The fields, with their labels and examples; those of times come last.
const FIELDS: [(&str, &str, &str); 8] = [
    ("user", "Person", "ada"),
    ("actor", "Actor", "user:ada or admin"),
    ("action", "Action", "key or key.created"),
    ("subject", "Subject", "a key id, fingerprint or name"),
    ("key", "API key", "key_…"),
    ("address", "Address", "192.0.2.7"),
    ("code", "Refused with", "expired_key"),
    ("request", "Request", "its id"),
];
const TIMES: [(&str, &str); 2] = [("since", "From (UTC)"), ("until", "Until (UTC)")];

/// The filters as they are written in the query of the page.
pub struct AuditFilter(Vec<(&'static str, String)>);

impl AuditFilter {
    /// Those of a request. Empty ones are left out.
    pub fn of(context: &PageContext) -> Self {
        let names = FIELDS.iter().map(|(name, ..)| *name).chain(TIMES.map(|(name, _)| name));
        let given = |name: &'static str| {
            let value: String = context.parameter(name).trim().chars().take(LONGEST).collect();
            (!value.is_empty()).then_some((name, value))
        };
        Self(names.filter_map(given).collect())
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str())
    }

    /// The parameters of a link with the same filters, and one more.
    pub fn parameters<'a>(&'a self, more: Option<(&'a str, &'a str)>) -> Vec<(&'a str, &'a str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str())).chain(more).collect()
    }

    /// What is asked of the store.
    ///
    /// # Errors
    /// Not an address or time, or control characters.
    pub fn parse(&self) -> Result<EventFilter, FieldError> {
        let text = |name: &str| self.get(name).map(str::to_owned);
        let wrong = |field, message: &str| FieldError::new(field, StatusCode::UNPROCESSABLE_ENTITY, message);
        // No event has one, and PostgreSQL takes no NUL.
        if let Some((name, _)) = self.0.iter().find(|(_, value)| value.contains(char::is_control)) {
            return Err(wrong(name, "A filter must not contain control characters."));
        }
        let address = |text: &str| {
            text.parse::<IpAddr>()
                .map(|address| address.to_canonical().to_string())
                .map_err(|_| wrong("address", "The address must be one address, such as 192.0.2.7 or 2001:db8::7."))
        };
        let time = |field| {
            let parse = |text| {
                time(text).ok_or_else(|| {
                    wrong(field, "A time must be like 2026-11-29, 2026-11-29T08:00 or 2026-11-29T08:00:00Z.")
                })
            };
            self.get(field).map(parse).transpose()
        };
        Ok(EventFilter {
            account: text("user"),
            actor: text("actor"),
            action: text("action"),
            subject: text("subject"),
            key: text("key"),
            code: text("code"),
            request: text("request"),
            address: self.get("address").map(address).transpose()?,
            since: time("since")?,
            until: time("until")?,
            ..EventFilter::default()
        })
    }

    /// The fields of the form.
    pub fn fields(&self, error: Option<&FieldError>) -> Markup {
        let is_wrong = |name: &str| error.is_some_and(|error| error.field == name);
        let field = |name: &str, label: &str, kind: &str, example: Option<&str>| {
            html! {
                div.field {
                    label for=(name) { (label) }
                    input id=(name) name=(name) type=(kind) value=(display::visible_text(self.get(name).unwrap_or_default()))
                        placeholder=[example] maxlength=(LONGEST) step=[(kind == "datetime-local").then_some("1")] autocomplete="off"
                        autocapitalize="none" spellcheck="false" aria-invalid=[is_wrong(name).then_some("true")]
                        aria-describedby=[is_wrong(name).then_some("form-error")];
                }
            }
        };
        html! {
            @for (name, label, example) in FIELDS { (field(name, label, "text", Some(example))) }
            @for (name, label) in TIMES { (field(name, label, "datetime-local", None)) }
        }
    }
}

/// A date, or a time of UTC unless it says otherwise, in Unix seconds. A browser's field leaves the seconds out.
fn time(text: &str) -> Option<i64> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_second());
    }
    let day = || {
        text.parse::<Date>().ok().filter(|_| text.len() == 10).map(|day| day.to_datetime(jiff::civil::Time::midnight()))
    };
    let time = text.parse::<DateTime>().ok().filter(|_| text.contains('T')).or_else(day)?;
    time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_a_browser_or_of_the_command() {
        let eight = Some(1_795_939_200);
        for text in ["2026-11-29T08:00", "2026-11-29T08:00:00", "2026-11-29T08:00:00Z", "2026-11-29T09:00:00+01:00"] {
            assert_eq!(time(text), eight, "{text}");
        }
        assert_eq!(time("2026-11-29"), eight.map(|eight| eight - 8 * 3600));
        for text in ["", "now", "2h", "2026-13-29", "08:00", "2026-11-29 08", "1795939200", "2026-11-29T25:00"] {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn an_address_is_compared_in_the_form_that_is_stored() {
        let filter = |address: &str| AuditFilter(vec![("address", address.to_owned())]).parse();
        assert_eq!(filter("::ffff:192.0.2.7").unwrap().address.as_deref(), Some("192.0.2.7"));
        assert_eq!(filter("2001:DB8::7").unwrap().address.as_deref(), Some("2001:db8::7"));
        assert_eq!(filter("10.0.0.0/8").unwrap_err().field, "address");
        assert_eq!(AuditFilter(vec![("user", "a\0".to_owned())]).parse().unwrap_err().field, "user");
    }
}
