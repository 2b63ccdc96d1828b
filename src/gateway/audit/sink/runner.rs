//! Runs the sinks that the configuration has now: each in a task of its own, until it is not configured any more or the gateway ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::feed::{Batch, Feed};
use super::position::{Position, position_file};
use super::settings::SinkSettings;
use super::state::SinkStates;
use super::writer::Writer;
use crate::gateway::policy_name::PolicyName;
use crate::gateway::store::{Store, StoreError};
use crate::os_error::without_codes;

/// Between two looks for new records, and for another configuration.
const INTERVAL: Duration = Duration::from_secs(1);
/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long the gateway waits at its end for a sink to get the last records.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a sink is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Run,
    /// End when it has got everything.
    Finish,
    /// End now.
    End,
}

/// The sinks of a gateway.
pub struct Sinks {
    order: watch::Sender<Order>,
    running: JoinHandle<()>,
    states: SinkStates,
}

impl Sinks {
    /// Runs those that are `wanted`, which is asked now and then. Their positions are kept in that folder.
    pub fn start(
        store: Arc<dyn Store>,
        folder: PathBuf,
        wanted: impl Fn() -> Vec<SinkSettings> + Send + 'static,
    ) -> Self {
        let (order, orders) = watch::channel(Order::Run);
        let states = SinkStates::default();
        Self { order, running: tokio::spawn(run(store, folder, wanted, orders, states.clone())), states }
    }

    /// How they are, now and later.
    pub fn states(&self) -> SinkStates {
        self.states.clone()
    }

    /// Lets them get the last records, and ends them. One that takes nothing is not waited for long.
    pub async fn finish(self) {
        self.order.send_replace(Order::Finish);
        let _ = timeout(PATIENCE, self.running).await;
    }
}

struct Running {
    settings: SinkSettings,
    order: watch::Sender<Order>,
    task: JoinHandle<()>,
}

async fn run(
    store: Arc<dyn Store>,
    folder: PathBuf,
    wanted: impl Fn() -> Vec<SinkSettings>,
    mut orders: watch::Receiver<Order>,
    states: SinkStates,
) {
    let mut running: Vec<Running> = Vec::new();
    while *orders.borrow_and_update() == Order::Run {
        let wanted = wanted();
        running.retain(|sink| {
            if !wanted.contains(&sink.settings) {
                sink.order.send_replace(Order::End);
            }
            let is_running = !sink.task.is_finished();
            if !is_running {
                states.remove(sink.settings.name);
            }
            is_running
        });
        for settings in wanted {
            if !running.iter().any(|sink| sink.settings.name == settings.name) {
                let (order, orders) = watch::channel(Order::Run);
                states.begin(&settings);
                let task = tokio::spawn(sink(settings.clone(), store.clone(), folder.clone(), orders, states.clone()));
                running.push(Running { settings, order, task });
            }
        }
        let _ = timeout(INTERVAL, orders.changed()).await;
    }
    for sink in &running {
        sink.order.send_replace(Order::Finish);
    }
    for sink in running {
        let _ = sink.task.await;
    }
}

/// One sink, until its order is to end.
async fn sink(
    settings: SinkSettings,
    store: Arc<dyn Store>,
    folder: PathBuf,
    mut orders: watch::Receiver<Order>,
    states: SinkStates,
) {
    let target = settings.target.to_string();
    let name = settings.name.as_str();
    let (mut open, mut pause, mut keeps) = (None, INTERVAL, true);
    loop {
        let step = async {
            let (feed, writer) = match &mut open {
                Some(open) => open,
                none => none.insert(prepare(&settings, &store, &folder).await?),
            };
            step(settings.name, feed, writer, &states).await
        };
        let order = *orders.borrow_and_update();
        let stepped = tokio::select! {
            biased;
            () = is_to_end(&mut orders) => return,
            stepped = step => stepped,
        };
        states.note_outcome(settings.name, stepped.as_ref().err().map(String::as_str));
        let has_failed = pause > INTERVAL;
        if stepped.is_ok() && has_failed {
            tracing::info!(sink = name, target, "audit sink works again");
            pause = INTERVAL;
        }
        match stepped {
            Ok(Step::Wrote { kept }) => {
                if let Err(reason) = &kept
                    && keeps
                {
                    tracing::warn!(
                        sink = name,
                        error = reason,
                        "the position of an audit sink cannot be saved: after a restart it gets some events again"
                    );
                }
                keeps = kept.is_ok();
                continue;
            }
            Ok(Step::Nothing) => {}
            Err(reason) => {
                if !has_failed {
                    tracing::warn!(
                        sink = name,
                        target,
                        error = reason,
                        "audit sink does not work: it is tried again, and resumes where it stopped"
                    );
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        if order == Order::Finish {
            return;
        }
        // Another order may have come meanwhile.
        if *orders.borrow() == order {
            let _ = timeout(pause, orders.changed()).await;
        }
    }
}

enum Step {
    /// A batch was written; if its position could not be kept, why.
    Wrote { kept: Result<(), String> },
    /// There is nothing to write.
    Nothing,
}

async fn prepare(settings: &SinkSettings, store: &Arc<dyn Store>, folder: &Path) -> Result<(Feed, Writer), String> {
    let logs = store.audit_logs().await.map_err(|error: StoreError| error.to_string())?;
    let first = logs.first().ok_or("the database holds no event log")?;
    let name = settings.name.as_str();
    let file = position_file(folder, &first.origin, name);
    let of_file = file.clone();
    let read = tokio::task::spawn_blocking(move || Position::read(&of_file)).await;
    let read = read.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let position = read.unwrap_or_else(|| {
        tracing::warn!(sink = name, file = %file.display(), "the position of an audit sink cannot be read: it gets all events again");
        Position::default()
    });
    let writer = Writer::start(name, &settings.target, file).map_err(|error| without_codes(&error.to_string()))?;
    Ok((Feed::new(settings.name, store.clone(), settings.target.batch(), position), writer))
}

async fn step(name: PolicyName, feed: &mut Feed, writer: &Writer, states: &SinkStates) -> Result<Step, String> {
    let batch = feed.next().await.map_err(|error| error.to_string())?;
    states.note_behind(name, feed.behind());
    let Some(Batch { records, position }) = batch else {
        writer.rest();
        return Ok(Step::Nothing);
    };
    let count = records.len();
    states.note_writing(name, true);
    let written = writer.write(records, position.to_bytes()).await;
    states.note_writing(name, false);
    let written = written.map_err(|error| without_codes(&error.to_string()))?;
    feed.taken(position, count);
    states.note_behind(name, feed.behind());
    Ok(Step::Wrote { kept: written.kept.map_err(|error| error.to_string()) })
}

/// Returns once the order is to end now.
async fn is_to_end(orders: &mut watch::Receiver<Order>) {
    let _ = orders.wait_for(|order| *order == Order::End).await;
}
