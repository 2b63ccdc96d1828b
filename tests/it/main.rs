//! The one integration binary: `harness` holds the servers, sandboxes, keyrings and terminals, then comes one file per
//! capability.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected should fail right there")]

mod harness;

mod api_command;
mod bad_home;
#[cfg(feature = "gateway")]
mod browser;
mod chat;
#[cfg(feature = "gateway")]
mod completion;
mod contrib;
mod credentials_file;
mod device;
mod docs;
mod doctor;
#[cfg(feature = "gateway")]
mod examples;
mod exec;
#[cfg(feature = "gateway")]
mod gateway_access;
#[cfg(feature = "gateway")]
mod gateway_access_log;
#[cfg(feature = "gateway")]
mod gateway_addresses;
#[cfg(feature = "gateway")]
mod gateway_admin;
#[cfg(feature = "gateway")]
mod gateway_audit;
#[cfg(feature = "gateway")]
mod gateway_audit_crashes;
#[cfg(feature = "gateway")]
mod gateway_audit_export;
#[cfg(feature = "gateway")]
mod gateway_audit_filters;
#[cfg(feature = "gateway")]
mod gateway_audit_floods;
#[cfg(feature = "gateway")]
mod gateway_audit_keys;
#[cfg(feature = "gateway")]
mod gateway_audit_outages;
#[cfg(feature = "gateway")]
mod gateway_audit_pages;
#[cfg(feature = "gateway")]
mod gateway_audit_privacy;
#[cfg(feature = "gateway")]
mod gateway_audit_retries;
#[cfg(feature = "gateway")]
mod gateway_audit_sinks;
#[cfg(feature = "gateway")]
mod gateway_audit_tampering;
#[cfg(feature = "gateway")]
mod gateway_budgets;
#[cfg(feature = "gateway")]
mod gateway_caps;
#[cfg(feature = "gateway")]
mod gateway_config;
#[cfg(feature = "gateway")]
mod gateway_cors;
#[cfg(feature = "gateway")]
mod gateway_credentials;
#[cfg(feature = "gateway")]
mod gateway_db;
#[cfg(feature = "gateway")]
mod gateway_duplex;
#[cfg(feature = "gateway")]
mod gateway_environments;
#[cfg(feature = "gateway")]
mod gateway_events;
#[cfg(feature = "gateway")]
mod gateway_flow;
#[cfg(feature = "gateway")]
mod gateway_groups;
#[cfg(feature = "gateway")]
mod gateway_health;
#[cfg(feature = "gateway")]
mod gateway_hostile;
#[cfg(feature = "gateway")]
mod gateway_invitations;
#[cfg(feature = "gateway")]
mod gateway_job_tokens;
#[cfg(feature = "gateway")]
mod gateway_key_age;
#[cfg(feature = "gateway")]
mod gateway_keys;
#[cfg(feature = "gateway")]
mod gateway_limits;
#[cfg(feature = "gateway")]
mod gateway_maintenance;
#[cfg(feature = "gateway")]
mod gateway_metrics;
#[cfg(feature = "gateway")]
mod gateway_metrics_listener;
#[cfg(feature = "gateway")]
mod gateway_pages;
#[cfg(feature = "gateway")]
mod gateway_policy;
#[cfg(feature = "gateway")]
mod gateway_postgres;
#[cfg(feature = "gateway")]
mod gateway_programs;
#[cfg(feature = "gateway")]
mod gateway_providers;
#[cfg(feature = "gateway")]
mod gateway_recorded;
#[cfg(feature = "gateway")]
mod gateway_replicas;
#[cfg(feature = "gateway")]
mod gateway_roles;
#[cfg(feature = "gateway")]
mod gateway_signatures;
#[cfg(feature = "gateway")]
mod gateway_single_sign_on;
#[cfg(feature = "gateway")]
mod gateway_status;
#[cfg(feature = "gateway")]
mod gateway_streams;
#[cfg(feature = "gateway")]
mod gateway_suspension;
#[cfg(feature = "gateway")]
mod gateway_tls;
#[cfg(feature = "gateway")]
mod gateway_top;
#[cfg(feature = "gateway")]
mod gateway_two_proofs;
#[cfg(feature = "gateway")]
mod gateway_upstream;
#[cfg(feature = "gateway")]
mod gateway_upstream_addresses;
#[cfg(feature = "gateway")]
mod gateway_usage;
#[cfg(feature = "gateway")]
mod gateway_workload;
#[cfg(feature = "gateway")]
mod gateway_workload_hostile;
mod generated;
mod given;
#[cfg(feature = "gateway")]
mod go_log;
mod harness_selftest;
mod host_and_credential;
mod hostile_hosts;
mod job_tokens;
#[cfg(target_os = "linux")]
mod keep_unlocked;
mod keyring;
mod keys;
mod layering;
mod leaks;
#[cfg(target_os = "linux")]
mod listener;
mod models;
#[cfg(feature = "gateway")]
mod monitoring;
#[cfg(feature = "gateway")]
mod pictures;
mod profiles;
#[cfg(feature = "gateway")]
mod proxy;
#[cfg(feature = "gateway")]
mod quickstart;
mod readme;
#[cfg(feature = "gateway")]
mod rotate;
mod run;
mod run_errors;
mod run_waiting;
#[cfg(feature = "gateway")]
mod sdks;
mod signin;
mod signin_api_key;
mod signin_code;
mod signin_server;
mod ssh_keygen;
#[cfg(feature = "gateway")]
mod stock_program;
mod store;
mod terminal_run;
mod terminal_signin;
mod terminal_tables;
mod token;
#[cfg(feature = "gateway")]
mod upgrade;
mod usage;
mod vault;
