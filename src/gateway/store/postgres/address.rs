//! The address of a PostgreSQL database: `postgres://USER@HOST:PORT/NAME`, with what PostgreSQL's own programs understand, and without
//! what could hold a secret where others see it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr as _;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use thiserror::Error;
use url::Url;

/// What may follow the `?`. Others are refused, since sqlx would ignore them.
const PARAMETERS: [&str; 6] = ["host", "sslmode", "sslrootcert", "sslcert", "sslkey", "application_name"];

/// Why an address cannot be used. No text holds a part of it that may be secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// It does not have the form.
    #[error("the address of the database is not of the form postgres://USER@HOST:PORT/NAME: {0}")]
    Form(String),
    /// A parameter that is not known; holds its name.
    #[error("the address of the database has the unknown parameter {0:?}")]
    Parameter(String),
    /// A parameter with a value that is not known; holds its name.
    #[error("the address of the database has a wrong value of {0}")]
    Value(&'static str),
}

/// See the module. Shown and compared without the password.
#[derive(Clone)]
pub struct PostgresAddress {
    /// One for each host, without the account.
    urls: Vec<Url>,
    user: Option<String>,
    password: Option<SecretString>,
}

impl PostgresAddress {
    /// Whether a text is meant to be such an address.
    pub fn is_meant(text: &str) -> bool {
        let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
        scheme.is_some_and(|scheme| scheme == "postgres" || scheme == "postgresql")
    }

    /// Reads an address, with several hosts (`HOST,HOST` or `HOST:PORT,HOST:PORT`) if a replica can take over.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let form = |why: &str| AddressError::Form(why.to_owned());
        let (_, rest) = text.split_once("://").ok_or_else(|| form("there is no //"))?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, after) = rest.split_at(end);
        // The last @: a password may hold one that was not encoded.
        let (account, hosts) = authority.rsplit_once('@').map_or(("", authority), |(account, hosts)| (account, hosts));
        let (name, password) = account.split_once(':').map_or((account, None), |(name, word)| (name, Some(word)));
        let mut secret = password.filter(|word| !word.is_empty()).map(decoded).transpose()?.map(SecretString::from);
        let user = Some(name).filter(|name| !name.is_empty()).map(decoded).transpose()?;
        let mut urls = Vec::new();
        for host in hosts.split(',') {
            let mut url = Url::parse(&format!("postgres://{host}{after}"))
                .map_err(|error| AddressError::Form(error.to_string()))?;
            if url.fragment().is_some() {
                return Err(form("it has a part behind #"));
            }
            let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
            url.set_query(None);
            for (key, value) in pairs {
                if key == "password" {
                    secret = Some(SecretString::from(value));
                    continue;
                }
                if !PARAMETERS.contains(&key.as_str()) {
                    return Err(AddressError::Parameter(key));
                }
                if key == "sslmode" {
                    PgSslMode::from_str(&value).map_err(|_| AddressError::Value("sslmode"))?;
                }
                url.query_pairs_mut().append_pair(&key, &value);
            }
            urls.push(url);
        }
        Ok(Self { urls, user, password: secret })
    }

    /// Whether the address itself holds a password.
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// With that password instead of the one it holds, of `PGPASSWORD` and of `~/.pgpass`.
    pub fn with_password(self, password: SecretString) -> Self {
        Self { password: Some(password), ..self }
    }

    /// Stands for its hosts, ports and database name, with whatever account and parameters: 16 hexadecimal digits.
    ///
    /// # Errors
    /// [`AddressError::Form`].
    pub fn fingerprint(&self) -> Result<String, AddressError> {
        let options = self.options()?;
        let mut places: Vec<String> = options
            .iter()
            .map(|host| match host.get_socket() {
                Some(folder) => format!("{}:{}", folder.display(), host.get_port()),
                None => format!("{}:{}", host.get_host().to_ascii_lowercase(), host.get_port()),
            })
            .collect();
        places.sort();
        let name = options.first().map(|host| host.get_database().unwrap_or(host.get_username()).to_owned());
        let digest = Sha256::digest(format!("{}\n{}", places.join(","), name.unwrap_or_default()));
        Ok(digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }

    /// How to connect to each host.
    ///
    /// # Errors
    /// [`AddressError::Form`].
    pub(super) fn options(&self) -> Result<Vec<PgConnectOptions>, AddressError> {
        let options = |url: &Url| {
            let mut full = url.clone();
            // Not set afterwards: ~/.pgpass is looked up here.
            if let Some(user) = &self.user {
                full.query_pairs_mut().append_pair("user", user);
            }
            let options = PgConnectOptions::from_url(&full).map_err(|error| AddressError::Form(error.to_string()))?;
            let mut options = options.disable_statement_logging();
            if let Some(password) = &self.password {
                options = options.password(password.expose_secret());
            }
            let is_chosen = url.query_pairs().any(|(key, _)| key == "sslmode");
            // What is not chosen, here or by PGSSLMODE, would be plain text where the server offers nothing else.
            if !is_chosen && matches!(options.get_ssl_mode(), PgSslMode::Prefer) && !is_local(&options) {
                options = options.ssl_mode(PgSslMode::VerifyFull);
            }
            Ok(options)
        };
        self.urls.iter().map(options).collect()
    }
}

