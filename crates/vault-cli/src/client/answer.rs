//! From an HTTP answer to a type, a problem, or a failure.

use serde::de::DeserializeOwned;
use ureq::http::Response;
use ureq::{Body, Error};
use vault_api::names::PROBLEM_CONTENT_TYPE;
use vault_api::problem::Problem;

use crate::error::Failure;

/// The most of a JSON answer that is read: 500 items of the largest kind, generously.
const MAX_JSON: u64 = 64 * 1024 * 1024;

/// The most of an error answer that is read.
const MAX_PROBLEM: u64 = 256 * 1024;

/// Reads a JSON answer.
pub fn json<R: DeserializeOwned>(answer: Result<Response<Body>, Error>) -> Result<R, Failure> {
    let mut response = answer.map_err(|error| connection(&error))?;
    if !response.status().is_success() {
        return Err(problem_of(&mut response));
    }
    response.body_mut().with_config().limit(MAX_JSON).read_json().map_err(|error| match error {
        Error::Json(error) => Failure::Protocol(error.to_string()),
        other => connection(&other),
    })
}

/// The problem in an error answer, or a word about an answer that is not the vault's.
pub fn problem_of(response: &mut Response<Body>) -> Failure {
    let status = response.status();
    let is_problem = header(response, "content-type").is_some_and(|kind| kind.starts_with(PROBLEM_CONTENT_TYPE));
    if is_problem && let Ok(problem) = response.body_mut().with_config().limit(MAX_PROBLEM).read_json::<Problem>() {
        return problem.into();
    }
    Failure::Protocol(format!("HTTP {status} without a problem document; is this a vault?"))
}

/// A header's text, if it is there and text.
pub fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// The failure of a call that got no answer.
pub fn connection(error: &Error) -> Failure {
    Failure::Connection(error.to_string())
}
