//! The gateway of the quickstart: the real one, with a database in the private folder, on a free port of this machine.

use std::path::Path;
use std::sync::Arc;
use std::task::Poll;

use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::address::BaseUrl;
use crate::app::App;
use crate::commands::gateway::serve::{PreparedGateway, prepare};
use crate::commands::signin::device::machine_name;
use crate::exit::{Exit, Problem};
use crate::gateway::admin::perform;
use crate::gateway::{
    AdminContext, AdminReply, AdminRequest, DeviceRef, Flag, Gateway, Inputs, PasswordHash, PendingDevice, Role,
    ServeError, load,
};
use crate::identity::PublicKey;

/// A gateway that serves until it is dropped.
pub struct Stage {
    gateway: Arc<Gateway>,
    serving: JoinHandle<Result<(), ServeError>>,
    now: fn() -> i64,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Stage {
    /// Begins to serve.
    ///
    /// # Errors
    /// No free port, no database.
    pub async fn open(app: &App, upstream: &BaseUrl, folder: &Path) -> anyhow::Result<Self> {
        let flags =
            [("listen", "127.0.0.1:0".to_owned()), ("upstream", upstream.to_string()), ("threads", "1".to_owned())];
        let flags = flags.map(|(name, value)| Flag::Own(name, value)).into();
        let config = load(&Inputs { flags, ..Inputs::default() })?;
        let database = folder.join("gateway").join("gateway.db");
        let PreparedGateway { server, gateway, .. } = prepare(app.now, config.clone(), &database).await?;
        let (_, never) = mpsc::channel(1);
        let serving = server.run(gateway.clone(), std::future::pending(), never, move || Ok(config.clone()));
        Ok(Self { gateway, serving: tokio::spawn(serving), now: app.now })
    }

    /// What callers call it.
    pub fn url(&self) -> String {
        self.gateway.config.get().url.to_string()
    }

    /// Makes the first account, as `gateway user add NAME --role admin` does.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub async fn add_admin(&self, app: &App, name: &str, password: SecretString) -> anyhow::Result<()> {
        let password: PasswordHash = app.ask(move |_| PasswordHash::of(&password)).await??;
        let request =
            AdminRequest::AddUser { name: name.to_owned(), email: String::new(), role: Role::Admin, password };
        self.perform(request).await.map(drop)
    }

    /// Waits for a pending device that is one of ours: `signin` also signs with a key of no device, to see what the host is.
    ///
    /// To be polled before whatever makes the device device, and in the same task: what wakes it is the answer to the device.
    pub async fn pending_device(&self, ours: impl Fn(&PublicKey) -> bool) -> PendingDevice {
        std::future::poll_fn(|_| {
            match self.gateway.pending_devices.all((self.now)()).into_iter().find(|device| ours(&device.key)) {
                Some(device) => Poll::Ready(device),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Approves a pending device, as `gateway approve` does, and gives its fingerprint.
    ///
    /// # Errors
    /// When the approval cannot be kept.
    pub async fn approve(&self, PendingDevice { key, .. }: PendingDevice, name: &str) -> anyhow::Result<String> {
        let device = DeviceRef::Key { key, name: machine_name() };
        let AdminReply::Approved { fingerprint, .. } =
            self.perform(AdminRequest::Approve { device, user: name.to_owned() }).await?
        else {
            return Err(Problem::new(Exit::Failed, "the gateway did not say that it approved the device").into());
        };
        Ok(fingerprint)
    }

    async fn perform(&self, request: AdminRequest) -> anyhow::Result<AdminReply> {
        let context = AdminContext::of(&self.gateway, (self.now)());
        Ok(perform(&context, request).await?)
    }
}
