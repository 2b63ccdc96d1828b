//! Joins the frames of a streamed body that are already there, so that what is done once per wait (a write to the
//! terminal, a wake-up) is not done once per frame, while nothing that has arrived is ever held back during a wait.
//!
//! hyper hands over one HTTP chunk at a time and decodes the next only when that one was taken. So after each frame the
//! pump lets the connection run once, and only if that brings nothing it passes on what it has and waits.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use reqwest::Response;
use tokio::sync::mpsc;

/// A batch is passed on at this size even while more is there, to bound memory.
const BATCH: usize = 64 * 1024;

/// Starts reading a body in a task of its own. The receiver yields what had arrived before each wait, then the error that
/// ended the body, if one did. Dropping the receiver ends the task and with it the request.
///
/// The task is spawned because waking a spawned task is a push on a queue, while waking the root future of a
/// `current_thread` runtime is a system call each time.
pub(super) fn pump(response: Response) -> mpsc::Receiver<Result<Bytes, reqwest::Error>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let gone = sender.clone();
        tokio::select! {
            () = gone.closed() => {}
            () = read_all(response, sender) => {}
        }
    });
    receiver
}

async fn read_all(mut response: Response, sender: mpsc::Sender<Result<Bytes, reqwest::Error>>) {
    let mut batch = BytesMut::new();
    loop {
        let mut next = pin!(response.chunk());
        let frame = match immediate(next.as_mut()).await {
            Some(frame) => frame,
            None => {
                if !batch.is_empty() && sender.send(Ok(batch.split().freeze())).await.is_err() {
                    return;
                }
                next.await
            }
        };
        match frame {
            Ok(Some(bytes)) => {
                batch.extend_from_slice(&bytes);
                if batch.len() >= BATCH && sender.send(Ok(batch.split().freeze())).await.is_err() {
                    return;
                }
            }
            end => {
                if !batch.is_empty() && sender.send(Ok(batch.split().freeze())).await.is_err() {
                    return;
                }
                if let Err(error) = end {
                    // The receiver may be gone; then nobody is left to be told.
                    let _ = sender.send(Err(error)).await;
                }
                return;
            }
        }
    }
}

/// The future's output if it is ready now, or after every other task that can run has run once.
async fn immediate<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    let mut yielded = false;
    poll_fn(move |context: &mut Context<'_>| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if yielded => Poll::Ready(None),
        Poll::Pending => {
            yielded = true;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}
