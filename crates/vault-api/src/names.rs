//! Names of headers and other fixed strings of the interface.

/// What every bearer token begins with, so that leaked ones can be searched for.
pub const TOKEN_PREFIX: &str = "fv_";

/// Names the record that an upload became: on the PATCH that completes it and on every HEAD after.
pub const VAULT_RECORD_ID: &str = "vault-record-id";

/// The version of tus that is spoken, required on every upload request but OPTIONS.
pub const TUS_VERSION: &str = "1.0.0";

/// Extensions of tus that are spoken, as `Tus-Extension` lists them.
pub const TUS_EXTENSIONS: &str = "creation,creation-with-upload,creation-defer-length,expiration,termination,checksum";

/// The content type of a PATCH that carries upload bytes.
pub const TUS_CONTENT_TYPE: &str = "application/offset+octet-stream";

/// The content type of every error body.
pub const PROBLEM_CONTENT_TYPE: &str = "application/problem+json";
