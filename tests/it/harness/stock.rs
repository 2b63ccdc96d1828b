//! A stand-in for an unmodified local Ollama server and its account routes (`stock_program` runs the real one): it has its own key,
//! answers `/api/me` for that key to any caller, and signs *itself* out on any `DELETE /api/user/keys/…`, which counts as a fault.

use std::{
    ops::Deref,
    sync::{Arc, Mutex},
};

use super::{
    http::Reply,
    ollama::{Ollama, recorded},
    signature::{Key, TestDevice},
};

/// What the server can say about its own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// 200 with the user.
    SignedIn,
    /// 401 with `https://ollama.com/connect` and the server's key.
    SignedOut,
    /// 503: ollama.com is out of its reach.
    Unavailable,
}

/// An [`Ollama`] (to which it dereferences) with an account.
pub struct Stock {
    ollama: Ollama,
    key: Key,
    account: Arc<Mutex<Account>>,
}

impl Stock {
    /// Starts it with the account in that state.
    pub fn start(account: Account) -> Self {
        let ollama = Ollama::start();
        let key = TestDevice::new(0x55).key();
        let account = Arc::new(Mutex::new(account));
        let state = |account: &Arc<Mutex<Account>>| *account.lock().expect("an unpoisoned state");
        ollama.route("POST", "/api/me", {
            let (account, key) = (account.clone(), key.clone());
            move |_| match state(&account) {
                Account::SignedIn => recorded("me200").reply(),
                Account::Unavailable => recorded("me").reply(),
                Account::SignedOut => Reply::json(401, signed_out(&key)),
            }
        });
        ollama.route("POST", "/api/signout", {
            let account = account.clone();
            move |_| match state(&account) {
                Account::SignedIn => {
                    *account.lock().expect("an unpoisoned state") = Account::SignedOut;
                    recorded("signout200").reply()
                }
                Account::SignedOut => recorded("signout401").reply(),
                Account::Unavailable => recorded("signout").reply(),
            }
        });
        ollama.route("DELETE", "/api/user/keys/*", {
            let account = account.clone();
            move |_| {
                *account.lock().expect("an unpoisoned state") = Account::SignedOut;
                recorded("delete_any").reply()
            }
        });
        Self { ollama, key, account }
    }

    /// The server's own key, which no client of ours has.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The state of its account now.
    pub fn account(&self) -> Account {
        *self.account.lock().expect("an unpoisoned state")
    }

    /// Changes it: as when a person signs the server in elsewhere.
    pub fn set_account(&self, account: Account) {
        *self.account.lock().expect("an unpoisoned state") = account;
    }

    /// The wrong calls so far: each would have signed the server itself out. Any of them fails the drop.
    pub fn wrong_deletes(&self) -> Vec<String> {
        let requests = self.ollama.server().requests();
        requests
            .iter()
            .filter(|request| request.method == "DELETE" && request.path().starts_with("/api/user/keys/"))
            .map(ToString::to_string)
            .collect()
    }
}

/// The recorded 401, with this server's key instead of the recorded one.
fn signed_out(key: &Key) -> String {
    let text = recorded("me401").chunks.concat();
    let (before, _) = text.split_once("key=").expect("a key in the recorded signin_url");
    format!("{before}key={}\"}}", key.encoded)
}

impl Deref for Stock {
    type Target = Ollama;

    fn deref(&self) -> &Ollama {
        &self.ollama
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        for request in self.wrong_deletes() {
            self.ollama.server().complain(format!("{request} was sent to a stock server"));
        }
    }
}
