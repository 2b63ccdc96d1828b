//! The members of a JSON object as Go sees them: all that are there, in their order, by names without regard to case.

use std::fmt;

use serde::de::{Deserializer as _, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::gateway::rejection::Rejection;

/// The most members of the object. Requests have a few dozen.
pub const MAX_MEMBERS: usize = 1000;
/// In bytes, as they are written.
const MAX_NAME_LENGTH: usize = 1024;

/// A name as Go compares it: without regard to case, where two non-ASCII letters equal ASCII ones.
pub fn folded(name: &str) -> String {
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    name.chars().map(fold).collect()
}

/// What is not a JSON object.
pub fn not_json() -> Rejection {
    Rejection::new(400, "the request body is not a JSON object")
}

/// All members of the first value, in their order, with those that are there twice. Their values are looked through and not built.
pub fn members(bytes: &[u8]) -> Result<Vec<(String, &RawValue)>, Rejection> {
    struct Members<'a>(&'a mut Option<Rejection>);

    impl<'de> Visitor<'de> for Members<'_> {
        type Value = Vec<(String, &'de RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            let mut refuse = |message: String| {
                *self.0 = Some(Rejection::new(400, message.as_str()));
                A::Error::custom(message)
            };
            while let Some(name) = map.next_key::<&RawValue>()? {
                if members.len() == MAX_MEMBERS {
                    return Err(refuse(format!("the request body has more than {MAX_MEMBERS} members")));
                }
                if name.get().len() > MAX_NAME_LENGTH {
                    let message =
                        format!("the request body has a member whose name is longer than {MAX_NAME_LENGTH} bytes");
                    return Err(refuse(message));
                }
                let name = serde_json::from_str(name.get()).map_err(A::Error::custom)?;
                members.push((name, map.next_value()?));
            }
            Ok(members)
        }
    }

    let mut refused = None;
    // Anything after the first value is dropped, since the server ignores it.
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    reader.deserialize_map(Members(&mut refused)).map_err(|_| refused.unwrap_or_else(not_json))
}
