//! Cursors of lists: the last identifier of the page before, in base64url, opaque to callers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The longest identifier that a cursor stands for: that of a damaged row may be of any form.
pub const LONGEST: usize = 256;

/// The identifier behind which a page begins. Whether it is of the form that the list's identifiers have, the caller checks.
#[must_use]
pub fn read(cursor: &str) -> Option<String> {
    // Four characters are three bytes: a longer one is not even decoded.
    if cursor.len() > LONGEST.div_ceil(3) * 4 {
        return None;
    }
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    (!text.is_empty() && text.len() <= LONGEST && !text.contains('\0')).then_some(text)
}

/// The cursor of the page behind `id`.
#[must_use]
pub fn write(id: &str) -> String {
    URL_SAFE_NO_PAD.encode(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for id in ["019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55", "x", "ä", &"y".repeat(LONGEST)] {
            assert_eq!(read(&write(id)).as_deref(), Some(id));
        }
        for id in ["", "\0", &"y".repeat(LONGEST + 1)] {
            assert_eq!(read(&write(id)), None, "{id:?}");
        }
        for cursor in ["x", "eA==", "eB", "' OR 1=1", "_w"] {
            assert_eq!(read(cursor), None, "{cursor}");
        }
    }
}
