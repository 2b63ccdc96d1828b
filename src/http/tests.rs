//! What this module relies on in hyper, on real connections, so that an update of hyper that changes it fails here; and the client against a
//! server that writes what a test says.

#[cfg(feature = "gateway")]
mod hyper_behaviour {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll};

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body::{Body, Frame};
    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::task::JoinHandle;

    use crate::http::{BoxError, Relay, ResetOnClose};

    const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

    /// What a body does when it is polled.
    enum Step {
        Data(&'static str),
        /// Nothing, but it asks to be polled again at once.
        Again,
        /// Nothing, until something else wakes the connection.
        Wait,
        Fail,
    }

    /// A body that follows a script and counts how often it was polled.
    struct Script {
        steps: VecDeque<Step>,
        polls: Arc<Mutex<usize>>,
    }

    impl Body for Script {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            *self.polls.lock().unwrap() += 1;
            match self.steps.pop_front() {
                None => Poll::Ready(None),
                Some(Step::Data(text)) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(text.as_bytes()))))),
                Some(Step::Fail) => Poll::Ready(Some(Err("failed".into()))),
                Some(Step::Wait) => {
                    self.steps.push_front(Step::Wait);
                    Poll::Pending
                }
                Some(Step::Again) => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        }
    }

    type Served = JoinHandle<Result<(), hyper::Error>>;

    /// hyper's server on one end of a pipe, whose only response has that body.
    fn serve<B>(body: B) -> (DuplexStream, Served)
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let (client, server) = tokio::io::duplex(1 << 20);
        let body = Mutex::new(Some(body));
        let service = service_fn(move |_: Request<Incoming>| {
            let body = body.lock().unwrap().take().expect("one request");
            async move { Ok::<_, Infallible>(Response::new(body)) }
        });
        (
            client,
            tokio::spawn(async move { http1::Builder::new().serve_connection(TokioIo::new(server), service).await }),
        )
    }

    fn script(steps: impl IntoIterator<Item = Step>) -> (Script, Arc<Mutex<usize>>) {
        let polls = Arc::default();
        (Script { steps: steps.into_iter().collect(), polls: Arc::clone(&polls) }, polls)
    }

    /// The body of what a caller receives until the connection ends.
    async fn received(mut client: DuplexStream, request: &str) -> String {
        client.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    }

    /// `Relay` and `CoalescedBody` count on two polls per wake-up: the third is the first after other tasks ran, and after a flush.
    #[tokio::test]
    async fn hyper_polls_a_pending_body_at_most_twice_before_it_yields() {
        let (body, polls) = script([Step::Data("a"), Step::Wait]);
        let (mut client, _served) = serve(body);
        client.write_all(GET.as_bytes()).await.unwrap();
        let mut buffer = [0; 1024];
        let length = client.read(&mut buffer).await.unwrap();
        assert!(buffer[..length].ends_with(b"1\r\na\r\n"), "{}", buffer[..length].escape_ascii());
        tokio::task::yield_now().await;
        // One for the data, and no more than two that found nothing.
        assert!((2..=3).contains(&*polls.lock().unwrap()), "{} polls", polls.lock().unwrap());
    }

    /// Why `Relay` waits before it reports a failure.
    #[tokio::test]
    async fn hyper_drops_unsent_data_when_a_body_fails_at_once() {
        let (body, _) = script([Step::Data("lost"), Step::Fail]);
        let (client, served) = serve(body);
        assert_eq!(received(client, GET).await, "", "now it sends what it has: the wait in `Relay` may go");
        assert!(served.await.unwrap().unwrap_err().is_user());
    }

    /// Two waits, as `Relay` has them, are enough.
    #[tokio::test]
    async fn hyper_sends_everything_when_a_body_waits_twice_before_it_fails() {
        let (body, _) = script([Step::Data("some"), Step::Again, Step::Again, Step::Fail]);
        let (client, served) = serve(body);
        assert_eq!(received(client, GET).await, "4\r\nsome\r\n", "neither less, nor a last chunk");
        assert!(served.await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_relayed_failure_comes_after_all_data_and_without_a_last_chunk() {
        let (body, _) = script([Step::Data("a"), Step::Data("b"), Step::Fail]);
        let reset = ResetOnClose::default();
        let (client, served) = serve(Relay::unfiltered(body, reset.clone()));
        assert_eq!(received(client, GET).await, "1\r\na\r\n1\r\nb\r\n");
        assert!(served.await.unwrap().is_err() && reset.is_set());
    }

    /// To a caller of HTTP/1.0 a truncated response looks like a complete one, which is why its connection is reset.
    #[tokio::test]
    async fn hyper_ends_a_response_to_http_1_0_with_the_connection() {
        let request = "GET / HTTP/1.0\r\nHost: h\r\n\r\n";
        for last in [None, Some(Step::Fail)] {
            let fails = last.is_some();
            let (body, _) = script([Step::Data("some"), Step::Again, Step::Again].into_iter().chain(last));
            let (client, served) = serve(body);
            assert_eq!(received(client, request).await, "some", "without chunks");
            assert_eq!(served.await.unwrap().is_err(), fails);
        }
    }

    /// One write per frame: a token is not held back until the next one comes.
    #[tokio::test]
    async fn hyper_flushes_what_a_body_has_before_it_waits() {
        let (body, _) = script([Step::Data("a"), Step::Data("b"), Step::Wait]);
        let (mut client, _served) = serve(body);
        client.write_all(GET.as_bytes()).await.unwrap();
        let mut text = Vec::new();
        while !text.ends_with(b"1\r\nb\r\n") {
            assert_ne!(client.read_buf(&mut text).await.unwrap(), 0, "{}", text.escape_ascii());
        }
    }

    /// The size hint decides how the end is marked: `ResponseBody` has an exact one only if the server announced the length.
    #[tokio::test]
    async fn hyper_announces_an_exact_size_and_else_sends_chunks() {
        for (sized, wanted) in [(true, "content-length: 1"), (false, "transfer-encoding: chunked")] {
            let body: http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError> = if sized {
                http_body_util::BodyExt::boxed_unsync(http_body_util::BodyExt::map_err(
                    http_body_util::Full::new(Bytes::from_static(b"a")),
                    BoxError::from,
                ))
            } else {
                http_body_util::BodyExt::boxed_unsync(script([Step::Data("a")]).0)
            };
            let (mut client, _served) = serve(body);
            client.write_all(GET.as_bytes()).await.unwrap();
            let mut text = Vec::new();
            while !text.windows(4).any(|end| end == b"\r\n\r\n") {
                assert_ne!(client.read_buf(&mut text).await.unwrap(), 0);
            }
            let head = String::from_utf8_lossy(&text).to_lowercase();
            assert!(head.contains(wanted), "{head}");
        }
    }
}

mod client {
    use std::collections::VecDeque;
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll};

    use bytes::Bytes;
    use http::Method;
    use http_body::{Body, Frame, SizeHint};
    use http_body_util::{BodyExt as _, Full};

    use crate::address::BaseUrl;
    use crate::http::{BoxError, Http1Client, OutgoingRequest, RequestHead, SendError};

    fn loopback() -> Http1Client {
        Http1Client::loopback(Arc::new(|| Ok(())))
    }

    /// Reads a request with its body; `None` at the end of the connection.
    fn request(stream: &mut BufReader<TcpStream>) -> Option<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).unwrap_or(0) == 0 {
                return None;
            }
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        stream.read_exact(&mut vec![0; length.map_or(0, |length| length.parse().unwrap())]).unwrap();
        Some(head)
    }

    /// A server that writes these bytes to each request; `close` ends the connection after them. Returns its address.
    fn server(response: &'static str, close: bool) -> BaseUrl {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = BufReader::new(stream.unwrap());
                while let Some(head) = request(&mut stream) {
                    assert!(head.starts_with("POST /api/generate HTTP/1.1\r\nhost: localhost:"), "{head}");
                    let text = response.replace("NUMBER", &number.to_string());
                    let _ = stream.get_mut().write_all(text.as_bytes());
                    if close {
                        break;
                    }
                }
            }
        });
        BaseUrl::parse(&url).unwrap().url
    }

    async fn ask(client: &Http1Client, url: &BaseUrl) -> Result<Result<String, String>, SendError> {
        let mut head = RequestHead::new(Method::POST, url.as_origin(), &[url.path(), "/api/generate"]);
        head.header("accept", b"*/*");
        let response =
            client.send(url.as_origin(), OutgoingRequest { head, body: Full::from("{}"), repeatable: true }).await?;
        let body: Result<Bytes, _> = response.into_body().collect().await.map(http_body_util::Collected::to_bytes);
        Ok(body.map(|body| String::from_utf8(body.to_vec()).unwrap()).map_err(|error| error.to_string()))
    }

    /// The response holds the number of its connection.
    #[tokio::test]
    async fn a_client_of_this_machine_opens_a_connection_for_each_request() {
        let response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nNUMBER\n";
        let (client, url) = (loopback(), server(response, false));
        for number in ["0\n", "1\n"] {
            assert_eq!(ask(&client, &url).await.unwrap().unwrap(), number);
        }
    }

    /// The response holds the number of its connection.
    #[cfg(feature = "gateway")]
    #[tokio::test]
    async fn a_connection_is_used_again_after_a_complete_response() {
        for (response, second) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nNUMBER\n", "0\n"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nNUMBER\r\n1;x=y\r\n\n\r\n0\r\n\r\n", "0\n"),
            ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nNUMBER\n", "1\n"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nNUMBER\nHTTP/1.1 200 OK\r\n", "1\n"),
        ] {
            let (client, url) = (Http1Client::system(false).unwrap(), server(response, false));
            assert_eq!(ask(&client, &url).await.unwrap().unwrap(), "0\n", "{response:?}");
            assert_eq!(ask(&client, &url).await.unwrap().unwrap(), second, "{response:?}");
        }
    }

    #[tokio::test]
    async fn a_truncated_response_is_an_error_unless_its_end_is_that_of_the_connection() {
        for (response, wanted) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsome", Err("before the end")),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n", Err("before the end")),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\nx", Err("malformed")),
            ("HTTP/1.1 200 OK\r\n\r\nsome", Ok("some")),
            ("HTTP/1.0 200 OK\r\n\r\nsome", Ok("some")),
        ] {
            let read = ask(&loopback(), &server(response, true)).await.unwrap();
            match (read, wanted) {
                (Ok(body), Ok(wanted)) => assert_eq!(body, wanted, "{response:?}"),
                (Err(error), Err(wanted)) => assert!(error.contains(wanted), "{response:?}: {error}"),
                (read, _) => panic!("{response:?}: {read:?}"),
            }
        }
    }

    /// A body that shows how long it is held.
    struct Held {
        _count: Arc<()>,
    }

    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            b"{}"
        }
    }

    #[tokio::test]
    async fn a_small_body_does_not_keep_the_buffer_that_it_came_in_until_there_is_a_connection() {
        let (held, url) = (Arc::new(()), server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false));
        let body = Full::new(Bytes::from_owner(Held { _count: held.clone() }));
        let (count, counted) = tokio::sync::watch::channel(0);
        let check = Arc::new(move || {
            count.send_replace(Arc::strong_count(&held));
            Ok(())
        });
        let head = RequestHead::new(Method::POST, url.as_origin(), &["/api/generate"]);
        let request = OutgoingRequest { head, body, repeatable: true };
        let response = Http1Client::loopback(check).send(url.as_origin(), request).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
        assert_eq!(*counted.borrow(), 1, "the test alone holds it");
    }

    /// A body that announces 20 bytes and fails after these pieces. It has to be waited for where there is none.
    struct FailingBody(VecDeque<Option<&'static str>>);

    impl Body for FailingBody {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            match self.0.pop_front() {
                None => Poll::Ready(Some(Err("failed".into()))),
                Some(None) => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                Some(Some(piece)) => Poll::Ready(Some(Ok(Frame::data(piece.into())))),
            }
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(20)
        }
    }

    /// Sends a body that fails. Returns what the server receives of it with its head, up to the end of the connection.
    async fn sent_of(pieces: &[Option<&'static str>]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = BaseUrl::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap().url;
        let head = RequestHead::new(Method::POST, url.as_origin(), &["/api/generate"]);
        let body = FailingBody(pieces.iter().copied().collect());
        let error = loopback().send(url.as_origin(), OutgoingRequest { head, body, repeatable: true }).await;
        assert!(matches!(error.err(), Some(SendError::RequestBody(cause)) if cause.to_string() == "failed"));
        // Not waited for: the connection was open before.
        listener.set_nonblocking(true).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(false).unwrap();
        let mut received = String::new();
        stream.read_to_string(&mut received).unwrap();
        received
    }

    /// Whether a body fails before, while or after a connection is opened makes no difference to the server.
    #[tokio::test]
    async fn a_body_that_fails_at_any_time_is_cut_at_the_server() {
        for (pieces, wanted) in [
            (&[][..], ""),
            (&[None], ""),
            (&[Some("0123456789")], "0123456789"),
            (&[Some("0123456789"), None], "0123456789"),
            (&[Some("0123456789"), None, None], "0123456789"),
            (&[None, Some("0123456789")], "0123456789"),
            (&[Some("01234"), None, Some("56789")], "0123456789"),
        ] {
            let received = sent_of(pieces).await;
            let (head, body) = received.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{pieces:?}: {received:?}"));
            assert!(head.contains("\r\ncontent-length: 20"), "{head}");
            assert_eq!(body, wanted, "{pieces:?}");
        }
    }

    /// A body can fail after its last byte, such as when the key of its sender is revoked.
    #[tokio::test]
    async fn a_body_that_fails_after_its_last_byte_is_not_complete_at_the_server() {
        for pieces in [
            &[Some("01234567890123456789")][..],
            &[None, Some("01234567890123456789")],
            &[Some("0123456789"), None, Some("0123456789")],
            &[Some("0123456789"), None, None, Some("0123456789")],
        ] {
            let received = sent_of(pieces).await;
            assert!(!received.ends_with("01234567890123456789"), "{pieces:?}: {received:?}");
        }
    }

    #[tokio::test]
    async fn each_way_of_not_responding_has_its_error() {
        let client = loopback();
        let error = ask(&client, &server("", true)).await.unwrap_err();
        assert!(matches!(error, SendError::Closed(_)), "{error:?}");
        let error = ask(&client, &server("SSH-2.0-OpenSSH_9.2\r\n", true)).await.unwrap_err();
        assert!(matches!(error, SendError::Malformed), "{error:?}");
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = BaseUrl::parse(&format!("http://{closed}")).unwrap().url;
        let error = ask(&client, &url).await.unwrap_err();
        assert!(matches!(&error, SendError::Connect(cause) if cause.kind() == std::io::ErrorKind::ConnectionRefused));
    }
}
