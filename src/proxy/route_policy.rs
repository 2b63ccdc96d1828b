//! What passes: running models, and what goes with it. What changes the account does not: a program that was given this port was not
//! given the account. Whatever else could change something and is not known here does not pass either.

use crate::gateway::{Access, Account, Rejection, Target, find_route};

/// Endpoints of ollama.com that its local server does not have, and that change nothing.
const HARMLESS: [&str; 2] = ["/api/web_search", "/api/web_fetch"];

/// Whether a request passes.
///
/// # Errors
/// 403 for what belongs to the account or is not known; 404 for what is no part of the API; 405 for a method the API has no use for.
pub fn check(target: &Target<'_>) -> Result<(), Rejection> {
    let Target { method, path, .. } = *target;
    let account = || {
        let message = format!(
            "{path} is about the account, which is not for programs that use this proxy: use `ollama-auth keys`, `device` or `api`"
        );
        Rejection::new(403, message)
    };
    // A server in between might not care about capitals, or a slash at the end.
    let folded = path.to_ascii_lowercase();
    let mut segments = folded.trim_end_matches('/').split('/').skip(1);
    let (first, second) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
    if first == "api" && ["user", "signout", "signin"].contains(&second) {
        return Err(account());
    }
    match find_route(method, path).map(|matched| matched.route.access) {
        Ok(Access::Upstream(_) | Access::Public(_) | Access::Account(Account::Me)) => return Ok(()),
        Ok(Access::Account(_)) => return Err(account()),
        Err(_) => {}
    }
    let reads = ["GET", "HEAD"].contains(&method);
    let passes = match first {
        "" => reads,
        "api" => reads || (method == "POST" && HARMLESS.contains(&path)),
        "v1" => reads || method == "POST",
        _ => {
            return Err(Rejection::new(
                404,
                format!("{path} is no part of Ollama's API: this proxy passes on /api/ and /v1/"),
            ));
        }
    };
    if passes {
        return Ok(());
    }
    if !["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].contains(&method) {
        return Err(
            Rejection::new(405, format!("the API has no use for {method}")).header("allow", "GET, HEAD, POST, DELETE")
        );
    }
    let message =
        format!("{method} {path} is not known to this proxy and could change the account: use `ollama-auth api`");
    Err(Rejection::new(403, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: &str, path: &str) -> u16 {
        check(&Target { method, path, query: None }).map_or_else(|rejection| rejection.status(), |()| 200)
    }

    #[test]
    fn models_are_run_and_the_account_is_left_alone() {
        for (method, path) in [
            ("HEAD", "/"),
            ("POST", "/api/chat"),
            ("POST", "/api/pull"),
            ("DELETE", "/api/delete"),
            ("POST", "/api/me"),
            ("GET", "/api/usage"),
            ("POST", "/api/web_search"),
            ("POST", "/v1/messages"),
            ("POST", "/v1/images/generations"),
            ("GET", "/v1/models/tiny"),
        ] {
            assert_eq!(status(method, path), 200, "{method} {path}");
        }
        for (method, path) in [
            ("DELETE", "/api/user/keys/abc"),
            ("GET", "/api/user/keys"),
            ("POST", "/api/user/keys"),
            ("PATCH", "/api/user/keys/abc"),
            ("GET", "/API/User/Keys/"),
            ("POST", "/api/user"),
            ("POST", "/api/signout"),
            ("POST", "/api/signout/"),
            ("POST", "/api/billing"),
            ("POST", "/"),
            ("DELETE", "/api/tags"),
            ("PUT", "/v1/models/tiny"),
            ("DELETE", "/v1/files/1"),
        ] {
            assert_eq!(status(method, path), 403, "{method} {path}");
        }
        assert_eq!(status("GET", "/settings/keys"), 404);
        assert_eq!(status("TRACE", "/api/tags"), 405);
    }
}
