//! Which account a local server runs as, told by the socket that it listens on (Linux says so to everybody), and where that
//! account has its home.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use super::access::own_id;

/// The account of a process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its numeric id.
    pub id: u32,
    /// Its name and its home, where the system's list of accounts has it.
    pub entry: Option<(String, PathBuf)>,
}

impl Owner {
    /// It is the account that runs us.
    pub fn is_us(&self) -> bool {
        self.id == own_id()
    }
}

/// The account of the process that listens on a port of this machine.
///
/// # Errors
/// Why that cannot be told.
pub fn owner(port: u16) -> Result<Owner, &'static str> {
    if !cfg!(target_os = "linux") {
        return Err("this system does not say which account listens on a port");
    }
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let mut ids: Vec<u32> = tables.iter().flat_map(|table| table.lines()).filter_map(|l| listens(l, port)).collect();
    ids.sort_unstable();
    ids.dedup();
    match ids[..] {
        [id] => {
            let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
            Ok(Owner { id, entry: account(&accounts, id) })
        }
        [] => Err("no process of this machine is seen to listen there (it may run in a container or another system)"),
        _ => Err("several accounts listen on that port"),
    }
}

/// The user id of a line of `/proc/net/tcp` that is a socket listening on that port at loopback or everywhere. Its fields:
/// number, local address, remote address, state (0A listens), queues, timer, retransmissions, user id.
fn listens(line: &str, port: u16) -> Option<u32> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (address, at) = fields.get(1)?.split_once(':')?;
    let here = *fields.get(3)? == "0A" && u16::from_str_radix(at, 16) == Ok(port);
    let address = parse(address)?;
    let address = address.to_canonical();
    (here && (address.is_loopback() || address.is_unspecified())).then(|| fields.get(7)?.parse().ok())?
}

/// Each group of eight digits is a number in the machine's byte order.
fn parse(hex: &str) -> Option<IpAddr> {
    let mut bytes = Vec::new();
    for at in (0..hex.len()).step_by(8) {
        let word = u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    if let Ok(four) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(Ipv4Addr::from(four).into());
    }
    <[u8; 16]>::try_from(bytes.as_slice()).ok().map(|sixteen| Ipv6Addr::from(sixteen).into())
}

/// Name and home of an id in `/etc/passwd`.
fn account(accounts: &str, id: u32) -> Option<(String, PathBuf)> {
    let id = id.to_string();
    accounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2) == Some(&id.as_str())).then(|| Some(((*fields.first()?).to_owned(), fields.get(5)?.into())))?
    })
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;

    const LINE: &str =
        "   0: 0100007F:2CAA 00000000:0000 0A 00000000:00000000 00:00000000 00000000   997        0 25 1";

    #[test]
    fn a_listening_socket_names_its_account() {
        assert_eq!(listens(LINE, 11434), Some(997));
        assert_eq!(listens(LINE, 11435), None);
        assert_eq!(listens(&LINE.replace(" 0A ", " 01 "), 11434), None, "a connection");
        assert_eq!(listens(&LINE.replace("0100007F", "00000000"), 11434), Some(997));
        assert_eq!(listens(&LINE.replace("0100007F", "0501A8C0"), 11434), None, "on the network alone");
        let six = |address: &str| listens(&LINE.replace("0100007F", address), 11434);
        assert_eq!(six("00000000000000000000000001000000"), Some(997), "::1");
        assert_eq!(six("0000000000000000FFFF00000100007F"), Some(997), "::ffff:127.0.0.1");
        assert_eq!(six("B80D0120000000000000000001000000"), None);
        for odd in ["", "sl local_address rem_address st", "0: xyz:1 0 0A 0 0 0 0"] {
            assert_eq!(listens(odd, 11434), None, "{odd}");
        }
    }

    #[test]
    fn an_account_is_found_by_its_number() {
        let accounts = "root:x:0:0:root:/root:/bin/bash\nollama:x:997:997::/usr/share/ollama:/bin/false\nodd\n";
        assert_eq!(account(accounts, 997), Some(("ollama".to_owned(), "/usr/share/ollama".into())));
        assert_eq!(account(accounts, 1), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn our_own_socket_is_ours() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(owner(socket.local_addr().unwrap().port()).unwrap().is_us());
    }
}
