//! A browser without a network: cookies, forms, and what an answer holds.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use http::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, Request, StatusCode};
use tower::ServiceExt as _;

use crate::gateway::Gateway;
use crate::gateway::origin::Origin;
use crate::gateway::pages::router;
use crate::gateway::policy_name::PolicyName;

/// See the module.
#[derive(Clone)]
pub struct Browser {
    gateway: Arc<Gateway>,
    pub address: IpAddr,
    pub cookies: HashMap<String, String>,
    /// More headers, sent with everything.
    pub headers: Vec<(&'static str, String)>,
    /// The environment and the address of the listener that it comes to, if that is not the gateway's own.
    pub listener: Option<(PolicyName, SocketAddr)>,
}

/// An answer.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Reply {
    /// Where it sends the browser.
    pub fn location(&self) -> &str {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.body);
        self.headers[LOCATION].to_str().unwrap()
    }

    /// The token in its forms.
    pub fn token(&self) -> String {
        let after = self.body.split(r#"name="csrf" value=""#).nth(1).expect("no form");
        after.split('"').next().unwrap().to_owned()
    }

    pub fn has(&self, text: &str) -> bool {
        self.body.contains(text)
    }
}

impl Browser {
    pub fn new(gateway: Arc<Gateway>, address: IpAddr) -> Self {
        Self { gateway, address, cookies: HashMap::new(), headers: Vec::new(), listener: None }
    }

    pub async fn get(&mut self, path: &str) -> Reply {
        self.send("GET", path, Body::empty()).await
    }

    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send("POST", path, Body::from(body)).await
    }

    pub async fn send(&mut self, method: &str, path: &str, body: Body) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in &self.cookies {
            request = request.header(COOKIE, format!("{name}={value}"));
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let mut origin = Origin::new(self.address);
        (origin.entry, origin.local) = self.listener.unzip();
        let request =
            request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").extension(origin).body(body).unwrap();
        let response = router(self.gateway.pages.clone()).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        for cookie in parts.headers.get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Reply { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub async fn sign_in(&mut self, name: &str, password: &str) -> Reply {
        let token = self.get("/login").await.token();
        self.post("/login", &[("csrf", &token), ("name", name), ("password", password)]).await
    }

    /// The cookie of the session.
    pub fn session(&self) -> Option<&String> {
        self.cookies.iter().find(|(name, _)| name.contains("session")).map(|(_, value)| value)
    }
}
