//! Lines that wait to be written, in bounded memory: adding one takes as long whatever the disk or the reader does.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most bytes that wait. As many more can be in the batch that is written.
pub const CAPACITY: usize = 4 << 20;
/// How long lines are gathered, so that many are written at once.
const GATHERING: Duration = Duration::from_millis(50);

/// See the module.
#[derive(Default)]
pub struct LineBuffer {
    state: Mutex<State>,
    /// For the writer: there are lines again, many, or no more are to come.
    changed: Condvar,
    /// The writer has ended.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    /// How many lines were added and are neither written nor dropped.
    waiting: u64,
    is_closing: bool,
    has_ended: bool,
}

/// What there is to do for the writer.
#[derive(Debug, PartialEq, Eq)]
pub enum Work {
    /// The batch has that many lines.
    Write(u64),
    /// No line came for a while.
    Rest,
    /// Everything is written, and no more is to come.
    End,
}

impl LineBuffer {
    /// Adds a line, with its end. `false` if there is no room for it.
    pub fn push(&self, line: &[u8]) -> bool {
        let mut state = self.lock();
        let before = state.lines.len();
        let after = before + line.len();
        if state.has_ended || after > CAPACITY {
            return false;
        }
        state.lines.extend_from_slice(line);
        state.waiting += 1;
        drop(state);
        if before == 0 || (before < CAPACITY / 2 && after >= CAPACITY / 2) {
            self.changed.notify_one();
        }
        true
    }

    /// For the writer: waits for lines, and then a little longer for more, and exchanges them for an empty `batch`. With `rest` it waits no longer than that for
    /// the first.
    pub fn take(&self, batch: &mut Vec<u8>, rest: Option<Duration>) -> Work {
        let is_idle = |state: &mut State| state.lines.is_empty() && !state.is_closing;
        let mut state = self.lock();
        state = match rest {
            Some(rest) => {
                self.changed.wait_timeout_while(state, rest, is_idle).unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.changed.wait_while(state, is_idle).unwrap_or_else(PoisonError::into_inner),
        };
        if state.lines.is_empty() {
            if !state.is_closing {
                return Work::Rest;
            }
            state.has_ended = true;
            self.ended.notify_all();
            return Work::End;
        }
        let is_gathering = |state: &mut State| !state.is_closing && state.lines.len() < CAPACITY / 2;
        let gathered = self.changed.wait_timeout_while(state, GATHERING, is_gathering);
        state = gathered.unwrap_or_else(PoisonError::into_inner).0;
        std::mem::swap(&mut state.lines, batch);
        Work::Write(state.waiting)
    }

    /// For the writer: so many lines of the batch are written or dropped.
    pub fn done(&self, lines: u64) {
        self.lock().waiting -= lines;
    }

    /// The writer is to end when everything is written.
    pub fn close(&self) {
        self.lock().is_closing = true;
        self.changed.notify_one();
    }

    /// Undoes that. `false` if the writer has ended already.
    pub fn reopen(&self) -> bool {
        let mut state = self.lock();
        state.is_closing &= state.has_ended;
        !state.has_ended
    }

    /// Whether the writer has ended.
    pub fn has_ended(&self) -> bool {
        self.lock().has_ended
    }

    /// Waits for the end of the writer, and says how many lines are not written if it takes longer than that.
    pub fn wait(&self, patience: Duration) -> u64 {
        let waited = self.ended.wait_timeout_while(self.lock(), patience, |state| !state.has_ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.waiting
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_whole_and_in_order_and_the_memory_is_bounded() {
        let buffer = LineBuffer::default();
        let line = |number: usize| format!("{number:0>99}\n");
        let fitting = CAPACITY / 100;
        let added = (0..2 * fitting).filter(|number| buffer.push(line(*number).as_bytes())).count();
        assert_eq!(added, fitting);
        let mut batch = Vec::new();
        assert_eq!(buffer.take(&mut batch, None), Work::Write(fitting as u64));
        let expected: String = (0..fitting).map(line).collect();
        assert!(batch == expected.as_bytes());
        buffer.done(fitting as u64);
        // There is room again, and the last lines are given out after it was closed, too.
        assert!(buffer.push(b"a\n"));
        buffer.close();
        assert!(buffer.push(b"b\n"));
        batch.clear();
        assert_eq!((buffer.take(&mut batch, None), &*batch), (Work::Write(2), &b"a\nb\n"[..]));
        assert_eq!(buffer.wait(Duration::ZERO), 2);
        buffer.done(2);
        assert!(buffer.reopen() && !buffer.has_ended());
        assert_eq!(buffer.take(&mut Vec::new(), Some(Duration::ZERO)), Work::Rest);
        buffer.close();
        assert_eq!(buffer.take(&mut Vec::new(), None), Work::End);
        assert!(buffer.has_ended() && !buffer.reopen() && !buffer.push(b"c\n"));
        assert_eq!(buffer.wait(Duration::from_secs(1000)), 0);
    }

    #[test]
    fn every_line_of_many_threads_is_given_out_once() {
        let buffer = LineBuffer::default();
        std::thread::scope(|scope| {
            let adding: Vec<_> = (0..4)
                .map(|thread| {
                    let buffer = &buffer;
                    scope.spawn(move || {
                        (0..5000).for_each(|number| assert!(buffer.push(format!("{thread} {number}\n").as_bytes())));
                    })
                })
                .collect();
            let taking = scope.spawn(|| {
                let (mut all, mut batch) = (Vec::new(), Vec::new());
                while let Work::Write(count) = buffer.take(&mut batch, None) {
                    assert_eq!(memchr::memchr_iter(b'\n', &batch).count() as u64, count);
                    all.append(&mut batch);
                    buffer.done(count);
                }
                String::from_utf8(all).unwrap()
            });
            adding.into_iter().for_each(|thread| thread.join().unwrap());
            buffer.close();
            let all = taking.join().unwrap();
            for thread in 0..4 {
                let prefix = format!("{thread} ");
                let numbers = all.lines().filter_map(|line| line.strip_prefix(&prefix)?.parse::<usize>().ok());
                assert!(numbers.eq(0..5000), "{thread}");
            }
        });
    }
}
