//! Keys: the hierarchy, how one key comes from another, how keys are wrapped, and how long they live.
//!
//! ```text
//! root key, epoch e            in the keyring            [keyring]
//!  ├─ log seed                 wrapped by the root       [wrap]
//!  └─ KEK, collection, version wrapped by the root       [wrap]
//!      ├─ record key           wrapped by the KEK        [wrap], while uploading [upload]
//!      │   ├─ object key       derived                   [derive]
//!      │   └─ field key        derived                   [derive], seals [field]
//!      ├─ staff audit key      wrapped by the KEK        [wrap], seals [field]
//!      └─ subject key          wrapped by the KEK        [wrap], makes pseudonyms [derive]
//! ```
//!
//! [keyring]: keyring
//! [wrap]: wrap
//! [upload]: upload
//! [derive]: mod@derive
//! [field]: field

mod committing;
pub mod cycle;
pub mod derive;
pub mod exposure;
pub mod field;
pub mod hierarchy;
pub mod incident;
pub mod keyring;
pub mod lifecycle;
pub mod tag;
pub mod upload;
pub mod wrap;
