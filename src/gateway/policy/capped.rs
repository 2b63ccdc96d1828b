//! Caps in a JSON body: what a request asks for is read as the server reads it, and what is forwarded asks for no more.
//!
//! The server reads these members (`api/types.go`, `openai`, `anthropic` in Ollama 0.33): `keep_alive`; in `options`, which is a map whose
//! names are compared exactly, `num_ctx` and `num_predict`; and what the other APIs call the tokens of an answer. A number of tokens that
//! is left out, 0 or negative means no limit. A context or a time that is left out is the server's own setting, and stays left out.

use std::sync::{Arc, OnceLock};

use serde_json::value::RawValue;

use super::json_members::{MAX_MEMBERS, folded, members};
use super::keep_alive::{KeepAlive, float, number};
use crate::gateway::caps::{Cap, CapSet, RoleCaps, WhenExceeded};
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::rejection::Rejection;
use crate::keyspec::CanonicalModel;

/// Where the requests of a route ask for what can be capped.
#[derive(Debug)]
struct Places {
    path: &'static str,
    keep_alive: bool,
    /// The member that holds `num_ctx` and `num_predict`.
    options: Option<&'static str>,
    /// How the members are called that hold a number of tokens. The first is written where there is none.
    tokens: &'static [&'static str],
    /// Whether the answer has as many tokens as it likes if the request does not say. `num_predict` is looked at only then, and where it
    /// is stored.
    generates: bool,
}

const PLACES: [Places; 9] = [
    Places { path: "/api/generate", keep_alive: true, options: Some("options"), tokens: &[], generates: true },
    Places { path: "/api/chat", keep_alive: true, options: Some("options"), tokens: &[], generates: true },
    Places { path: "/api/embed", keep_alive: true, options: Some("options"), tokens: &[], generates: false },
    Places { path: "/api/embeddings", keep_alive: true, options: Some("options"), tokens: &[], generates: false },
    // What a model is created with holds for every request that does not say otherwise.
    Places { path: CREATE, keep_alive: false, options: Some("parameters"), tokens: &[], generates: false },
    Places {
        path: "/v1/chat/completions",
        keep_alive: false,
        options: None,
        tokens: &["max_tokens", "max_completion_tokens"],
        generates: true,
    },
    Places { path: "/v1/completions", keep_alive: false, options: None, tokens: &["max_tokens"], generates: true },
    Places { path: "/v1/responses", keep_alive: false, options: None, tokens: &["max_output_tokens"], generates: true },
    Places { path: "/v1/messages", keep_alive: false, options: None, tokens: &["max_tokens"], generates: true },
];

const CREATE: &str = "/api/create";

impl Places {
    /// Those of the caps that have a place here.
    fn of(&self, caps: CapSet) -> CapSet {
        let holds_tokens = self.generates || self.path == CREATE;
        CapSet {
            keep_alive: caps.keep_alive.filter(|_| self.keep_alive),
            num_ctx: caps.num_ctx.filter(|_| self.options.is_some()),
            num_predict: caps.num_predict.filter(|_| holds_tokens),
        }
    }
}

/// The caps of a caller, on a route that has a place for one of them.
#[derive(Clone, Debug)]
pub struct RouteCaps {
    places: &'static Places,
    caps: Arc<RoleCaps>,
    /// What was lowered. Clones share it.
    lowered: Arc<OnceLock<String>>,
}

/// A member that takes the place of those that were sent.
#[derive(Debug, PartialEq)]
pub struct Replacement<'a> {
    pub name: &'static str,
    pub value: Value<'a>,
}

/// What such a member holds.
#[derive(Debug, PartialEq)]
pub enum Value<'a> {
    /// A value that was sent.
    Sent(&'a str),
    /// A number that was not.
    Number(String),
    /// An object: what was sent, and then other members.
    Object(Vec<(String, &'a str)>, Vec<(&'static str, String)>),
}

