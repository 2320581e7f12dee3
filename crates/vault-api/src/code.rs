//! The closed list of error codes: status, title and what the caller can do, in one place.
//!
//! Codes are stable; titles and help may be reworded. What a caller may not see looks absent
//! (`not_found`), so several of these are answered only to those who may know.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! codes {
    ($($(#[$group:meta])* $variant:ident, $name:literal, $status:literal, $title:literal, $help:literal;)*) => {
        /// A stable error code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        // Not one by one: the OpenAPI document would not see names that a macro hands over. A test holds the two together.
        #[serde(rename_all = "snake_case")]
        pub enum Code {
            $($(#[$group])* #[doc = $title] $variant,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The code on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The HTTP status it comes with.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// The problem in words.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// What the caller can do about it.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }

            /// The code of a name.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

codes! {
    // Requests as such
    InvalidRequest, "invalid_request", 400, "The request is malformed",
        "Compare it with the OpenAPI document at /v1/openapi.json.";
    InvalidCursor, "invalid_cursor", 400, "The cursor is not one this list gave",
        "Begin the list again without a cursor.";
    InvalidValue, "invalid_value", 422, "A value is not allowed",
        "Correct the member that the detail names.";
    NotFound, "not_found", 404, "There is no such thing, or it is not for you to see",
        "Check the address, and that your roles cover it.";
    MethodNotAllowed, "method_not_allowed", 405, "This address does not take that method",
        "Use a method that the Allow header names.";
    BodyTooLarge, "body_too_large", 413, "The request body is too large",
        "Send less.";
    UnsupportedMediaType, "unsupported_media_type", 415, "The request body has the wrong content type",
        "Send application/json.";
    RateLimited, "rate_limited", 429, "Too many requests",
        "Wait as long as Retry-After says.";
    QuotaExceeded, "quota_exceeded", 429, "The collection's quota is used up",
        "Wait as long as Retry-After says, or ask the operator for more.";
    Conflict, "conflict", 409, "Something changed meanwhile, or exists already",
        "Read the present state and decide again.";
    Internal, "internal", 500, "The vault failed",
        "Try again; if it stays, give the operator the time and the instance.";
    WrongNode, "wrong_node", 421, "This node does not do that",
        "Ask another node of the vault: its operator has given this one other roles.";
    Unavailable, "unavailable", 503, "The vault cannot do this at the moment",
        "Try again after Retry-After.";

    // Who is calling
    Unauthenticated, "unauthenticated", 401, "A valid bearer token is needed",
        "Send Authorization: Bearer with a token that has not expired or been revoked.";
    Forbidden, "forbidden", 403, "Your roles do not allow this",
        "Ask an administrator for the role, or someone who has it.";

    // Uploads
    TusVersion, "tus_version", 412, "Tus-Resumable is missing or names another version",
        "Send Tus-Resumable: 1.0.0.";
    UploadMetadata, "upload_metadata", 400, "Upload-Metadata cannot be read",
        "Send comma-separated keys with base64 values; each key once.";
    UploadLength, "upload_length", 400, "Upload-Length or Upload-Defer-Length is missing or wrong",
        "Send exactly one of the two; a declared length cannot change.";
    UploadOffsetMissing, "upload_offset_missing", 400, "Upload-Offset is missing or not a number",
        "Send the offset that HEAD gives.";
    UploadOffsetConflict, "upload_offset_conflict", 409, "The offset is not where the upload stands",
        "Ask for the offset with HEAD and go on from there.";
    UploadPastLength, "upload_past_length", 400, "More bytes than the declared length",
        "Send no more than Upload-Length.";
    UploadNotFound, "upload_not_found", 404, "There is no such upload",
        "Check the address; begin again if it was terminated.";
    UploadExpired, "upload_expired", 410, "The upload was not completed in time",
        "Begin again.";
    UploadRejected, "upload_rejected", 410, "The upload was refused and its bytes removed",
        "Do not send this file again.";
    UploadComplete, "upload_complete", 409, "The upload is complete and cannot be changed",
        "HEAD names the record it became.";
    UploadBusy, "upload_busy", 423, "Another request is writing this upload",
        "Try again shortly.";
    UploadTooLarge, "upload_too_large", 413, "The recording is larger than this vault takes",
        "OPTIONS names the limit in Tus-Max-Size.";
    UploadContentType, "upload_content_type", 415, "Upload bytes come as application/offset+octet-stream",
        "Set the Content-Type.";
    UploadChecksum, "upload_checksum", 460, "The bytes do not match Upload-Checksum",
        "Send them again; nothing of this request was kept.";
    UploadChecksumAlgorithm, "upload_checksum_algorithm", 400, "Upload-Checksum cannot be read or names an unknown algorithm",
        "OPTIONS names the algorithms in Tus-Checksum-Algorithm.";
    UploadInterrupted, "upload_interrupted", 400, "The body ended early",
        "Ask for the offset with HEAD and go on from there.";
    NodeStopping, "node_stopping", 503, "This node stops, and has kept what arrived",
        "Ask for the offset with HEAD and go on from there, at another node or at this one when it is back.";

    // What an upload must bring
    ConsentMissing, "consent_missing", 422, "This collection takes no recording without consent",
        "Send the consent in Upload-Metadata.";
    ConsentUnreadable, "consent_unreadable", 422, "The consent cannot be read",
        "Send JSON with notice_sha256, purposes, given_at and perhaps expires_at.";
    ConsentNotice, "consent_notice", 422, "The consent is for another notice",
        "Show the notice in force and ask again.";
    ConsentPurpose, "consent_purpose", 422, "The consent names a purpose this collection does not allow",
        "Name only purposes of the notice.";
    ConsentExpired, "consent_expired", 422, "The consent has ended, or lies in the future",
        "Ask again.";
    SubjectMissing, "subject_missing", 422, "This collection takes no recording without a subject",
        "Send the subject in Upload-Metadata.";
    ContentNotAccepted, "content_not_accepted", 415, "Not a kind of recording this vault takes",
        "Send WebM, MP4, Ogg, WAV (PCM, G.711) or MP3.";
    ContentMismatch, "content_mismatch", 422, "The bytes are not what filetype claims",
        "Send the recording's own type as filetype.";
    ContentRefused, "content_refused", 422, "The file is damaged or carries something that is not a recording",
        "Send the recording as it came from the recorder.";

    // Collections
    CollectionNotOpen, "collection_not_open", 409, "The collection takes no recordings now",
        "Wait until it is open.";
    CountermeasuresMissing, "countermeasures_missing", 409, "Countermeasures of the collection's risk tier are missing",
        "Put in place what `missing` names.";
    CollectionState, "collection_state", 409, "The collection is not in a state that allows this",
        "Read its state and decide again.";

    // Asking for access
    PurposeNotAllowed, "purpose_not_allowed", 422, "The purpose is not one the records may be used for",
        "Name a purpose of the collection that the consent covers.";
    CaseNumberMissing, "case_number_missing", 422, "This collection asks for a case number",
        "Send case_number.";
    RightNotGiven, "right_not_given", 422, "The collection does not give this right",
        "Ask for less.";
    ScopeNotAllowed, "scope_not_allowed", 422, "The scope cannot be asked for",
        "Name records of one collection, or a collection and filter with limits.";
    RequestDecided, "request_decided", 409, "The request has been decided or has expired",
        "Read its state; file another if need be.";
    SelfApproval, "self_approval", 403, "Nobody decides on their own request or proposal",
        "Let another person decide.";
    RoleNotGivable, "role_not_givable", 422, "This person or machine cannot hold this role",
        "Read docs/roles.md.";
    LastAdministrator, "last_administrator", 409, "At least two administrators must remain",
        "Give the role to another person first.";

    // Playing
    GrantNotInForce, "grant_not_in_force", 403, "The request is not approved, or its grant has ended or been revoked",
        "Read the request's state; file another if need be.";
    GrantExhausted, "grant_exhausted", 403, "The grant's limits are used up",
        "Wait for the next day, or file another request.";
    GrantNotCovering, "grant_not_covering", 403, "The grant does not cover this record, right or representation",
        "Ask for what you need.";
    ConsentNotCovering, "consent_not_covering", 403, "The data subject's consent does not cover this, or no longer",
        "Do not use the recording for this purpose.";
    NotInLog, "not_in_log", 403, "The log does not show the approval or role this needs",
        "Tell an auditor: the database and the log disagree.";
    RecordNotAvailable, "record_not_available", 409, "The record cannot be used now",
        "Read its state.";
    RecordKeyChanged, "record_key_changed", 503, "The record was encrypted anew at this very moment",
        "Try again.";
    SessionEnded, "session_ended", 410, "The playback session has ended",
        "Open another.";
    PreconditionFailed, "precondition_failed", 412, "If-Match names another representation",
        "Read the ETag and decide again.";
    RangeNotSatisfiable, "range_not_satisfiable", 416, "No part of the range lies in the recording",
        "Content-Range names the length.";
    IntegrityFailure, "integrity_failure", 500, "What is stored is damaged or has been tampered with",
        "Nothing unauthenticated was served. Tell the operator; a finding is in the audit log.";

    // Keys and custody
    RotationRunning, "rotation_running", 409, "A rotation is under way",
        "Wait until it is done, or resume it if it is paused.";
    RotationNotRunning, "rotation_not_running", 409, "No rotation is under way, or not in that state",
        "Read the rotation's state.";
    ReencryptionRunning, "reencryption_running", 409, "A re-encryption is under way",
        "Wait until it is done, resume it if it is paused, or cancel it.";
    ReencryptionNotRunning, "reencryption_not_running", 409, "No re-encryption is under way, or not in that state",
        "Read the re-encryption's state.";
    KeyCeiling, "key_ceiling", 503, "The collection's key has wrapped as many new keys as its policy allows",
        "It is rotated by itself; if it stays, ask a key officer to rotate it, then try again.";
    KeyUnusable, "key_unusable", 409, "The key is not in a state that allows this",
        "Read the keys' states.";
    KeyCompromised, "key_compromised", 503, "The key is compromised, and what is under it is being moved",
        "Try again after Retry-After: records are moved to another version before anything else.";
    KeyInUse, "key_in_use", 409, "Something still needs the key",
        "Read `inventory`: rotate and wait until everything has moved, then ask again.";
    Sealed, "sealed", 503, "The vault is sealed",
        "Let the operator unseal it.";
    WrongPassphrase, "wrong_passphrase", 403, "The passphrase does not open the keyring",
        "Try again; nothing has changed.";
    NotSealed, "not_sealed", 409, "The vault is open already",
        "Nothing to do.";
    KeyringUnusable, "keyring_unusable", 500, "The keyring is missing, damaged, foreign or of an unknown version",
        "Restore the keyring file; nothing has changed.";

    // The log and restrictions
    LogUnavailable, "log_unavailable", 503, "The audit log cannot be written, so nothing that needs it is done",
        "Try again after Retry-After.";
    RestrictionsStale, "restrictions_stale", 503, "This node cannot learn of restrictions, so it serves nothing",
        "Try again, or on another node.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_distinct_snake_case_and_errors() {
        let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code:?}");
            assert!((400..600).contains(&code.status()), "{code:?}");
            assert!(!code.title().ends_with('.') && code.help().ends_with('.'), "{code:?}");
            assert_eq!(Code::parse(code.as_str()), Some(*code));
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