/// Whether the connection stays on this machine.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    options.get_socket().is_some() || host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn decoded(text: &str) -> Result<String, AddressError> {
    let word = percent_encoding::percent_decode_str(text).decode_utf8();
    word.map(std::borrow::Cow::into_owned).map_err(|_| AddressError::Value("the user or the password"))
}

/// Without the password.
impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.urls.first() else { return Ok(()) };
        let host = |url: &Url| match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let hosts: Vec<String> = self.urls.iter().map(host).collect();
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        write!(f, "postgres://{user}{}{}", hosts.join(","), first.path())?;
        first.query().map_or(Ok(()), |query| write!(f, "?{query}"))
    }
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl PartialEq for PostgresAddress {
    fn eq(&self, other: &Self) -> bool {
        let secret = |address: &Self| address.password.as_ref().map(|word| word.expose_secret().to_owned());
        self.urls == other.urls && self.user == other.user && secret(self) == secret(other)
    }
}

impl Eq for PostgresAddress {}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn mode(text: &str) -> String {
        format!("{:?}", PostgresAddress::parse(text).unwrap().options().unwrap()[0].get_ssl_mode())
    }

    #[test]
    fn a_password_is_never_shown() {
        for text in [
            "postgres://ada:s3cret@db.example:5433/gate?sslmode=require",
            "postgresql://ada:s3@cret@db.example/gate",
            "postgres://ada@db.example/gate?password=s3cret",
            "postgres://ada:s3cret@[::1]:1,db.example:2/gate",
        ] {
            let address = PostgresAddress::parse(text).unwrap();
            assert!(address.has_password());
            for shown in [address.to_string(), format!("{address:?}")] {
                assert!(!shown.contains("cret") && !shown.contains("s3") && shown.contains("ada@"), "{shown}");
            }
            let options = address.options().unwrap();
            assert!(!options.is_empty() && !format!("{:?}", options[0].get_host()).contains("s3"));
        }
        for wrong in [
            "postgres://ada:s3cret@db.example:port/gate",
            "postgres://ada:s3cret@db.example/gate?s3cret",
            "postgres://ada:s3cret@db.example/gate?sslmode=s3cret",
            "postgres:ada:s3cret@db.example",
            "postgres://ada:s3%ffcret@db.example/gate",
            "postgres://ada:s3cret@db.example/gate#s3cret",
        ] {
            let error = PostgresAddress::parse(wrong).unwrap_err();
            // The name of an unknown parameter is the only text that is repeated.
            let is_name = error == AddressError::Parameter("s3cret".into());
            assert!(is_name || !error.to_string().contains("cret"), "{error}");
        }
    }

    #[test]
    fn beyond_this_machine_the_certificate_is_checked() {
        assert_eq!(mode("postgres://a@db.example/g"), "VerifyFull");
        assert_eq!(mode("postgres://a@10.0.0.1/g"), "VerifyFull");
        assert_eq!(mode("postgres://a@db.example/g?sslmode=disable"), "Disable");
        for local in ["localhost", "127.0.0.1:5433", "[::1]"] {
            assert_eq!(mode(&format!("postgres://a@{local}/g")), "Prefer", "{local}");
        }
        assert_eq!(mode("postgres://a@/g?host=/run/postgresql"), "Prefer");
    }

    #[test]
    fn several_hosts_and_a_socket() {
        let address = PostgresAddress::parse("postgres://ada@one:1,two:2,three/gate").unwrap();
        let hosts: Vec<_> =
            address.options().unwrap().iter().map(|o| (o.get_host().to_owned(), o.get_port())).collect();
        assert_eq!(hosts, [("one".to_owned(), 1), ("two".to_owned(), 2), ("three".to_owned(), 5432)]);
        assert_eq!(address.to_string(), "postgres://ada@one:1,two:2,three/gate");
        let socket = PostgresAddress::parse("postgresql:///gate?host=/run/postgresql").unwrap();
        let options = socket.options().unwrap();
        assert_eq!(options[0].get_socket(), Some(&PathBuf::from("/run/postgresql")));
        assert!(PostgresAddress::is_meant("PostgreSQL://x") && !PostgresAddress::is_meant("sqlite:postgres"));
    }

    #[test]
    fn a_fingerprint_is_of_hosts_ports_and_the_name_only() {
        let of = |text: &str| PostgresAddress::parse(text).unwrap().fingerprint().unwrap();
        let first = of("postgres://ada@db.example,two:5433/gate");
        assert_eq!(first.len(), 16);
        for same in
            ["postgres://bob:x@two:5433,DB.example:5432/gate", "postgresql://db.example,two:5433/gate?sslmode=disable"]
        {
            assert_eq!(of(same), first, "{same}");
        }
        for other in [
            "postgres://ada@db.example/gate",
            "postgres://ada@db.example,two:5434/gate",
            "postgres://ada@db.example,two:5433/gate2",
        ] {
            assert_ne!(of(other), first, "{other}");
        }
    }

    #[test]
    fn a_password_of_a_file_wins() {
        let address = PostgresAddress::parse("postgres://ada:one@localhost/gate").unwrap();
        let other = address.clone().with_password(SecretString::from("two"));
        assert_ne!(address, other);
        assert_eq!(address.to_string(), other.to_string());
    }
}
