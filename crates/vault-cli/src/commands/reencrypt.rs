//! `records reencrypt`: planned, begun, watched, paused, ended.

use std::time::Duration;

use clap::Args;
use vault_api::reencryption::{Reencrypt, Reencryption, ReencryptionPlan, ReencryptionState, ReencryptionStatus};

use crate::client::{Client, segment};
use crate::commands::Context;
use crate::error::Failure;
use crate::output::{Report, clean, wire_name};
use crate::progress;

/// How often `--wait` looks.
const LOOK: Duration = Duration::from_millis(500);

/// Of what, or what to do about the one under way.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["exposed_by", "record", "status", "pause", "resume", "cancel"]))]
pub struct ReencryptArgs {
    /// The collection's name
    collection: String,
    /// All records that this version exposes; it is marked as compromised
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u32).range(1..), requires = "reason")]
    exposed_by: Option<u32>,
    /// This record alone
    #[arg(long, requires_all = ["reason", "incident"])]
    record: Option<String>,
    /// Show the one under way, or the last one
    #[arg(long)]
    status: bool,
    /// Stop it until it is resumed
    #[arg(long)]
    pause: bool,
    /// Let it go on
    #[arg(long)]
    resume: bool,
    /// End it; what is encrypted anew stays so
    #[arg(long)]
    cancel: bool,
    /// Why; kept in the audit log
    #[arg(long)]
    reason: Option<String>,
    /// The incident, as it is called elsewhere
    #[arg(long)]
    incident: Option<String>,
    /// Show how much there is, and do nothing
    #[arg(long, requires = "reason", conflicts_with = "wait")]
    plan: bool,
    /// Write at most so many bytes of recordings a second
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..), requires = "reason")]
    throttle: Option<u64>,
    /// Wait until it is done
    #[arg(long, conflicts_with_all = ["pause", "cancel"])]
    wait: bool,
}

/// Runs the command.
pub fn run(context: &Context<'_>, args: &ReencryptArgs) -> Result<Report, Failure> {
    let client = context.client()?;
    let path = format!("/v1/collections/{}/reencryption", segment(&args.collection)?);
    let nothing = serde_json::json!({});
    if args.status {
        return status(&client, &path, args.wait);
    }
    let begun: Reencryption = if args.pause {
        client.post(&format!("{path}/pause"), &nothing)?
    } else if args.resume {
        client.post(&format!("{path}/resume"), &nothing)?
    } else if args.cancel {
        client.post(&format!("{path}/cancel"), &nothing)?
    } else {
        let request = Reencrypt {
            exposed_by: args.exposed_by,
            record_id: args.record.clone(),
            incident: args.incident.clone(),
            reason: args.reason.clone().unwrap_or_default(),
            plan_only: args.plan,
            bytes_per_second: args.throttle,
        };
        if args.plan {
            let plan: ReencryptionPlan = client.post(&path, &request)?;
            let text = format!(
                "{} of {} records in {}, {} bytes, would be encrypted anew; backups from before have no media of them then, so make one as soon \
                 as it is done\nnothing was done",
                plan.records,
                plan.looked_at,
                clean(&plan.collection),
                plan.bytes
            );
            return Ok(Report::new(&plan, text));
        }
        client.post(&path, &request)?
    };
    let shown = if args.wait { watch(&client, &path, begun)? } else { begun };
    Ok(Report::new(&shown, describe(&shown)))
}

fn status(client: &Client, path: &str, wait: bool) -> Result<Report, Failure> {
    let mut status: ReencryptionStatus = client.get(path, &())?;
    status.reencryption = match status.reencryption {
        Some(one) if wait => Some(watch(client, path, one)?),
        other => other,
    };
    let name = clean(&status.collection);
    let text = match &status.reencryption {
        Some(one) => format!("{name}: {}", describe(one)),
        None => format!("{name}: nothing was ever encrypted anew"),
    };
    Ok(Report::new(&status, text))
}

/// Follows it to its end with a bar. A later one may begin meanwhile: then this one is over.
fn watch(client: &Client, path: &str, mut one: Reencryption) -> Result<Reencryption, Failure> {
    let bar = progress::bytes(one.bytes, "encrypted anew");
    loop {
        bar.set_length(one.bytes);
        bar.set_position(one.done_bytes);
        bar.set_message(match one.state {
            ReencryptionState::Paused => "paused: encrypted anew",
            _ => "encrypted anew",
        });
        if matches!(one.state, ReencryptionState::Done | ReencryptionState::Cancelled) {
            break;
        }
        std::thread::sleep(LOOK);
        let now: ReencryptionStatus = client.get(path, &())?;
        match now.reencryption {
            Some(now) if now.id == one.id => one = now,
            _ => break,
        }
    }
    bar.finish_and_clear();
    Ok(one)
}

fn describe(one: &Reencryption) -> String {
    let what = match (one.exposed_by, &one.record_id) {
        (Some(version), _) => format!("what version {version} exposes"),
        (None, Some(record)) => format!("record {}", clean(record)),
        (None, None) => "records".to_owned(),
    };
    let mut text = format!(
        "{what}: {}, {} of {} records encrypted anew, {} of {} bytes",
        wire_name(&one.state),
        one.done,
        one.records,
        one.done_bytes,
        one.bytes
    );
    if one.skipped > 0 {
        text.push_str(&format!(", {} erased meanwhile", one.skipped));
    }
    if one.damaged > 0 {
        text.push_str(&format!(", {} cannot be read: see the findings in the audit log", one.damaged));
    }
    if one.done_bytes > 0 {
        text.push_str(&format!(", {} bytes a second", one.rate));
    }
    if let Some(throttle) = one.bytes_per_second {
        text.push_str(&format!(" (at most {throttle})"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reencryption_is_told_in_one_line() {
        let one = Reencryption {
            id: "x".to_owned(),
            exposed_by: Some(1),
            record_id: None,
            state: ReencryptionState::Running,
            records: 3,
            bytes: 300,
            done: 1,
            done_bytes: 100,
            skipped: 0,
            damaged: 1,
            bytes_per_second: Some(50),
            rate: 40,
            started_at: String::new(),
            updated_at: String::new(),
            finished_at: None,
        };
        assert_eq!(
            describe(&one),
            "what version 1 exposes: running, 1 of 3 records encrypted anew, 100 of 300 bytes, 1 cannot be read: see the \
             findings in the audit log, 40 bytes a second (at most 50)"
        );
        let done = Reencryption {
            exposed_by: None,
            record_id: Some("r".to_owned()),
            state: ReencryptionState::Done,
            damaged: 0,
            skipped: 1,
            done_bytes: 0,
            bytes_per_second: None,
            ..one
        };
        assert_eq!(
            describe(&done),
            "record r: done, 1 of 3 records encrypted anew, 0 of 300 bytes, 1 erased meanwhile"
        );
    }
}
