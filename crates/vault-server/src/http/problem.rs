//! Failures as problem documents (RFC 9457).

use core::time::Duration;

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use vault_api::code::Code;
use vault_api::problem::Problem;
use vault_core::access::denial::Denial;
use vault_core::access::role::Action;
use vault_core::time::Timestamp;

use crate::app::error::Failure;

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let code = self.code();
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut problem = Problem::new(code);
        problem.detail = self.what().map(str::to_owned);
        for (name, value) in self.members() {
            problem = problem.member(name, value.clone());
        }
        if status.is_server_error() {
            tracing::warn!(code = code.as_str(), detail = self.what(), causes = self.causes(), "request failed");
        } else {
            tracing::debug!(code = code.as_str(), detail = self.what(), causes = self.causes(), "request refused");
        }
        let mut response = (status, Json(problem)).into_response();
        response.extensions_mut().insert(code);
        if let Some((action, denial)) = self.denial() {
            response.extensions_mut().insert(Refused { action, denial });
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_seconds() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Beside an answer: the rule that refused. The guard tells the log of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused {
    /// What was refused, where it is not the route's own action.
    pub(super) action: Option<Action>,
    /// Why.
    pub(super) denial: Denial,
}

/// The answer for an address without a route.
pub async fn absent() -> Failure {
    Failure::new(Code::NotFound)
}

/// The answer for a route that does not take the method; axum adds `Allow`.
pub async fn method_not_allowed() -> Failure {
    Failure::new(Code::MethodNotAllowed)
}

/// How long a JSON body may take; it is short.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// What reads a body, or the refusal of one that is not there in time, however often a byte of it comes.
async fn within<T>(time: Duration, reading: impl Future<Output = T>) -> Result<T, Failure> {
    let too_slow = |_| Failure::new(Code::InvalidRequest).detail("the body did not come in time");
    tokio::time::timeout(time, reading).await.map_err(too_slow)
}

/// `Json` whose refusal is a problem document. Use it for every request body.
pub struct Body<T>(pub T);

impl<T, S> FromRequest<S> for Body<T>
where
    T: serde::de::DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Failure;

    async fn from_request(req: axum::extract::Request, state: &S) -> Result<Self, Failure> {
        match within(BODY_TIMEOUT, Json::<T>::from_request(req, state)).await? {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(refused(&rejection)),
        }
    }
}

/// As [`Body`], for a body that may be left out: nothing stands for the default.
pub struct MaybeBody<T>(pub T);

impl<T, S> FromRequest<S> for MaybeBody<T>
where
    T: serde::de::DeserializeOwned + Default,
    S: Send + Sync,
{
    type Rejection = Failure;

    async fn from_request(req: axum::extract::Request, state: &S) -> Result<Self, Failure> {
        let (parts, body) = req.into_parts();
        let reading = axum::body::Bytes::from_request(axum::extract::Request::from_parts(parts.clone(), body), state);
        let bytes = match within(BODY_TIMEOUT, reading).await? {
            Ok(bytes) if bytes.is_empty() => return Ok(Self(T::default())),
            Ok(bytes) => bytes,
            Err(e) if e.status() == StatusCode::PAYLOAD_TOO_LARGE => return Err(Code::BodyTooLarge.into()),
            Err(_) => return Err(Code::InvalidRequest.into()),
        };
        let again = axum::extract::Request::from_parts(parts, axum::body::Body::from(bytes));
        Ok(Self(Body::from_request(again, state).await?.0))
    }
}

fn refused(rejection: &axum::extract::rejection::JsonRejection) -> Failure {
    use axum::extract::rejection::JsonRejection;
    match rejection {
        JsonRejection::MissingJsonContentType(_) => Code::UnsupportedMediaType.into(),
        // serde's text names members and kinds; it can quote a value, so only its place is told.
        JsonRejection::JsonDataError(e) => Failure::new(Code::InvalidRequest).detail(place(&e.body_text())),
        JsonRejection::JsonSyntaxError(_) => Failure::new(Code::InvalidRequest).detail("not JSON"),
        other if other.status() == StatusCode::PAYLOAD_TOO_LARGE => Code::BodyTooLarge.into(),
        _ => Code::InvalidRequest.into(),
    }
}

