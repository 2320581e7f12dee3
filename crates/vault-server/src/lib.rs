//! The Feedback Vault server: `http → app → {store, objects, custody} → vault-core`, with `jobs` beside `app`.

pub mod app;
pub mod clock;
pub mod command;
pub mod config;
pub mod custody;
pub mod directory;
pub mod http;
pub mod jobs;
pub mod metrics;
pub mod objects;
pub mod process;
pub mod run;
pub mod state;
pub mod store;
pub mod telemetry;
#[cfg(test)]
pub mod testing;
pub mod tls;
