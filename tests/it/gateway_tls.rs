//! https from end to end, with certificates made by the real openssl: who is served, who is not, and what SIGHUP changes under a gateway
//! that serves.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::process::Signal;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::given::{says, with_store};
use crate::harness::cmd::{Child, Cmd, Sandbox};
use crate::harness::gateway::{Gateway, PASSWORD};
use crate::harness::http::{Gate, Reply, Server, Step};
use crate::harness::ollama::{Ollama, recorded};
use crate::harness::{DEADLINE, contains, tool};

const RUN: [&str; 3] = ["run", "tiny", "Why is the sky blue?"];
const RELOADED: &str = "configuration reloaded";

const NOT_RELOADED: &str = "cannot reload the configuration";
const EXTENSIONS: &str = "[req]\ndistinguished_name = dn\nprompt = no\nx509_extensions = authority\n[dn]\nCN = a test\n\
    [authority]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\n\
    [server]\nbasicConstraints = CA:FALSE\nsubjectAltName = IP:127.0.0.1, DNS:localhost\nextendedKeyUsage = serverAuth\n\
    [ca]\ndefault_ca = past\n[past]\ndatabase = index.txt\nserial = serial\nnew_certs_dir = .\ndefault_md = sha256\npolicy = any\n\
    [any]\ncommonName = optional\n";

/// What a server of a test shows: that certificate chain, with its key.
pub fn server_config([chain, key]: [PathBuf; 2]) -> Arc<ServerConfig> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(chain).unwrap().map(Result::unwrap).collect();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap())
        .unwrap();
    Arc::new(config)
}

/// A certificate authority of its own, and what it issued for this machine.
pub struct Authority(Sandbox);

impl Authority {
    /// Makes both.
    pub fn new() -> Self {
        let this = Self(Sandbox::new());
        this.0.write("tls/openssl.cnf", EXTENSIONS);
        this.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -config openssl.cnf -days 2 -keyout ca.key -out ca.pem");
        this.issue(1);
        this
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path("tls").join(name)
    }

    fn text(&self, name: &str) -> String {
        self.file(name).to_str().unwrap().to_owned()
    }

    /// The authority's certificate, for `--ca-cert`.
    pub fn ca(&self) -> String {
        self.text("ca.pem")
    }

    /// A new `server.pem` and `server.key`; gives the certificate.
    fn issue(&self, serial: u32) -> String {
        self.openssl("req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -config openssl.cnf -keyout server.key -out server.csr");
        self.openssl(&format!("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -set_serial {serial} -days 2 -extfile openssl.cnf -extensions server -out server.pem"));
        fs::read_to_string(self.file("server.pem")).unwrap()
    }

