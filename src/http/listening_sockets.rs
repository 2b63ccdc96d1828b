//! Which accounts listen on a port of this machine, asked for by a netlink socket (`sock_diag(7)`). In contrast to `/proc/net/tcp` the
//! system looks at the sockets that listen alone: a tenth of a millisecond, where all connections take several.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, netlink, sendto, socket_with, sockopt};

/// `SOCK_DIAG_BY_FAMILY`, the type of the question and of the answers, from Linux's `sock_diag.h`.
const BY_FAMILY: u16 = 20;
/// `NLMSG_DONE`, the end of the answers, from `netlink.h`.
const DONE: u16 = 3;
/// `NLM_F_REQUEST` and `NLM_F_DUMP`: all that fit.
const REQUEST_ALL: u16 = 0x301;
/// As much as the system puts into one reply, from `netlink(7)`, in bytes.
const MAX_ANSWERS: usize = 8192;
const DEADLINE: Duration = Duration::from_millis(200);
const TCP: u8 = 6;
/// A set of states that contains `TCP_LISTEN` alone.
const LISTENS: u32 = 1 << 10;
/// The length of the header of a message, and of a socket in an answer, in bytes.
const HEADER: usize = 16;
const SOCKET: usize = 72;

/// Address and account of each socket that listens on that port. `None` where the system does not tell.
pub(super) fn listening_sockets(port: u16) -> Option<Vec<(IpAddr, u32)>> {
    let socket =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG)).ok()?;
    // It answers at once, or never: some sandboxes take the question and drop it.
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(DEADLINE)).ok()?;
    let mut found = Vec::new();
    for family in [AddressFamily::INET, AddressFamily::INET6] {
        ask(&socket, family, port, &mut found)?;
    }
    Some(found)
}

fn ask(socket: &OwnedFd, family: AddressFamily, port: u16, found: &mut Vec<(IpAddr, u32)>) -> Option<()> {
    // To the system itself.
    let system = netlink::SocketAddrNetlink::new(0, 0);
    sendto(socket, &question(u8::try_from(family.as_raw()).ok()?, port), SendFlags::empty(), &system).ok()?;
    let mut answers = [0; MAX_ANSWERS];
    loop {
        let length = rustix::io::read(socket, &mut answers[..]).ok()?;
        let mut rest = answers.get(..length)?;
        while rest.len() >= HEADER {
            let (size, kind) = (u32_at(rest, 0)?, u16::from_ne_bytes(rest.get(4..6)?.try_into().ok()?));
            let size = usize::try_from(size).ok().filter(|size| (HEADER..=rest.len()).contains(size))?;
            match kind {
                DONE => return Some(()),
                BY_FAMILY => found.extend(listener(rest.get(HEADER..size)?, port)?),
                _ => return None,
            }
            // Messages begin at multiples of four.
            rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// The header `nlmsghdr`, then an `inet_diag_req_v2`: family, protocol, states, and the id of a socket, of which the port alone is set.
fn question(family: u8, port: u16) -> Vec<u8> {
    let mut message = vec![0; HEADER + 56];
    let length = u32::try_from(message.len()).unwrap_or_default();
    message[0..4].copy_from_slice(&length.to_ne_bytes());
    message[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
    message[6..8].copy_from_slice(&REQUEST_ALL.to_ne_bytes());
    message[16..18].copy_from_slice(&[family, TCP]);
    message[20..24].copy_from_slice(&LISTENS.to_ne_bytes());
    message[24..26].copy_from_slice(&port.to_be_bytes());
    message
}

/// The address and the account of an `inet_diag_msg`: family and more, the id (ports, source, destination, interface, cookie), five
/// numbers. The inner `None` is a socket on another port.
fn listener(message: &[u8], port: u16) -> Option<Option<(IpAddr, u32)>> {
    let message = message.get(..SOCKET)?;
    let source: [u8; 16] = message.get(8..24)?.try_into().ok()?;
    let [a, b, c, d, ..] = source;
    let address = match i32::from(message[0]) {
        family if family == i32::from(AddressFamily::INET.as_raw()) => Ipv4Addr::new(a, b, c, d).into(),
        _ => IpAddr::from(Ipv6Addr::from(source)).to_canonical(),
    };
    let is_here = message.get(4..6)? == port.to_be_bytes();
    Some(is_here.then_some((address, u32_at(message, 64)?)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn what_listens_is_found_with_its_account() {
        let own = rustix::process::geteuid().as_raw();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // One that is connected does not listen.
        let _connection = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(listening_sockets(port), Some(vec![(Ipv4Addr::LOCALHOST.into(), own)]));
        drop(listener);
        assert_eq!(listening_sockets(port), Some(Vec::new()));
        let Ok(every) = TcpListener::bind("[::]:0") else { return };
        let port = every.local_addr().unwrap().port();
        assert_eq!(listening_sockets(port), Some(vec![(Ipv6Addr::UNSPECIFIED.into(), own)]));
    }
}
