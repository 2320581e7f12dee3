//! Finding a request that covers the record, or filing one, and waiting for its approval.

use std::time::{Duration, Instant};

use vault_api::access::{
    AccessRequest, AccessRequestQuery, NewAccessRequest, RequestFiled, RequestState, Right, Scope,
};
use vault_api::code::Code;
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
#[derive(Clone, Copy)]
pub struct Wish<'a> {
    /// The record.
    pub record: &'a str,
    /// For which purpose.
    pub purpose: &'a str,
    /// Why.
    pub reason: &'a str,
    /// For which case.
    pub case_number: Option<&'a str>,
    /// Whether the right `export` is needed; when it is not said, it is wanted but `view` does.
    pub export: Option<bool>,
    /// The request to use, when the caller names it: a standing one, for instance.
    pub request: Option<&'a str>,
}

/// A request, and whether it gives the right `export`.
pub struct Found {
    /// Its identifier.
    pub id: String,
    /// Whether it gives the right `export`.
    pub export: bool,
}

/// An approved request that covers the wish.
pub fn approved(client: &Client, wish: &Wish<'_>, wait: Option<u64>) -> Result<Found, Failure> {
    let me: Me = client.get("/v1/me", &())?;
    let (found, mut state) = if let Some(id) = wish.request {
        let named: AccessRequest = client.get(&format!("/v1/access-requests/{}", segment(id)?), &())?;
        let state = named.state;
        (Found::from(&named), state)
    } else if let Some(found) = find(client, wish, &me.person.id, RequestState::Approved)? {
        note(&format!("using request {}, already approved", found.id));
        return Ok(found);
    } else if let Some(found) = find(client, wish, &me.person.id, RequestState::Pending)? {
        (found, RequestState::Pending)
    } else {
        file(client, wish)?
    };
    let id = found.id.clone();
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
        Ok(found)
    } else {
        Err(Failure::NotGranted { request_id: id, state: wire_name(&state) })
    }
}

impl From<&AccessRequest> for Found {
    fn from(request: &AccessRequest) -> Self {
        Self { id: request.id.clone(), export: request.rights.contains(&Right::Export) }
    }
}

/// Files a request. Where the collection does not give `export` and it was only wanted, for viewing alone.
fn file(client: &Client, wish: &Wish<'_>) -> Result<(Found, RequestState), Failure> {
    let file = |export: bool| -> Result<(Found, RequestState), Failure> {
        let body = NewAccessRequest {
            record_id: Some(wish.record.to_owned()),
            scope: None,
            purpose: wish.purpose.to_owned(),
            reason: wish.reason.to_owned(),
            case_number: wish.case_number.map(str::to_owned),
            rights: Some(if export { vec![Right::View, Right::Export] } else { vec![Right::View] }),
            until: None,
            limits: None,
        };
        let filed: RequestFiled = client.post("/v1/access-requests", &body)?;
        Ok((Found { id: filed.id, export }, filed.state))
    };
    match file(wish.export.unwrap_or(true)) {
        Err(Failure::Problem(problem))
            if wish.export.is_none() && problem.known_code() == Some(Code::RightNotGiven) =>
        {
            file(false)
        }
        other => other,
    }
}

fn find(client: &Client, wish: &Wish<'_>, me: &str, state: RequestState) -> Result<Option<Found>, Failure> {
    let query = AccessRequestQuery { state: Some(state), ..Default::default() };
    let page = client.list::<AccessRequest>("/v1/access-requests", &query, SEARCHED)?;
    Ok(best(page.items.iter().filter(|request| fits(request, wish, me))))
}

/// One that gives `export`, else the first.
fn best<'a>(requests: impl Iterator<Item = &'a AccessRequest>) -> Option<Found> {
    let mut found: Vec<Found> = requests.map(Found::from).collect();
    found.sort_by_key(|request| !request.export);
    found.into_iter().next()
}

/// Whether a request is the caller's own and covers the wish. Only what names the record: whether a
/// standing grant's filter covers it is the server's to say, and the grant could be used up.
fn fits(request: &AccessRequest, wish: &Wish<'_>, me: &str) -> bool {
    let covers = match (&request.record_id, &request.scope) {
        (Some(record), _) => record == wish.record,
        (None, Some(Scope::Batch(batch))) => batch.record_ids.iter().any(|record| record == wish.record),
        (None, Some(Scope::Standing(_)) | None) => false,
    };
    let right = if wish.export == Some(true) { &Right::Export } else { &Right::View };
    covers
        && request.requested_by.id == me
        && request.purpose == wish.purpose
        && wish.case_number.is_none_or(|case| request.case_number.as_deref() == Some(case))
        && request.rights.contains(right)
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
        let wish = Wish { record: "r", purpose: "p", reason: "", case_number: None, export: Some(true), request: None };
        assert!(fits(&request(&["view", "export"], "me"), &wish, "me"));
        assert!(!fits(&request(&["view"], "me"), &wish, "me"));
        assert!(fits(&request(&["view"], "me"), &Wish { export: None, ..wish }, "me"));
        assert!(!fits(&request(&["view", "export"], "other"), &wish, "me"));
        assert!(!fits(&request(&["export"], "me"), &Wish { purpose: "x", ..wish }, "me"));
        assert!(!fits(&request(&["export"], "me"), &Wish { record: "x", ..wish }, "me"));
        assert!(!fits(&request(&["export"], "me"), &Wish { case_number: Some("c"), ..wish }, "me"));
    }

    #[test]
    fn a_request_that_gives_export_is_preferred() {
        let two = [request(&["view"], "me"), request(&["view", "export"], "me")];
        assert!(best(two.iter()).is_some_and(|found| found.export));
        assert!(best(two[..1].iter()).is_some_and(|found| !found.export));
        assert!(best([].iter()).is_none());
    }
}
