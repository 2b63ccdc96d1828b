//! Importing and exporting keys.

use super::*;
use crate::harness::can_be_other_accounts;

#[test]
fn the_key_of_stock_ollama_is_imported_and_used() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let file = key_file(&sandbox, STOCK_KEY, "ed25519", "");
    let before = fs::read(&file).unwrap();
    let output = device(&sandbox, &["import", "--host", &cloud.url()]).expect_code(0);
    says(&output, &["Imported", &group_fingerprint(&fingerprint(&file)), "the operator of", "signin --host"]);
    // The private key was copied and the file left alone.
    assert_eq!(fs::read(&file).unwrap(), before);
    // At a host that knows it already, there is nothing to approve.
    let line = fs::read_to_string(file.with_extension("pub")).unwrap();
    let list = device(&sandbox, &["list", "--json"]).expect_code(0).json();
    assert_eq!(list["devices"][0]["fingerprint"], list["devices"][1]["fingerprint"]);
    assert_eq!(list["devices"][1]["profile"], Value::Null);
    assert!(list["devices"][1]["rests_in"].as_str().unwrap().ends_with(STOCK_KEY));
    sign_in(&sandbox, &cloud, &[]);
    assert_eq!(cloud.devices()[0].key.line, line.trim());
    says(&device(&sandbox, &["import"]).expect_code(0), &["already has this device key"]);

    // Signing out would sign out stock Ollama too.
    let output = sandbox.command(["signout"]).run().expect_code(2);
    says(&output, &["shared with", STOCK_KEY, "--yes"]);
    assert_eq!(cloud.devices().len(), 1);
    sandbox.command(["status"]).run().expect_code(0);
    sandbox.command(["signout", "--yes"]).run().expect_code(0);
    assert!(cloud.devices().is_empty());
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn a_protected_key_needs_its_passphrase() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let file = key_file(&sandbox, "home/key", "ed25519", "the key's passphrase");
    let path = file.to_str().unwrap();
    let import = |more: &[&str]| {
        let args = ["device", "import", path, "--host", &cloud.url()].map(str::to_owned);
        sandbox.command(args).args(more).run()
    };
    says(&import(&[]).expect_code(2), &[path, "--key-passphrase-file"]);
    let wrong = sandbox.write("wrong", "not it\n");
    says(&import(&["--key-passphrase-file", wrong.to_str().unwrap()]).expect_code(1), &[path, "wrong passphrase"]);
    assert!(!sandbox.path(DATA).exists());
    let right = sandbox.write("right", "the key's passphrase\n");
    let output = import(&["--key-passphrase-file", right.to_str().unwrap()]).expect_code(0);
    says(&output, &[&group_fingerprint(&fingerprint(&file))]);
}

#[test]
fn unsupported_key_files_are_refused_with_a_reason() {
    let sandbox = with_store("plaintext");
    let rsa = key_file(&sandbox, "home/rsa", "rsa", "");
    let good = fs::read_to_string(key_file(&sandbox, "home/good", "ed25519", "")).unwrap();
    let corrupt = sandbox.write("home/corrupt", good.replace("AAAA", "AABA"));
    let cut = sandbox.write("home/cut", &good[..good.len() / 2]);
    let empty = sandbox.write("home/empty", "");
    let binary = sandbox.write("home/binary", [0xff, 0xfe, 0, 1]);
    let huge = sandbox.write("home/huge", vec![b'x'; 1 << 20]);
    let folder = sandbox.path("home/folder");
    fs::create_dir(&folder).unwrap();
    let public = sandbox.path("home/good.pub");
    let missing = sandbox.path("home/missing");
    let cases: [(&Path, i32, &str); 9] = [
        (&rsa, 1, "must be ssh-ed25519"),
        (&corrupt, 1, "damaged"),
        (&cut, 1, "damaged"),
        (&empty, 1, "not an OpenSSH private key"),
        (&binary, 1, "not text"),
        (&huge, 1, "larger than"),
        (&folder, 1, "not a regular file"),
        (&public, 1, "without .pub"),
        (&missing, 3, "the key file"),
    ];
    let before = sandbox.files();
    for (path, code, words) in cases {
        let path = path.to_str().unwrap();
        let output = device(&sandbox, &["import", path]);
        assert_eq!(output.code(), code, "{}", output.snapshot());
        says(&output, &[path, words]);
    }
    assert_eq!(sandbox.files(), before);
    says(&device(&sandbox, &["import"]).expect_code(3), &[STOCK_KEY, "/usr/share/ollama"]);
}

