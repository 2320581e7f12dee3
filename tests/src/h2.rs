//! A connection that speaks HTTP/2 in plain text with prior knowledge (RFC 9113 §3.3), as a proxy does, and that ends
//! when a suite wants it to.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use h2::Reason;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use vault_api::names::{TUS_CONTENT_TYPE, TUS_VERSION};

use crate::http::Answer;
use crate::tus::Upload;
use crate::vault::Vault;

/// Plaintext of uploads taken in since a server started.
#[must_use]
pub fn taken_in(vault: &Vault) -> u64 {
    let text = String::from_utf8(vault.admin().get("/metrics").expect(200).body).expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix("feedback_vault_uploaded_bytes_total "));
    line.and_then(|number| number.parse().ok()).expect("the metric")
}

/// A connection. Dropped, it ends, whatever is under way on it.
pub struct Connection {
    runtime: Runtime,
    requests: SendRequest<Bytes>,
    /// The connection itself, until it ends.
    standing: JoinHandle<Result<(), h2::Error>>,
    /// Requests that were answered before they were sent whole. Dropped, they would be reset, and a server that has said its last word may
    /// have closed by then: its reset of the TCP connection would overtake what it said.
    unsent: Mutex<Vec<h2::SendStream<Bytes>>>,
    base: String,
}

/// A request that has begun.
pub struct Begun {
    response: ResponseFuture,
    body: h2::SendStream<Bytes>,
}

impl Connection {
    /// Connects. One that is `abrupt` ends with a reset of the TCP connection, another one is closed.
    #[must_use]
    pub fn open(vault: &Vault, abrupt: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let host = vault.dev.url.strip_prefix("http://").expect("plain HTTP on loopback").to_owned();
        let (requests, standing) = runtime.block_on(async {
            let stream = TcpStream::connect(host).await.expect("the server listens");
            if abrupt {
                stream.set_zero_linger().expect("set");
            }
            let (requests, connection) = h2::client::handshake(stream).await.expect("the server speaks HTTP/2");
            (requests, tokio::spawn(connection))
        });
        Self { runtime, requests, standing, unsent: Mutex::default(), base: vault.dev.url.clone() }
    }

    /// Begins a `PATCH` that announces `length` bytes, and sends some of them.
    #[must_use]
    pub fn begin_patch(&self, upload: &Upload, offset: u64, length: usize, sent: &[u8]) -> Begun {
        let request = Request::builder().method("PATCH").uri(format!("{}{}", self.base, upload.location));
        let request = request.header("tus-resumable", TUS_VERSION).header("content-type", TUS_CONTENT_TYPE);
        let request = request.header("upload-offset", offset).header("content-length", length);
        let request = request.body(()).expect("a request");
        self.runtime.block_on(async {
            let mut requests = self.requests.clone().ready().await.expect("the connection stands");
            let (response, mut body) = requests.send_request(request, false).expect("sent");
            // What the other side's window has no room for yet is kept and sent later.
            body.send_data(Bytes::copy_from_slice(sent), sent.len() == length).expect("sent");
            Begun { response, body }
        })
    }

    /// A `PATCH` of one chunk.
    #[must_use]
    pub fn patch(&self, upload: &Upload, offset: u64, chunk: &[u8]) -> Answer {
        self.answer(self.begin_patch(upload, offset, chunk.len(), chunk))
    }

    /// Sends the rest of what a request announced.
    pub fn finish(&self, begun: &mut Begun, rest: &[u8]) {
        self.runtime.block_on(async { begun.body.send_data(Bytes::copy_from_slice(rest), true).expect("sent") });
    }

    /// The answer to a request.
    #[must_use]
    pub fn answer(&self, begun: Begun) -> Answer {
        self.runtime.block_on(async {
            let (head, mut body) = begun.response.await.expect("an answer").into_parts();
            let mut bytes = Vec::new();
            while let Some(piece) = body.data().await {
                let piece = piece.expect("the body");
                let _room = body.flow_control().release_capacity(piece.len());
                bytes.extend_from_slice(&piece);
            }
            self.unsent.lock().unwrap_or_else(PoisonError::into_inner).push(begun.body);
            let headers: HeaderMap = head.headers;
            Answer { status: head.status.as_u16(), headers, body: bytes }
        })
    }
}

impl Connection {
    /// Waits until the other side has ended it, and answers whether that was in order: with GOAWAY and no error
    /// (RFC 9113 §6.8), so that a client knows which of its requests were not taken.
    #[must_use]
    pub fn ends_in_order(self) -> bool {
        self.runtime.block_on(async {
            let ended = self.standing.await.expect("no panic");
            let told = self.requests.ready().await.err();
            ended.is_ok() && told.is_some_and(|e| e.is_go_away() && e.reason() == Some(Reason::NO_ERROR))
        })
    }
}

impl Begun {
    /// Takes the request back, and leaves the connection as it is.
    pub fn cancel(mut self) {
        self.body.send_reset(Reason::CANCEL);
    }
}
