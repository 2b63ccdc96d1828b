//! The request target: whatever passes means the same to every reader, however often and however it is read.

use super::{go, head, lines};
use crate::gateway::target::Target;

/// Reads a line such as `GET /prefix/api/tags?ts=1` and, in a second line, the base path.
///
/// # Panics
/// When the upstream server could read what passes otherwise.
pub fn target(data: &[u8]) {
    let mut lines = lines(data);
    let Some(parts) = lines.next().and_then(head) else { return };
    let base = lines.next().and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
    // The settings take no other.
    let is_base = base.is_empty() || (base.starts_with('/') && !base.ends_with('/') && go::clean(base) == base);
    let base = if is_base && base.is_ascii() { base } else { "" };
    let Ok(target) = Target::read(&parts, base) else { return };

    let path = target.path;
    assert!(path.starts_with('/'), "{path}");
    assert_eq!(
        go::path_unescape(path.as_bytes()).as_deref(),
        Some(path.as_bytes()),
        "read once more, it is another path"
    );
    assert_eq!(go::clean(path), path, "tidied up, it is another path");
    assert!(!path.bytes().any(|byte| byte <= b' ' || byte >= 0x7f || b"%\\;?#".contains(&byte)), "{path}");
    assert!(path == "/" || parts.uri.path() == format!("{base}{path}"), "{path} is not what was sent");

    // What is forwarded is read as itself.
    let others = target.other_parameters();
    let forwarded = others.as_ref().map_or_else(|| path.to_owned(), |others| format!("{path}?{others}"));
    let line = [target.method.as_bytes(), b" ", forwarded.as_bytes()].concat();
    let again = head(&line).unwrap_or_else(|| panic!("{forwarded} is not a request"));
    let again = Target::read(&again, "").unwrap_or_else(|_| panic!("{forwarded} is refused the second time"));
    assert_eq!((again.method, again.path, again.query), (target.method, path, others.as_deref()));
    match (target.route(), again.route()) {
        (Ok(one), Ok(other)) => {
            assert_eq!(one, other);
            let (before, _) = one.route.path.split_once('{').unwrap_or((one.route.path, ""));
            assert!(path.starts_with(before) && one.route.methods.contains(&target.method));
            assert_eq!(path, format!("{before}{}", one.argument), "a route and its argument are the whole path");
            assert!(!one.argument.is_empty() || !one.route.path.contains('{'));
            // The gateway itself answers for models whose names have slashes.
            assert!(before == "/v1/models/" || !one.argument.contains('/'), "{path}");
        }
        (Err(_), Err(_)) => {}
        _ => panic!("{path} is a route once"),
    }

    let Ok(ts) = target.ts() else { return };
    let sent = go::parse_query(target.query.unwrap_or_default());
    let stamps: Vec<_> = sent.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"ts")).collect();
    match ts {
        None => assert!(stamps.is_empty(), "a time was not seen: {:?}", target.query),
        // Go drops a value that it cannot decode; such a time is refused later, because it is not a number.
        Some(ts) if !ts.bytes().all(|byte| byte.is_ascii_digit()) => assert!(stamps.len() <= 1),
        Some(ts) => assert_eq!(stamps, [&(b"ts".to_vec(), ts.as_bytes().to_vec())], "{:?}", target.query),
    }
    let rest: Vec<_> = sent.iter().filter(|(name, _)| name != b"ts").cloned().collect();
    assert_eq!(go::parse_query(others.as_deref().unwrap_or_default()), rest, "parameters were changed");
}
