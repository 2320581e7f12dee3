//! How an act fails: a stable code, what happened this time, and the cause for the operator's log.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;

use serde_json::Value;
use vault_api::code::Code;
use vault_core::access::denial::Denial;
use vault_core::access::role::Action;
use vault_core::keys::keyring::KeyringError;
use vault_core::keys::lifecycle::KeyState;

use crate::custody::{CustodyError, FileError, KeyError, ResumeError};
use crate::objects::{ObjectError, OpenError, Unfit};
use crate::store::StoreError;

/// An act that was not done. The code decides the HTTP status; the cause is logged, never sent.
pub struct Failure(Box<Inner>);

struct Inner {
    code: Code,
    detail: Option<String>,
    members: BTreeMap<&'static str, Value>,
    retry_after: Option<Duration>,
    denial: Option<(Option<Action>, Denial)>,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Failure {
    /// A failure of this kind.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Self(Box::new(Inner {
            code,
            detail: None,
            members: BTreeMap::new(),
            retry_after: None,
            denial: None,
            cause: None,
        }))
    }

    /// Says what happened this time. Never a secret, never anything of a data subject.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds a member to the problem document.
    #[must_use]
    pub fn member(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.members.insert(name, value.into());
        self
    }

    /// When to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// What caused it, for the operator's log.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// A refusal of `action`, which may be another than the route's.
    #[must_use]
    pub fn refused(action: Action, denial: Denial) -> Self {
        let mut failure = Self::from(denial);
        failure.0.denial = Some((Some(action), denial));
        failure
    }

    /// The rule that refused, if one did, and what was refused where that is known: for `decision.denied`.
    #[must_use]
    pub fn denial(&self) -> Option<(Option<Action>, Denial)> {
        self.0.denial
    }

    /// The kind.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What happened this time.
    #[must_use]
    pub fn what(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// Members for the problem document.
    pub fn members(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.members.iter().map(|(name, value)| (*name, value))
    }

    /// When to try again: what was set, or a second for what passes by itself.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        let set = self.0.retry_after.map(|after| after.as_millis().div_ceil(1000).clamp(1, 86_400) as u64);
        set.or(if matches!(self.0.code.status(), 429 | 503) { Some(1) } else { None })
    }

    /// The chain of causes in one line.
    #[must_use]
    pub fn causes(&self) -> String {
        let mut text = String::new();
        let mut next: Option<&dyn std::error::Error> = match &self.0.cause {
            Some(cause) => Some(cause.as_ref()),
            None => None,
        };
        while let Some(cause) = next {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.code.title())?;
        if let Some(detail) = &self.0.detail {
            write!(f, ": {detail}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({self}) because {}", self.0.code.as_str(), self.causes())
    }
}

impl std::error::Error for Failure {}

