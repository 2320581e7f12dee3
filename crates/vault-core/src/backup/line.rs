//! A row of a table as a line of JSON (`docs/backup.md` §2): one spelling for each row.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// No line is longer, its newline included.
pub const MAX_LINE: usize = 4 << 20;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An integer of 64 bits.
    Number,
    /// Text without U+0000.
    Text,
    /// Bytes.
    Bytes,
}

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in the database.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it may be NULL.
    pub nullable: bool,
}

/// A value in a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    /// NULL.
    Null,
    /// A number.
    Number(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// Why a line is not a row of its table. Nothing of the line's content is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Longer than any line.
    #[error("longer than a line may be")]
    TooLong,
    /// Not an array of numbers, texts and nulls.
    #[error("not a line of a backup")]
    Malformed,
    /// Another number of members than the table has columns.
    #[error("it has another number of columns")]
    Columns,
    /// A member that is not what its column holds.
    #[error("column {0} holds something else")]
    Column(&'static str),
    /// The same row is written otherwise.
    #[error("not in the one form that a row has")]
    Form,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Member {
    Number(i64),
    Text(String),
}

/// Reads a line without its newline.
pub fn read(line: &[u8], columns: &[Column]) -> Result<Vec<Cell>, LineError> {
    if line.len() >= MAX_LINE {
        return Err(LineError::TooLong);
    }
    let members: Vec<Option<Member>> = serde_json::from_slice(line).map_err(|_| LineError::Malformed)?;
    if members.len() != columns.len() {
        return Err(LineError::Columns);
    }
    let cells = members.into_iter().zip(columns).map(|(member, column)| cell(member, column));
    let cells = cells.collect::<Result<Vec<_>, _>>()?;
    if write(&cells, columns)?.strip_suffix(b"\n") == Some(line) { Ok(cells) } else { Err(LineError::Form) }
}

fn cell(member: Option<Member>, column: &Column) -> Result<Cell, LineError> {
    let other = LineError::Column(column.name);
    match (member, column.kind) {
        (None, _) if column.nullable => Ok(Cell::Null),
        (Some(Member::Number(number)), Kind::Number) => Ok(Cell::Number(number)),
        (Some(Member::Text(text)), Kind::Text) => Ok(Cell::Text(text)),
        (Some(Member::Text(text)), Kind::Bytes) => STANDARD.decode(text).map(Cell::Bytes).map_err(|_| other),
        _ => Err(other),
    }
}

/// Writes a row as a line with its newline.
pub fn write(cells: &[Cell], columns: &[Column]) -> Result<Vec<u8>, LineError> {
    if cells.len() != columns.len() {
        return Err(LineError::Columns);
    }
    let members = cells.iter().zip(columns).map(|(cell, column)| match (cell, column.kind) {
        (Cell::Null, _) if column.nullable => Ok(None),
        (Cell::Number(number), Kind::Number) => Ok(Some(Member::Number(*number))),
        // PostgreSQL has no such text.
        (Cell::Text(text), Kind::Text) if !text.contains('\0') => Ok(Some(Member::Text(text.clone()))),
        (Cell::Bytes(bytes), Kind::Bytes) => Ok(Some(Member::Text(STANDARD.encode(bytes)))),
        _ => Err(LineError::Column(column.name)),
    });
    let members = members.collect::<Result<Vec<_>, _>>()?;
    let mut line = serde_json::to_vec(&members).map_err(|_| LineError::Malformed)?;
    line.push(b'\n');
    if line.len() > MAX_LINE { Err(LineError::TooLong) } else { Ok(line) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column { name: "id", kind: Kind::Text, nullable: false },
        Column { name: "n", kind: Kind::Number, nullable: false },
        Column { name: "wrap", kind: Kind::Bytes, nullable: true },
    ];

    #[test]
    fn a_row_has_one_spelling() {
        for (cells, text) in [
            (vec![Cell::Text("a\"ü".into()), Cell::Number(-7), Cell::Bytes(vec![0, 255])], "[\"a\\\"ü\",-7,\"AP8=\"]"),
            (vec![Cell::Text(String::new()), Cell::Number(i64::MAX), Cell::Null], "[\"\",9223372036854775807,null]"),
        ] {
            assert_eq!(write(&cells, &COLUMNS).unwrap(), format!("{text}\n").as_bytes());
            assert_eq!(read(text.as_bytes(), &COLUMNS), Ok(cells));
        }
        for (bad, error) in [
            ("", LineError::Malformed),
            ("{}", LineError::Malformed),
            ("[[]]", LineError::Malformed),
            ("[\"a\",1.5,null]", LineError::Malformed),
            ("[\"a\",9223372036854775808,null]", LineError::Malformed),
            ("[\"a\",1]", LineError::Columns),
            ("[\"a\",1,null,null]", LineError::Columns),
            ("[null,1,null]", LineError::Column("id")),
            ("[1,1,null]", LineError::Column("id")),
            ("[\"a\",\"1\",null]", LineError::Column("n")),
            ("[\"a\\u0000\",1,null]", LineError::Column("id")),
            ("[\"a\",1,\"AP8\"]", LineError::Column("wrap")),
            ("[\"a\", 1,null]", LineError::Form),
            ("[\"\\u0061\",1,null]", LineError::Form),
            ("[\"a\",1,null]\n", LineError::Form),
        ] {
            assert_eq!(read(bad.as_bytes(), &COLUMNS), Err(error), "{bad}");
        }
        assert_eq!(read(&vec![b' '; MAX_LINE], &COLUMNS), Err(LineError::TooLong));
        let long = [Cell::Text("x".repeat(MAX_LINE)), Cell::Number(0), Cell::Null];
        assert_eq!(write(&long, &COLUMNS), Err(LineError::TooLong));
    }
}
