//! A server that is reached through a network: what it must prove before anything is sent to it.

use std::path::PathBuf;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, UnixStream};
use tokio_rustls::TlsAcceptor;

use crate::gateway_tls::{Authority, server_config};
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::Gateway;
use crate::harness::postgres::Postgres;

/// What a client of PostgreSQL sends first to have TLS: the length of the message, and a code.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A port of this machine that leads to the server, by TLS with that certificate; without one it says that there is no TLS.
fn listen(server: &Postgres, certificate: Option<[PathBuf; 2]>) -> u16 {
    let acceptor = certificate.map(|certificate| TlsAcceptor::from(server_config(certificate)));
    let socket = format!("{}/.s.PGSQL.5432", server.folder());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        runtime.block_on(async {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (acceptor, socket) = (acceptor.clone(), socket.clone());
                tokio::spawn(async move {
                    let mut first = [0; 8];
                    stream.read_exact(&mut first).await?;
                    assert_eq!(first, SSL_REQUEST, "sent without TLS");
                    let Some(acceptor) = acceptor else { return stream.write_all(b"N").await };
                    stream.write_all(b"S").await?;
                    let mut stream = acceptor.accept(stream).await?;
                    copy_bidirectional(&mut stream, &mut UnixStream::connect(socket).await?).await.map(drop)
                });
            }
        });
    });
    port
}

/// The address of the same database at that port, with more parameters.
fn at(port: u16, host: &str, database: &str, more: &str) -> String {
    let name = database.split_once("@/").unwrap().1.split('?').next().unwrap();
    format!("postgres://gate@{host}:{port}/{name}?sslmode=verify-full{more}")
}

#[track_caller]
fn refused(address: &str, words: &[&str]) {
    let output = Sandbox::new().command(["gateway", "user", "list", "--database", address]).run().expect_code(1);
    for words in words {
        assert!(output.stderr().contains(words), "{words:?}: {}", output.stderr());
    }
}

#[test]
fn a_server_proves_who_it_is_or_gets_nothing() {
    let (server, authority) = (Postgres::shared(), Authority::new());
    let database = server.database();
    let trusted = format!("&sslrootcert={}", authority.ca());
    let port = listen(server, Some(authority.issue_for("good", "DNS:localhost")));
    let good = at(port, "localhost", &database, &trusted);
    Sandbox::new().command(["gateway", "user", "list", "--database", &good]).run().expect_code(0);
    let unknown = ["does not trust the authority that issued its TLS certificate", "?sslrootcert=FILE"];
    refused(&at(port, "localhost", &database, ""), &unknown);
    refused(&at(port, "127.0.0.1", &database, &trusted), &["its TLS certificate is for another name"]);
    let expired = listen(server, Some(authority.issue_expired("old", "DNS:localhost")));
    refused(&at(expired, "localhost", &database, &trusted), &["its TLS certificate has expired"]);
    let plain = listen(server, None);
    refused(&at(plain, "localhost", &database, &trusted), &["server does not support TLS"]);
}

/// That would go on as long as the server shows that certificate.
#[test]
fn a_gateway_does_not_wait_for_a_server_that_it_does_not_trust() {
    let (server, authority) = (Postgres::shared(), Authority::new());
    let port = listen(server, Some(authority.issue_for("good", "DNS:localhost")));
    let address = at(port, "localhost", &server.database(), "");
    let sandbox = Sandbox::new();
    let secret = sandbox.write("secret", "the same for all gateways of a test");
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let secret = format!("secret-file={}", secret.display());
    let serve = ["gateway", "serve", "--listen", "127.0.0.1:0", "--database", &address, "--set", &secret];
    let output = sandbox.command(serve).run().expect_code(1);
    assert!(!output.stderr().contains("trying again") && output.stderr().contains("?sslrootcert=FILE"));
}

#[test]
fn a_gateway_serves_from_a_server_that_it_trusts() {
    let (server, authority) = (Postgres::shared(), Authority::new());
    let port = listen(server, Some(authority.issue_for("good", "DNS:localhost")));
    let address = at(port, "localhost", &server.database(), &format!("&sslrootcert={}", authority.ca()));
    let upstream = super::upstream();
    let gateway = Gateway::start_on(&address, &upstream.url(), &[]);
    gateway.add_user("ada", "admin");
    let device = gateway.device_added_to("ada");
    super::key(&gateway, &device);
}
