//! Which accounts the programs behind a port of this machine belong to. Linux shows that to everyone; elsewhere nothing is known.
//!
//! Every account may listen on a free port, so a server that is down can be replaced by a program of another account. To be asked
//! after connecting: a connection that is accepted, or waits in the queue of a listener, has that account in the list, and a listener
//! that has been closed since has reset the connections in its queue.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// The first id of people where `/etc/login.defs` says nothing.
const UID_MIN: u32 = 1000;
/// What systemd gives to services with `DynamicUser=`.
const DYNAMIC_USERS: std::ops::RangeInclusive<u32> = 61_184..=65_519;
/// What a user namespace, such as that of a container, shows for every account that it does not know.
const UNMAPPED: u32 = 65_534;
/// The account that Ollama's installer creates.
const OLLAMA: &str = "ollama";
const LISTENING: &str = "0A";

/// An account that is neither ours, nor root, nor a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignAccount {
    /// Its numeric id.
    pub id: u32,
    /// Its name, where the system has it.
    pub name: Option<String>,
}

impl fmt::Display for ForeignAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "the account {name} (user id {})", self.id),
            None => write!(f, "another account (user id {})", self.id),
        }
    }
}

/// An account behind a port at one of these loopback addresses that is neither ours, nor root, nor a service. A program at another address
/// of loopback is none of it: it would be held against the server, or, recorded at a sign-in, be trusted in its place. Takes some
/// milliseconds where there are many connections.
pub fn foreign_account(port: u16, addresses: &[IpAddr]) -> Option<ForeignAccount> {
    foreign_among(accounts(port, |address| address.is_unspecified() || addresses.contains(&address), |_| true))
}

/// The same for a warning, faster: where a program listens there and every one that does is ours, connections are not looked at. A
/// program that stopped listening after it took a connection is missed if another began to listen at that moment.
pub fn foreign_listener(port: u16, addresses: &[IpAddr]) -> Option<ForeignAccount> {
    #[cfg(target_os = "linux")]
    if let Some(sockets) = super::listening_sockets::listening_sockets(port) {
        let here = sockets.into_iter().filter(|(address, _)| address.is_unspecified() || addresses.contains(address));
        let found: BTreeSet<u32> = here.map(|(_, account)| account).collect();
        if !found.is_empty() && foreign_among(found).is_none() {
            return None;
        }
    }
    foreign_account(port, addresses)
}

/// The first of these accounts that is neither ours, nor root, nor a service.
fn foreign_among(found: BTreeSet<u32>) -> Option<ForeignAccount> {
    let own = own_id()?;
    let others: Vec<u32> = found.into_iter().filter(|id| ![own, 0].contains(id)).collect();
    if others.is_empty() {
        return None;
    }
    let first_person = first_person();
    let is_service = |id: u32| id < first_person || DYNAMIC_USERS.contains(&id) || id == UNMAPPED && has_unmapped_ids();
    let people = others.into_iter().filter(|id| !is_service(*id));
    let mut foreign = people.map(|id| ForeignAccount { id, name: passwd_entry(id).map(|(name, _)| name) });
    foreign.find(|account| account.name.as_deref() != Some(OLLAMA))
}

/// The accounts that listen on a port at loopback or everywhere.
pub fn listening_accounts(port: u16) -> Vec<u32> {
    accounts(port, is_local, |state| state == LISTENING).into_iter().collect()
}

/// Name and home of an account.
pub fn passwd_entry(id: u32) -> Option<(String, PathBuf)> {
    find_account(&std::fs::read_to_string("/etc/passwd").unwrap_or_default(), id)
}

fn own_id() -> Option<u32> {
    #[cfg(unix)]
    return Some(rustix::process::geteuid().as_raw());
    #[cfg(not(unix))]
    None
}

fn has_unmapped_ids() -> bool {
    !maps_all_ids(&std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default())
}

/// Whether a line of a uid map (first id here, first id outside, number) is about all.
fn maps_all_ids(map: &str) -> bool {
    map.lines().any(|line| line.split_ascii_whitespace().eq(["0", "0", "4294967295"]))
}

fn first_person() -> u32 {
    read_uid_min(&std::fs::read_to_string("/etc/login.defs").unwrap_or_default()).unwrap_or(UID_MIN)
}

fn read_uid_min(settings: &str) -> Option<u32> {
    let mut lines = settings.lines().map(str::split_ascii_whitespace);
    lines.find_map(|mut words| (words.next() == Some("UID_MIN")).then(|| words.next()?.parse().ok())?)
}

fn is_local(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified()
}

