//! The pages as browsers meet them: the router is called, and a small browser keeps the cookies.

mod adding_devices;
mod administration;
mod approval;
mod browser;
mod device_codes;
mod hostile;
mod keys;
mod keys_hostile;
mod known_browsers;
mod names;
mod passwords;
mod setting_up;
mod signing_in;
mod status;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use uuid::Uuid;

use self::browser::Browser;
use crate::address::BaseUrl;
use crate::gateway::store::memory::MemoryStore;
use crate::gateway::store::{Change, Device, Event, EventFilter, KeyRecord, RecordedEvent, Role, User};
use crate::gateway::{Clock, Config, Directory, Gateway, PasswordHash, Secret};
use crate::identity::{ConnectUrl, DeviceKey, PublicKey};
use crate::keyspec::{ApiKey, KeyId, Scope};

const PASSWORD: &str = "correct horse";

/// A gateway with its pages, at a time of its own.
struct Site {
    gateway: Arc<Gateway>,
    store: Arc<MemoryStore>,
    time: Arc<AtomicI64>,
}

impl Site {
    /// Without accounts.
    async fn at(url: &str) -> Self {
        Self::opened(url, MemoryStore::default()).await
    }

    async fn opened(url: &str, store: MemoryStore) -> Self {
        let (store, time) = (Arc::new(store), Arc::new(AtomicI64::new(1_795_236_626)));
        let directory = Directory::open(store.clone()).await.unwrap();
        let config = Config { public_url: Some(BaseUrl::parse(url).unwrap().url), ..Config::default() };
        let clock = Clock::new({
            let time = time.clone();
            move || time.load(Ordering::SeqCst)
        });
        let local = SocketAddr::from(([127, 0, 0, 1], 11435));
        let gateway = Gateway::new(directory, clock, config, local, &Secret::random().unwrap());
        Self { gateway: Arc::new(gateway), store, time }
    }

    /// With ada, who rules, and bob.
    async fn with_people() -> Self {
        let site = Self::at("http://127.0.0.1:11435").await;
        site.add("ada", Role::Admin).await;
        site.add("bob", Role::Member).await;
        site
    }

    async fn add(&self, name: &str, role: Role) -> Uuid {
        let id = Uuid::new_v4();
        self.add_as(id, name, role).await;
        id
    }

    async fn add_as(&self, id: Uuid, name: &str, role: Role) {
        let (name, email, created_at) = (name.into(), String::new(), self.now());
        let user = User {
            id,
            name,
            email,
            role,
            disabled: false,
            created_at,
            suspended: None,
            groups: Vec::new(),
            limits: Default::default(),
            addresses: Default::default(),
        };
        let hash = PasswordHash::of(&PASSWORD.into()).unwrap();
        self.change(Change::AddUser(user, Some(hash))).await;
    }

    async fn change(&self, change: Change) {
        self.committed(change).await;
    }

    /// The same, for a task of its own.
    fn committed(&self, change: Change) -> impl Future<Output = ()> + use<> {
        let gateway = self.gateway.clone();
        async move { gateway.directory.commit(change, Event { action: "test", ..Event::default() }).await.unwrap() }
    }

    fn user(&self, name: &str) -> Uuid {
        self.gateway.directory.user_by_name(name).unwrap().id
    }

    fn now(&self) -> i64 {
        self.time.load(Ordering::SeqCst)
    }

    fn wait(&self, seconds: i64) {
        self.time.fetch_add(seconds, Ordering::SeqCst);
    }

    fn browser(&self) -> Browser {
        Browser::new(self.gateway.clone(), IpAddr::from([192, 0, 2, 1]))
    }

    async fn signed_in(&self, name: &str) -> Browser {
        let mut browser = self.browser();
        assert_eq!(browser.sign_in(name, PASSWORD).await.location(), "/account");
        browser
    }

    /// A key that this browser makes: its id, and itself.
    async fn key(&self, browser: &mut Browser, name: &str) -> (KeyId, String) {
        let form = browser.get("/settings/keys/new").await;
        let (token, id) = (form.token(), id_in(&form.body));
        let made = browser.post("/settings/keys", &wish(&token, &id, name)).await;
        assert_eq!(made.status, http::StatusCode::CREATED, "{}", made.body);
        (id.parse().unwrap(), key_in(&made.body).expect("no key is shown"))
    }

    async fn record(&self, id: &KeyId) -> Option<Arc<KeyRecord>> {
        self.gateway.directory.key_by_id(id).await.unwrap()
    }

    /// A pending device.
    fn pending_device(&self) -> PublicKey {
        let key = DeviceKey::generate().unwrap().public().clone();
        self.gateway.pending_devices.add(&key, IpAddr::from([198, 51, 100, 7]), self.now());
        key
    }

    fn owner(&self, key: &PublicKey) -> Option<String> {
        self.gateway.directory.device(key).map(|known| known.user.name.clone())
    }

    async fn events(&self, action: &str) -> Vec<RecordedEvent> {
        self.gateway.report_refusals(true).await.unwrap();
        let all = self.gateway.directory.events(1000, EventFilter::default()).await.unwrap();
        all.into_iter().filter(|event| event.action == action).collect()
    }
}

/// The id that the form for a new key carries.
fn id_in(body: &str) -> String {
    body.split(r#"name="id" value=""#).nth(1).expect("no id").split('"').next().unwrap().to_owned()
}

/// The key that a page shows.
fn key_in(body: &str) -> Option<String> {
    let at = body.find("olauth_")?;
    Some(body[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect())
}

/// What somebody sends who fills in no more than a name.
fn wish<'a>(token: &'a str, id: &'a str, name: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("csrf", token), ("id", id), ("name", name), ("scope-inference", "on"), ("expires", "90")]
}

/// The path of a connect link.
fn link(name: &str, key: &PublicKey) -> String {
    let url = ConnectUrl::new(&BaseUrl::local(), name, key).to_string();
    url.strip_prefix("http://127.0.0.1:11434").unwrap().to_owned()
}

/// What a person who decides on a device sends.
fn decision<'a>(token: &'a str, key: &'a str, decision: &'a str) -> [(&'a str, &'a str); 4] {
    [("csrf", token), ("key", key), ("name", "laptop"), ("decision", decision)]
}
