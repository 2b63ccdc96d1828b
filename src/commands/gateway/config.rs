//! The gateway's configuration: finds and reads the file, adds the environment and the flags. `gateway init` writes the file.

use std::path::{Path, PathBuf};

use crate::address::BaseUrl;
use crate::app::App;
use crate::cli::{DatabaseArgs, InitArgs, ServeArgs};
use crate::disk::{DiskError, Exposure, read_input, shell_quoted, write_given};
use crate::exit::{Exit, Problem};
use crate::gateway::{self, Config, ConfigFile, DatabaseLocation, FILE_VARIABLE, Flag, Inputs, PolicyTables};

/// The name of the file in our configuration folder.
const FILE_NAME: &str = "gateway.toml";

/// The configuration to serve with. Reads the file at each call, so that a reload can use it too.
///
/// # Errors
/// A file that cannot be read or that others can write, and everything of [`gateway::ConfigError`].
pub fn load(app: &App, args: &ServeArgs) -> anyhow::Result<Config> {
    let mut inputs = inputs(app, &args.database)?;
    let paths = [("tls-cert", &args.tls_cert), ("tls-key", &args.tls_key)];
    let texts = [("listen", &args.listen), ("upstream", &args.upstream), ("public-url", &args.public_url)];
    for (name, value) in texts {
        inputs.flags.extend(value.iter().map(|value| Flag::Own(name, value.clone())));
    }
    for (name, value) in paths {
        let Some(path) = value else { continue };
        let text = path.to_str().ok_or_else(|| {
            Problem::new(Exit::Usage, format!("--{name}: the path {} is not valid UTF-8", path.display()))
        })?;
        inputs.flags.push(Flag::Own(name, text.to_owned()));
    }
    if args.behind_tls_proxy {
        inputs.flags.push(Flag::Own("behind-tls-proxy", "true".to_owned()));
    }
    inputs.flags.extend(args.set.iter().cloned().map(Flag::Set));
    let config = gateway::load(&inputs)?;
    refuse_shown_password(&inputs, config.database.as_ref())?;
    Ok(config)
}

/// The configured database, from the same sources, and the file with its password.
///
/// # Errors
/// As for [`load`], but the other settings are not checked together.
pub fn load_database(app: &App, args: &DatabaseArgs) -> anyhow::Result<(Option<DatabaseLocation>, Option<PathBuf>)> {
    let inputs = inputs(app, args)?;
    let (location, password_file) = gateway::load_database(&inputs)?;
    refuse_shown_password(&inputs, location.as_ref())?;
    Ok((location, password_file))
}

/// The roles and groups that are defined, from the same sources.
///
/// # Errors
/// As for [`load_database`].
pub fn load_policy_tables(app: &App, args: &DatabaseArgs) -> anyhow::Result<PolicyTables> {
    Ok(gateway::load_policy_tables(&inputs(app, args)?)?)
}

/// The public address of the gateway, from the same sources; `None` without one.
///
/// # Errors
/// As for [`load_database`].
pub fn load_public_url(app: &App, args: &DatabaseArgs) -> anyhow::Result<Option<BaseUrl>> {
    Ok(gateway::load_public_url(&inputs(app, args)?)?)
}

/// The database that an argument of that name gives. The configuration counts for nothing.
///
/// # Errors
/// Something else than a database, or an address with a password.
pub fn named_database(argument: &'static str, text: &str) -> anyhow::Result<DatabaseLocation> {
    let flags = vec![Flag::Argument(argument, "database", text.to_owned())];
    let (location, _) = gateway::load_database(&Inputs { flags, ..Inputs::default() })?;
    location.ok_or_else(|| {
        let text = "expected sqlite:PATH, a path, or postgres://USER@HOST/NAME, not \"\"";
        Problem::new(Exit::Usage, format!("{argument}: {text}")).into()
    })
}

