//! Which connections are taken, how many from one address, and how long one may refuse what it asked for.
//!
//! What hyper does by itself (the time for a request head, its size, the number of headers) is set in
//! [`listen`](super::listen); how long an upload may be silent is `limits.idle_seconds`.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::collections::HashMap;
use std::future::Ready;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::metrics::Metrics;
use crate::state::Vault;

/// How long a client may take nothing of an answer. A player with a full buffer pauses for a while, and asks again by range
/// when it was cut.
const STALLED: Duration = Duration::from_secs(300);

/// Where connections may come from.
#[derive(Clone)]
pub enum From {
    /// Anywhere: over TLS.
    Anywhere,
    /// This machine: plain HTTP without a proxy.
    Loopback,
    /// The named proxies, which speak for many and are not counted.
    Proxies(Arc<[IpAddr]>),
}

impl From {
    fn lets_in(&self, peer: IpAddr) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Loopback => peer.is_loopback(),
            Self::Proxies(proxies) => proxies.contains(&peer),
        }
    }
}

/// Connections by address; an address without one has no entry, so that the table is as large as what is open.
type Open = Mutex<HashMap<IpAddr, u64>>;

/// Takes connections, or closes them before a byte is read.
#[derive(Clone)]
pub struct Admission {
    from: From,
    most: u64,
    open: Arc<Open>,
    metrics: Arc<Metrics>,
}

impl Admission {
    /// With the vault's limits.
    #[must_use]
    pub fn of(vault: &Vault, from: From) -> Self {
        Self::new(from, vault.config.limits.connections_per_address, Arc::clone(&vault.metrics))
    }

    fn new(from: From, most: u64, metrics: Arc<Metrics>) -> Self {
        Self { from, most, open: Arc::default(), metrics }
    }

    fn place(&self, peer: IpAddr) -> io::Result<Option<Place>> {
        if !self.from.lets_in(peer) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "not one of proxy.trusted"));
        }
        if matches!(self.from, From::Proxies(_)) {
            return Ok(None);
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(peer).or_default();
        if *count >= self.most {
            self.metrics.limited("connections_per_address");
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "limits.connections_per_address"));
        }
        *count += 1;
        Ok(Some(Place { peer, open: Arc::clone(&self.open) }))
    }
}

impl<S> Accept<TcpStream, S> for Admission {
    type Stream = Held<TcpStream>;
    type Service = S;
    type Future = Ready<io::Result<(Self::Stream, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let admitted = stream.peer_addr().and_then(|peer| self.place(peer.ip().to_canonical()));
        std::future::ready(admitted.and_then(|place| {
            // Short answers (206 of one segment) should not wait for more.
            stream.set_nodelay(true)?;
            Ok((Held { stream, _place: place, patience: STALLED, stalled: None }, service))
        }))
    }
}

/// One connection of an address, given back when it is dropped.
struct Place {
    peer: IpAddr,
    open: Arc<Open>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.peer);
            }
        }
    }
}

/// A connection that counts while it lives, and ends when its client takes nothing for too long.
pub struct Held<S> {
    stream: S,
    _place: Option<Place>,
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Held<S> {
    /// The outcome of a write: one that must wait waits no longer than the patience since the last that did not.
    fn wrote<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing of the answer")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.wrote(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.wrote(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const PEER: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn an_address_has_so_many_connections_and_gets_them_back() {
        let admission = Admission::new(From::Anywhere, 2, Arc::new(Metrics::new()));
        let (one, _two) = (admission.place(PEER).unwrap(), admission.place(PEER).unwrap());
        assert!(admission.place(PEER).is_err());
        assert!(admission.place(OTHER).is_ok(), "another address is not disturbed");
        drop(one);
        let _three = admission.place(PEER).unwrap();
        assert!(admission.place(PEER).is_err());
        assert_eq!(admission.open.lock().unwrap().len(), 1, "who has no connection takes no room");
        assert!(admission.metrics.encode().contains("limited_total{limit=\"connections_per_address\"} 2"));
    }

    #[test]
    fn plain_http_is_for_loopback_or_for_named_proxies_which_are_not_counted() {
        let of = |from| Admission::new(from, 1, Arc::new(Metrics::new()));
        let local = of(From::Loopback);
        assert!(local.place(PEER).is_err() && local.place(core::net::Ipv4Addr::LOCALHOST.into()).is_ok());
        let proxies = of(From::Proxies([PEER].into()));
        assert!(proxies.place(OTHER).is_err());
        let all: Vec<_> = (0..100).map(|_| proxies.place(PEER)).collect();
        assert!(all.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_let_go() {
        let (ours, theirs) = tokio::io::duplex(64);
        let mut held = Held { stream: ours, _place: None, patience: Duration::from_millis(20), stalled: None };
        held.write_all(&[0; 64]).await.unwrap();
        let refused = held.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
        drop(theirs);
    }

    #[tokio::test]
    async fn a_client_that_takes_something_begins_its_time_anew() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut held = Held { stream: ours, _place: None, patience: STALLED, stalled: None };
        held.write_all(&[0; 64]).await.unwrap();
        {
            let mut write = core::pin::pin!(held.write_all(&[0; 16]));
            assert!(futures_util::poll!(write.as_mut()).is_pending());
            theirs.read_exact(&mut [0; 16]).await.unwrap();
            write.await.unwrap();
        }
        assert!(held.stalled.is_none());
        assert!(futures_util::poll!(core::pin::pin!(held.write_all(&[0; 16]))).is_pending());
        assert!(held.stalled.is_some());
    }
}