impl RouteCaps {
    /// Nothing if no request on the route can ask for what is capped. Such bodies need not be read.
    pub fn of(path: &str, caps: &Arc<RoleCaps>) -> Option<Self> {
        if caps.all() == CapSet::default() {
            return None;
        }
        let places = PLACES.iter().find(|places| places.path == path)?;
        let is_capped = places.of(caps.all()) != CapSet::default();
        is_capped.then(|| Self { places, caps: caps.clone(), lowered: Arc::default() })
    }

    /// Takes out of `others` what is capped for these models, and gives back what to write instead.
    ///
    /// # Errors
    /// 403 for a request that asks for more than a rule allows which refuses it, 400 for a value that cannot be read.
    pub fn apply<'a>(
        &self,
        models: &[Option<CanonicalModel>],
        others: &mut Vec<(String, &'a str)>,
    ) -> Result<Vec<Replacement<'a>>, Rejection> {
        let (places, caps) = (self.places, self.places.of(self.caps.of(models)));
        let (mut replacements, mut lowered) = (Vec::new(), Vec::new());
        if let Some(cap) = caps.keep_alive {
            let sent = take(others, "keep_alive").into_iter().rfind(is_given);
            if let Some(value) = sent.map(|sent| keep_alive(sent, cap, &mut lowered)).transpose()? {
                replacements.push(Replacement { name: "keep_alive", value });
            }
        }
        let options = places.options.filter(|_| caps.num_ctx.is_some() || caps.num_predict.is_some());
        if let Some(name) = options {
            let sent = take(others, name);
            if let Some(value) = self.options(name, &sent, caps, &mut lowered)? {
                replacements.push(Replacement { name, value });
            }
        }
        if let Some(cap) = caps.num_predict {
            for (place, name) in places.tokens.iter().copied().enumerate() {
                let sent = take(others, name).into_iter().rfind(is_given);
                let value = match sent {
                    Some(sent) => Some(tokens(name, sent, cap, &mut lowered)?),
                    None => (place == 0).then(|| cap.most.to_string()),
                };
                replacements.extend(value.map(|value| Replacement { name, value: Value::Number(value) }));
            }
        }
        if !lowered.is_empty() {
            let _ = self.lowered.set(lowered.join(", "));
        }
        Ok(replacements)
    }

    /// What was lowered, and to what: `keep_alive=600, options.num_ctx=8192`. Nothing before the body was read.
    pub fn lowered(&self) -> Option<String> {
        self.lowered.get().cloned()
    }

    /// All options that were sent, in one object: the server reads several into one map. Nothing if there are none.
    fn options<'a>(
        &self,
        name: &'static str,
        sent: &[&'a str],
        caps: CapSet,
        lowered: &mut Vec<String>,
    ) -> Result<Option<Value<'a>>, Rejection> {
        let mut kept = Vec::new();
        for object in sent {
            if !is_given(object) {
                // It empties the map.
                kept.clear();
                continue;
            }
            let members = members(object.as_bytes()).map_err(|_| {
                Rejection::new(400, format!("{name} must be an object of at most {MAX_MEMBERS} members"))
            })?;
            kept.extend(members.into_iter().map(|(name, value): (String, &'a RawValue)| (name, value.get())));
            if kept.len() > MAX_MEMBERS {
                return Err(Rejection::new(400, format!("{name} has more than {MAX_MEMBERS} members")));
            }
        }
        let mut written = Vec::new();
        for (option, cap, is_needed) in
            [("num_ctx", caps.num_ctx, false), ("num_predict", caps.num_predict, self.places.generates)]
        {
            let Some(cap) = cap else { continue };
            let mut last = None;
            kept.retain(|(other, value)| {
                if other == option && is_given(value) {
                    last = Some(*value);
                }
                // What is not quite the name is no option of the server's; another one may take it for one.
                folded(other) != option
            });
            match last {
                Some(value) => written.push((option, tokens(&format!("{name}.{option}"), value, cap, lowered)?)),
                None if is_needed => written.push((option, cap.most.to_string())),
                None => {}
            }
        }
        let is_empty = sent.is_empty() && written.is_empty();
        Ok((!is_empty).then_some(Value::Object(kept, written)))
    }
}

/// All values of a member, in their order: the server compares its name without regard to case.
fn take<'a>(members: &mut Vec<(String, &'a str)>, name: &str) -> Vec<&'a str> {
    let mut taken = Vec::new();
    members.retain(|(other, value)| {
        let is_it = folded(other) == name;
        if is_it {
            taken.push(*value);
        }
        !is_it
    });
    taken
}