impl From<Code> for Failure {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl From<Denial> for Failure {
    fn from(denial: Denial) -> Self {
        let mut failure = Self::new(match denial {
            Denial::Absent => Code::NotFound,
            Denial::Forbidden => Code::Forbidden,
            Denial::SelfApproval => Code::SelfApproval,
            Denial::AlreadyDecided => Code::RequestDecided,
            Denial::NotInLog => Code::NotInLog,
            Denial::GrantNotInForce => Code::GrantNotInForce,
            Denial::GrantExhausted => Code::GrantExhausted,
            Denial::GrantNotCovering => Code::GrantNotCovering,
            Denial::PurposeNotAllowed => Code::PurposeNotAllowed,
            Denial::ConsentNotCovering => Code::ConsentNotCovering,
            Denial::RecordNotAvailable => Code::RecordNotAvailable,
            Denial::CaseNumberMissing => Code::CaseNumberMissing,
            Denial::RightNotGiven => Code::RightNotGiven,
            Denial::ScopeNotAllowed => Code::ScopeNotAllowed,
        });
        failure.0.denial = Some((None, denial));
        failure
    }
}

impl From<StoreError> for Failure {
    fn from(e: StoreError) -> Self {
        let code = match &e {
            StoreError::Unavailable(_) | StoreError::CommitUnknown(_) => Code::Unavailable,
            StoreError::Conflict => Code::Conflict,
            StoreError::Corrupt { .. } => Code::IntegrityFailure,
            StoreError::Schema { .. } | StoreError::Query(_) => Code::Internal,
        };
        Self::new(code).because(e)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(e: sqlx::Error) -> Self {
        StoreError::from(e).into()
    }
}

impl From<ObjectError> for Failure {
    /// A missing or short object is damage: the database says it is there.
    fn from(e: ObjectError) -> Self {
        let code = match &e {
            ObjectError::Missing | ObjectError::Short => Code::IntegrityFailure,
            ObjectError::Deadline | ObjectError::Failed(_) => Code::Unavailable,
            ObjectError::Directory { .. } => Code::Unavailable,
        };
        Self::new(code).because(e)
    }
}

impl From<OpenError> for Failure {
    fn from(e: OpenError) -> Self {
        Self::new(Code::Unavailable).because(e)
    }
}

impl From<Unfit> for Failure {
    fn from(e: Unfit) -> Self {
        Self::new(Code::Unavailable).because(e)
    }
}

/// Whether the operating system refused: a full disk, a directory that may only be read. A file that is there and is not what
/// it should be does not come right by waiting.
const fn is_passing(e: &CustodyError) -> bool {
    matches!(e, CustodyError::File(FileError::Io { .. }))
}

impl From<KeyError> for Failure {
    fn from(e: KeyError) -> Self {
        let code = match &e {
            KeyError::Sealed => Code::Sealed,
            KeyError::Custody(CustodyError::Keyring { source: KeyringError::WrongPassphrase, .. }) => {
                Code::WrongPassphrase
            }
            // Too short or too long to be one.
            KeyError::Custody(CustodyError::Passphrase(_)) => Code::WrongPassphrase,
            KeyError::Custody(CustodyError::NotSealed) => Code::NotSealed,
            KeyError::Custody(e) if is_passing(e) => Code::Unavailable,
            KeyError::Custody(_) | KeyError::Foreign { .. } | KeyError::NotInitialised | KeyError::Setting { .. } => {
                Code::KeyringUnusable
            }
            KeyError::Ceiling(_) => Code::KeyCeiling,
            KeyError::State { state: KeyState::Compromised, .. } => Code::KeyCompromised,
            KeyError::NoActiveKey(_) | KeyError::State { .. } => Code::KeyUnusable,
            KeyError::Missing(_) | KeyError::Wrap { .. } | KeyError::LogKey(_) => Code::IntegrityFailure,
            KeyError::Resume(ResumeError::Gone(_)) => Code::UploadExpired,
            KeyError::Resume(ResumeError::Custody(e)) if is_passing(e) => Code::Unavailable,
            KeyError::Resume(ResumeError::Custody(CustodyError::Unwrap(_))) => Code::IntegrityFailure,
            KeyError::Resume(ResumeError::Custody(_)) => Code::KeyringUnusable,
            KeyError::Store(_) => {
                let KeyError::Store(e) = e else { return Self::new(Code::Internal) };
                return e.into();
            }
        };
        Self::new(code).because(e)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn code(e: CustodyError) -> Code {
        Failure::from(KeyError::Custody(e)).code()
    }

    #[test]
    fn what_the_operating_system_refuses_passes_and_a_file_that_is_none_does_not() {
        let path = || PathBuf::from("keyring");
        for errno in [
            rustix::io::Errno::NOSPC,
            rustix::io::Errno::DQUOT,
            rustix::io::Errno::ROFS,
            rustix::io::Errno::ACCESS,
            rustix::io::Errno::IO,
            rustix::io::Errno::MFILE,
        ] {
            let refused = || FileError::Io { act: "write", path: path(), source: errno.into() };
            assert_eq!(code(refused().into()), Code::Unavailable, "{errno:?}");
            assert_eq!(Failure::from(KeyError::Custody(refused().into())).retry_after_seconds(), Some(1));
            let resume = KeyError::Resume(ResumeError::from(refused()));
            assert_eq!(Failure::from(resume).code(), Code::Unavailable, "{errno:?}");
        }
        for lasting in [
            CustodyError::File(FileError::Missing(path())),
            CustodyError::File(FileError::Symlink(path())),
            CustodyError::File(FileError::Exposed { path: path(), mode: 0o644 }),
            CustodyError::Keyring { path: path(), source: KeyringError::Damaged },
            CustodyError::Keyring { path: path(), source: KeyringError::Older },
        ] {
            let shown = lasting.to_string();
            assert_eq!(code(lasting), Code::KeyringUnusable, "{shown}");
        }
        let resume = KeyError::Resume(ResumeError::from(FileError::TooLong(path())));
        assert_eq!(Failure::from(resume).code(), Code::KeyringUnusable);
    }
}
