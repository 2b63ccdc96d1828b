//! The gateway's settings as this machine and this call have them: finds and reads the configuration file, and hands it
//! on with the environment and the flags.

use std::path::{Path, PathBuf};

use crate::app::App;
use crate::cli::{DatabaseArgs, ServeArgs};
use crate::disk::{DiskError, Exposure, read_input};
use crate::exit::{Exit, Problem};
use crate::gateway::{self, Config, ConfigFile, FILE_VARIABLE, Flag, Inputs};

/// The name of the file in our configuration folder.
const FILE: &str = "gateway.toml";

/// The configuration to serve with. Reads the file anew at each call, so a reload can use it too.
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
    Ok(gateway::load(&inputs)?)
}

/// Where the accounts are, by the same layers; `None` is the usual place.
///
/// # Errors
/// As for [`load`], but whether the other settings go together is not looked at.
pub fn database(app: &App, args: &DatabaseArgs) -> anyhow::Result<Option<String>> {
    Ok(gateway::load_database(&inputs(app, args)?)?)
}

fn inputs(app: &App, args: &DatabaseArgs) -> anyhow::Result<Inputs> {
    Ok(Inputs {
        file: file(app, args)?,
        variables: app.env.gateway.0.clone(),
        flags: args.database.iter().map(|value| Flag::Own("database", value.clone())).collect(),
    })
}

/// `--config`, then the variable, then the usual file if it is there.
fn file(app: &App, args: &DatabaseArgs) -> anyhow::Result<Option<ConfigFile>> {
    let variable = app.env.gateway.0.iter().find(|(name, value)| name == FILE_VARIABLE && !value.is_empty());
    if let Some(path) = &args.config {
        return read(path, "--config").map(Some);
    }
    if let Some((name, path)) = variable {
        return read(&PathBuf::from(path), name).map(Some);
    }
    let path = app.paths.config.join(FILE);
    Ok(bytes(&path)?.map(|bytes| ConfigFile { path, bytes }))
}

/// A file that was named has to be there.
fn read(path: &Path, named_by: &str) -> anyhow::Result<ConfigFile> {
    match bytes(path)? {
        Some(bytes) => Ok(ConfigFile { path: path.to_owned(), bytes }),
        None => Err(Problem::new(Exit::Usage, format!("{named_by}: there is no file {}", path.display()))
            .hint(format!("write one: ollama-auth gateway init {}", path.display()))
            .into()),
    }
}

/// Whoever can write the file decides whom the gateway lets in and where it sends what they say.
fn bytes(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
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
