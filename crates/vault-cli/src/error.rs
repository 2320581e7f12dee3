//! What can go wrong on this side, and how it is told: exit code, sentence, JSON.

use std::path::PathBuf;

use serde_json::{Value, json};
use vault_api::problem::Problem;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line asks for something that makes no sense. Exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The server answered with a problem.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// There is no token, or its file cannot be trusted.
    #[error("{0}")]
    Token(String),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server cannot be reached, or the connection broke too often.
    #[error("no answer from the server: {0}")]
    Connection(String),
    /// The server answered with something this program does not understand.
    #[error("unexpected answer: {0}")]
    Protocol(String),
    /// The access request is not decided yet.
    #[error("request {request_id} waits for an approver")]
    Waiting {
        /// The request.
        request_id: String,
    },
    /// The access request was decided against, or is over.
    #[error("request {request_id} is {state}")]
    NotGranted {
        /// The request.
        request_id: String,
        /// Its state.
        state: String,
    },
}

impl Failure {
    /// A failure to read or write `path`.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    /// The process's exit code.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            _ => 1,
        }
    }

    /// A second line that says what to do, if there is something to say.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Problem(problem) => problem.help.clone(),
            Self::Token(_) => Some("Run `vault-cli login`, or name a file with --token-file.".to_owned()),
            Self::Waiting { request_id } => Some(format!(
                "Another person runs `vault-cli access approve {request_id}`; then run this again, or use --wait."
            )),
            _ => None,
        }
    }

    /// The failure as a problem document: the server's own, or one with a `client_…` code and no status.
    pub fn json(&self) -> Value {
        let (code, title) = match self {
            Self::Problem(problem) => return serde_json::to_value(problem).unwrap_or(Value::Null),
            Self::Usage(_) => ("client_usage", "Wrong usage"),
            Self::Token(_) => ("client_token", "No usable token"),
            Self::File { .. } => ("client_file", "A file could not be read or written"),
            Self::Connection(_) => ("client_connection", "No answer from the server"),
            Self::Protocol(_) => ("client_protocol", "The server's answer was not understood"),
            Self::Waiting { .. } => ("client_waiting", "The access request waits for an approver"),
            Self::NotGranted { .. } => ("client_not_granted", "The access request was not granted, or is over"),
        };
        let mut document = json!({
            "type": format!("tag:feedback-vault.example,2026:problem/{code}"),
            "title": title, "code": code, "detail": self.to_string(),
        });
        if let Self::Waiting { request_id } | Self::NotGranted { request_id, .. } = self {
            document["request_id"] = json!(request_id);
        }
        document
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_usage_exits_2_and_a_waiting_request_is_named() {
        assert_eq!(Failure::Usage("x".into()).exit_code(), 2);
        let waiting = Failure::Waiting { request_id: "r1".into() };
        assert_eq!(waiting.exit_code(), 1);
        assert_eq!(waiting.json()["request_id"], "r1");
        assert_eq!(waiting.json()["code"], "client_waiting");
    }

    #[test]
    fn a_problem_is_passed_on_as_it_came() {
        let problem = Problem::new(vault_api::code::Code::SelfApproval);
        assert_eq!(Failure::from(problem.clone()).json(), serde_json::to_value(problem).unwrap());
    }
}