#[test]
fn a_pipe_is_read_and_an_unwritten_pipe_does_not_hang() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let fifo = sandbox.path("home/fifo");
    let made = std::process::Command::new(tool("mkfifo")).arg(&fifo).status();
    assert!(made.unwrap().success());
    let path = fifo.to_str().unwrap();
    let output = device(&sandbox, &["import", path]).expect_code(1);
    says(&output, &[path, "not an OpenSSH private key"]);
    let key = key_file(&sandbox, "home/key", "ed25519", "");
    let script = format!(
        "'{}' '{}' | '{}' device import /dev/stdin --host {}",
        tool("cat").display(),
        key.display(),
        crate::harness::cmd::PROGRAM,
        cloud.url()
    );
    sandbox.program(tool("sh"), ["-c", &script]).run().expect_code(0);
    assert_eq!(shown(&sandbox), fingerprint(&key));
}

#[test]
fn unreadable_and_exposed_keys_are_reported() {
    let sandbox = with_store("plaintext");
    let key = key_file(&sandbox, "home/key", "ed25519", "");
    let path = key.to_str().unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o000)).unwrap();
    let output = as_nobody(&sandbox, &["device", "import", path]).run();
    says(&output.expect_code(1), &["cannot read", path, "denied"]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let output = as_nobody(&sandbox, &["device", "import", path]).run();
    says(&output.expect_code(0), &["can be read by other accounts", "rotate"]);
}

#[test]
fn replacing_a_key_requires_confirmation_and_leaves_no_copy() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let first = shown(&sandbox);
    let secret = entries(&sandbox).to_string();
    let key = key_file(&sandbox, "home/key", "ed25519", "");
    let path = key.to_str().unwrap();
    let output = device(&sandbox, &["import", path]).expect_code(2);
    says(&output, &["has another device key", &group_fingerprint(&first), "--replace"]);
    assert_eq!(entries(&sandbox).to_string(), secret);
    sandbox
        .command(["device", "import", path, "--replace", "--store", "file"])
        .env("OLLAMA_AUTH_PASSPHRASE", crate::given::PASSPHRASE)
        .run()
        .expect_code(0);
    assert_eq!(shown(&sandbox), fingerprint(&key));
    assert!(!plaintext(&sandbox).contains("device-key:"), "{}", plaintext(&sandbox));
}

#[test]
fn a_key_used_at_two_hosts_is_warned_about() {
    let (sandbox, one, two) = (with_store("plaintext"), Cloud::start(), Cloud::start());
    let key = key_file(&sandbox, "home/key", "ed25519", "");
    let path = key.to_str().unwrap();
    device(&sandbox, &["import", path, "--host", &one.url()]).expect_code(0);
    let output = device(&sandbox, &["import", path, "--host", &two.url()]).expect_code(0);
    says(&output, &["this key is also used at", &one.url(), "can act as you at the other"]);
    // For ollama.com, whose key stock Ollama's is, there is nothing to warn of.
    let sandbox = with_store("plaintext");
    key_file(&sandbox, STOCK_KEY, "ed25519", "");
    let output = device(&sandbox, &["import"]).expect_code(0);
    assert!(!output.stderr().contains("can act as you"), "{}", output.snapshot());
}