/// Refuses a password in a configuration file that others can read.
fn refuse_shown_password(inputs: &Inputs, location: Option<&DatabaseLocation>) -> anyhow::Result<()> {
    let is_given_elsewhere = |name: &str| name == "OLLAMA_AUTH_GATEWAY_DATABASE";
    if !location.is_some_and(DatabaseLocation::has_password)
        || inputs.variables.iter().any(|(name, value)| is_given_elsewhere(name) && !value.is_empty())
    {
        return Ok(());
    }
    let Some(file) = &inputs.file else { return Ok(()) };
    match read_input(&file.path, Exposure::Group) {
        Err(error) if !matches!(error, DiskError::Io { .. }) => Err(Problem::new(
            Exit::Usage,
            format!("the configuration file holds the password of the database: {error}"),
        )
        .hint(format!(
            "chmod 600 {}; or move the password to a file of its own: database-password-file",
            shell_quoted(&file.path)
        ))
        .into()),
        _ => Ok(()),
    }
}

/// The configuration file, if there is one.
///
/// # Errors
/// A file that cannot be read or that others can write.
pub fn file(app: &App, args: &DatabaseArgs) -> anyhow::Result<Option<ConfigFile>> {
    find_file(app, args)
}

fn inputs(app: &App, args: &DatabaseArgs) -> anyhow::Result<Inputs> {
    if args.database.as_deref().is_some_and(|value| value.trim().is_empty()) {
        return Err(Problem::new(
            Exit::Usage,
            "--database: expected sqlite:PATH, a path, or postgres://USER@HOST/NAME, not \"\"",
        )
        .into());
    }
    Ok(Inputs {
        file: find_file(app, args)?,
        variables: app.env.gateway.0.clone(),
        flags: args.database.iter().map(|value| Flag::Own("database", value.clone())).collect(),
    })
}

/// `--config`, then the variable, then the usual file if it is there.
fn find_file(app: &App, args: &DatabaseArgs) -> anyhow::Result<Option<ConfigFile>> {
    let variable = app.env.gateway.0.iter().find(|(name, value)| name == FILE_VARIABLE && !value.is_empty());
    if let Some(path) = &args.config {
        return read_named(path, "--config").map(Some);
    }
    if let Some((name, path)) = variable {
        return read_named(&PathBuf::from(path), name).map(Some);
    }
    let path = app.paths.config.join(FILE_NAME);
    Ok(read_bytes(&path)?.map(|bytes| ConfigFile { path, bytes }))
}

/// A file that was named has to be there.
fn read_named(path: &Path, named_by: &str) -> anyhow::Result<ConfigFile> {
    match read_bytes(path)? {
        Some(bytes) => Ok(ConfigFile { path: path.to_owned(), bytes }),
        None => Err(Problem::new(Exit::Usage, format!("{named_by}: there is no file {}", path.display()))
            .hint(format!("create it: ollama-auth gateway init {}", shell_quoted(path)))
            .into()),
    }
}

/// A file that others can write is refused: it decides who may sign in and where requests go.
fn read_bytes(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    read_input(path, Exposure::Readers).map_err(|error| match error {
        DiskError::Io { .. } => error.into(),
        _ => {
            let problem = Problem::new(Exit::Usage, format!("the configuration file {error}"));
            match error.hint() {
                Some(hint) => problem.hint(hint).into(),
                None => problem.into(),
            }
        }
    })
}

/// `gateway init`: writes a configuration file with every setting explained and commented out.
///
/// # Errors
/// A file that exists, without `--force`; one that cannot be written.
pub async fn init(app: &App, args: InitArgs) -> anyhow::Result<Exit> {
    let file = args.file.as_path();
    let (shown, quoted) = (file.display().to_string(), shell_quoted(file));
    let text = gateway::commented_file();
    if !write_given(file, text.as_bytes(), args.force)? {
        return Err(Problem::new(Exit::Failed, format!("{shown} already exists"))
            .hint(format!("replace it: ollama-auth gateway init {quoted} --force"))
            .into());
    }
    if app.printer.is_json() {
        app.printer.json(&serde_json::json!({ "version": 1, "file": shown }))?;
        return Ok(Exit::Done);
    }
    app.printer.success(&format!("Wrote {shown} with every setting at its default, commented out"));
    let usual = app.paths.config.join("gateway.toml");
    let config = if is_same_file(file, &usual) { String::new() } else { format!(" --config {quoted}") };
    app.printer.hint(&format!("change what you need, then run: ollama-auth gateway serve{config}"));
    Ok(Exit::Done)
}

/// Whether `gateway serve` finds the file by itself.
fn is_same_file(file: &Path, usual: &Path) -> bool {
    file.canonicalize().is_ok_and(|file| usual.canonicalize().is_ok_and(|usual| file == usual))
}
