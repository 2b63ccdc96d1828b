//! A sink that is a syslog service: one message for each record (RFC 5424) to its Unix datagram socket.
//!
//! A datagram is not acknowledged. What the service loses after it has taken it is lost.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::line::SinkRecord;
use super::output::Output;

/// Facility `authpriv` (10) and severity `notice` (5).
const PRIORITY: u8 = 10 * 8 + 5;
/// The longest message in bytes, which is also what rsyslog takes by default.
const LONGEST: usize = 8192;
/// The same where the system does not send one of that length.
const SHORTENED: usize = 1024;
/// How long a service that does not read is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// See the module.
pub struct SyslogOutput {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl SyslogOutput {
    /// To the socket with that path.
    pub fn new(path: PathBuf) -> Self {
        Self { path, socket: None }
    }

    fn connected(&mut self) -> io::Result<&UnixDatagram> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(&self.path)?;
                socket.set_write_timeout(Some(PATIENCE))?;
                socket
            }
        };
        Ok(self.socket.insert(socket))
    }
}

impl Output for SyslogOutput {
    fn write(&mut self, records: &[SinkRecord]) -> io::Result<()> {
        for record in records {
            let (host, process) = (host(), std::process::id());
            let message = message(record, &host, process, LONGEST);
            let sent = self.connected()?.send(message.as_bytes());
            let sent = match sent {
                // The system's buffer is smaller.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) => {
                    self.connected()?.send(self::message(record, &host, process, SHORTENED).as_bytes())
                }
                sent => sent,
            };
            // A service that was started again has another socket.
            let sent = match sent {
                Err(error) if is_closed(&error) => {
                    self.socket = None;
                    self.connected()?.send(message.as_bytes())
                }
                sent => sent,
            };
            if let Err(error) = sent {
                self.socket = None;
                return Err(match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => io::Error::other("its reader takes nothing"),
                    _ => error,
                });
            }
        }
        Ok(())
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected
    )
}

fn message(record: &SinkRecord, host: &str, process: u32, longest: usize) -> String {
    let at = Timestamp::from_second(record.at).map_or_else(|_| "-".to_owned(), |at| at.to_string());
    let head = format!("<{PRIORITY}>1 {at} {host} ollama-auth {process} audit - ");
    let line = record.to_line();
    if head.len() + line.len() <= longest {
        return head + &line;
    }
    head.clone() + &record.to_cut_line(longest - head.len())
}

/// The name of this machine, as a message may have it.
fn host() -> String {
    let name: String =
        rustix::system::uname().nodename().to_string_lossy().chars().filter(char::is_ascii_graphic).take(255).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_message_is_one_of_rfc_5424_and_not_longer_than_services_take() {
        let record = SinkRecord { origin: "a".into(), index: 3, at: 1_800_000_000, line: Some("{\"x\":1}".to_owned()) };
        let expected =
            r#"<85>1 2027-01-15T08:00:00Z host ollama-auth 42 audit - {"log":"a","index":3,"record":{"x":1}}"#;
        assert_eq!(message(&record, "host", 42, LONGEST), expected);
        let record = SinkRecord { line: Some(format!("{{\"x\":\"{}\"}}", "y".repeat(20_000))), ..record };
        let message = message(&record, "host", 42, LONGEST);
        assert_eq!(message.len(), LONGEST);
        let (_, line) = message.split_once(" - ").unwrap();
        let read: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&read["cut"], &read["index"]), (&true.into(), &3.into()));
    }
}
