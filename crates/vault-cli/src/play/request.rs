//! Finding a request that covers the record, or filing one, and waiting for its approval.

use std::time::{Duration, Instant};

use vault_api::access::{
    AccessRequest, AccessRequestQuery, NewAccessRequest, RequestFiled, RequestState, Right, Scope,
};
use vault_api::people::Me;

use crate::client::{Client, segment};
use crate::error::Failure;
use crate::output::{note, wire_name};

/// How often the request is looked at while waiting.
const LOOK: Duration = Duration::from_secs(2);

/// How many of the caller's requests are searched for one that fits; with more than that in force, a
/// new one is filed.
const SEARCHED: usize = 1000;

/// What is wanted.
pub struct Wish<'a> {
    /// The record.
    pub record: &'a str,
    /// For which purpose.
    pub purpose: &'a str,
    /// Why.
    pub reason: &'a str,
    /// For which case.
    pub case_number: Option<&'a str>,
    /// Whether the right `export` is needed.
    pub export: bool,
}

/// The identifier of an approved request that covers the wish.
pub fn approved(client: &Client, wish: &Wish<'_>, wait: Option<u64>) -> Result<String, Failure> {
    let me: Me = client.get("/v1/me", &())?;
    if let Some(request) = find(client, wish, &me.person.id, RequestState::Approved)? {
        note(&format!("using request {request}, already approved"));
        return Ok(request);
    }
    let (id, mut state) = match find(client, wish, &me.person.id, RequestState::Pending)? {
        Some(id) => (id, RequestState::Pending),
        None => {
            let filed = file(client, wish)?;
            (filed.id, filed.state)
        }
    };
    let patience = Duration::from_secs(wait.unwrap_or(0));
    let begun = Instant::now();
    if state == RequestState::Pending && wait.is_some() {
        note(&format!("request {id} waits for an approver: vault-cli access approve {id}"));
    }
    while state == RequestState::Pending {
        if begun.elapsed() >= patience {
            return Err(Failure::Waiting { request_id: id });
        }
        std::thread::sleep(LOOK.min(patience.saturating_sub(begun.elapsed())));
        let request: AccessRequest = client.get(&format!("/v1/access-requests/{}", segment(&id)?), &())?;
        state = request.state;
    }
    if state == RequestState::Approved {
        Ok(id)
    } else {
        Err(Failure::NotGranted { request_id: id, state: wire_name(&state) })
    }
}

fn file(client: &Client, wish: &Wish<'_>) -> Result<RequestFiled, Failure> {
    let body = NewAccessRequest {
        record_id: Some(wish.record.to_owned()),
        scope: None,
        purpose: wish.purpose.to_owned(),
        reason: wish.reason.to_owned(),
        case_number: wish.case_number.map(str::to_owned),
        rights: Some(if wish.export { vec![Right::View, Right::Export] } else { vec![Right::View] }),
        until: None,
        limits: None,
    };
    client.post("/v1/access-requests", &body)
}

fn find(client: &Client, wish: &Wish<'_>, me: &str, state: RequestState) -> Result<Option<String>, Failure> {
    let query = AccessRequestQuery { state: Some(state), ..Default::default() };
    let page = client.list::<AccessRequest>("/v1/access-requests", &query, SEARCHED)?;
    Ok(page.items.into_iter().find(|request| fits(request, wish, me)).map(|request| request.id))
}

/// Whether a request is the caller's own and covers the wish. Only what names the record: whether a
/// standing grant's filter covers it is the server's to say, and the grant could be used up.
fn fits(request: &AccessRequest, wish: &Wish<'_>, me: &str) -> bool {
    let covers = match (&request.record_id, &request.scope) {
        (Some(record), _) => record == wish.record,
        (None, Some(Scope::Batch(batch))) => batch.record_ids.iter().any(|record| record == wish.record),
        (None, Some(Scope::Standing(_)) | None) => false,
    };
    covers
        && request.requested_by.id == me
        && request.purpose == wish.purpose
        && wish.case_number.is_none_or(|case| request.case_number.as_deref() == Some(case))
        && request.rights.contains(if wish.export { &Right::Export } else { &Right::View })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(rights: &[&str], by: &str) -> AccessRequest {
        serde_json::from_value(json!({
            "id": "q", "state": "approved", "collection": "demo", "record_id": "r", "purpose": "p", "rights": rights,
            "requested_by": {"id": by}, "requested_at": "", "expires_at": "",
        }))
        .unwrap()
    }

    #[test]
    fn only_ones_own_request_with_the_right_and_purpose_fits() {
        let wish = Wish { record: "r", purpose: "p", reason: "", case_number: None, export: true };
        assert!(fits(&request(&["view", "export"], "me"), &wish, "me"));
        assert!(!fits(&request(&["view"], "me"), &wish, "me"));
        assert!(!fits(&request(&["view", "export"], "other"), &wish, "me"));
        assert!(!fits(&request(&["export"], "me"), &Wish { purpose: "x", ..wish }, "me"));
        assert!(!fits(&request(&["export"], "me"), &Wish { record: "x", ..wish }, "me"));
        assert!(!fits(&request(&["export"], "me"), &Wish { case_number: Some("c"), ..wish }, "me"));
    }
}
