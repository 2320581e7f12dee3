//! What a refused header of tus answers, and what of the others `app` is handed. They are read in [`vault_fields::tus`].

use axum::http::HeaderMap;
use vault_api::code::Code;
use vault_api::names::TUS_VERSION;
use vault_fields::tus::{self, Expected, InvalidField};

pub(super) use vault_fields::tus::{
    Metadata, TUS_RESUMABLE, UPLOAD_DEFER_LENGTH, UPLOAD_EXPIRES, UPLOAD_LENGTH, UPLOAD_METADATA, UPLOAD_OFFSET,
    declared_length, late_length, offset,
};

use crate::app::error::Failure;
use crate::app::upload::checksum::Checksum;

impl From<InvalidField> for Failure {
    fn from(e: InvalidField) -> Self {
        match e {
            InvalidField::Version => Code::TusVersion.into(),
            InvalidField::Length => Code::UploadLength.into(),
            InvalidField::Offset => Code::UploadOffsetMissing.into(),
            InvalidField::Metadata(what) => Self::new(Code::UploadMetadata).detail(what),
            InvalidField::Checksum => Code::UploadChecksumAlgorithm.into(),
        }
    }
}

/// Checks `Tus-Resumable`.
pub(super) fn version(headers: &HeaderMap) -> Result<(), Failure> {
    Ok(tus::version(headers, TUS_VERSION)?)
}

/// `Upload-Checksum`.
pub(super) fn checksum(headers: &HeaderMap) -> Result<Option<Checksum>, Failure> {
    Ok(tus::checksum(headers)?.map(|expected| match expected {
        Expected::Sha1(sum) => Checksum::sha1(sum),
        Expected::Sha256(sum) => Checksum::sha256(sum),
    }))
}
