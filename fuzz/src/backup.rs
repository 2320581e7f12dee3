//! What whoever keeps backups may have written: lines of tables, and the manifest.

use vault_core::backup::{MAX_MANIFEST, Manifest, TABLES, line};

/// The first byte chooses a table, or the manifest. A row has one spelling; a manifest that is read is written to one that
/// reads the same, and its checkpoint is the log's.
pub fn backup(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else { return };
    let Some(table) = TABLES.get(usize::from(*which)) else {
        let Ok(checked) = Manifest::read(rest) else { return };
        assert!(rest.len() <= MAX_MANIFEST);
        let position = &checked.manifest.log;
        assert_eq!(checked.key.to_string(), position.public_key);
        assert!(checked.checkpoint.size() <= position.size);
        if let Ok(written) = checked.manifest.write() {
            assert_eq!(Manifest::read(&written), Ok(checked));
        }
        return;
    };
    let Ok(cells) = line::read(rest, table.columns) else { return };
    assert_eq!(cells.len(), table.columns.len());
    let written = line::write(&cells, table.columns).expect("it was read");
    assert_eq!(written.strip_suffix(b"\n"), Some(rest), "one spelling");
    assert!(written.len() <= line::MAX_LINE && !rest.contains(&b'\n'));
}
