//! `access request|approve|deny|list|show|revoke`.

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use vault_api::access::{
    AccessRequest, AccessRequestQuery, Approved, BatchScope, Decision, Limits, NewAccessRequest, RecordFilter,
    RequestFiled, RequestState, Restricted, Revocation, Right, Scope, StandingScope,
};

use crate::client::segment;
use crate::commands::records::KindArg;
use crate::commands::{Context, Most};
use crate::error::Failure;
use crate::output::{Report, Table, clean, wire_name};

/// What to do about access.
#[derive(Debug, Subcommand)]
pub enum AccessCommand {
    /// Ask for access to one record, several, or a collection
    Request(RequestArgs),
    /// Approve somebody else's request
    Approve(DecideArgs),
    /// Deny a request
    Deny(DecideArgs),
    /// List requests, newest first
    List(ListArgs),
    /// Show one request
    Show {
        /// The request
        request: String,
    },
    /// Take a grant away; it bites at once
    Revoke {
        /// The grant, as `approve` and `list` name it
        grant: String,
        /// Why; kept in the audit log
        #[arg(long)]
        reason: Option<String>,
    },
}

/// Arguments of `access request`.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("scope").required(true).multiple(true).args(["records", "collection"])))]
pub struct RequestArgs {
    /// The record, or several of one collection
    #[arg(value_name = "RECORD", conflicts_with = "collection")]
    records: Vec<String>,
    /// Ask for a standing grant on this collection instead: view only
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,
    /// With --collection: only audio or only video
    #[arg(long, requires = "collection")]
    kind: Option<KindArg>,
    /// With --collection: only received at this time or later (RFC 3339)
    #[arg(long, value_name = "TIME", requires = "collection")]
    from: Option<String>,
    /// With --collection: only received before this time (RFC 3339)
    #[arg(long, value_name = "TIME", requires = "collection")]
    before: Option<String>,
    /// A purpose of the collection
    #[arg(long)]
    purpose: String,
    /// Why, in your words
    #[arg(long)]
    reason: String,
    /// The case it belongs to
    #[arg(long, value_name = "NUMBER")]
    case_number: Option<String>,
    /// What is asked for; may be repeated [default: view]
    #[arg(long = "right", value_name = "RIGHT")]
    rights: Vec<RightArg>,
    /// When the grant is to end (RFC 3339) [default: the collection's limit]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// At most this many playback sessions
    #[arg(long, value_name = "N")]
    sessions: Option<u32>,
    /// At most this many different records a day
    #[arg(long, value_name = "N")]
    records_per_day: Option<u32>,
}

/// Arguments of deciding.
#[derive(Args, Debug)]
pub struct DecideArgs {
    /// The request
    request: String,
    /// Shown to the requester and kept in the audit log
    #[arg(long)]
    comment: Option<String>,
}

/// Arguments of `access list`.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Only in this state
    #[arg(long)]
    state: Option<StateArg>,
    /// Only of this collection
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,
    /// Only for this one record
    #[arg(long, value_name = "RECORD")]
    record: Option<String>,
    #[command(flatten)]
    most: Most,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RightArg {
    /// Play it
    View,
    /// Have the original, byte for byte
    Export,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StateArg {
    Pending,
    Approved,
    Denied,
    Expired,
    Revoked,
}

impl From<StateArg> for RequestState {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Pending => Self::Pending,
            StateArg::Approved => Self::Approved,
            StateArg::Denied => Self::Denied,
            StateArg::Expired => Self::Expired,
            StateArg::Revoked => Self::Revoked,
        }
    }
}

/// Runs a command.
pub fn run(context: &Context<'_>, command: &AccessCommand) -> Result<Report, Failure> {
    match command {
        AccessCommand::Request(args) => request(context, args),
        AccessCommand::Approve(args) => approve(context, args),
        AccessCommand::Deny(args) => deny(context, args),
        AccessCommand::List(args) => list(context, args),
        AccessCommand::Show { request } => show(context, request),
        AccessCommand::Revoke { grant, reason } => revoke(context, grant, reason.clone()),
    }
}

