//! Reading columns into types: what does not parse was not written by this program.

use core::str::FromStr;

use sqlx::any::AnyRow;
use sqlx::{Decode, Row as _, Type};
use vault_core::time::Timestamp;

use super::StoreError;

/// A row with its table's name, for errors that say where the damage is.
pub struct Columns<'r> {
    row: &'r AnyRow,
    table: &'static str,
}

impl<'r> Columns<'r> {
    /// The columns of `row`, which came from `table`.
    #[must_use]
    pub const fn of(table: &'static str, row: &'r AnyRow) -> Self {
        Self { row, table }
    }

    /// An error about this table.
    #[must_use]
    pub const fn damaged(&self, what: &'static str) -> StoreError {
        StoreError::Corrupt { table: self.table, what }
    }

    fn raw<T: Decode<'r, sqlx::Any> + Type<sqlx::Any>>(&self, name: &'static str) -> Result<T, StoreError> {
        self.row.try_get(name).map_err(|_| self.damaged(name))
    }

    /// Text that parses to `T`: an identifier, a state.
    pub fn parsed<T: FromStr>(&self, name: &'static str) -> Result<T, StoreError> {
        self.raw::<String>(name)?.parse().map_err(|_| self.damaged(name))
    }

    /// Text that parses to `T`, or NULL.
    pub fn maybe_parsed<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, StoreError> {
        match self.raw::<Option<String>>(name)? {
            Some(text) => text.parse().map(Some).map_err(|_| self.damaged(name)),
            None => Ok(None),
        }
    }

    /// Text.
    pub fn text(&self, name: &'static str) -> Result<String, StoreError> {
        self.raw(name)
    }

    /// Text, or NULL.
    pub fn maybe_text(&self, name: &'static str) -> Result<Option<String>, StoreError> {
        self.raw(name)
    }

    /// Bytes.
    pub fn bytes(&self, name: &'static str) -> Result<Vec<u8>, StoreError> {
        self.raw(name)
    }

    /// Bytes, or NULL.
    pub fn maybe_bytes(&self, name: &'static str) -> Result<Option<Vec<u8>>, StoreError> {
        self.raw(name)
    }

    /// Exactly `N` bytes.
    pub fn array<const N: usize>(&self, name: &'static str) -> Result<[u8; N], StoreError> {
        self.bytes(name)?.try_into().map_err(|_| self.damaged(name))
    }

    /// A number.
    pub fn number(&self, name: &'static str) -> Result<i64, StoreError> {
        self.raw(name)
    }

    /// A number, or NULL.
    pub fn maybe_number(&self, name: &'static str) -> Result<Option<i64>, StoreError> {
        self.raw(name)
    }

    /// A number that is not negative.
    pub fn unsigned(&self, name: &'static str) -> Result<u64, StoreError> {
        u64::try_from(self.number(name)?).map_err(|_| self.damaged(name))
    }

    /// A version or epoch.
    pub fn version(&self, name: &'static str) -> Result<u32, StoreError> {
        u32::try_from(self.number(name)?).map_err(|_| self.damaged(name))
    }

    /// A moment.
    pub fn time(&self, name: &'static str) -> Result<Timestamp, StoreError> {
        Ok(Timestamp::from_millis(self.number(name)?))
    }

    /// A moment, or NULL.
    pub fn maybe_time(&self, name: &'static str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.maybe_number(name)?.map(Timestamp::from_millis))
    }
}

/// A number for a BIGINT column. Lengths and offsets stay below 2^53; anything larger is a defect.
pub fn bigint(n: u64) -> Result<i64, StoreError> {
    i64::try_from(n).map_err(|_| StoreError::Corrupt { table: "a parameter", what: "a number beyond 2^63" })
}
