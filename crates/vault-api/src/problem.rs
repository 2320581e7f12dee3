//! Errors as RFC 9457 problem documents.

use core::fmt;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::code::Code;

/// What `type` begins with; the code follows. Not an address to fetch: a tag URI (RFC 4151).
const TYPE_PREFIX: &str = "tag:feedback-vault.example,2026:problem/";

/// The body of every error answer, `application/problem+json`. Decide by `code`; show `title` and
/// `detail`; do `help`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A URI that names the kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "tag:feedback-vault.example,2026:problem/upload_offset_conflict")]
    pub kind: String,
    /// The kind in words; the same for every occurrence.
    pub title: String,
    /// The HTTP status, as a number.
    #[schema(minimum = 400, maximum = 599, example = 409)]
    pub status: u16,
    /// What happened this time. Never carries secrets or personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// A URI that names this occurrence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The stable code to decide by.
    #[schema(value_type = Code)]
    pub code: String,
    /// What the caller can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Further members, as the code's documentation names them.
    #[serde(flatten)]
    pub members: BTreeMap<String, Value>,
}

impl Problem {
    /// The problem of a code, with its fixed status, title and help.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Self {
            kind: format!("{TYPE_PREFIX}{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            detail: None,
            instance: None,
            code: code.as_str().to_owned(),
            help: Some(code.help().to_owned()),
            members: BTreeMap::new(),
        }
    }

    /// Says what happened this time.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Names the occurrence.
    #[must_use]
    pub fn instance(mut self, instance: impl Into<String>) -> Self {
        self.instance = Some(instance.into());
        self
    }

    /// Adds a member.
    #[must_use]
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// The code, where this side knows it.
    #[must_use]
    pub fn known_code(&self) -> Option<Code> {
        Code::parse(&self.code)
    }
}

impl fmt::Display for Problem {
    /// `title (code): detail`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.title, self.code)?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_survives_the_wire_with_its_members() {
        let problem =
            Problem::new(Code::CountermeasuresMissing).detail("two are missing").member("missing", vec!["dpia"]);
        let text = serde_json::to_string(&problem).unwrap();
        let read: Problem = serde_json::from_str(&text).unwrap();
        assert_eq!(read, problem);
        assert_eq!(read.known_code(), Some(Code::CountermeasuresMissing));
        assert_eq!(read.members["missing"][0], "dpia");
        assert!(text.contains("\"type\":\"tag:"), "{text}");
    }

    #[test]
    fn a_code_of_a_newer_server_is_still_a_problem() {
        let text = r#"{"type":"about:blank","title":"New","status":418,"code":"teapot"}"#;
        let read: Problem = serde_json::from_str(text).unwrap();
        assert_eq!(read.known_code(), None);
        assert_eq!(read.to_string(), "New (teapot)");
    }
}