    fn openssl(&self, args: &str) {
        let output = Command::new(tool("openssl"))
            .args(args.split(' '))
            .current_dir(self.file(""))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts a gateway with the certificate.
    pub fn serve(&self, upstream: &str, more: &[&str]) -> Gateway {
        let (cert, key) = (self.text("server.pem"), self.text("server.key"));
        let args = ["--upstream", upstream, "--tls-cert", &cert, "--tls-key", &key];
        Gateway::start_from(&[&args, more].concat())
    }

    /// A certificate for that name (`DNS:example.com`) and its key, in files that are called so: the paths of both.
    pub fn issue_for(&self, file: &str, name: &str) -> [PathBuf; 2] {
        self.request(file, name);
        self.openssl(&format!("x509 -req -in {file}.csr -CA ca.pem -CAkey ca.key -set_serial 9 -days 2 -extfile other.cnf -extensions other -out {file}.pem"));
        ["pem", "key"].map(|kind| self.file(&format!("{file}.{kind}")))
    }

    /// The same, with a certificate that expired in the year 2000: at the last second of a certificate openssl and rustls disagree.
    pub fn issue_expired(&self, file: &str, name: &str) -> [PathBuf; 2] {
        self.request(file, name);
        self.0.write("tls/index.txt", "");
        // `x509` takes such dates only from openssl 3.4 on.
        self.openssl(&format!("ca -batch -notext -config other.cnf -cert ca.pem -keyfile ca.key -create_serial -startdate 20000101000000Z -enddate 20000102000000Z -extensions other -in {file}.csr -out {file}.pem"));
        ["pem", "key"].map(|kind| self.file(&format!("{file}.{kind}")))
    }

    fn request(&self, file: &str, name: &str) {
        let section = format!("[other]\nbasicConstraints = CA:FALSE\nsubjectAltName = {name}\n");
        self.0.write("tls/other.cnf", format!("{EXTENSIONS}{section}"));
        self.openssl(&format!("req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -config other.cnf -keyout {file}.key -out {file}.csr"));
    }

    /// The certificate that a gateway shows now.
    fn shown_by(&self, gateway: &Gateway) -> String {
        let (address, ca) = (gateway.address(), self.ca());
        let args = ["s_client", "-connect", &address, "-CAfile", &ca, "-verify_return_error"];
        let output = self.0.program(tool("openssl"), args).run().expect_code(0);
        let from = output.stdout().find("-----BEGIN").expect("a certificate");
        let end = output.stdout().find("-----END CERTIFICATE-----").expect("a whole certificate");
        output.stdout()[from..end].to_owned()
    }

    /// curl that trusts this authority alone.
    pub fn curl(&self, more: &[&str]) -> Cmd {
        let ca = self.ca();
        self.0.program(tool("curl"), ["--silent", "--show-error", "--noproxy", "*", "--cacert", &ca]).args(more)
    }

    /// A device of a new person's, approved by its link.
    pub fn device(&self, gateway: &Gateway, name: &str) -> Sandbox {
        gateway.add_user(name, "maintainer");
        let device = with_store("plaintext");
        let sign_in = ["signin", "--host", &gateway.url(), "--no-wait", "--ca-cert", &self.ca()];
        let link = device.command(sign_in).run().expect_code(4).stdout().trim().to_owned();
        gateway.admin(&["approve", &link, "--user", name]).expect_code(0);
        device.command(sign_in).run().expect_code(0);
        device
    }

    /// The header of a key that may do everything that a test asks for.
    pub fn header(&self, gateway: &Gateway) -> String {
        let device = self.device(gateway, "ada");
        let key = gateway.key(&device, &["k", "--scope", "inference,models:read", "--ca-cert", &self.ca()]);
        format!("Authorization: Bearer {key}")
    }
}

/// Sends SIGHUP and waits until stderr says that, once more than before.
fn hang_up(gateway: &Gateway, wanted: &str) -> String {
    let child: &Child = gateway.child();
    let count = |text: &str| text.matches(wanted).count();
    let before = count(&child.wait_stderr(|_| true));
    child.signal(Signal::HUP);
    child.wait_stderr(|text| count(text) > before)
}

/// What `GET /api/tags` answers at the moment.
fn tags(authority: &Authority, gateway: &Gateway, header: &str) -> String {
    let url = format!("{}/api/tags", gateway.url());
    authority.curl(&["--fail", "--header", header, &url]).run().expect_code(0).stdout().to_owned()
}

/// A file with settings for a gateway that serves https; its relative paths count from its folder, which is `tls`.
fn settings(authority: &Authority, more: &str) -> String {
    let text = format!("tls-cert = \"server.pem\"\ntls-key = \"server.key\"\n{more}");
    let file = authority.0.write("tls/gateway.toml", text);
    file.to_str().unwrap().to_owned()
}

#[test]
fn an_unknown_certificate_authority_is_rejected() {
    let authority = Authority::new();
    let gateway = authority.serve("http://127.0.0.1:9", &[]);
    assert!(gateway.url().starts_with("https://127.0.0.1:"), "{}", gateway.url());
    let device = with_store("plaintext");
    let output = device.command(["signin", "--host", &gateway.url(), "--no-wait"]).run().expect_code(6);
    says(&output, &["does not trust the authority that issued its TLS certificate", "--ca-cert"]);
    let sign_in = ["signin", "--host", &gateway.url(), "--no-wait", "--ca-cert"];
    let other = Authority::new();
    says(&device.command(sign_in).args([&other.ca()]).run().expect_code(6), &["TLS"]);
    device.command(sign_in).args([&authority.ca()]).run().expect_code(4);
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_in_plain_words() {
    let authority = Authority::new();
    let device = with_store("plaintext");
    let report = |[certificate, key]: &[PathBuf; 2], ca: &Path, wanted: &str| {
        let (cert, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
        let gateway = Gateway::start_from(&["--upstream", "http://127.0.0.1:9", "--tls-cert", cert, "--tls-key", key]);
        let sign_in = ["signin", "--host", &gateway.url(), "--no-wait", "--ca-cert", ca.to_str().unwrap()];
        says(&device.command(sign_in).run().expect_code(6), &[wanted]);
    };
    let ca = authority.file("ca.pem");
    report(&authority.issue_for("other", "DNS:elsewhere.example"), &ca, "its TLS certificate is for another name");
    report(&authority.issue_expired("expired", "IP:127.0.0.1"), &ca, "its TLS certificate has expired");
    // What openssl makes when it is asked for a self-signed certificate and nothing else.
    authority.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=own -addext subjectAltName=IP:127.0.0.1 -days 2 -keyout own.key -out own.pem");
    let own = ["own.pem", "own.key"].map(|file| authority.file(file));
    report(&own, &own[0], "basicConstraints=CA:FALSE");
}

#[test]
fn signing_in_running_a_model_and_creating_keys_work_over_tls() {
    let (upstream, authority) = (Ollama::start(), Authority::new());
    let gateway = authority.serve(&upstream.url(), &[]);
    gateway.add_user("ada", "member");
    let (device, ca) = (with_store("plaintext"), authority.ca());
    let with_ca = |args: &[&str]| device.command(args).args(["--ca-cert", &ca]);

    let sign_in = ["signin", "--host", &gateway.url(), "--no-wait"];
    let link = with_ca(&sign_in).run().expect_code(4).stdout().trim().to_owned();
    assert!(link.starts_with(&format!("{}/connect?", gateway.url())), "{link}");
    let script = device.write("person.py", include_str!("harness/person.py"));
    let person = [script.to_str().unwrap(), &link, "ada", PASSWORD, "Approve"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    device.program(tool("python3"), person).env("PATH", path).env("SSL_CERT_FILE", &ca).run().expect_code(0);
    with_ca(&sign_in).run().expect_code(0);

    let said = with_ca(&RUN).run().expect_code(0);
    assert_eq!(said.stdout().trim_end(), recorded("generate").said().trim_end());
    let key = with_ca(&["keys", "create", "ci"]).run().expect_code(0).stdout().trim().to_owned();
    let wrong = with_ca(&["run", "--host", &gateway.url(), "tiny", "hi"]).env("OLLAMA_API_KEY", "wrong").run();
    wrong.expect_code(4);
    let tags = |key: &str| {
        let (header, url) = (format!("Authorization: Bearer {key}"), format!("{}/api/tags", gateway.url()));
        authority.curl(&["--output", "/dev/null", "--write-out", "%{http_code}", "--header", &header, &url]).run()
    };
    assert_eq!(tags(&key).stdout(), "200");
    with_ca(&["keys", "revoke", "ci", "--yes"]).run().expect_code(0);
    assert_eq!(tags(&key).stdout(), "401");
    with_ca(&["signout"]).run().expect_code(0);
    device.assert_no_secret(&key, &[], &[]);
}

#[test]
fn plain_http_on_the_https_port_is_refused_without_harm() {
    let (authority, upstream) = (Authority::new(), Server::start(|_| Reply::json(200, "{}")));
    let gateway = authority.serve(&upstream.url(), &[]);
    for garbage in
        ["GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "\0\0\0\0", "\x16\x03\x01\u{7f}\u{7f}junk", "SSH-2.0-x\r\n"]
    {
        let answer = gateway.raw(garbage);
        assert!(!contains(&answer, b"HTTP/1.1 2") && !contains(&answer, b"Ollama"), "{garbage:?}: {answer:?}");
    }
    let url = format!("{}/", gateway.url());
    assert_eq!(authority.curl(&[&url]).run().expect_code(0).stdout(), "Ollama is running");
    // Neither old versions of TLS nor HTTP/2 are offered.
    assert_ne!(authority.curl(&["--tlsv1.0", "--tls-max", "1.1", &url]).run().code(), 0);
    let version = authority.curl(&["--http2", "--output", "/dev/null", "--write-out", "%{http_version}", &url]).run();
    assert_eq!(version.expect_code(0).stdout(), "1.1");
}

#[test]
fn a_missing_tls_handshake_times_out() {
    let authority = Authority::new();
    let gateway = authority.serve("http://127.0.0.1:9", &["--set", "header-timeout=1s"]);
    for begin in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut stream = TcpStream::connect(gateway.address()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(begin).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap_or_else(|error| panic!("after {begin:?}: {error}"));
    }
}

#[test]
fn cookies_are_secure_and_bound_to_the_host() {
    let authority = Authority::new();
    let gateway = authority.serve("http://127.0.0.1:9", &[]);
    gateway.add_user("ada", "member");
    let (url, jar) = (format!("{}/login", gateway.url()), authority.text("jar"));
    let strict = |output: &str, name: &str| {
        let cookie = output.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}: {output}"));
        let (head, rest) = cookie.split_once('=').unwrap();
        assert_eq!(head.to_ascii_lowercase(), format!("set-cookie: {}", name.to_ascii_lowercase()));
        for attribute in ["; Path=/;", "; HttpOnly", "; SameSite=Strict", "; Secure"] {
            assert!(rest.contains(attribute), "{attribute}: {}", &rest[rest.find(';').unwrap_or(0)..]);
        }
        assert!(!rest.contains("Domain"), "a cookie of the prefix has no domain");
    };
    let form = authority.curl(&["--include", "--cookie-jar", &jar, &url]).run().expect_code(0);
    strict(form.stdout(), "__Host-ollama-auth-visitor");
    let mut data = vec!["name=ada".to_owned(), format!("password={PASSWORD}")];
    for input in form.stdout().split("<input").skip(1).filter(|input| input.contains("type=\"hidden\"")) {
        let of = |name: &str| input.split_once(&format!("{name}=\"")).unwrap().1.split('"').next().unwrap();
        data.push(format!("{}={}", of("name"), of("value").replace("&amp;", "&")));
    }
    let mut args = vec!["--include", "--cookie", &jar, "--cookie-jar", &jar];
    for pair in &data {
        args.extend(["--data-urlencode", pair]);
    }
    args.extend(["--header", "Sec-Fetch-Site: same-origin", &url]);
    let output = authority.curl(&args).run().expect_code(0);
    strict(output.stdout(), "__Host-ollama-auth-session");
    let account = format!("{}/account", gateway.url());
    let page = authority.curl(&["--fail", "--cookie", &jar, &account]).run().expect_code(0);
    assert!(page.stdout().contains("ada"), "{}", page.stdout());
}

#[test]
fn sighup_loads_a_renewed_certificate_without_cutting_connections() {
    let authority = Authority::new();
    let gate = Gate::new();
    let held = gate.clone();
    let steps = move || [Step::send("{\"a\":1}\n"), Step::WaitFor(held.clone()), Step::send("{\"done\":true}\n")];
    let upstream = Server::start(move |_| Reply::ndjson(steps()));
    let gateway = authority.serve(&upstream.url(), &[]);
    let header = authority.header(&gateway);
    let first = authority.shown_by(&gateway);
    let url = format!("{}/api/generate", gateway.url());
    let stream = authority.curl(&["--no-buffer", "--header", &header, "--data", "{}", &url]).spawn();
    stream.wait_stdout(|text| text.contains("\"a\""));

    let renewed = authority.issue(2);
    assert_eq!(authority.shown_by(&gateway), first, "read without being asked");
    hang_up(&gateway, RELOADED);
    let now = authority.shown_by(&gateway);
    assert!(now != first && renewed.contains(&now));

    // One that cannot be used, and one whose key is another: both are named, and the last good one stays.
    let key = fs::read_to_string(authority.file("server.key")).unwrap();
    authority.0.write("tls/server.pem", "no certificate");
    let said = hang_up(&gateway, NOT_RELOADED);
    assert!(said.contains("server.pem: it holds no certificate"), "{said}");
    authority.issue(3);
    authority.0.write("tls/server.key", key);
    let said = hang_up(&gateway, NOT_RELOADED);
    assert!(said.lines().last().is_some_and(|line| line.contains("server.key") && line.contains("belong")), "{said}");
    fs::remove_file(authority.file("server.key")).unwrap();
    hang_up(&gateway, NOT_RELOADED);
    assert_eq!(authority.shown_by(&gateway), now);

    gate.open();
    assert!(stream.finish().expect_code(0).stdout().ends_with("{\"done\":true}\n"));
}

#[test]
fn sighup_sends_new_requests_to_another_server_and_a_broken_file_changes_nothing() {
    let authority = Authority::new();
    let first = Server::start(|_| Reply::json(200, r#"{"models":[],"from":"first"}"#));
    let second = Server::start(|_| Reply::json(200, r#"{"models":[],"from":"second"}"#));
    let upstream = |server: &Server| format!("upstream = \"{}\"\n", server.url());
    let file = settings(&authority, &upstream(&first));
    let gateway = Gateway::start_from(&["--config", &file]);
    let header = authority.header(&gateway);
    assert!(tags(&authority, &gateway, &header).contains("first"));
    settings(&authority, &upstream(&second));
    hang_up(&gateway, RELOADED);
    assert!(tags(&authority, &gateway, &header).contains("second"));

    for (broken, wanted) in [
        ("upstream = \"http://127.0.0.1:9\n", "gateway.toml:3:"),
        ("upsteam = \"http://127.0.0.1:9\"\n", "Did you mean \"upstream\"?"),
        ("upstream = \"http://127.0.0.1:9\"\nthreads = -1\n", "threads must be a number"),
    ] {
        settings(&authority, broken);
        let said = hang_up(&gateway, NOT_RELOADED);
        assert!(said.lines().last().is_some_and(|line| line.contains(wanted)), "{wanted:?}: {said}");
        assert!(tags(&authority, &gateway, &header).contains("second"));
    }
    fs::remove_file(&file).unwrap();
    let said = hang_up(&gateway, NOT_RELOADED);
    assert!(said.lines().last().is_some_and(|line| line.contains("there is no file")), "{said}");
    assert!(tags(&authority, &gateway, &header).contains("second"));
}

#[test]
fn sighup_names_settings_that_need_a_restart_and_applies_the_rest() {
    let authority = Authority::new();
    let (first, second) = (Ollama::start(), Server::start(|_| Reply::json(200, r#"{"models":[],"from":"second"}"#)));
    let file = settings(&authority, &format!("upstream = \"{}\"\n", first.url()));
    let gateway = Gateway::start_from(&["--config", &file]);
    let header = authority.header(&gateway);
    settings(&authority, &format!("upstream = \"{}\"\nthreads = 1\nmax-connections = 7\n", second.url()));
    let said = hang_up(&gateway, RELOADED);
    assert!(said.contains("change only at the next start settings=\"max-connections, threads\"\n"), "{said}");
    assert!(tags(&authority, &gateway, &header).contains("second"));

    // Without TLS at all, and with an upstream that speaks another protocol: the rest of what was said still counts.
    authority.0.write("tls/gateway.toml", "upstream = \"https://127.0.0.1:9\"\nallowed-hosts = [\"box.lan\"]\n");
    let said = hang_up(&gateway, RELOADED);
    let named = said.lines().rfind(|line| line.contains("next start")).unwrap();
    assert!(named.contains("tls-cert") && named.contains("upstream"), "{named}");
    assert!(tags(&authority, &gateway, &header).contains("second"));
    let url = format!("{}/", gateway.url());
    let ours = authority.curl(&["--fail", "--header", "Host: box.lan", &url]).run();
    assert_eq!(ours.expect_code(0).stdout(), "Ollama is running");
}

#[test]
fn unusable_tls_files_are_named_at_start() {
    let authority = Authority::new();
    let start = |cert: &str, key: &str| {
        let (cert, key) = (authority.text(cert), authority.text(key));
        let args = ["gateway", "serve", "--listen", "127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
        Sandbox::new().command(args).run().expect_code(1)
    };
    authority.0.write("tls/empty.pem", "");
    says(&start("server.pem", "ca.key"), &["ca.key", "does not belong to the certificate in", "server.pem"]);
    says(&start("no.pem", "server.key"), &["no.pem", "No such file"]);
    says(&start("empty.pem", "server.key"), &["empty.pem", "no certificate"]);
    says(&start("server.pem", "empty.pem"), &["empty.pem", "no private key"]);
    // Swapped by mistake.
    says(&start("server.key", "server.pem"), &["server.key", "no certificate"]);
}

fn mode(authority: &Authority, name: &str, mode: u32) {
    fs::set_permissions(authority.file(name), fs::Permissions::from_mode(mode)).unwrap();
}

/// Whoever has the key can read and change what callers send, their API keys among it.
#[test]
fn a_tls_key_that_every_account_can_read_is_refused() {
    let authority = Authority::new();
    let (cert, key) = (authority.text("server.pem"), authority.text("server.key"));
    for bits in [0o644, 0o604, 0o602, 0o666] {
        mode(&authority, "server.key", bits);
        let args = ["gateway", "serve", "--listen", "127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
        let output = Sandbox::new().command(args).run().expect_code(1);
        says(&output, &["server.key", &format!("mode {bits:04o}"), &format!("chmod o= {key}")]);
    }
    // A group may, as Debian's ssl-cert does; and a link leads to the file itself, as certbot's do.
    mode(&authority, "server.key", 0o640);
    fs::rename(authority.file("server.key"), authority.file("real.key")).unwrap();
    std::os::unix::fs::symlink("real.key", authority.file("server.key")).unwrap();
    let gateway = authority.serve("http://127.0.0.1:9", &[]);
    mode(&authority, "real.key", 0o644);
    let said = hang_up(&gateway, NOT_RELOADED);
    assert!(said.lines().last().is_some_and(|line| line.contains("server.key")), "{said}");
    mode(&authority, "real.key", 0o400);
    hang_up(&gateway, RELOADED);
}

#[test]
fn listening_beyond_loopback_requires_tls() {
    let sandbox = Sandbox::new();
    let everywhere = ["gateway", "serve", "--listen", "0.0.0.0:0"];
    says(&sandbox.command(everywhere).run().expect_code(2), &["which other machines can reach", "--tls-cert"]);
    let proxied = [&everywhere[..], &["--behind-tls-proxy"]].concat();
    says(&sandbox.command(&proxied).run().expect_code(2), &["public-url is not set"]);
    let child = sandbox.command(&proxied).args(["--public-url", "https://gpu.example.com"]).spawn();
    child.wait_stderr(|text| text.contains("Gateway listening at https://gpu.example.com (0.0.0.0:"));
    child.signal(Signal::TERM);
    child.finish().expect_code(0);
}

#[test]
fn a_port_in_use_is_reported() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Sandbox::new().command(["gateway", "serve", "--listen", &address]).run().expect_code(1);
    says(
        &output,
        &[&format!("cannot listen at {address}"), "stop the program that listens there", "--listen 127.0.0.1:"],
    );
}
