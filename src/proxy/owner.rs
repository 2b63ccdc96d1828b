//! Finds the account of the program at the other end of a loopback connection. A loopback port is open to every account of the machine;
//! on Linux, `/proc/self/net/tcp` says which account owns the socket at the other end.

use std::net::SocketAddr;

/// Whether the system tells which account a caller has. Elsewhere only a token keeps the programs of other accounts out.
pub const KNOWS_CALLERS: bool = cfg!(target_os = "linux");

/// The account at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This account, or root, which can read everything anyway.
    Ours,
    /// Another account.
    Other(u32),
    /// The system does not say.
    Unknown,
}

/// The owner of the socket `peer` that is connected to `local`. Takes some milliseconds where there are many connections. Where the system
/// has no such list, every program counts as this account's.
pub fn of(peer: SocketAddr, local: SocketAddr) -> Owner {
    #[cfg(target_os = "linux")]
    {
        // A dual-stack socket is in the IPv6 list.
        let lists = [
            ("/proc/self/net/tcp", entry(peer), entry(local)),
            ("/proc/self/net/tcp6", entry_v6(peer), entry_v6(local)),
        ];
        let mut found = lists.into_iter().filter_map(|(file, peer, local)| {
            let list = std::fs::read_to_string(file).ok()?;
            owner_in(&list, &peer?, &local?)
        });
        match found.next() {
            None => Owner::Unknown,
            Some(uid) if uid == 0 || uid == rustix::process::geteuid().as_raw() => Owner::Ours,
            Some(uid) => Owner::Other(uid),
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (peer, local);
        Owner::Ours
    }
}

/// The account of the socket between these two. One that its program has closed already has no account any more (the list then says 0, as
/// for root), and is not found.
#[cfg(target_os = "linux")]
fn owner_in(list: &str, peer: &str, local: &str) -> Option<u32> {
    // The list may be long, and nearly all of it is about others.
    let ends = format!(" {peer} {local} ");
    list.match_indices(&ends).find_map(|(at, _)| {
        // State, queues, timer, retransmits; the account; timeouts; the inode, 0 without a program.
        let mut columns = list[at + ends.len()..].lines().next()?.split_ascii_whitespace();
        let uid = columns.nth(4)?.parse().ok()?;
        let inode = columns.nth(1)?;
        (inode != "0").then_some(uid)
    })
}

/// An address as the list of IPv4 has it: the bytes of each word in the order of this machine.
#[cfg(target_os = "linux")]
fn entry(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(v4) = address else { return None };
    Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(v4.ip().octets()), v4.port()))
}

/// As the list of IPv6 has it; an IPv4 address as an IPv4-mapped one.
#[cfg(target_os = "linux")]
fn entry_v6(address: SocketAddr) -> Option<String> {
    let octets = match address {
        SocketAddr::V4(v4) => v4.ip().to_ipv6_mapped().octets(),
        SocketAddr::V6(v6) => v6.ip().octets(),
    };
    let (words, _) = octets.as_chunks::<4>();
    let hex: String = words.iter().map(|word| format!("{:08X}", u32::from_ne_bytes(*word))).collect();
    Some(format!("{hex}:{:04X}", address.port()))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_of_this_process_is_ours_and_one_that_is_not_there_is_nobodys() {
        for address in [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let local = listener.local_addr().unwrap();
            let stream = TcpStream::connect(local).unwrap();
            let peer = stream.local_addr().unwrap();
            assert_eq!(of(peer, local), Owner::Ours);
            assert_eq!(of(SocketAddr::new(peer.ip(), 1), local), Owner::Unknown);
        }
    }

    #[test]
    fn the_list_is_read_by_its_columns() {
        let line = |uid: u32, inode: u32| {
            format!(
                "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   3: 0100007F:A54C 0100007F:8B55 01 00000000:00000000 00:00000000 00000000  {uid}        0 {inode} 2 0000000026afefe6 20 0 0 10 -1\n"
            )
        };
        assert_eq!(owner_in(&line(1000, 7), "0100007F:A54C", "0100007F:8B55"), Some(1000));
        // The other direction is our own end.
        assert_eq!(owner_in(&line(1000, 7), "0100007F:8B55", "0100007F:A54C"), None);
        // Its program has ended: the connection then belongs to no user, not to root.
        assert_eq!(owner_in(&line(0, 0), "0100007F:A54C", "0100007F:8B55"), None);
        assert_eq!(owner_in("", "0100007F:A54C", "0100007F:8B55"), None);
    }
}
