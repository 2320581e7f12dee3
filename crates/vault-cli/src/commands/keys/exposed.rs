//! What a key version exposes, page by page.

use serde::Serialize;
use vault_api::exposure::{ExposedRecord, ExposurePage, ExposureQuery};
use vault_api::keys::{CollectionKeys, KeyState};

use super::path;
use crate::client::Client;
use crate::error::Failure;
use crate::output::{Report, Table, clean, wire_name};
use crate::progress;

/// Records looked at with one request: some ten milliseconds of the server.
const PAGE: u32 = 5_000;

/// What was found, of all pages together.
#[derive(Serialize)]
struct Exposed {
    /// The collection's name.
    collection: String,
    /// The version.
    version: u32,
    /// Its state.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<KeyState>,
    /// When it stopped being active; none while it is.
    active_until: Option<String>,
    /// Records that have a key.
    looked_at: u64,
    /// Bytes of the recordings below, of those whose size can be read.
    bytes: u64,
    /// Those whose keys the version wraps or may have wrapped.
    records: Vec<ExposedRecord>,
}

/// Lists what `version` exposes.
pub fn run(client: &Client, collection: &str, version: u32) -> Result<Report, Failure> {
    let keys: CollectionKeys = client.get(&path(collection, "")?, &())?;
    let total: u64 = keys.versions.iter().map(|version| version.records).sum();
    let bar = progress::count(total, "records looked at");
    let mut found = Exposed {
        collection: collection.to_owned(),
        version,
        state: None,
        active_until: None,
        looked_at: 0,
        bytes: 0,
        records: Vec::new(),
    };
    let mut query = ExposureQuery { cursor: None, limit: Some(PAGE) };
    loop {
        let page: ExposurePage = client.get(&path(collection, &format!("/{version}/exposure"))?, &query)?;
        found.state = Some(page.state);
        found.active_until = page.active_until;
        found.looked_at += page.looked_at;
        found.bytes += page.records.iter().filter_map(|record| record.size_bytes).sum::<u64>();
        found.records.extend(page.records);
        bar.inc(page.looked_at);
        match page.next_cursor {
            // A page that ends where it began would never end.
            Some(cursor) if query.cursor.as_ref() != Some(&cursor) => query.cursor = Some(cursor),
            Some(_) => return Err(Failure::Protocol("the same page was answered twice".to_owned())),
            None => break,
        }
    }
    bar.finish_and_clear();
    let text = told(&found);
    Ok(Report::new(&found, text))
}

fn told(found: &Exposed) -> String {
    let Exposed { collection, version, looked_at, bytes, records, .. } = found;
    let mut text = format!(
        "version {version} of {} wraps or may have wrapped the keys of {} of {looked_at} records, {bytes} bytes\n",
        clean(collection),
        records.len()
    );
    if !records.is_empty() {
        let mut table = Table::new(["record", "how", "under", "bytes"]);
        for record in records {
            table.row([
                clean(&record.record_id),
                wire_name(&record.how),
                record.key_version.map_or_else(|| "-".to_owned(), |version| version.to_string()),
                record.size_bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string()),
            ]);
        }
        text.push_str(&table.render());
    }
    text
}
