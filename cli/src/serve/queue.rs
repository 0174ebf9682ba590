//! Photos that wait for the network. It classifies one after another, in the order of their arrival.

use super::Refusal;
use crate::output::tell_error;
use axum::body::Bytes;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

/// A photo, and the channel for its answer.
struct Job<A> {
    photo: Bytes,
    reply: oneshot::Sender<Result<A, Refusal>>,
}

/// The sending end. The queue is closed when the last sender is dropped.
pub struct Queue<A>(Sender<Job<A>>);

/// The receiving end.
pub struct Jobs<A>(Receiver<Job<A>>);

/// A queue for answers of type `A`.
pub fn queue<A>() -> (Queue<A>, Jobs<A>) {
    let (sender, receiver) = channel();
    (Queue(sender), Jobs(receiver))
}

impl<A> Queue<A> {
    /// Waits for the answer about `photo`. Dropping the future removes the photo from the queue.
    ///
    /// # Errors
    /// The refusal, if there is one instead; a server error if the network's thread has ended.
    pub async fn ask(&self, photo: Bytes) -> Result<A, Refusal> {
        let gone = || Refusal::server("the network has stopped answering; start the server again");
        let (reply, answer) = oneshot::channel();
        self.0.send(Job { photo, reply }).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl<A> Jobs<A> {
    /// Answers with `look` until the queue is closed. A panic is reported only for the photo that caused it.
    pub fn work(self, mut look: impl FnMut(&[u8]) -> Result<A, Refusal>) {
        for Job { photo, reply } in self.0 {
            if reply.is_closed() {
                continue;
            }
            // Plans are made again for every photo, so an interrupted call leaves no partial state.
            let answer = catch_unwind(AssertUnwindSafe(|| look(&photo))).unwrap_or_else(|_| {
                Err(Refusal::server(
                    "a panic, which is a bug in this program; other photos are still answered",
                ))
            });
            if let Err(Refusal { status, error }) = &answer
                && status.is_server_error()
            {
                tell_error(error);
            }
            // The client may have disconnected meanwhile.
            let _ = reply.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;
    use std::thread;

    /// Runs `ask` while another thread answers with `look`.
    fn answered<T>(
        look: impl FnMut(&[u8]) -> Result<usize, Refusal> + Send,
        ask: impl AsyncFnOnce(Queue<usize>) -> T,
    ) -> T {
        let (queue, jobs) = queue();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| jobs.work(look));
            runtime.block_on(ask(queue))
        })
    }

    #[test]
    fn a_panic_is_the_answer_to_one_photo() {
        let look = |photo: &[u8]| if photo.is_empty() { panic!("on purpose") } else { Ok(photo.len()) };
        answered(look, async |queue| {
            assert_eq!(queue.ask(Bytes::from_static(b"ab")).await, Ok(2));
            let refusal = queue.ask(Bytes::new()).await.unwrap_err();
            assert_eq!(refusal.status, StatusCode::INTERNAL_SERVER_ERROR);
            assert!(refusal.error.contains("panic"), "{}", refusal.error);
            assert_eq!(queue.ask(Bytes::from_static(b"abc")).await, Ok(3));
        });
    }

    #[test]
    fn who_has_gone_costs_no_time_and_a_queue_without_a_network_says_so() {
        let (queue, jobs) = queue::<usize>();
        let (reply, answer) = oneshot::channel();
        queue.0.send(Job { photo: Bytes::new(), reply }).unwrap();
        drop(answer);
        let (reply, mut answer) = oneshot::channel();
        queue.0.send(Job { photo: Bytes::from_static(b"a"), reply }).unwrap();
        drop(queue);
        let mut seen = vec![];
        jobs.work(|photo| {
            seen.push(photo.len());
            Ok(0)
        });
        assert_eq!((seen, answer.try_recv()), (vec![1], Ok(Ok(0))));

        let (queue, jobs) = super::queue::<usize>();
        drop(jobs);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let refusal = runtime.block_on(queue.ask(Bytes::new())).unwrap_err();
        assert!(refusal.error.contains("stopped answering"), "{}", refusal.error);
    }
}
