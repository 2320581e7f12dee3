//! Looking at records: metadata of the collections that the caller's roles cover.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use vault_api::code::Code;
use vault_api::page::{DEFAULT_LIMIT, MAX_LIMIT, Page};
use vault_api::records::{MediaKind, Record, RecordQuery, RecordState as WireState};
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::ids::{CollectionId, RecordId};
use vault_core::time::Timestamp;

use super::callers::Caller;
use super::collections;
use super::error::Failure;
use super::upload;
use crate::state::Vault;
use crate::store::records::{self, Filter, RecordRow, RecordState};

/// More than clocks of nodes ever differ: what they differ by costs a longer search and loses no record.
const CLOCKS: Duration = Duration::from_hours(24);

/// A page of records, newest first.
pub async fn list(vault: &Arc<Vault>, caller: &Caller, query: RecordQuery) -> Result<Page<Record>, Failure> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if limit == 0 || limit > MAX_LIMIT {
        return Err(Failure::new(Code::InvalidValue).detail("limit: 1 to 500"));
    }
    let names: HashMap<CollectionId, String> = visible(vault, caller, query.collection.as_deref()).await?;
    let (from, until) = (
        moment("received_from", query.received_from.as_deref())?,
        moment("received_until", query.received_until.as_deref())?,
    );
    let filter = Filter {
        collections: names.keys().copied().collect(),
        state: match query.state {
            None => None,
            Some(WireState::Available) => Some(RecordState::Available),
            Some(WireState::Restricted) => Some(RecordState::Restricted),
            Some(WireState::Erased) => Some(RecordState::Erased),
            // Not yet records, or no longer: nothing of them is listed.
            Some(WireState::Receiving | WireState::Received | WireState::Rejected) => {
                return Ok(Page { items: Vec::new(), next_cursor: None });
            }
        },
        media: query.kind.map(|kind| match kind {
            MediaKind::Audio => "audio".to_owned(),
            MediaKind::Video => "video".to_owned(),
        }),
        from,
        until,
        ids: begun_between(from.map(|from| from.minus(upload::receive::lasts(vault))), until),
        before: match query.cursor {
            Some(cursor) => Some(cursor.parse().map_err(|_| Code::InvalidCursor)?),
            None => None,
        },
    };
    let mut rows = records::page(&vault.store, &filter, limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next_cursor = if more { rows.last().map(|row| row.id.to_string()) } else { None };
    let items = rows.iter().filter_map(|row| Some(wire(row, names.get(&row.collection)?))).collect();
    Ok(Page { items, next_cursor })
}

/// One record; absent to those whose roles do not cover its collection.
pub async fn show(vault: &Arc<Vault>, caller: &Caller, id: &str) -> Result<Record, Failure> {
    let id: RecordId = id.parse().map_err(|_| Code::NotFound)?;
    let row = records::find(&vault.store, id).await?.ok_or(Code::NotFound)?;
    caller.permit_on(Action::RecordRead, Place::Collection(row.collection))?;
    let collection = collections::get(vault, row.collection).await?;
    Ok(wire(&row, collection.name.as_str()))
}

/// The collections whose records the caller may see, with their names.
async fn visible(
    vault: &Arc<Vault>,
    caller: &Caller,
    only: Option<&str>,
) -> Result<HashMap<CollectionId, String>, Failure> {
    let all = match only {
        Some(name) => {
            let name = name.parse().map_err(|_| Code::NotFound)?;
            let one = collections::find(vault, &name).await?;
            caller.permit_on(Action::RecordRead, Place::Collection(one.id))?;
            vec![one]
        }
        None => collections::all(vault).await?,
    };
    Ok(all
        .into_iter()
        .filter(|c| caller.permit_on(Action::RecordRead, Place::Collection(c.id)).is_ok())
        .map(|c| (c.id, c.name.to_string()))
        .collect())
}

/// Ids tell when an upload began, by the clock of the node that began it.
fn begun_between(from: Option<Timestamp>, until: Option<Timestamp>) -> (Option<RecordId>, Option<RecordId>) {
    let first_of = |at: Timestamp| {
        let millis = u64::try_from(at.as_millis()).unwrap_or(0).to_be_bytes();
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&millis[2..]);
        RecordId::from_bytes(bytes)
    };
    (from.map(|from| first_of(from.minus(CLOCKS))), until.map(|until| first_of(until.plus(CLOCKS))))
}

fn moment(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, Failure> {
    let wrong = || Failure::new(Code::InvalidValue).detail(format!("{name}: an RFC 3339 time"));
    text.map(|text| Timestamp::parse(text).map_err(|_| wrong())).transpose()
}

/// What is told of a record. Of an erased one that it was there, and nothing of what it was.
fn wire(row: &RecordRow, collection: &str) -> Record {
    let there = row.state != RecordState::Erased;
    Record {
        id: row.id.to_string(),
        collection: collection.to_owned(),
        state: match row.state {
            RecordState::Available => WireState::Available,
            RecordState::Restricted => WireState::Restricted,
            RecordState::Erased => WireState::Erased,
        },
        kind: match row.media.as_str() {
            "audio" if there => Some(MediaKind::Audio),
            "video" if there => Some(MediaKind::Video),
            _ => None,
        },
        content_type: there.then(|| row.content_type.clone()),
        size_bytes: there.then_some(row.size),
        received_at: row.received_at.to_string(),
        available_at: Some(row.received_at.to_string()),
        purposes: row.terms.purposes.clone(),
        consent_expires_at: row.terms.expires_at.map(|t| t.to_string()),
        retain_until: row.retain_until.map(|t| t.to_string()),
        key_version: there.then_some(row.kek_version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_record_of_the_time_lies_outside_of_its_ids() {
        let at = Timestamp::from_millis(1_790_000_000_123);
        let (first, after) = begun_between(Some(at), Some(at));
        let (first, after) = (first.unwrap().to_string(), after.unwrap().to_string());
        let day = Duration::from_hours(23);
        for begun in [at.minus(day), at, at.plus(day)] {
            let id = RecordId::new(begun).to_string();
            assert!(first < id && id < after, "{first} {id} {after}");
        }
        assert!(
            RecordId::new(at.minus(day * 2)).to_string() < first && RecordId::new(at.plus(day * 2)).to_string() > after
        );
        assert_eq!(begun_between(None, None), (None, None));
    }
}
