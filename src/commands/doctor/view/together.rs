//! Waits for several things at once: hosts are asked side by side on the one thread there is.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

/// The outputs of all futures, in their order.
pub async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = pending.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in pending.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                *done = Some(output);
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn one_that_waits_for_a_later_one_gets_its_turn() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let (mut sender, mut receiver) = (Some(sender), Some(receiver));
        let step = async |number: u32, receiver: Option<tokio::sync::oneshot::Receiver<u32>>, sender: Option<_>| {
            if let Some(receiver) = receiver {
                return receiver.await.unwrap();
            }
            let sender: tokio::sync::oneshot::Sender<u32> = sender.unwrap();
            sender.send(number).unwrap();
            number
        };
        let both = [step(1, receiver.take(), None), step(2, None, sender.take())];
        assert_eq!(super::all(both).await, [2, 2]);
        assert!(super::all(Vec::<std::future::Ready<()>>::new()).await.is_empty());
    }
}
