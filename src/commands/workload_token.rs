//! OIDC tokens in place of stored secrets: which there are for a host, how they are taken from where they lie, and what a job has
//! to say in its system's own terms to get one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::address::BaseUrl;
use crate::api::{ActionsTokens, FetchedToken, TokenClaims, TokenError, TokenSource, WorkloadToken};
use crate::app::App;
use crate::disk::{self, Exposure};
use crate::env::CiSystem;
use crate::exit::{Exit, Problem};
use crate::profile::{Target, TokenOrigin, TokenOrigins, may_take_token};
use crate::relative_time;

/// Where a pod finds the token that its specification asks for (`docs/guides/ci.md`).
const KUBERNETES_FILE: &str = "/var/run/secrets/ollama-auth/token";
/// What container runtimes mount. They decide who may read it, and others in the container are the same workload.
const MOUNTED: [&str; 2] = ["/var/run/secrets", "/run/secrets"];

/// The tokens that there are for a host. None is asked for yet.
pub fn origins(app: &App, host: &BaseUrl) -> TokenOrigins {
    TokenOrigins {
        file_flag: app.global.oidc_token_file.is_some(),
        file_variable: app.env.oidc_token_file.is_some(),
        github: app.env.ci.actions_url.is_some(),
        gitlab: app.env.ci.id_token.is_some() && misdirected(app, TokenOrigin::GitLab, host).is_none(),
        kubernetes: Path::new(KUBERNETES_FILE).exists() && misdirected(app, TokenOrigin::Kubernetes, host).is_none(),
    }
}

/// Takes the first token of an origin, for a host.
///
/// # Errors
/// Exit 2 for one that cannot be used, 4 where the job gets none, and what the issuer's endpoint answers.
pub async fn open(app: &App, origin: TokenOrigin, host: &BaseUrl) -> anyhow::Result<Arc<WorkloadToken>> {
    let file = |path: &PathBuf| Box::new(TokenFile { path: path.clone() }) as Box<dyn TokenSource>;
    let source = match origin {
        TokenOrigin::FileFlag => app.global.oidc_token_file.as_ref().map(file),
        TokenOrigin::FileVariable => app.env.oidc_token_file.as_ref().map(file),
        TokenOrigin::Kubernetes => Some(file(&KUBERNETES_FILE.into())),
        TokenOrigin::GitLab => {
            app.env.ci.id_token.clone().map(|token| Box::new(TokenVariable(token)) as Box<dyn TokenSource>)
        }
        TokenOrigin::GitHub => match &app.env.ci.actions_url {
            Some(url) => {
                let request_token = app.env.ci.actions_token.as_ref();
                let source = ActionsTokens::new(&app.transport, url, request_token, host, app.now);
                Some(Box::new(source.map_err(into_error)?) as Box<dyn TokenSource>)
            }
            None => None,
        },
    };
    let Some(source) = source else { return Err(missing(app, host).into()) };
    let name = source.name();
    let token = WorkloadToken::fetch(source, (app.now)()).await.map_err(into_error)?;
    let claims = token.claims();
    if !claims.is_for(host) {
        let message = format!("{name} is for {}, not for {host}", claims.audience().join(", "));
        return Err(Problem::new(Exit::SignIn, message).hint(audience_advice(origin, host)).into());
    }
    Ok(Arc::new(token))
}

fn into_error(error: TokenError) -> anyhow::Error {
    crate::api::ApiError::Token(Box::new(error)).into()
}

/// The audience of what the system provides, where that is another host.
fn misdirected(app: &App, origin: TokenOrigin, host: &BaseUrl) -> Option<String> {
    let token = match origin {
        TokenOrigin::GitLab => app.env.ci.id_token.clone(),
        TokenOrigin::Kubernetes => read_file(Path::new(KUBERNETES_FILE)).ok(),
        _ => None,
    };
    // What cannot be read is reported when it is used.
    let claims = TokenClaims::read(token?.expose_secret()).ok()?;
    (!claims.is_for(host)).then(|| claims.audience().join(", "))
}

/// The error of a command that is for tokens alone, where there is none.
pub fn missing(app: &App, host: &BaseUrl) -> Problem {
    let advice = advice_for_job(app, host);
    let advice = advice.unwrap_or_else(|| "name the file of a token: --oidc-token-file FILE".to_owned());
    Problem::new(Exit::SignIn, format!("no OIDC token for {host} was found")).hint(advice)
}

/// The error for a token whose file was named for this call, and whose host was not or is ollama.com.
pub fn no_host(url: &BaseUrl) -> Problem {
    let message = format!("the token of --oidc-token-file is for a gateway, and is not sent to {url}");
    Problem::new(Exit::Usage, message).hint("name the gateway with --host or OLLAMA_HOST")
}

/// Why a token that is there is not sent to a host that was chosen.
pub fn unused_note(app: &App, target: &Target) -> Option<String> {
    let (host, is_named) = (&target.url, may_take_token(&target.url, target.reason));
    if app.env.oidc_token_file.is_some() && !is_named {
        let note = "OLLAMA_AUTH_OIDC_TOKEN_FILE is set but not used: name the gateway with --host or OLLAMA_HOST";
        return Some(note.to_owned());
    }
    misdirected_note(app, host).filter(|_| is_named)
}

