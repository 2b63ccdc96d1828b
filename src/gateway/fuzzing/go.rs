//! How a server that is written in Go reads what it is sent: paths, parameters, JSON and the names of models. Written after the
//! documentation of `net/url`, `path`, `encoding/json` and the facts in `docs/explanation/protocol.md`; for
//! fuzzing alone.

/// `url.PathUnescape`; `None` where that fails.
pub fn path_unescape(text: &[u8]) -> Option<Vec<u8>> {
    unescape(text, false)
}

/// The parameters as `url.ParseQuery` gives them: pairs that it cannot read are left out.
pub fn parse_query(query: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut pairs = Vec::new();
    for pair in query.split('&') {
        if pair.is_empty() || pair.contains(';') {
            continue;
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (Some(name), Some(value)) = (unescape(name.as_bytes(), true), unescape(value.as_bytes(), true)) {
            pairs.push((name, value));
        }
    }
    pairs
}

fn unescape(text: &[u8], plus: bool) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'%' => hex(*rest.next()?)? * 16 + hex(*rest.next()?)?,
            b'+' if plus => b' ',
            byte => *byte,
        });
    }
    Some(out)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// `path.Clean`, and the slash at the end kept, as `ServeMux` keeps it.
pub fn clean(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    let slash = if path.ends_with('/') && !kept.is_empty() { "/" } else { "" };
    format!("/{}{slash}", kept.join("/"))
}

/// A value of JSON, as far as a check of models looks at it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Text(String),
    /// Anything else, as it is written.
    Other(String),
}

/// The members of the first value, if that is an object, as `json.Decoder` reads it; invalid UTF-8 is replaced.
pub fn members(bytes: &[u8]) -> Option<Vec<(String, Value)>> {
    let text = String::from_utf8_lossy(bytes);
    let mut reader = Reader { rest: &text };
    reader.space();
    let mut members = Vec::new();
    reader.object(&mut |name, value| members.push((name, value)), 0)?;
    Some(members)
}

