//! Beginning an upload: what it claims is checked before a byte is taken.

use core::time::Duration;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vault_api::code::Code;
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::ids::{CollectionName, ObjectId, RecordId, UploadId};
use vault_core::keys::field::{FieldContext, FieldSealer as _};
use vault_core::keys::hierarchy::RecordKey;
use vault_core::keys::upload::{UploadSecret, wrap_in_progress};
use vault_core::media::container::{ClaimedType, Kind};
use vault_core::media::layout::SegmentLength;
use vault_core::media::object::ObjectContext;
use vault_core::media::seal::ObjectSealer;
use vault_core::privacy::consent::{Consent, ConsentError, at_upload};
use vault_core::privacy::policy::SubjectRule;
use vault_core::time::Timestamp;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::app::callers::Caller;
use crate::app::collections;
use crate::app::error::Failure;
use crate::app::limits;
use crate::state::Vault;
use crate::store::uploads::{self, ConsentTerms, UploadRow, UploadState};

/// The longest text of one member of `Upload-Metadata` that is kept.
const MAX_TEXT: usize = 4096;

/// What a client says about a recording. All of it but the claimed type is sealed.
pub struct Claims {
    /// The declared length; `None` when deferred.
    pub length: Option<u64>,
    /// The content type.
    pub filetype: Option<String>,
    /// The consent, as JSON.
    pub consent: Option<Zeroizing<String>>,
    /// Everything else.
    pub details: Details,
}

/// What is known about a recording besides its bytes: personal, and sealed with the record.
#[derive(Default, Deserialize, Serialize, Zeroize, ZeroizeOnDrop)]
pub struct Details {
    /// The file's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// The data subject's external id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The client's own id for the recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// When it was recorded, as the client says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_at: Option<String>,
    /// The language spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<String>,
}

impl Details {
    fn too_long(&self) -> bool {
        [&self.filename, &self.subject, &self.external_id, &self.recorded_at, &self.language, &self.tags]
            .into_iter()
            .flatten()
            .any(|text| text.len() > MAX_TEXT)
    }
}

/// An upload that may begin.
pub struct Created {
    /// The secret of its address, told once.
    pub secret: UploadSecret,
    /// When it ends if nothing comes.
    pub expires_at: Timestamp,
}

/// Where the details of a record are sealed: bound to the record from the first moment, so that adoption moves
/// them without opening them.
#[must_use]
pub fn details_place(record: &RecordId) -> FieldContext<'_> {
    FieldContext { table: "records", row: record.as_bytes(), column: "details" }
}

/// Where the consent of a record is sealed.
#[must_use]
pub fn consent_place(record: &RecordId) -> FieldContext<'_> {
    FieldContext { table: "records", row: record.as_bytes(), column: "consent" }
}

/// Begins an upload into a collection.
pub async fn create(
    vault: &Arc<Vault>,
    caller: &Caller,
    collection: &CollectionName,
    claims: Claims,
) -> Result<Created, Failure> {
    let now = vault.clock.now();
    let collection = collections::find(vault, collection).await?;
    caller.permit(Action::UploadCreate, Place::Collection(collection.id))?;
    collections::takes_uploads(vault, &collection, now).await?;
    let filetype = claims.filetype.as_deref().unwrap_or("");
    let claimed = ClaimedType::parse(filetype).map_err(|_| Code::ContentNotAccepted)?;
    if claims.length.is_some_and(|l| l > vault.config.limits.upload_bytes) {
        return Err(Code::UploadTooLarge.into());
    }
    if claims.length == Some(0) {
        return Err(Failure::new(Code::ContentRefused).detail("an empty recording"));
    }
    let consent = claims.consent.as_deref().map(String::as_bytes);
    let consent = at_upload(&collection.policy, consent, now).map_err(no_consent)?;
    if collection.policy.subject == SubjectRule::Required && claims.details.subject.is_none() {
        return Err(Code::SubjectMissing.into());
    }
    if claims.details.too_long() {
        return Err(Failure::new(Code::UploadMetadata).detail("a value is longer than 4,096 bytes"));
    }
    vault.limiter.collection(collection.id, now)?;

    let (id, record, object) = (UploadId::new(now), RecordId::new(now), ObjectId::new(now));
    let segment = match claimed.kind() {
        Kind::Audio => SegmentLength::Voice,
        Kind::Video => SegmentLength::Video,
    };
    let context = ObjectContext { collection: collection.id, record, object, segment };
    let secret = UploadSecret::generate();
    let record_key = RecordKey::generate();
    let (resume_id, resume_key) = vault.keys()?.resume_key_today().await?;
    let (_, header) = ObjectSealer::create(&record_key.object_key(object), context)
        .map_err(|e| Failure::new(Code::Internal).because(e))?;
    let field_key = record_key.field_key();
    let details =
        Zeroizing::new(serde_json::to_vec(&claims.details).map_err(|e| Failure::new(Code::Internal).because(e))?);
    let expires_at = now.plus(Duration::from_secs(vault.config.limits.upload_hours * 3600));
    let row = UploadRow {
        id,
        collection: collection.id,
        record,
        object,
        person: caller.person(),
        state: UploadState::Open,
        filetype: filetype.to_owned(),
        length: claims.length,
        received: 0,
        fence: 0,
        resume_key: Some(resume_id),
        wrap: Some(wrap_in_progress(&secret, (resume_id, &resume_key), id, record, &record_key)),
        header: header.as_bytes().to_vec(),
        segment_length: segment.plaintext(),
        tail: None,
        tail_fence: 0,
        details: Some(field_key.seal(details_place(&record), &details)),
        consent: consent.as_ref().map(|c| field_key.seal(consent_place(&record), c.to_json().as_bytes())),
        terms: terms(&collection, consent.as_ref()),
        refusal: None,
        created_at: now,
        expires_at,
    };
    let mut tx = vault.store.begin("create_upload").await?;
    limits::admit(vault, &mut tx, caller.person(), collection.id, claims.length, now).await?;
    uploads::insert(&mut tx, &row, &secret.hash(), now).await?;
    tx.commit().await?;
    Ok(Created { secret, expires_at })
}

/// Without consent as its basis, a recording may be used for every purpose of the notice.
fn terms(collection: &collections::CollectionRow, consent: Option<&Consent>) -> ConsentTerms {
    match consent {
        Some(consent) => ConsentTerms {
            purposes: consent.purposes.clone(),
            expires_at: consent.expires_at,
            notice_sha256: consent.notice_sha256,
        },
        None => ConsentTerms {
            purposes: collection.policy.purposes.iter().map(|p| p.name.clone()).collect(),
            expires_at: None,
            notice_sha256: collection.policy.notice.sha256(),
        },
    }
}

fn no_consent(e: ConsentError) -> Failure {
    match e {
        ConsentError::Missing => Code::ConsentMissing,
        ConsentError::Unreadable => Code::ConsentUnreadable,
        ConsentError::OtherNotice => Code::ConsentNotice,
        ConsentError::Purpose => Code::ConsentPurpose,
        ConsentError::NotNow => Code::ConsentExpired,
    }
    .into()
}
