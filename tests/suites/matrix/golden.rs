//! Reading `tests/golden/matrix.txt`.

use vault_tests::programs::workspace;

/// The columns, in the file's order.
pub const COLUMNS: [&str; 7] = ["nobody", "uploader", "analyst", "approver", "key-officer", "auditor", "administrator"];

/// A row.
#[derive(Debug)]
pub struct Row {
    pub method: String,
    /// Parameters without their names: `/v1/records/{}`.
    pub path: String,
    pub expected: [u16; COLUMNS.len()],
}

/// All rows. A malformed file is a failure, not a shorter matrix.
pub fn rows() -> Vec<Row> {
    let path = workspace().join("tests/golden/matrix.txt");
    let text = std::fs::read_to_string(&path).expect("the golden matrix");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| parse(line).unwrap_or_else(|| panic!("not a row: {line}"))).collect()
}

fn parse(line: &str) -> Option<Row> {
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let figures: Vec<u16> = words.map(str::parse).collect::<Result<_, _>>().ok()?;
    Some(Row { method, path, expected: figures.try_into().ok()? })
}

/// A path of the OpenAPI document with the names of its parameters left out.
pub fn nameless(path: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for c in path.chars() {
        match c {
            '{' => {
                inside = true;
                text.push_str("{}");
            }
            '}' => inside = false,
            _ if inside => {}
            other => text.push(other),
        }
    }
    text
}

#[test]
fn names_of_parameters_do_not_matter() {
    assert_eq!(nameless("/v1/collections/{c}/keys/{version}"), "/v1/collections/{}/keys/{}");
}

#[test]
fn the_file_has_a_row_for_each_line_and_no_row_twice() {
    let rows = rows();
    let distinct: std::collections::BTreeSet<_> = rows.iter().map(|row| (&row.method, &row.path)).collect();
    assert_eq!(distinct.len(), rows.len());
    assert!(rows.len() > 40);
}