fn accounts(port: u16, is_here: impl Fn(IpAddr) -> bool, has_state: impl Fn(&str) -> bool) -> BTreeSet<u32> {
    if !cfg!(target_os = "linux") {
        return BTreeSet::new();
    }
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map(|path| read_table(path).unwrap_or_default());
    // Nearly all lines are about others.
    let suffix = format!(":{port:04X}");
    let lines = tables.iter().flat_map(|table| table.lines()).filter(|line| line.contains(&suffix));
    lines.filter_map(|line| account_of(line, port, &is_here, &has_state)).collect()
}

/// Reads a table in large pieces. Each read that comes to its end takes the system one to two milliseconds on a machine with much memory, and
/// `read_to_string` begins with pieces of 32 bytes.
fn read_table(path: &str) -> std::io::Result<String> {
    let (mut file, mut table, mut piece) = (File::open(path)?, Vec::new(), vec![0; 64 * 1024]);
    loop {
        let length = file.read(&mut piece)?;
        if length == 0 {
            return Ok(String::from_utf8_lossy(&table).into_owned());
        }
        table.extend_from_slice(&piece[..length]);
    }
}

/// The account of a line of `/proc/net/tcp` that is a socket on that port at such an address. Its fields: number, local address,
/// remote address, state (0A listens), queues, timer, retransmissions, user id, timeouts, inode. Without an inode no program has the
/// socket, and then the user id says nothing.
fn account_of(
    line: &str,
    port: u16,
    is_here: impl Fn(IpAddr) -> bool,
    has_state: impl Fn(&str) -> bool,
) -> Option<u32> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (address, at) = fields.get(1)?.split_once(':')?;
    let fits = has_state(fields.get(3)?) && u16::from_str_radix(at, 16) == Ok(port) && *fields.get(9)? != "0";
    (fits && is_here(parse_address(address)?.to_canonical())).then(|| fields.get(7)?.parse().ok())?
}

/// Each group of eight digits is a number in the machine's byte order.
fn parse_address(hex: &str) -> Option<IpAddr> {
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
fn find_account(accounts: &str, id: u32) -> Option<(String, PathBuf)> {
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

    fn listening(line: &str, port: u16) -> Option<u32> {
        account_of(line, port, is_local, |state| state == LISTENING)
    }

    #[test]
    fn a_listening_socket_names_its_account() {
        assert_eq!(listening(LINE, 11434), Some(997));
        assert_eq!(listening(LINE, 11435), None);
        assert_eq!(listening(&LINE.replace(" 0A ", " 01 "), 11434), None, "a connection");
        assert_eq!(account_of(&LINE.replace(" 0A ", " 01 "), 11434, is_local, |_| true), Some(997));
        assert_eq!(account_of(&LINE.replace(" 25 ", " 0 "), 11434, is_local, |_| true), None, "not accepted");
        assert_eq!(listening(&LINE.replace("0100007F", "00000000"), 11434), Some(997));
        assert_eq!(listening(&LINE.replace("0100007F", "0501A8C0"), 11434), None, "on the network alone");
        let six = |address: &str| listening(&LINE.replace("0100007F", address), 11434);
        assert_eq!(six("00000000000000000000000001000000"), Some(997), "::1");
        assert_eq!(six("0000000000000000FFFF00000100007F"), Some(997), "::ffff:127.0.0.1");
        assert_eq!(six("B80D0120000000000000000001000000"), None);
        for odd in ["", "sl local_address rem_address st", "0: xyz:1 0 0A 0 0 0 0"] {
            assert_eq!(listening(odd, 11434), None, "{odd}");
        }
    }

    #[test]
    fn an_account_is_found_by_its_number() {
        let accounts = "root:x:0:0:root:/root:/bin/bash\nollama:x:997:997::/usr/share/ollama:/bin/false\nodd\n";
        assert_eq!(find_account(accounts, 997), Some(("ollama".to_owned(), "/usr/share/ollama".into())));
        assert_eq!(find_account(accounts, 1), None);
    }

    #[test]
    fn the_first_id_of_people_is_a_setting_of_the_system() {
        assert_eq!(read_uid_min("# UID_MIN 7\nSYS_UID_MIN 100\nUID_MIN\t\t\t  500\n"), Some(500));
        assert_eq!(read_uid_min(""), None);
    }

    #[test]
    fn a_user_namespace_is_known_by_its_map() {
        assert!(maps_all_ids("         0          0 4294967295\n"));
        assert!(!maps_all_ids("         0       1000          1\n         1     100000      65536\n"));
        assert!(!maps_all_ids(""));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn our_own_program_is_not_foreign() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(listening_accounts(port), [own_id().unwrap()]);
        assert_eq!(foreign_account(port, &[Ipv4Addr::LOCALHOST.into()]), None);
    }
}
