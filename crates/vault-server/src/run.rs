//! A node from start to stop: listeners, signals, draining.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use crate::app::play;
use crate::state::Vault;
use crate::{http, jobs};

/// Serves both listeners until SIGTERM or SIGINT, then drains. The listeners are bound by the caller, so that
/// `dev` knows its ports before it writes them down.
pub async fn serve(vault: Arc<Vault>, public: TcpListener, admin: TcpListener) -> std::io::Result<()> {
    let mut jobs = jobs::start(&vault);
    let (leaving, stopping) = (vault.leaving.clone(), vault.stopping.clone());
    let leave = Duration::from_secs(vault.config.limits.leave_seconds);
    let signals = tokio::spawn(async move {
        if let Err(e) = stop_signal().await {
            tracing::error!(error = %e, "cannot listen for signals");
        }
        leaving.cancel();
        if !leave.is_zero() {
            tracing::info!(seconds = leave.as_secs(), "leaving: not ready any more, and everything is still served");
            tokio::time::sleep(leave).await;
        }
        tracing::info!("stopping: no new requests, running ones may end");
        stopping.cancel();
    });
    if let (Ok(public), Ok(admin)) = (public.local_addr(), admin.local_addr()) {
        tracing::info!(%public, %admin, tls = vault.config.tls.is_some(), "listening");
    }
    let outcome = tokio::try_join!(
        http::listen::serve_public(Arc::clone(&vault), public, http::public(&vault)),
        http::listen::serve_admin(Arc::clone(&vault), admin, http::admin(&vault)),
    );
    signals.abort();
    vault.stopping.cancel();
    vault.closing.cancel();
    while jobs.join_next().await.is_some() {}
    play::leave(&vault).await;
    vault.close().await;
    outcome.map(|_| ())
}

async fn stop_signal() -> std::io::Result<()> {
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut int = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}
