//! `api`: one authenticated request, as given on the command line. The answer goes to standard output as it arrives, whatever its status; the
//! exit code says what the status means. The body comes from the argument, a file or standard input; the latter two are read on a
//! thread of their own while they are sent, so that their size does not matter.

use std::fs::File;
use std::io;
use std::io::Read;

use bytes::Bytes;

use crate::api::{ApiError, BodyFeed, RawAnswer, RawBody, RawHeaders, RawRequest};
use crate::app::App;
use crate::cli::ApiArgs;
use crate::commands::context::{Context, withheld_note};
use crate::commands::keys::prove_account_host;
use crate::commands::request_path::RequestPath;
use crate::exit::{Exit, Problem};
use crate::profile::{Audience, CredentialSource};
use crate::ui::{Output, OutputOptions};

/// Runs it.
pub async fn run(app: &App, args: ApiArgs) -> anyhow::Result<Exit> {
    let context = Context::resolve(app, Audience::Model { cloud: true })?;
    let path = RequestPath::read(&args.path, context.url())?;
    if context.source == CredentialSource::ProfileDevice {
        path.require_no_time()?;
    }
    let mut headers = RawHeaders::default();
    for line in &args.headers {
        headers.add(line)?;
    }
    let method = match (args.method, &args.data) {
        (Some(method), _) => method.0,
        (None, Some(_)) => "POST".to_owned(),
        (None, None) => "GET".to_owned(),
    };
    let body = args.data.as_deref().map(BodySource::open).transpose()?;
    if let Some(withheld) = context.withheld.filter(|_| context.source == CredentialSource::None) {
        app.printer.warn(&withheld_note(withheld, context.url()));
    }
    let session = context.session(app).await?;
    let mut request = RawRequest {
        method,
        path: path.path.clone(),
        query: path.pairs(),
        headers,
        body: None,
        timeout: args.timeout.map(|limit| limit.0),
    };
    let proof = if request.is_delicate() {
        Some(prove_account_host(&session).await.map_err(|e| refused(&request, e))?)
    } else {
        None
    };
    // Read from now on: what is refused above takes nothing from a pipe.
    request.body = body.map(BodySource::start).transpose()?;
    let mut answer = session.send_raw(request, proof).await?;
    let options = OutputOptions { raw: false, no_word_wrap: true };
    let mut output = app.printer.output(options);
    let shown = show(&mut output, &mut answer, args.include).await;
    // That the rest cannot be shown matters less than what the status says, and a reader that left has what it wanted.
    let judged = answer.judge();
    match (shown, judged) {
        // Which path it is, you decide: a 404 in any form means that nothing is there.
        (_, Err(error @ ApiError::NotFound { .. })) => {
            let hint = format!("check the path, and the address {}", session.base());
            Err(Problem::new(Exit::NotFound, error.to_string()).hint(hint).into())
        }
        (_, Err(error)) => Err(error.into()),
        (Err(error), Ok(())) => Err(error),
        (Ok(()), Ok(())) => Ok(Exit::Done),
    }
}

/// Prints the answer, each piece as it comes: the bytes as they are in a pipe, made harmless on a terminal.
async fn show(output: &mut Output, answer: &mut RawAnswer<'_, '_>, include: bool) -> anyhow::Result<()> {
    let written = async {
        if include {
            output.write_bytes(&answer.head())?;
            output.flush()?;
        }
        while let Some(piece) = answer.next().await? {
            output.write_bytes(&piece)?;
            output.flush()?;
        }
        anyhow::Ok(())
    };
    let written = written.await;
    let ended = output.abandon();
    written?;
    Ok(ended?)
}

/// Says that the request was not sent: otherwise the error looks like a rejection by the host.
fn refused(request: &RawRequest<'_>, error: anyhow::Error) -> anyhow::Error {
    let problem = Problem::from_error(&error);
    let message = format!("{} {} was not sent: {}", request.method, request.path, problem.message);
    Problem { message, ..problem }.into()
}

/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// A body that has not been read yet.
#[derive(Debug)]
pub enum BodySource {
    /// The argument.
    Text(String),
    /// An open file, so that a wrong name is reported before anything is sent.
    File(File),
    /// Standard input.
    Stdin,
}

impl BodySource {
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

/// The thread ends with the body, when the receiver is gone, or with the process.
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
