//! A real nginx in front of several gateways. It listens on a Unix socket in a temporary folder, so no port is taken.

use std::fmt::Write as _;
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use super::cmd::{Child, Sandbox};
use super::{poll, tool};

/// It ends when this is dropped.
pub struct Nginx {
    folder: tempfile::TempDir,
    _child: Child,
    _sandbox: Sandbox,
}

impl Nginx {
    /// In front of the gateways at these addresses, in turn. They see the name `host`, and callers that come from 192.0.2.1. A gateway that
    /// cannot be reached is passed over; a request that one has begun to answer is not sent to another.
    pub fn start(gateways: &[String], host: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("ng").tempdir().unwrap();
        let base = folder.path().display();
        let mut servers = String::new();
        for address in gateways {
            write!(servers, "server {address} max_fails=1 fail_timeout=1s;").unwrap();
        }
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {base}/{kind};"))
            .concat();
        let config = format!(
            "daemon off; master_process off; pid {base}/pid; error_log {base}/error.log;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ access_log off; {temporary}\n\
             upstream gateways {{ {servers} }}\n\
             server {{ listen unix:{base}/socket; location / {{\n\
             proxy_pass http://gateways; proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 300s;\n\
             proxy_set_header Connection \"\"; proxy_set_header Host {host};\n\
             proxy_set_header X-Forwarded-For 192.0.2.1; }} }} }}\n"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let sandbox = Sandbox::new();
        // Debian has it where only root looks.
        let places = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&places).chain(["/usr/sbin".into()]).map(|place| place.join("nginx"));
        let program = found.into_iter().find(|file| file.is_file()).unwrap_or_else(|| tool("nginx"));
        let log = folder.path().join("error.log");
        let args = ["-p".as_ref(), folder.path(), "-e".as_ref(), log.as_path(), "-c".as_ref(), file.as_path()];
        let child = sandbox.program(program, args).deadline(Duration::from_secs(3600)).spawn();
        let socket = folder.path().join("socket");
        poll("the socket of nginx", || socket.exists().then_some(()));
        Self { folder, _child: child, _sandbox: sandbox }
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Hands it the connections of a listener too, for what cannot use a Unix socket, such as a browser. The listener stays open until the test
    /// process ends; its connections end with nginx.
    pub fn serve(&self, listener: TcpListener) {
        let socket = self.socket();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(caller), Ok(server)) = (stream, UnixStream::connect(&socket)) else { continue };
                let (Ok(mut from_caller), Ok(mut to_server)) = (caller.try_clone(), server.try_clone()) else {
                    continue;
                };
                let (mut to_caller, mut from_server) = (caller, server);
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from_caller, &mut to_server);
                    let _ = to_server.shutdown(Shutdown::Write);
                });
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from_server, &mut to_caller);
                    let _ = to_caller.shutdown(Shutdown::Both);
                });
            }
        });
    }
}
