//! Why an act is refused, and how much of that the caller may learn.

/// A refusal. What a caller may not see looks absent; the rest says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Denial {
    /// No role of the caller's lets them see the thing: it looks absent.
    #[error("no such thing")]
    Absent,
    /// They may see it and not do this.
    #[error("the caller's roles do not allow this")]
    Forbidden,
    /// Nobody decides on their own request or proposal.
    #[error("nobody decides on their own request")]
    SelfApproval,
    /// The request is not waiting for a decision.
    #[error("the request is decided or expired")]
    AlreadyDecided,
    /// The log does not prove the approval or role that this needs.
    #[error("the log does not show the approval or role this needs")]
    NotInLog,
    /// Not approved, ended, or taken away.
    #[error("there is no grant in force")]
    GrantNotInForce,
    /// The grant's limits are used up.
    #[error("the grant's limits are used up")]
    GrantExhausted,
    /// The grant covers neither this record nor this right.
    #[error("the grant does not cover this")]
    GrantNotCovering,
    /// The purpose is not one of the collection's.
    #[error("the purpose is not allowed")]
    PurposeNotAllowed,
    /// The data subject's consent does not cover the purpose, or has ended.
    #[error("the consent does not cover this")]
    ConsentNotCovering,
    /// The record is not available: restricted, erased, or past its retention.
    #[error("the record is not available")]
    RecordNotAvailable,
    /// The collection asks for a case number.
    #[error("a case number is needed")]
    CaseNumberMissing,
    /// The collection does not give this right.
    #[error("the right is not given")]
    RightNotGiven,
    /// The scope or its bounds cannot be asked for.
    #[error("the scope is not allowed")]
    ScopeNotAllowed,
}

impl Denial {
    /// Whether the answer must not tell that the thing exists.
    #[must_use]
    pub const fn looks_absent(self) -> bool {
        matches!(self, Self::Absent)
    }

    /// A stable name for the log's `decision.denied` and for metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Forbidden => "forbidden",
            Self::SelfApproval => "self-approval",
            Self::AlreadyDecided => "already-decided",
            Self::NotInLog => "not-in-log",
            Self::GrantNotInForce => "grant-not-in-force",
            Self::GrantExhausted => "grant-exhausted",
            Self::GrantNotCovering => "grant-not-covering",
            Self::PurposeNotAllowed => "purpose-not-allowed",
            Self::ConsentNotCovering => "consent-not-covering",
            Self::RecordNotAvailable => "record-not-available",
            Self::CaseNumberMissing => "case-number-missing",
            Self::RightNotGiven => "right-not-given",
            Self::ScopeNotAllowed => "scope-not-allowed",
        }
    }
}