#[test]
fn ssh_keygen_reads_the_exported_key() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let line = cloud.devices()[0].key.line.clone();
    let file = sandbox.path("home/out/id");
    let path = file.to_str().unwrap();
    let output = device(&sandbox, &["export", path]).expect_code(2);
    says(&output, &["without a passphrase", "--no-passphrase"]);
    assert!(!file.exists());
    let output = device(&sandbox, &["export", path, "--no-passphrase"]).expect_code(0);
    says(&output, &[path, "not protected by a passphrase"]);
    assert_eq!(ssh_keygen(&["-y", "-P", "", "-f", path]).trim(), line);
    let public = sandbox.path("home/out/id.pub");
    assert_eq!((mode(&file), mode(&public)), (0o600, 0o600));
    assert_eq!(fs::read_to_string(public).unwrap().trim(), line);

    // A protected one, over the first and over its public half alone.
    let passphrase = sandbox.write("passphrase", "for the file\n");
    let protect = ["--key-passphrase-file", passphrase.to_str().unwrap()];
    let before = fs::read(&file).unwrap();
    let export = |more: &[&str]| {
        let export = sandbox.command(["device", "export", path]);
        export.args(protect).args(more).run()
    };
    says(&export(&[]).expect_code(2), &[path, "exists", "--replace"]);
    assert_eq!(fs::read(&file).unwrap(), before);
    fs::remove_file(&file).unwrap();
    says(&export(&[]).expect_code(2), &["id.pub already exists", "--replace"]);
    assert!(!file.exists());
    export(&["--replace"]).expect_code(0);
    assert_eq!(ssh_keygen(&["-y", "-P", "for the file", "-f", path]).trim(), line);
    sandbox.assert_no_secret("for the file", &[], &["passphrase"]);
}

#[test]
fn an_export_follows_no_symlink() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let victim = sandbox.write("victim", "precious");
    for (planted, target) in [("a", "a"), ("b.pub", "b")] {
        symlink(&victim, sandbox.path("home").join(planted)).unwrap();
        let path = sandbox.path("home").join(target);
        let path = path.to_str().unwrap();
        device(&sandbox, &["export", path, "--no-passphrase"]).expect_code(2);
        let args = ["export", path, "--no-passphrase", "--replace"];
        says(&device(&sandbox, &args).expect_code(1), &["symbolic link"]);
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }
    assert!(!sandbox.path("home/b").exists(), "half an export is none");
    let folder = sandbox.path("home/folder");
    fs::create_dir(&folder).unwrap();
    let args = ["export", folder.to_str().unwrap(), "--no-passphrase", "--replace"];
    says(&device(&sandbox, &args).expect_code(1), &["not a regular file"]);
}

/// Root writes every file, so that such a link would decide which.
#[test]
fn no_file_is_written_through_another_accounts_link() {
    if !can_be_other_accounts() {
        return;
    }
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let (other, ours) = (sandbox.path("other"), sandbox.path("ours"));
    for folder in [&other, &ours] {
        fs::create_dir(folder).unwrap();
    }
    symlink("../ours", other.join("folder")).unwrap();
    symlink("../ours/page", other.join("ollama-auth.1")).unwrap();
    for path in [other.clone(), other.join("folder"), other.join("ollama-auth.1")] {
        std::os::unix::fs::lchown(path, Some(54_321), Some(54_321)).unwrap();
    }
    let path = |below: &str| other.join(below).to_str().unwrap().to_owned();
    let refused = |args: &[&str]| {
        let output = sandbox.command(args).run().expect_code(1);
        says(&output, &["is a symbolic link of another account (user id 54321)", "readlink -f"]);
    };
    for below in ["folder/id", "folder/new/id"] {
        refused(&["device", "export", &path(below), "--no-passphrase"]);
        refused(&["device", "export", &path(below), "--no-passphrase", "--replace"]);
    }
    refused(&["man", &path("folder")]);
    refused(&["man", &path("")]);
    #[cfg(feature = "gateway")]
    {
        refused(&["gateway", "init", &path("folder/gateway.toml")]);
        refused(&["gateway", "init", &path("folder/gateway.toml"), "--force"]);
    }
    assert_eq!(fs::read_dir(&ours).unwrap().count(), 0);
}