/// `null` says as much as a member that is left out.
fn is_given(value: &&str) -> bool {
    *value != "null"
}

fn keep_alive<'a>(sent: &'a str, cap: Cap, lowered: &mut Vec<String>) -> Result<Value<'a>, Rejection> {
    let asked = KeepAlive::read(sent)
        .ok_or_else(|| Rejection::new(400, "keep_alive must be a number of seconds or a duration such as \"5m\""))?;
    if !asked.is_more_than(cap.most) {
        return Ok(Value::Sent(sent));
    }
    exceeded("keep_alive", sent, cap, " s", lowered).map(Value::Number)
}

/// A number of tokens to write.
fn tokens(name: &str, sent: &str, cap: Cap, lowered: &mut Vec<String>) -> Result<String, Rejection> {
    let asked = number(sent).ok_or_else(|| Rejection::new(400, format!("{name} must be a number")))?.trunc();
    // 0 and negative numbers stand for no limit.
    if (1.0..=float(cap.most)).contains(&asked) {
        return Ok(asked.to_string());
    }
    exceeded(name, sent, cap, "", lowered)
}

fn exceeded(name: &str, sent: &str, cap: Cap, unit: &str, lowered: &mut Vec<String>) -> Result<String, Rejection> {
    match cap.when_exceeded {
        WhenExceeded::Lower => {
            lowered.push(format!("{name}={}", cap.most));
            Ok(cap.most.to_string())
        }
        WhenExceeded::Refuse => {
            let asked: String = sent.chars().take(100).collect();
            let most = cap.most;
            let message = format!("{name} is {asked}, and your role allows at most {most}{unit} for this model");
            let rejection = Rejection::new(403, message).because(RefusalCode::Cap);
            Err(rejection.member("member", name).member("asked", asked).member("limit", most.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::gateway::caps::{CapRule, Caps};
    use crate::gateway::model_access::ModelAccess;
    use crate::gateway::policy::json::canonical;
    use crate::gateway::policy::scan_budget::Reservation;
    use crate::gateway::routes;
    use crate::gateway::store::Role;

    const ALL: [Option<u64>; 3] = [Some(600), Some(8192), Some(2048)];

    fn caps(most: [Option<u64>; 3], when_exceeded: WhenExceeded) -> Arc<RoleCaps> {
        let [keep_alive, num_ctx, num_predict] = most.map(|most| most.map(|most| Cap { most, when_exceeded }));
        let caps = CapSet { keep_alive, num_ctx, num_predict };
        let models = ["tiny".parse().unwrap()].into_iter().collect();
        Caps::new(vec![CapRule { roles: Vec::new(), models, caps }]).of(&Role::Member).clone()
    }

    fn read(path: &str, body: &str, most: [Option<u64>; 3], when_exceeded: WhenExceeded) -> Result<String, Rejection> {
        let caps = RouteCaps::of(path, &caps(most, when_exceeded)).unwrap();
        let (body, models) = (Bytes::copy_from_slice(body.as_bytes()), ModelAccess::default());
        let create = path == CREATE;
        let (pieces, _) =
            canonical(&body, &["model"], &models, create, Some(&caps), None, &mut Reservation::uncounted())?;
        Ok(String::from_utf8(pieces.concat()).unwrap())
    }

    /// What is forwarded, with each member once.
    fn lowered(path: &str, body: &str) -> Result<Json, u16> {
        let sent = read(path, body, ALL, WhenExceeded::Lower).map_err(|rejection| rejection.status())?;
        let value: Json = serde_json::from_str(&sent).unwrap();
        let names = value.as_object().unwrap().len();
        assert_eq!(members(sent.as_bytes()).unwrap().len(), names, "{sent}");
        Ok(value)
    }

    #[test]
    fn every_place_is_that_of_a_route_that_names_a_model_in_its_body() {
        for places in &PLACES {
            let route = routes::find("POST", places.path).unwrap().route;
            assert!(matches!(route.models, routes::Models::Body(_)), "{}", places.path);
        }
    }

    #[test]
    fn a_body_is_read_only_where_it_can_ask_for_what_is_capped() {
        let read = |path: &str, most| RouteCaps::of(path, &caps(most, WhenExceeded::Lower)).is_some();
        for (most, wanted) in [
            ([None; 3], &[][..]),
            ([Some(1), None, None], &["/api/chat", "/api/generate", "/api/embed", "/api/embeddings"]),
            ([None, Some(1), None], &["/api/chat", "/api/generate", "/api/embed", "/api/embeddings", CREATE]),
            (
                [None, None, Some(1)],
                &[
                    "/api/chat",
                    "/api/generate",
                    CREATE,
                    "/v1/chat/completions",
                    "/v1/completions",
                    "/v1/responses",
                    "/v1/messages",
                ],
            ),
        ] {
            for route in routes::ROUTES {
                assert_eq!(read(route.path, most), wanted.contains(&route.path), "{} {most:?}", route.path);
            }
        }
    }

    #[test]
    fn more_than_the_cap_is_lowered_however_it_is_written() {
        let options = |text: &str| format!(r#"{{"model":"tiny","options":{{{text}}}}}"#);
        let capped = json!({ "model": "tiny", "options": { "num_ctx": 8192, "num_predict": 2048 } });
        for text in [
            r#""num_ctx":8193"#,
            r#""num_ctx":1e4,"num_predict":-1"#,
            r#""num_ctx":99999999999999999999999,"num_predict":0"#,
            r#""num_ctx":1e999,"num_predict":0.9"#,
            r#""num_ctx":0,"num_predict":-0"#,
            r#""num_ctx":-5,"num_predict":null"#,
            r#""num_ctx":1,"num_ctx":9000"#,
            r#""num\u005fctx":9000"#,
            r#""num_ctx":9000,"NUM_CTX":1,"num_Predict":9999"#,
        ] {
            assert_eq!(lowered("/api/chat", &options(text)).unwrap(), capped, "{text}");
        }
        // Several objects are read into one; null empties it.
        for body in [
            r#"{"options":{"num_ctx":9000},"model":"tiny","Options":{"num_predict":5000}}"#,
            r#"{"model":"tiny","OPTION\u017f":{"num_ctx":9000}}"#,
            r#"{"model":"tiny","options":{"seed":1},"options":null,"options":{"num_ctx":9000}}"#,
        ] {
            assert_eq!(lowered("/api/generate", body).unwrap(), capped, "{body}");
        }
        let body = r#"{"model":"tiny","options":{"num_ctx":9000,"seed":1},"options":{"num_ctx":100.9,"stop":["a"]}}"#;
        let options = json!({ "seed": 1, "stop": ["a"], "num_ctx": 100, "num_predict": 2048 });
        assert_eq!(lowered("/api/chat", body).unwrap()["options"], options);
    }

    #[test]
    fn what_is_within_the_cap_or_left_out_stays() {
        let body =
            r#"{"model":"tiny","keep_alive":"9m59s","options":{"num_ctx":8192,"num_predict":2048},"stream":false}"#;
        assert_eq!(lowered("/api/chat", body).unwrap(), serde_json::from_str::<Json>(body).unwrap());
        // Only the number of tokens is unlimited where it is left out.
        for body in [
            r#"{"model":"tiny"}"#,
            r#"{"model":"tiny","options":{}}"#,
            r#"{"model":"tiny","options":null}"#,
            r#"{"model":"tiny","keep_alive":null,"options":{"num_predict":null,"num_ctx":null}}"#,
        ] {
            let wanted = json!({ "model": "tiny", "options": { "num_predict": 2048 } });
            assert_eq!(lowered("/api/chat", body).unwrap(), wanted, "{body}");
        }
        for path in ["/api/embed", "/api/embeddings"] {
            assert_eq!(lowered(path, r#"{"model":"tiny"}"#).unwrap(), json!({ "model": "tiny" }));
        }
        // Members that the route does not have.
        let body = r#"{"model":"tiny","num_ctx":9000,"max_tokens":9000,"options":{"num_predict":1}}"#;
        assert_eq!(lowered("/api/chat", body).unwrap(), serde_json::from_str::<Json>(body).unwrap());
        // Another model, for which there is no rule.
        let body = r#"{"model":"other:latest","keep_alive":-1,"options":{"num_ctx":100000}}"#;
        assert_eq!(lowered("/api/chat", body).unwrap(), serde_json::from_str::<Json>(body).unwrap());
        // A name that cannot be read may be that of any.
        let sent = lowered("/api/chat", r#"{"model":"http://h/x","keep_alive":-1}"#).unwrap();
        assert_eq!((&sent["model"], &sent["keep_alive"]), (&json!("http://h/x"), &json!(600)));
    }

    #[test]
    fn a_time_is_lowered_however_it_is_written() {
        for value in ["-1", "601", "6.1e2", "\"11m\"", "\"-1s\"", "\"1h\"", "1e300", "\"0.2h\"", "\"\\u0039h\""] {
            let body = format!(r#"{{"model":"tiny","Keep_Alive":{value},"keep_alive":null}}"#);
            assert_eq!(lowered("/api/embed", &body).unwrap(), json!({ "model": "tiny", "keep_alive": 600 }), "{value}");
        }
        for value in ["0", "600", "\"10m\"", "\"0s\"", "1.5"] {
            let body = format!(r#"{{"model":"tiny","keep_alive":{value}}}"#);
            assert_eq!(lowered("/api/embed", &body).unwrap(), serde_json::from_str::<Json>(&body).unwrap(), "{value}");
        }
        let sent = lowered("/api/embed", r#"{"model":"tiny","keep_alive":1,"KEEP_ALIVE":99999}"#).unwrap();
        assert_eq!(sent, json!({ "model": "tiny", "keep_alive": 600 }));
    }

    #[test]
    fn each_api_has_its_own_name_for_the_tokens() {
        for (path, body, wanted) in [
            ("/v1/chat/completions", r#"{"max_tokens":9999}"#, json!({ "max_tokens": 2048 })),
            (
                "/v1/chat/completions",
                r#"{"max_completion_tokens":9999}"#,
                json!({ "max_tokens": 2048, "max_completion_tokens": 2048 }),
            ),
            (
                "/v1/chat/completions",
                r#"{"MAX_TOKENS":-1,"max_completion_token\u017f":7}"#,
                json!({ "max_tokens": 2048, "max_completion_tokens": 7 }),
            ),
            ("/v1/completions", r#"{"max_tokens":null,"Max_Tokens":1e9}"#, json!({ "max_tokens": 2048 })),
            ("/v1/responses", r#"{"max_output_tokens":0}"#, json!({ "max_output_tokens": 2048 })),
            ("/v1/responses", "{}", json!({ "max_output_tokens": 2048 })),
            ("/v1/messages", r#"{"max_tokens":1024}"#, json!({ "max_tokens": 1024 })),
            ("/v1/messages", r#"{"max_tokens":4096}"#, json!({ "max_tokens": 2048 })),
            (
                CREATE,
                r#"{"parameters":{"num_ctx":131072,"num_predict":-1},"options":{"num_ctx":131072}}"#,
                json!({ "parameters": { "num_ctx": 8192, "num_predict": 2048 }, "options": { "num_ctx": 131072 } }),
            ),
            (CREATE, r#"{"files":{"a":"b"}}"#, json!({ "files": { "a": "b" } })),
        ] {
            let body = body.replacen('{', r#"{"model":"tiny","#, 1).replace(",}", "}");
            let mut sent = lowered(path, &body).unwrap();
            assert_eq!(sent.as_object_mut().unwrap().remove("model"), Some(json!("tiny")));
            assert_eq!(sent, wanted, "{path} {body}");
        }
    }

    #[test]
    fn a_value_that_cannot_be_read_is_refused() {
        for (path, member) in [
            ("/api/chat", r#""options":{"num_ctx":"4096"}"#),
            ("/api/chat", r#""options":{"num_predict":true}"#),
            ("/api/chat", r#""options":{"num_predict":[1]}"#),
            ("/api/chat", r#""options":[]"#),
            ("/api/chat", r#""options":"num_ctx""#),
            ("/api/chat", r#""options":{"num_ctx":1},"options":7"#),
            ("/api/chat", r#""keep_alive":"600""#),
            ("/api/chat", r#""keep_alive":{}"#),
            ("/v1/messages", r#""max_tokens":"9""#),
            ("/v1/responses", r#""max_output_tokens":{}"#),
        ] {
            let body = format!(r#"{{"model":"tiny",{member}}}"#);
            assert_eq!(lowered(path, &body), Err(400), "{body}");
        }
        let many = |count: usize| format!("{{{}}}", vec![r#""a":0"#; count].join(","));
        let body = |one: usize, other: usize| {
            format!(r#"{{"model":"tiny","options":{},"options":{}}}"#, many(one), many(other))
        };
        assert!(read("/api/chat", &body(500, 500), ALL, WhenExceeded::Lower).is_ok());
        for body in [body(501, 500), body(1001, 0)] {
            assert_eq!(read("/api/chat", &body, ALL, WhenExceeded::Lower).unwrap_err().status(), 400);
        }
    }

    #[test]
    fn a_rule_that_refuses_says_what_was_asked_and_what_is_allowed() {
        let refused = |path: &str, body: &str| {
            let rejection = read(path, body, ALL, WhenExceeded::Refuse).unwrap_err();
            assert_eq!((rejection.status(), rejection.code()), (403, Some(RefusalCode::Cap)));
            rejection.message().to_owned()
        };
        assert_eq!(
            refused("/api/chat", r#"{"model":"tiny","options":{"num_ctx":32768}}"#),
            "options.num_ctx is 32768, and your role allows at most 8192 for this model"
        );
        assert_eq!(
            refused("/api/chat", r#"{"model":"tiny","keep_alive":"24h"}"#),
            "keep_alive is \"24h\", and your role allows at most 600 s for this model"
        );
        assert!(refused("/v1/messages", r#"{"model":"tiny","max_tokens":4096}"#).contains("at most 2048"));
        // What is left out is not asked for.
        let sent = read("/api/chat", r#"{"model":"tiny"}"#, ALL, WhenExceeded::Refuse).unwrap();
        assert_eq!(sent, r#"{"model":"tiny","options":{"num_predict":2048}}"#);
    }

    #[test]
    fn long_options_are_forwarded_where_they_are() {
        let long = "x".repeat(5000);
        let body =
            Bytes::from(format!(r#"{{"model":"tiny","options":{{"stop":["{long}"],"num_ctx":9000,"seed":1}}}}"#));
        let caps = RouteCaps::of("/api/chat", &caps(ALL, WhenExceeded::Lower)).unwrap();
        let models = ModelAccess::default();
        let mut reservation = Reservation::uncounted();
        let (pieces, _) = canonical(&body, &["model"], &models, false, Some(&caps), None, &mut reservation).unwrap();
        let inside = body.as_ptr_range();
        assert_eq!(pieces.iter().filter(|piece| inside.contains(&piece.as_ptr())).count(), 1);
        let options = format!(r#"{{"stop":["{long}"],"seed":1,"num_ctx":8192,"num_predict":2048}}"#);
        assert_eq!(String::from_utf8(pieces.concat()).unwrap(), format!(r#"{{"model":"tiny","options":{options}}}"#));
    }
}
