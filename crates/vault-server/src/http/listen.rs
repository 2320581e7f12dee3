//! Listeners: TLS with reload, or plain HTTP on loopback and behind named proxies; graceful stop.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum_server::accept::{Accept, DefaultAcceptor};
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;
use tokio::net::TcpStream;

use crate::config::Tls;
use crate::state::Vault;

/// How long a client may take over its request head, and over the TLS handshake.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Bound on a request head.
const HEAD_BYTES: usize = 64 * 1024;

/// Serves the public router until the vault stops; then lets running requests end.
pub async fn serve_public(vault: Arc<Vault>, listener: TcpListener, router: Router) -> io::Result<()> {
    match vault.config.tls.clone() {
        Some(tls) => {
            let config = load(&tls).await?;
            let watcher = tokio::spawn(reload(Arc::clone(&vault), tls, config.clone()));
            let acceptor = RustlsAcceptor::new(config).handshake_timeout(HEAD_TIMEOUT);
            let outcome = run(&vault, listener, router, move |server| server.acceptor(acceptor)).await;
            watcher.abort();
            outcome
        }
        None => {
            let from = FromTrusted { proxies: vault.config.proxy.trusted.clone().into() };
            run(&vault, listener, router, move |server| server.acceptor(from)).await
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
    A: Accept<TcpStream, Router> + Clone + Send + Sync + 'static,
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
        .keep_alive_interval(Some(Duration::from_secs(30)));
    let outcome = server.serve(router.into_make_service()).await;
    waiter.abort();
    outcome
}

/// Closes connections from anywhere but the named proxies; loopback alone when none are named.
#[derive(Clone)]
struct FromTrusted {
    proxies: Arc<[IpAddr]>,
}

impl<S> Accept<TcpStream, S> for FromTrusted {
    type Stream = TcpStream;
    type Service = S;
    type Future = std::future::Ready<io::Result<(TcpStream, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let allowed = stream.peer_addr().is_ok_and(|peer| {
            let ip = peer.ip().to_canonical();
            if self.proxies.is_empty() { ip.is_loopback() } else { self.proxies.contains(&ip) }
        });
        std::future::ready(if allowed {
            // Short answers (206 of one segment) should not wait for more.
            stream.set_nodelay(true).map(|()| (stream, service))
        } else {
            Err(io::Error::new(io::ErrorKind::PermissionDenied, "not one of proxy.trusted"))
        })
    }
}

async fn load(tls: &Tls) -> io::Result<RustlsConfig> {
    let named = |e: io::Error| {
        io::Error::new(e.kind(), format!("{} or {}: {e}", tls.certificate.display(), tls.private_key.display()))
    };
    RustlsConfig::from_pem_file(&tls.certificate, &tls.private_key).await.map_err(named)
}

fn changed(tls: &Tls) -> Option<(SystemTime, SystemTime)> {
    let at = |path| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    Some((at(&tls.certificate)?, at(&tls.private_key)?))
}

/// Reads certificate and key again when either file changes; keeps the old pair while the new one does not fit.
async fn reload(vault: Arc<Vault>, tls: Tls, config: RustlsConfig) {
    let mut seen = changed(&tls);
    loop {
        tokio::select! {
            () = vault.stopping.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(tls.reload_seconds.max(1))) => {}
        }
        let now = changed(&tls);
        if now == seen {
            continue;
        }
        match config.reload_from_pem_file(&tls.certificate, &tls.private_key).await {
            Ok(()) => {
                seen = now;
                tracing::info!("TLS certificate reloaded");
            }
            Err(e) => tracing::warn!(error = %e, "the new TLS certificate or key cannot be used; the old one stays"),
        }
    }
}