/// Says that what the system provides is for another host, and how to get one for this host.
fn misdirected_note(app: &App, host: &BaseUrl) -> Option<String> {
    [TokenOrigin::GitLab, TokenOrigin::Kubernetes].into_iter().find_map(|origin| {
        let (audience, advice) = (misdirected(app, origin, host)?, audience_advice(origin, host));
        Some(format!("{} is for {audience}, so it is not sent to {host}; {advice}", origin.describe()))
    })
}

/// What a job without a credential has to say to get a token for its host, where that may be what is missing.
fn advice_for_job(app: &App, host: &BaseUrl) -> Option<String> {
    let ci = &app.env.ci;
    if let Some(note) = misdirected_note(app, host) {
        return Some(note);
    }
    match ci.system? {
        CiSystem::GitHub if ci.actions_url.is_none() => Some(
            "to get a token of GitHub Actions for this job, add to its workflow:\npermissions:\n  id-token: write\n(a pull request from a fork never gets one)"
                .to_owned(),
        ),
        CiSystem::GitLab if ci.id_token.is_none() => {
            Some(format!("to get a token of GitLab for this job, {}", id_tokens(host)))
        }
        CiSystem::Kubernetes => Some(format!(
            "to authenticate as the service account of this pod, mount its token at {KUBERNETES_FILE}, with the audience {host}"
        )),
        _ => None,
    }
}

/// The same for a host that was chosen, if the job may have a token there at all.
pub fn advice_without_credential(app: &App, target: &Target) -> Option<String> {
    if let Some(note) = unused_note(app, target) {
        return Some(note);
    }
    if !may_take_token(&target.url, target.reason) || app.env.api_key.is_some() {
        return None;
    }
    advice_for_job(app, &target.url)
}

/// What to do where a host refused a token.
pub fn refused_advice(app: &App, origin: TokenOrigin, claims: &TokenClaims, host: &BaseUrl) -> String {
    let now = (app.now)();
    if let Some(end) = claims.expires_at().filter(|_| claims.ends_within(0, now)) {
        let ended = format!("{} expired {}", origin.describe(), relative_time::ago(end, now));
        return match origin {
            TokenOrigin::GitLab => {
                format!(
                    "{ended}: GitLab issues it at the start of the job; create an API key first: ollama-auth keys create NAME --from-oidc"
                )
            }
            TokenOrigin::GitHub => format!("{ended}: check this machine's clock"),
            _ => format!("{ended}: check what renews the file"),
        };
    }
    let shown = |value: Option<&str>| value.unwrap_or("none").to_owned();
    format!(
        "{} was refused: ask the administrator of {host} for a workload rule that accepts it\nissuer: {}\nsubject: {}\naudience: {}",
        origin.describe(),
        shown(claims.issuer()),
        shown(claims.subject()),
        claims.audience().join(", "),
    )
}

fn audience_advice(origin: TokenOrigin, host: &BaseUrl) -> String {
    match origin {
        TokenOrigin::GitLab => id_tokens(host),
        TokenOrigin::Kubernetes => format!("set the audience of the projected token to {host}"),
        _ => format!("get a token with the audience {host}"),
    }
}

fn id_tokens(host: &BaseUrl) -> String {
    format!("add to the job in .gitlab-ci.yml:\nid_tokens:\n  OLLAMA_AUTH_ID_TOKEN:\n    aud: {host}")
}

/// A token in a variable: the only one that there will be.
struct TokenVariable(SecretString);

impl TokenSource for TokenVariable {
    fn name(&self) -> String {
        "the token in OLLAMA_AUTH_ID_TOKEN".to_owned()
    }

    fn fetch(&self) -> FetchedToken<'_> {
        Box::pin(std::future::ready(Ok(self.0.clone())))
    }
}

/// A token in a file, which something else replaces before it ends.
struct TokenFile {
    path: PathBuf,
}

impl TokenSource for TokenFile {
    fn name(&self) -> String {
        format!("the token in {}", self.path.display())
    }

    fn fetch(&self) -> FetchedToken<'_> {
        Box::pin(async {
            let path = self.path.clone();
            // It may be a pipe or lie in a network file system.
            let read = tokio::task::spawn_blocking(move || read_file(&path)).await;
            read.unwrap_or_else(|error| Err(TokenError::Unusable { message: error.to_string(), hint: None }))
        })
    }
}

fn read_file(path: &Path) -> Result<SecretString, TokenError> {
    let is_mounted = MOUNTED.iter().any(|folder| path.starts_with(folder));
    let exposure = if is_mounted { Exposure::Readers } else { Exposure::Owner };
    let bytes = disk::read_input(path, exposure).map_err(|error| TokenError::Unusable {
        message: format!("the token file cannot be used: {error}"),
        hint: error.hint(),
    })?;
    let bytes = bytes.map(Zeroizing::new).ok_or_else(|| TokenError::Unusable {
        message: format!("the token file {} does not exist", path.display()),
        hint: Some("check the path, and that the system that writes the file has started".to_owned()),
    })?;
    // Bytes that are not text are reported when the token is read.
    Ok(SecretString::from(String::from_utf8_lossy(&bytes).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_runtime_mounts_may_be_readable_by_others() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, " abc \n").unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
            assert!(
                matches!(read_file(&file), Err(TokenError::Unusable { message, .. }) if message.contains("token file"))
            );
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        assert_eq!(read_file(&file).unwrap().expose_secret(), "abc");
    }
}
