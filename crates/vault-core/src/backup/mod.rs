//! The form of a backup of the metadata (`docs/backup.md`): rows as lines, and the manifest that holds them together.
//!
//! A backup is read by whoever restores it and may have been written by anybody. Every line and every member is bounded and
//! has one form.

pub mod line;
pub mod manifest;
pub mod tables;

pub use line::{Cell, Column, Kind, LineError, MAX_LINE};
pub use manifest::{FORMAT, MAX_MANIFEST, Manifest, ManifestError};
pub use tables::{TABLES, Table, table};