/// `Query` whose refusal is a problem document: unknown parameters are named, values are not repeated.
pub struct Query<T>(pub T);

impl<T, S> FromRequestParts<S> for Query<T>
where
    T: serde::de::DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(e) => Err(Failure::new(Code::InvalidRequest).detail(place(&e.body_text()))),
        }
    }
}

/// The one identifier or name in the address; what is not of its form names nothing.
pub struct Named<T>(pub T);

impl<T, S> FromRequestParts<S> for Named<T>
where
    T: core::str::FromStr,
    S: Send + Sync,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let path = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        let axum::extract::Path(text) = path.map_err(|_| Code::NotFound)?;
        text.parse().map(Self).map_err(|_| Code::NotFound.into())
    }
}

/// A member that is an identifier or a name.
pub(super) fn parsed<T: core::str::FromStr>(member: &'static str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| Failure::new(Code::InvalidValue).detail(format!("{member}: not of its form")))
}

/// A member that is a time.
pub(super) fn parsed_time(member: &'static str, text: &str) -> Result<Timestamp, Failure> {
    Timestamp::parse(text)
        .map_err(|_| Failure::new(Code::InvalidValue).detail(format!("{member}: not an RFC 3339 time")))
}

/// What of serde's message is safe to repeat: unknown and missing members are named, values are not.
fn place(text: &str) -> String {
    for known in ["unknown field `", "missing field `"] {
        if let Some(at) = text.find(known) {
            let rest = &text[at + known.len()..];
            if let Some(end) = rest.find('`') {
                let name: String = rest[..end].chars().take(64).filter(|c| c.is_ascii_graphic()).collect();
                return format!("{}{name}`", known);
            }
        }
    }
    "a member has the wrong type or form".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_left_out_is_the_default_and_a_wrong_one_is_refused() {
        let given = |kind: Option<&str>, text: &'static str| {
            let mut request = http::Request::post("/");
            if let Some(kind) = kind {
                request = request.header(header::CONTENT_TYPE, kind);
            }
            request.body(axum::body::Body::from(text)).unwrap()
        };
        let read = |kind, text| MaybeBody::<vault_api::access::Decision>::from_request(given(kind, text), &());
        assert_eq!(read(None, "").await.unwrap().0.comment, None);
        let json = Some("application/json");
        assert_eq!(read(json, "").await.unwrap().0.comment, None);
        assert_eq!(read(json, "{\"comment\":\"yes\"}").await.unwrap().0.comment.as_deref(), Some("yes"));
        assert_eq!(read(json, "{").await.err().unwrap().code(), Code::InvalidRequest);
        assert_eq!(read(json, "{\"other\":1}").await.err().unwrap().what(), Some("unknown field `other`"));
        assert_eq!(read(None, "{}").await.err().unwrap().code(), Code::UnsupportedMediaType);
    }

    /// A byte every few milliseconds, without end: each is in time, and the body is not.
    #[tokio::test]
    async fn p11_a_trickled_body_is_cut() {
        use axum::body::{Body as Bytes, to_bytes};

        let trickle = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Some((Ok::<_, core::convert::Infallible>("x"), ()))
        });
        let time = Duration::from_millis(100);
        let cut = within(time, to_bytes(Bytes::from_stream(trickle), usize::MAX)).await.unwrap_err();
        assert_eq!((cut.code(), cut.what()), (Code::InvalidRequest, Some("the body did not come in time")));
        let whole = within(time, to_bytes(Bytes::from("{}"), usize::MAX)).await.unwrap().unwrap();
        assert_eq!(&whole[..], b"{}");
    }

    #[test]
    fn a_value_of_the_request_is_not_repeated() {
        let text = "Failed to deserialize: reason: invalid type: string \"Jane Roe's complaint\", expected u64";
        assert_eq!(place(text), "a member has the wrong type or form");
        assert_eq!(place("x: unknown field `surprise`, expected one of"), "unknown field `surprise`");
    }
}