/// Whether Go takes a member's name for that of a field in small ASCII letters: without regard to case, and with the two letters
/// beyond ASCII whose other case is in ASCII (long s, Kelvin sign).
pub fn is_field(name: &str, field: &str) -> bool {
    let mut letters = field.chars();
    name.chars().all(|c| {
        letters.next().is_some_and(|wanted| match wanted {
            's' => matches!(c, 's' | 'S' | 'ſ'),
            'k' => matches!(c, 'k' | 'K' | '\u{212a}'),
            wanted => c == wanted || c == wanted.to_ascii_uppercase(),
        })
    }) && letters.next().is_none()
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn take(&mut self, wanted: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(wanted)?;
        Some(())
    }

    fn object(&mut self, member: &mut dyn FnMut(String, Value), depth: usize) -> Option<()> {
        self.take("{")?;
        self.space();
        if self.take("}").is_some() {
            return Some(());
        }
        loop {
            self.space();
            let name = self.string()?;
            self.space();
            self.take(":")?;
            let value = self.value(depth)?;
            member(name, value);
            self.space();
            if self.take("}").is_some() {
                return Some(());
            }
            self.take(",")?;
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        self.space();
        let before = self.rest;
        // Go gives up at 10,000.
        if depth > 1000 {
            return None;
        }
        match before.as_bytes().first()? {
            b'"' => return self.string().map(Value::Text),
            b'{' => self.object(&mut |_, _| {}, depth + 1)?,
            b'[' => self.array(depth + 1)?,
            b't' => self.take("true")?,
            b'f' => self.take("false")?,
            b'n' => {
                self.take("null")?;
                return Some(Value::Null);
            }
            _ => self.number()?,
        }
        Some(Value::Other(before[..before.len() - self.rest.len()].to_owned()))
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.take("[")?;
        self.space();
        if self.take("]").is_some() {
            return Some(());
        }
        loop {
            self.value(depth)?;
            self.space();
            if self.take("]").is_some() {
                return Some(());
            }
            self.take(",")?;
        }
    }

    fn digits(&mut self) -> Option<()> {
        let after = self.rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let some = after.len() < self.rest.len();
        self.rest = after;
        some.then_some(())
    }

    fn number(&mut self) -> Option<()> {
        let _ = self.take("-");
        if self.take("0").is_none() {
            self.digits()?;
        }
        if self.take(".").is_some() {
            self.digits()?;
        }
        if self.take("e").or_else(|| self.take("E")).is_some() {
            let _ = self.take("+").or_else(|| self.take("-"));
            self.digits()?;
        }
        Some(())
    }

    fn string(&mut self) -> Option<String> {
        self.take("\"")?;
        let mut out = String::new();
        loop {
            let c = self.rest.chars().next()?;
            self.rest = &self.rest[c.len_utf8()..];
            match c {
                '"' => return Some(out),
                '\\' => out.push(self.escape()?),
                '\0'..='\u{1f}' => return None,
                c => out.push(c),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(match c {
            '"' | '\\' | '/' => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let high = self.unit()?;
                let before = self.rest;
                if (0xd800..0xdc00).contains(&high) && self.take("\\u").is_some() {
                    let low = self.unit()?;
                    if (0xdc00..0xe000).contains(&low) {
                        return char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00));
                    }
                    self.rest = before;
                }
                char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return None,
        })
    }

    fn unit(&mut self) -> Option<u32> {
        let digits = self.rest.get(..4)?;
        self.rest = &self.rest[4..];
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        u32::from_str_radix(digits, 16).ok()
    }
}

/// A number of tokens as `FromMap` of the options stores it: cut off, and beyond the range anything.
pub fn tokens(value: &Value) -> Option<i64> {
    let Value::Other(text) = value else { return None };
    let number: f64 = text.parse().ok()?;
    let is_in_range = number.abs() < 9e18;
    Some(if is_in_range { number.trunc() as i64 } else { i64::MIN })
}

/// Seconds of a `keep_alive`; infinite for ever, `None` where the server refuses it.
pub fn keep_alive(value: &Value) -> Option<f64> {
    let seconds = match value {
        Value::Null => return None,
        Value::Other(text) => text.parse().ok()?,
        Value::Text(text) => duration(text)?,
    };
    Some(if seconds < 0.0 { f64::INFINITY } else { seconds })
}

/// `time.ParseDuration`, in seconds.
fn duration(text: &str) -> Option<f64> {
    let (sign, mut rest) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if rest == "0" {
        return Some(0.0);
    }
    let mut total = 0.0;
    while {
        let amount = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number: f64 = rest[..rest.len() - amount.len()].parse().ok()?;
        let after = amount.trim_start_matches(|c: char| !c.is_ascii_digit() && c != '.');
        let unit = match &amount[..amount.len() - after.len()] {
            "ns" => 1e-9,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total += number * unit;
        rest = after;
        !rest.is_empty()
    } {}
    Some(sign * total)
}

/// The model that a name stands for: host, namespace, model and tag in small letters, as the server fills in what is missing.
pub fn model(name: &str) -> [String; 4] {
    let name = name.trim().to_lowercase();
    let colon = name.rfind(':').filter(|at| name.rfind('/').is_none_or(|slash| slash < *at));
    let (rest, tag) = colon.map_or((&*name, "latest"), |at| (&name[..at], &name[at + 1..]));
    let (rest, model) = rest.rsplit_once('/').map_or(("", rest), |(rest, model)| (rest, model));
    let (host, namespace) = match rest.rsplit_once('/') {
        Some((host, namespace)) => (host, namespace),
        None if rest.is_empty() => ("", "library"),
        None => ("", rest),
    };
    let host = host.split_once("://").map_or(host, |(_, host)| host);
    let host = if host.is_empty() { "registry.ollama.ai" } else { host };
    [host, namespace, model, tag].map(str::to_owned)
}