fn request(context: &Context<'_>, args: &RequestArgs) -> Result<Report, Failure> {
    let (record_id, scope) = match (&args.collection, args.records.as_slice()) {
        (Some(collection), _) => {
            let filter = RecordFilter {
                kind: args.kind.map(Into::into),
                received_from: args.from.clone(),
                received_until: args.before.clone(),
            };
            (None, Some(Scope::Standing(StandingScope { collection: collection.clone(), filter })))
        }
        (None, [one]) => (Some(one.clone()), None),
        (None, several) => (None, Some(Scope::Batch(BatchScope { record_ids: several.to_vec() }))),
    };
    let rights: Vec<Right> = args
        .rights
        .iter()
        .map(|right| match right {
            RightArg::View => Right::View,
            RightArg::Export => Right::Export,
        })
        .collect();
    let limits = Limits { sessions: args.sessions, records_per_day: args.records_per_day };
    let body = NewAccessRequest {
        record_id,
        scope,
        purpose: args.purpose.clone(),
        reason: args.reason.clone(),
        case_number: args.case_number.clone(),
        rights: (!rights.is_empty()).then_some(rights),
        until: args.until.clone(),
        limits: (limits != Limits::default()).then_some(limits),
    };
    let filed: RequestFiled = context.client()?.post("/v1/access-requests", &body)?;
    let text = format!("request {} is {}", filed.id, wire_name(&filed.state));
    Ok(Report::new(&filed, text))
}

fn approve(context: &Context<'_>, args: &DecideArgs) -> Result<Report, Failure> {
    let path = format!("/v1/access-requests/{}/approve", segment(&args.request)?);
    let approved: Approved = context.client()?.post(&path, &Decision { comment: args.comment.clone() })?;
    let text = format!("approved: grant {} until {}", approved.grant_id, approved.expires_at);
    Ok(Report::new(&approved, text))
}

fn deny(context: &Context<'_>, args: &DecideArgs) -> Result<Report, Failure> {
    let path = format!("/v1/access-requests/{}/deny", segment(&args.request)?);
    let denied: RequestFiled = context.client()?.post(&path, &Decision { comment: args.comment.clone() })?;
    let text = format!("request {} is {}", denied.id, wire_name(&denied.state));
    Ok(Report::new(&denied, text))
}

fn list(context: &Context<'_>, args: &ListArgs) -> Result<Report, Failure> {
    let query = AccessRequestQuery {
        state: args.state.map(Into::into),
        collection: args.collection.clone(),
        record_id: args.record.clone(),
        ..Default::default()
    };
    let page = context.client()?.list::<AccessRequest>("/v1/access-requests", &query, args.most.items())?;
    let mut table = Table::new(["request", "state", "collection", "purpose", "by", "until", "grant"]);
    for request in &page.items {
        table.row([
            request.id.clone(),
            wire_name(&request.state),
            request.collection.clone(),
            request.purpose.clone(),
            request.requested_by.name.clone().unwrap_or_else(|| request.requested_by.id.clone()),
            request.expires_at.clone(),
            request.grant_id.clone().unwrap_or_default(),
        ]);
    }
    Ok(Report::new(&page, table.render()))
}

fn show(context: &Context<'_>, request: &str) -> Result<Report, Failure> {
    let request: AccessRequest = context.client()?.get(&format!("/v1/access-requests/{}", segment(request)?), &())?;
    let name = |person: &vault_api::people::PersonRef| clean(person.name.as_deref().unwrap_or(&person.id));
    let what = match (&request.record_id, &request.scope) {
        (Some(record), _) => format!("record {record}"),
        (None, Some(Scope::Batch(batch))) => format!("{} records", batch.record_ids.len()),
        (None, Some(Scope::Standing(standing))) => format!("collection {}, standing", standing.collection),
        (None, None) => "nothing".to_owned(),
    };
    let rights: Vec<String> = request.rights.iter().map(wire_name).collect();
    let mut lines = vec![
        format!("request {}: {}", request.id, wire_name(&request.state)),
        format!("asks for {} ({}) in {}", clean(&what), rights.join(", "), clean(&request.collection)),
        format!("by {} at {}", name(&request.requested_by), request.requested_at),
        format!("for {}: {}", clean(&request.purpose), clean(request.reason.as_deref().unwrap_or("(not shown)"))),
    ];
    if let Some(case) = &request.case_number {
        lines.push(format!("case {}", clean(case)));
    }
    if let (Some(person), Some(at)) = (&request.decided_by, &request.decided_at) {
        let comment = request.comment.as_deref().map(|text| format!(": {}", clean(text))).unwrap_or_default();
        lines.push(format!("decided by {} at {at}{comment}", name(person)));
    }
    if let Some(grant) = &request.grant_id {
        lines.push(format!("grant {grant} until {}", request.expires_at));
    }
    Ok(Report::new(&request, lines.join("\n")))
}

fn revoke(context: &Context<'_>, grant: &str, reason: Option<String>) -> Result<Report, Failure> {
    let path = format!("/v1/grants/{}", segment(grant)?);
    let done: Restricted = context.client()?.delete_with(&path, &Revocation { reason })?;
    Ok(Report::new(&done, format!("grant {grant} is revoked{}", journal_note(done))))
}

/// What to add when the journal could not be written yet.
pub fn journal_note(done: Restricted) -> &'static str {
    if done.journalled { "" } else { "; it bites already, but a restored backup would not know of it yet" }
}
