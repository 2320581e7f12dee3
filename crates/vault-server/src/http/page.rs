//! Pages of lists whose order is that of their identifiers.

use vault_api::code::Code;
use vault_api::page::{DEFAULT_LIMIT, MAX_LIMIT, Page};
use vault_core::ids::RecordId;
use vault_fields::cursor;

use crate::app::error::Failure;

/// What a caller asks of a list: behind which identifier, how many.
pub(super) struct Asked {
    /// The last identifier of the page before; empty at the beginning.
    pub(super) after: String,
    limit: u32,
}

impl Asked {
    /// Reads cursor and limit. A cursor is the last identifier in base64url: opaque to callers, checked here.
    pub(super) fn of(cursor: Option<&str>, limit: Option<u32>) -> Result<Self, Failure> {
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Failure::new(Code::InvalidValue).detail(format!("limit: 1 to {MAX_LIMIT}")));
        }
        let after = match cursor {
            Some(cursor) => read(cursor).ok_or(Code::InvalidCursor)?,
            None => String::new(),
        };
        Ok(Self { after, limit })
    }

    /// How many to fetch: one more than the page holds, to know whether another follows.
    pub(super) const fn fetch(&self) -> u32 {
        self.limit + 1
    }

    /// The page of what was fetched.
    pub(super) fn page<R, T>(&self, rows: Vec<R>, id: impl Fn(&R) -> String, show: impl Fn(R) -> T) -> Page<T> {
        let (rows, next_cursor) = self.cut(rows, id);
        Page { items: rows.into_iter().map(show).collect(), next_cursor }
    }

    /// The same where an item may not be shown.
    pub(super) fn try_page<R, T>(
        &self,
        rows: Vec<R>,
        id: impl Fn(&R) -> String,
        show: impl Fn(R) -> Result<T, Failure>,
    ) -> Result<Page<T>, Failure> {
        let (rows, next_cursor) = self.cut(rows, id);
        Ok(Page { items: rows.into_iter().map(show).collect::<Result<_, _>>()?, next_cursor })
    }

    fn cut<R>(&self, mut rows: Vec<R>, id: impl Fn(&R) -> String) -> (Vec<R>, Option<String>) {
        let more = rows.len() > self.limit as usize;
        rows.truncate(self.limit as usize);
        let last = rows.last().filter(|_| more).map(id);
        (rows, last.map(|id| cursor::write(&id)))
    }
}

fn read(cursor: &str) -> Option<String> {
    // All identifiers are of one form.
    cursor::read(cursor).filter(|text| text.parse::<RecordId>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55";

    #[test]
    fn a_page_says_where_the_next_begins_and_the_last_does_not() {
        let asked = Asked::of(None, Some(2)).unwrap();
        assert_eq!(asked.fetch(), 3);
        let rows = vec![ID.replace("55", "01"), ID.to_owned(), ID.replace("55", "99")];
        let page = asked.page(rows.clone(), String::clone, |row| row);
        assert_eq!(page.items, rows[..2]);
        let next = Asked::of(page.next_cursor.as_deref(), None).unwrap();
        assert_eq!(next.after, ID);
        assert_eq!(asked.page(rows[..2].to_vec(), String::clone, |row| row).next_cursor, None);
    }

    #[test]
    fn a_foreign_cursor_and_a_limit_out_of_bounds_are_refused() {
        for cursor in ["", "x", "' OR 1=1", &cursor::write("no identifier")] {
            assert_eq!(Asked::of(Some(cursor), None).err().map(|e| e.code()), Some(Code::InvalidCursor), "{cursor}");
        }
        for limit in [0, MAX_LIMIT + 1, u32::MAX] {
            assert_eq!(Asked::of(None, Some(limit)).err().map(|e| e.code()), Some(Code::InvalidValue));
        }
    }
}
