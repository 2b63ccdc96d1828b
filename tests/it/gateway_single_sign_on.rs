//! People sign in at a provider, in a real browser: at the certified oidc-provider and at Keycloak, with one gateway on SQLite and with
//! three on PostgreSQL. Each walk is the same, since for people it is the same.

mod keycloak;
mod oidc_provider;
mod site;
mod walk;
