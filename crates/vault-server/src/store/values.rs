//! Placeholders for many rows in one statement: `$n` is what both engines understand.

use core::fmt::Write as _;

/// `($1, $2), ($3, $4), …` for `rows` rows of `columns` columns.
pub(super) fn rows(rows: usize, columns: usize) -> String {
    let mut text = String::with_capacity(rows * columns * 6);
    for row in 0..rows {
        text.push_str(if row == 0 { "" } else { ", " });
        list_from(&mut text, row * columns, columns);
    }
    text
}

/// `($1, $2, …)` for one list of values.
pub(super) fn list(values: usize) -> String {
    let mut text = String::with_capacity(values * 6);
    list_from(&mut text, 0, values);
    text
}

fn list_from(text: &mut String, before: usize, values: usize) {
    text.push('(');
    for n in 1..=values {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}${}", if n == 1 { "" } else { ", " }, before + n);
    }
    text.push(')');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_through() {
        assert_eq!(rows(2, 3), "($1, $2, $3), ($4, $5, $6)");
        assert_eq!(rows(1, 1), "($1)");
        assert_eq!(list(2), "($1, $2)");
    }
}
