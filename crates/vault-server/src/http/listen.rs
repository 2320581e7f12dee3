//! Listeners: TLS with reload, or plain HTTP on loopback and behind named proxies; graceful stop.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::ConnectInfo;
use axum::middleware::AddExtension;
use axum_server::accept::{Accept, DefaultAcceptor};
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;
use tokio::net::TcpStream;

use super::connections::{Admission, From};
use crate::config::Tls;
use crate::state::Vault;
use crate::tls;

/// How long a client may take over its request head, and over the TLS handshake.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Bound on a request head. HTTP/1 also takes no more than 100 headers (hyper's own bound).
const HEAD_BYTES: usize = 64 * 1024;

/// Requests at once on one HTTP/2 connection. Streams opened and reset in turn are bounded by h2 itself.
const STREAMS: u32 = 128;

/// The router with the peer's address, one for each connection.
type Connected = AddExtension<Router, ConnectInfo<SocketAddr>>;

/// Serves the public router until the vault stops; then lets running requests end.
pub async fn serve_public(vault: Arc<Vault>, listener: TcpListener, router: Router) -> io::Result<()> {
    match vault.config.tls.clone() {
        Some(files) => {
            let config = load(&files).await?;
            let watcher = tokio::spawn(reload(Arc::clone(&vault), files, config.clone()));
            let admission = Admission::of(&vault, From::Anywhere);
            let acceptor = RustlsAcceptor::new(config).handshake_timeout(HEAD_TIMEOUT).acceptor(admission);
            let outcome = run(&vault, listener, router, move |server| server.acceptor(acceptor)).await;
            watcher.abort();
            outcome
        }
        None => {
            let from = match vault.config.proxy.trusted.as_slice() {
                [] => From::Loopback,
                proxies => From::Proxies(proxies.into()),
            };
            let admission = Admission::of(&vault, from);
            run(&vault, listener, router, move |server| server.acceptor(admission)).await
        }
    }
}

/// Serves the admin router: plain HTTP on loopback.
pub async fn serve_admin(vault: Arc<Vault>, listener: TcpListener, router: Router) -> io::Result<()> {
    run(&vault, listener, router, |server| server.acceptor(DefaultAcceptor::new())).await
}

async fn run<A>(
    vault: &Vault,
    listener: TcpListener,
    router: Router,
    with: impl FnOnce(Server<SocketAddr>) -> Server<SocketAddr, A>,
) -> io::Result<()>
where
    A: Accept<TcpStream, Connected> + Clone + Send + Sync + 'static,
    A::Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send,
    A::Service: axum_server::service::SendService<http::Request<hyper::body::Incoming>> + Send,
    A::Future: Send,
{
    listener.set_nonblocking(true)?;
    let handle = Handle::new();
    let stopping = vault.stopping.clone();
    let drain = Duration::from_secs(vault.config.limits.drain_seconds);
    let on_stop = handle.clone();
    let waiter = tokio::spawn(async move {
        stopping.cancelled().await;
        on_stop.graceful_shutdown(Some(drain));
    });
    let mut server = with(axum_server::from_tcp(listener)?).handle(handle).first_request_timeout(HEAD_TIMEOUT);
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES);
    server
        .http_builder()
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD_BYTES as u32)
        .max_concurrent_streams(STREAMS)
        .keep_alive_interval(Some(Duration::from_secs(30)));
    let outcome = server.serve(router.into_make_service_with_connect_info::<SocketAddr>()).await;
    waiter.abort();
    outcome
}

async fn load(files: &Tls) -> io::Result<RustlsConfig> {
    let named = |e: io::Error| {
        io::Error::new(e.kind(), format!("{} or {}: {e}", files.certificate.display(), files.private_key.display()))
    };
    let (certificate, key) = tls::pair(files).await?;
    RustlsConfig::from_pem(certificate, key.to_vec()).await.map_err(named)
}

fn changed(files: &Tls) -> Option<(SystemTime, SystemTime)> {
    let at = |path| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    Some((at(&files.certificate)?, at(&files.private_key)?))
}

/// Reads certificate and key again when either file changes; keeps the old pair while the new one does not fit.
async fn reload(vault: Arc<Vault>, files: Tls, config: RustlsConfig) {
    let mut seen = changed(&files);
    loop {
        tokio::select! {
            () = vault.stopping.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(files.reload_seconds.max(1))) => {}
        }
        let now = changed(&files);
        if now == seen {
            continue;
        }
        let reloaded = match tls::pair(&files).await {
            Ok((certificate, key)) => config.reload_from_pem(certificate, key.to_vec()).await,
            Err(e) => Err(e),
        };
        match reloaded {
            Ok(()) => {
                seen = now;
                tracing::info!("TLS certificate reloaded");
            }
            Err(e) => tracing::warn!(error = %e, "the new TLS certificate or key cannot be used; the old one stays"),
        }
    }
}
