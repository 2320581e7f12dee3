//! The answer to a GET or HEAD of a playback: preconditions, ranges, headers, body (RFC 9110 §13, §14, §15.3.7).
//!
//! The first segment is opened before the head of the answer is sent, so that whatever is wrong gets a status and a
//! problem document. What goes wrong later ends the connection: a body that stops short of its Content-Length cannot be
//! taken for a whole one.

use core::ops::Range;
use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use bytes::Bytes;
use futures_util::stream;
use vault_api::code::Code;
use vault_fields::precondition::{self, Outcome, Tag};
use vault_fields::range::{self, ByteRange, Selection};

use crate::app::error::Failure;
use crate::app::play::live::{Ended, Live};
use crate::app::play::stream::{Gate, Playing};

/// Headers of every answer that has to do with media: kept nowhere, run nowhere, told nowhere.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::CACHE_CONTROL, "private, no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_DISPOSITION, "inline"),
    (header::ACCEPT_RANGES, "bytes"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Answers from a session that is open.
pub async fn answer(
    live: &Arc<Live>,
    gate: &Gate,
    method: &Method,
    request: &HeaderMap,
) -> Result<Response<Body>, Failure> {
    gate.admit(live)?;
    let tag = Tag::new(&live.opaque_tag()).ok_or(Code::Internal)?;
    match precondition::evaluate(request, &tag) {
        Outcome::Proceed => {}
        Outcome::Failed => return Err(Code::PreconditionFailed.into()),
        Outcome::NotModified => return Ok(head(StatusCode::NOT_MODIFIED, &tag, Body::empty())),
    }
    let length = live.length().plaintext();
    match range::select(method, request, &tag, length) {
        Selection::Whole => {
            let body = match ByteRange::whole(length) {
                Some(whole) if method == Method::GET => one(live, gate, whole).await?,
                _ => Body::empty(),
            };
            let mut response = head(StatusCode::OK, &tag, body);
            describe(&mut response, live.content_type(), length);
            Ok(response)
        }
        Selection::Part(part) => {
            let mut response = head(StatusCode::PARTIAL_CONTENT, &tag, one(live, gate, part).await?);
            describe(&mut response, live.content_type(), part.len());
            set(&mut response, header::CONTENT_RANGE, &part.content_range(length));
            Ok(response)
        }
        Selection::Parts(parts) => {
            let multipart = Multipart::of(&parts, live.content_type(), length);
            let (kind, total) = (multipart.content_type(), multipart.length);
            let body = send(live, gate, multipart.steps).await?;
            let mut response = head(StatusCode::PARTIAL_CONTENT, &tag, body);
            describe(&mut response, &kind, total);
            Ok(response)
        }
        Selection::Unsatisfiable => {
            let mut response = Failure::new(Code::RangeNotSatisfiable).member("length", length).into_response();
            set(&mut response, header::CONTENT_RANGE, &format!("bytes */{length}"));
            Ok(response)
        }
    }
}

/// Status, headers of every answer, entity tag.
fn head(status: StatusCode, tag: &Tag, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    dress(response.headers_mut());
    response.headers_mut().insert(header::ETAG, tag.value().clone());
    response
}

/// The headers of every answer that has to do with media.
pub fn dress(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn describe(response: &mut Response<Body>, kind: &str, length: u64) {
    set(response, header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
}

/// Sets a header made of letters and digits of this file's own.
fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

async fn one(live: &Arc<Live>, gate: &Gate, part: ByteRange) -> Result<Body, Failure> {
    send(live, gate, VecDeque::from([Step::Media(positions(part))])).await
}

fn positions(part: ByteRange) -> Range<u64> {
    part.first()..part.first() + part.len()
}

/// A piece of the body.
enum Step {
    /// Boundary and headers of a part.
    Text(String),
    /// Positions of the recording.
    Media(Range<u64>),
}

/// A body under way.
struct Sending {
    live: Arc<Live>,
    gate: Gate,
    steps: VecDeque<Step>,
    playing: Option<Playing>,
}

impl Sending {
    async fn next(&mut self) -> Option<Result<Bytes, Ended>> {
        loop {
            if let Some(playing) = &mut self.playing {
                match playing.next().await {
                    None => self.playing = None,
                    Some(Ok(bytes)) => return Some(Ok(bytes)),
                    Some(Err(ended)) => {
                        self.steps.clear();
                        self.playing = None;
                        return Some(Err(ended));
                    }
                }
            }
            match self.steps.pop_front()? {
                Step::Text(text) => return Some(Ok(text.into())),
                Step::Media(range) => match Playing::begin(&self.live, &self.gate, range) {
                    Ok(playing) => self.playing = Some(playing),
                    Err(ended) => return Some(Err(ended)),
                },
            }
        }
    }
}

/// The body of these steps. What comes up to and with the first bytes of media is made before this returns.
async fn send(live: &Arc<Live>, gate: &Gate, steps: VecDeque<Step>) -> Result<Body, Failure> {
    let mut sending = Sending { live: Arc::clone(live), gate: gate.clone(), steps, playing: None };
    let mut first = VecDeque::new();
    while let Some(piece) = sending.next().await.transpose()? {
        first.push_back(piece);
        if sending.playing.is_some() {
            break;
        }
    }
    let pieces = stream::unfold((first, sending), async |(mut first, mut sending)| {
        let piece = match first.pop_front() {
            Some(piece) => Ok(piece),
            None => sending.next().await?,
        };
        if let Err(ended) = &piece {
            tracing::info!(session = %sending.live.row().id, why = %ended, "a playback was cut");
        }
        Some((piece, (first, sending)))
    });
    Ok(Body::from_stream(pieces))
}

/// A `multipart/byteranges` body (§14.6).
struct Multipart {
    boundary: String,
    steps: VecDeque<Step>,
    length: u64,
}

impl Multipart {
    fn of(parts: &[ByteRange], kind: &str, length: u64) -> Self {
        // 128 random bits: no recording holds it but by guessing, and none is asked.
        let boundary = hex::encode(vault_core::random::array::<16>());
        let mut steps = VecDeque::with_capacity(parts.len() * 2 + 1);
        let mut total = 0;
        for (i, part) in parts.iter().enumerate() {
            let gap = if i == 0 { "" } else { "\r\n" };
            let range = part.content_range(length);
            let text = format!("{gap}--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {range}\r\n\r\n");
            total += text.len() as u64 + part.len();
            steps.push_back(Step::Text(text));
            steps.push_back(Step::Media(positions(*part)));
        }
        let end = format!("\r\n--{boundary}--\r\n");
        total += end.len() as u64;
        steps.push_back(Step::Text(end));
        Self { boundary, steps, length: total }
    }

    fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }
}

#[cfg(test)]
mod tests;
