//! A stand-in for ollama.com with its name and a certificate for it: the gateway, behind a proxy that leads every https connection
//! there. So a stock server signs in as it does in the world.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};

use super::program::Server;
use crate::gateway_tls::Authority;
use crate::harness::gateway::Gateway;

/// ollama.com, as far as a stock server asks for it.
pub struct Internet {
    authority: Authority,
    /// What answers as ollama.com.
    pub com: Gateway,
    proxy: String,
}

impl Internet {
    /// ollama.com in front of `upstream`, with the account `ada`.
    pub fn start(upstream: &str) -> Self {
        let authority = Authority::new();
        let [cert, key] = authority.issue_for("com", "DNS:ollama.com").map(|path| path.to_str().unwrap().to_owned());
        let args = ["--public-url", "https://ollama.com", "--tls-cert", &cert, "--tls-key", &key];
        let com = Gateway::start_with(upstream, &args);
        com.add_user("ada", "member");
        let proxy = lead_to(com.address());
        Self { authority, com, proxy }
    }

    /// A stock server on a machine that reaches it.
    pub fn server(&self) -> Server {
        Server::start_with(&[("HTTPS_PROXY", &self.proxy), ("SSL_CERT_FILE", &self.authority.ca())])
    }
}

/// A proxy that leads every `CONNECT` to one address, for as long as the tests run.
fn lead_to(address: String) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let address = address.clone();
            std::thread::spawn(move || lead(&stream, &address));
        }
    });
    url
}

fn lead(client: &TcpStream, address: &str) -> Option<()> {
    // Unbuffered: what follows the header is not for us.
    let mut header = BufReader::with_capacity(1, client);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        header.read_line(&mut line).ok().filter(|read| *read > 0)?;
    }
    let server = TcpStream::connect(address).ok()?;
    (&*client).write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
    let copy = |mut from: &TcpStream, mut to: &TcpStream| {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| copy(client, &server));
        copy(&server, client);
    });
    Some(())
}
