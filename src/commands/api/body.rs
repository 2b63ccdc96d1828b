//! Where the body of a request comes from: the argument itself, a file, or standard input. The latter two are read on a thread of
//! their own while they are sent, so that their size does not matter.

use std::fs::File;
use std::io::{self, Read};

use bytes::Bytes;

use crate::api::{BodyFeed, RawBody};
use crate::exit::{Exit, Problem};

/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// A body that has not been read yet.
#[derive(Debug)]
pub enum Source {
    /// The argument.
    Text(String),
    /// A file that is open, so that a wrong name is told before anything is sent.
    File(File),
    /// Standard input.
    Stdin,
}

impl Source {
    /// What `--data` means: `@FILE`, `-`, or the text itself.
    ///
    /// # Errors
    /// Exit 2 for a file that cannot be opened.
    pub fn open(data: &str) -> Result<Self, Problem> {
        if data == "-" {
            return Ok(Self::Stdin);
        }
        let Some(name) = data.strip_prefix('@') else {
            return Ok(Self::Text(data.to_owned()));
        };
        let problem =
            |error: io::Error| Problem::new(Exit::Usage, format!("the body in {name} cannot be read: {error}"));
        let file = File::open(name).map_err(problem)?;
        if file.metadata().map_err(problem)?.is_dir() {
            return Err(Problem::new(Exit::Usage, format!("{name} is a folder, and a body is a file")));
        }
        Ok(Self::File(file))
    }

    /// The body; from here on it is read.
    ///
    /// # Errors
    /// When no thread can be made for it.
    pub fn start(self) -> io::Result<RawBody> {
        match self {
            Self::Text(text) => Ok(RawBody::Whole(Bytes::from(text))),
            Self::File(file) => {
                // What the system makes up as it is read, such as files in /proc, says that it is empty.
                let regular = file.metadata().ok().filter(|found| found.is_file() && found.len() > 0);
                let length = regular.map(|found| found.len());
                read_aside(file.take(length.unwrap_or(u64::MAX)), length)
            }
            Self::Stdin => read_aside(io::stdin(), None),
        }
    }
}

/// The thread ends with the body, when nobody wants more of it, or with the process.
fn read_aside(mut source: impl Read + Send + 'static, length: Option<u64>) -> io::Result<RawBody> {
    let (body, feed) = RawBody::streamed(length);
    let read = move || while read_piece(&mut source, &feed) {};
    std::thread::Builder::new().name("body".to_owned()).spawn(read)?;
    Ok(body)
}

/// `false` at the end.
fn read_piece(source: &mut impl Read, feed: &BodyFeed) -> bool {
    let mut piece = vec![0; PIECE];
    match source.read(&mut piece) {
        Ok(0) => false,
        Ok(length) => {
            piece.truncate(length);
            feed.push(Ok(Bytes::from(piece)))
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
        Err(error) => {
            feed.push(Err(error));
            false
        }
    }
}
