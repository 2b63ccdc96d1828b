//! Ctrl-C and SIGTERM. The runtime handles them where it waits, and ends the command in an orderly way. Where it cannot,
//! because a write to a full pipe or a library blocks its only thread, the process ends all the same.

#[cfg(unix)]
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::watch;

use crate::exit::Exit;
use crate::ui::Printer;

/// How long an orderly end may take.
#[cfg(unix)]
const EXIT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);

/// Ends the process with exit code 130 a second after the first Ctrl-C or SIGTERM, or at the second one, if it still runs then.
/// The terminal is restored first. If the thread for it cannot be created, only the orderly way remains.
#[cfg(unix)]
pub fn force_exit_on_signal(printer: &Printer) {
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    let printer = printer.clone();
    let handled = [SIGINT, SIGTERM].into_iter().filter(|signal| !is_ignored(*signal));
    let Ok(mut signals) = Signals::new(handled) else { return };
    let watch = move || {
        let mut signals = signals.forever();
        signals.find(|signal| *signal != SIGINT || !is_left_to_conversation());
        let patient = printer.clone();
        // Whichever comes first ends the process: the second signal or the end of the grace period.
        let waits = std::thread::Builder::new().spawn(move || {
            std::thread::sleep(EXIT_TIMEOUT);
            exit_now(&patient);
        });
        if waits.is_ok() {
            signals.next();
        }
        exit_now(&printer);
    };
    let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(watch);
}

/// The signals that were ignored at the start, a bit for each; 0 where the system does not tell.
#[cfg(unix)]
static IGNORED: LazyLock<u64> = LazyLock::new(|| {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
});

/// Whether the process that started this one wants the signal ignored, as a shell does for background jobs (SIGINT, SIGQUIT) and
/// `nohup` for SIGHUP. Such a signal gets no handler: it stays ignored, also in the program that `exec` starts.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    *IGNORED & (1 << (signal - 1)) != 0
}

/// A stream of one signal, or of nothing if it is ignored or cannot be handled.
#[cfg(unix)]
struct SignalStream(Option<tokio::signal::unix::Signal>);

#[cfg(unix)]
impl SignalStream {
    fn new(kind: tokio::signal::unix::SignalKind) -> Self {
        if is_ignored(kind.as_raw_value()) {
            return Self(None);
        }
        Self(tokio::signal::unix::signal(kind).ok())
    }

    /// The next one. Cancel safe.
    async fn recv(&mut self) {
        let received = match &mut self.0 {
            Some(signal) => signal.recv().await.is_some(),
            None => false,
        };
        if !received {
            std::future::pending::<()>().await;
        }
    }
}

/// Elsewhere only the runtime handles Ctrl-C.
#[cfg(not(unix))]
pub fn force_exit_on_signal(_: &Printer) {}

#[cfg(unix)]
#[allow(clippy::exit, reason = "the main thread is blocked and cannot return")]
fn exit_now(printer: &Printer) {
    printer.restore_terminal();
    std::process::exit(Exit::Interrupted as i32);
}

/// A chat is open, in which Ctrl-C stops an answer and not the program.
static CLAIMED_BY_CONVERSATION: AtomicBool = AtomicBool::new(false);
/// Ctrl-C signals that the chat has not handled yet.
static UNHANDLED_INTERRUPTS: AtomicU32 = AtomicU32::new(0);
/// The unhandled Ctrl-C signals after which the program ends: the chat is stuck.
const MAX_UNHANDLED_INTERRUPTS: u32 = 3;

/// Whether the chat handles this Ctrl-C. Not when it left earlier ones unhandled: then it is stuck.
#[cfg(unix)]
fn is_left_to_conversation() -> bool {
    CLAIMED_BY_CONVERSATION.load(Ordering::SeqCst)
        && UNHANDLED_INTERRUPTS.fetch_add(1, Ordering::SeqCst) + 1 < MAX_UNHANDLED_INTERRUPTS
}

/// Receives Ctrl-C while this value lives, so that it does not end the program.
#[derive(Debug)]
pub struct Interrupts(watch::Receiver<u32>);

impl Interrupts {
    /// Takes it over.
    pub fn claim() -> Self {
        CLAIMED_BY_CONVERSATION.store(true, Ordering::SeqCst);
        let (sender, receiver) = watch::channel(0);
        #[cfg(unix)]
        {
            let mut interrupt = SignalStream::new(tokio::signal::unix::SignalKind::interrupt());
            tokio::spawn(async move {
                loop {
                    interrupt.recv().await;
                    sender.send_modify(|count| *count += 1);
                }
            });
        }
        #[cfg(not(unix))]
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                sender.send_modify(|count| *count += 1);
            }
        });
        Self(receiver)
    }

    /// Discards the signals received so far.
    pub fn forget(&mut self) {
        UNHANDLED_INTERRUPTS.store(0, Ordering::SeqCst);
        self.0.mark_unchanged();
    }

    /// The next one.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        UNHANDLED_INTERRUPTS.store(0, Ordering::SeqCst);
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        CLAIMED_BY_CONVERSATION.store(false, Ordering::SeqCst);
    }
}

/// Ends when the terminal is closed (SIGHUP), or on Ctrl-\ (SIGQUIT). Both would otherwise leave the terminal as it is.
pub async fn terminal_closed() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::SignalKind;
        let (mut hang_up, mut quit) = (SignalStream::new(SignalKind::hangup()), SignalStream::new(SignalKind::quit()));
        tokio::select! {
            () = hang_up.recv() => {}
            () = quit.recv() => {}
        }
    }
    #[cfg(not(unix))]
    std::future::pending::<()>().await;
}

/// How often Ctrl-C, or on Unix SIGTERM, has asked to stop, from now on. None is lost between two looks, and from the return of this on none
/// ends the process by itself.
pub fn stop_requests() -> watch::Receiver<u32> {
    let (sender, receiver) = watch::channel(0);
    #[cfg(unix)]
    {
        use tokio::signal::unix::SignalKind;
        let mut interrupt = SignalStream::new(SignalKind::interrupt());
        let mut terminate = SignalStream::new(SignalKind::terminate());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = interrupt.recv() => if CLAIMED_BY_CONVERSATION.load(Ordering::SeqCst) { continue },
                    () = terminate.recv() => {}
                }
                sender.send_modify(|count| *count += 1);
            }
        });
    }
    #[cfg(not(unix))]
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if !CLAIMED_BY_CONVERSATION.load(Ordering::SeqCst) {
                sender.send_modify(|count| *count += 1);
            }
        }
    });
    receiver
}

/// Ends after that many stop requests.
#[cfg(feature = "gateway")]
pub async fn stop_requested(mut requests: watch::Receiver<u32>, times: u32) {
    if requests.wait_for(|count| *count >= times).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Ends when Ctrl-C, or on Unix SIGTERM, asks to stop.
pub async fn interrupted() {
    let mut requests = stop_requests();
    if requests.wait_for(|count| *count > 0).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Yields at each SIGHUP, which asks a service to reload its configuration. Never yields on systems without that signal.
#[cfg(feature = "gateway")]
pub fn reload_requests() -> tokio::sync::mpsc::Receiver<()> {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    #[cfg(unix)]
    if let Ok(mut hang_up) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) {
        tokio::spawn(async move { while hang_up.recv().await.is_some() && sender.send(()).await.is_ok() {} });
    }
    receiver
}
