//! `keys cycle begin|status|confirm|cancel`.

use std::time::Duration;

use clap::Subcommand;
use vault_api::cycle::{BeginCycle, ConfirmCycle, Cycle, CycleState, CycleStatus, CycleWait, CycleWaitsFor};

use crate::client::Client;
use crate::error::Failure;
use crate::output::{Report, Table, clean, wire_name};
use crate::progress;

const PATH: &str = "/v1/root/cycle";
/// How often `--watch` looks.
const LOOK: Duration = Duration::from_secs(2);

/// What to do about the cycle of keys.
#[derive(Debug, Subcommand)]
pub enum CycleCommand {
    /// Begin one: fresh versions everywhere, and what there was is destroyed once another key officer has agreed
    Begin {
        /// Why; kept in the audit log
        #[arg(long)]
        reason: String,
        /// Show what it would be about, and do nothing
        #[arg(long)]
        plan: bool,
        /// Move at most so many record keys a second in each collection
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        throttle: Option<u32>,
    },
    /// Show the one under way or the last one, what it waits for, and when the next is due
    Status {
        /// Go on showing it until it has ended, or waits for somebody
        #[arg(long)]
        watch: bool,
    },
    /// Agree to it: to the very scope that `status` shows
    Confirm {
        /// The scope, by its hash
        #[arg(value_name = "SCOPE_SHA256")]
        scope_sha256: String,
    },
    /// Cancel it: what is destroyed stays so, and nothing more is
    Cancel,
}

/// Runs a command.
pub fn run(client: &Client, command: &CycleCommand) -> Result<Report, Failure> {
    let cycle: Cycle = match command {
        CycleCommand::Begin { reason, plan, throttle } => {
            client.post(PATH, &BeginCycle { reason: reason.clone(), plan_only: *plan, throttle: *throttle })?
        }
        CycleCommand::Status { watch } => return status(client, *watch),
        CycleCommand::Confirm { scope_sha256 } => {
            client.post(&format!("{PATH}/confirm"), &ConfirmCycle { scope_sha256: scope_sha256.clone() })?
        }
        CycleCommand::Cancel => client.delete_with(PATH, &serde_json::json!({}))?,
    };
    Ok(Report::new(&cycle, told(&cycle)))
}

fn status(client: &Client, watched: bool) -> Result<Report, Failure> {
    let mut status: CycleStatus = client.get(PATH, &())?;
    if watched && status.cycle.is_some() {
        status = watch(client, status)?;
    }
    let mut text = match &status.cycle {
        Some(cycle) => told(cycle),
        None => "there was no cycle yet".to_owned(),
    };
    match &status.next_at {
        Some(at) => text.push_str(&format!("\nthe next begins by itself at {}", clean(at))),
        None if status.cycle.as_ref().is_some_and(|cycle| cycle.state == CycleState::Running) => {}
        None => text.push_str("\nnone begins by itself: keys.cycle_days is 0"),
    }
    Ok(Report::new(&status, text))
}

/// Follows it with a bar of versions destroyed, for as long as it goes on without anybody.
fn watch(client: &Client, mut status: CycleStatus) -> Result<CycleStatus, Failure> {
    let bar = progress::count(0, "key versions destroyed");
    while let Some(cycle) = &status.cycle {
        let (destroyed, all) = counted(cycle);
        bar.set_length(all);
        bar.set_position(destroyed);
        let records: u64 = cycle.collections.iter().map(|one| one.records).sum();
        bar.set_message(match records {
            0 => "key versions destroyed".to_owned(),
            left => format!("key versions destroyed, {left} record keys to move"),
        });
        if cycle.state != CycleState::Running || cycle.trouble.is_some() || cycle.waits_for.iter().all(for_people) {
            break;
        }
        std::thread::sleep(LOOK);
        status = client.get(PATH, &())?;
    }
    bar.finish_and_clear();
    Ok(status)
}

const fn for_people(wait: &CycleWaitsFor) -> bool {
    match wait.what {
        CycleWait::Vault | CycleWait::Moving | CycleWait::CoolingOff => false,
        CycleWait::Paused | CycleWait::Agreement | CycleWait::Needed => true,
        CycleWait::Ended | CycleWait::Epoch | CycleWait::Trouble => true,
    }
}

fn counted(cycle: &Cycle) -> (u64, u64) {
    let sum = |of: fn(&vault_api::cycle::CycleCollection) -> usize| cycle.collections.iter().map(of).sum::<usize>();
    (sum(|one| one.destroyed.len()) as u64, sum(|one| one.versions.len()) as u64)
}

/// A cycle with what it is about and waits for.
fn told(cycle: &Cycle) -> String {
    let (destroyed, all) = counted(cycle);
    let mut text = format!("cycle {}: {}", cycle.number, wire_name(&cycle.state));
    match (cycle.state, &cycle.ended_at) {
        (CycleState::Planned, _) => text.push_str(", nothing was done"),
        (CycleState::Running, _) | (_, None) => text.push_str(&format!(" since {}", clean(&cycle.started_at))),
        (_, Some(at)) => text.push_str(&format!(" since {}, begun at {}", clean(at), clean(&cycle.started_at))),
    }
    text.push_str(&format!("\nscope {}\n", clean(&cycle.scope_sha256)));
    let mut table = Table::new(["collection", "versions to go", "gone", "record keys to move"]);
    for one in &cycle.collections {
        let numbers = |all: &[u32]| match all {
            [] => "-".to_owned(),
            all => all.iter().map(u32::to_string).collect::<Vec<_>>().join(" "),
        };
        table.row([clean(&one.collection), numbers(&one.versions), numbers(&one.destroyed), one.records.to_string()]);
    }
    text.push_str(&table.render());
    text.push_str(&format!(
        "\n{destroyed} of {all} versions are destroyed; then root epochs up to {} go, or those that wrapped one later",
        cycle.root_epoch
    ));
    if cycle.state == CycleState::Running {
        match (&cycle.requested_by, &cycle.confirmed_by, &cycle.not_before) {
            (Some(first), Some(second), Some(at)) => text.push_str(&format!(
                "\nagreed to by {} and {}: versions are destroyed from {} on",
                clean(first),
                clean(second),
                clean(at)
            )),
            (Some(first), ..) => text.push_str(&format!("\nagreed to by {} only", clean(first))),
            _ => text.push_str("\nagreed to by nobody yet"),
        }
    }
    if let Some(trouble) = &cycle.trouble {
        text.push_str(&format!("\nit cannot go on: {}", clean(trouble)));
    }
    for wait in &cycle.waits_for {
        text.push_str(&format!("\nwaits: {}", waiting(wait, &cycle.scope_sha256)));
    }
    text
}

/// What it waits for, and what to do about it.
fn waiting(wait: &CycleWaitsFor, scope: &str) -> String {
    let collection = clean(wait.collection.as_deref().unwrap_or("-"));
    let number = wait.number.unwrap_or(0);
    match wait.what {
        CycleWait::Vault => "for nobody, the vault takes the next step".to_owned(),
        CycleWait::Moving => format!("record keys of {collection} are being moved (`keys status {collection}`)"),
        CycleWait::Paused => format!("the rotation of {collection} is paused (`keys resume {collection}`)"),
        CycleWait::Agreement => format!(
            "a key officer has to agree (`keys cycle confirm {}`); make a backup first, since those from before can be \
             restored no more once the versions go",
            clean(scope)
        ),
        CycleWait::Trouble => format!(
            "something is wrong with the keys of {collection}: {}; look into it (`keys list {collection}`), or cancel the cycle",
            clean(wait.detail.as_deref().unwrap_or("-"))
        ),
        CycleWait::CoolingOff => {
            format!("version {number} of {collection} cools off, or has to be confirmed by itself")
        }
        CycleWait::Needed => format!(
            "version {number} of {collection} is needed by record keys that do not open (`keys verify {collection}`)"
        ),
        CycleWait::Ended => format!(
            "the destruction of version {number} of {collection} ended (`keys destroy {collection} {number}`, or cancel the \
             cycle and begin another)"
        ),
        CycleWait::Epoch => format!(
            "root epoch {number}: make a fresh copy of the keyring and destroy all older ones, then `root destroy {number} --known-copies 0 --reason …`, \
             and another officer `root destroy {number} --confirm`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use vault_api::cycle::CycleCollection;

    use super::*;

    #[test]
    fn a_cycle_says_what_to_do_next() {
        let wait = |what, number| CycleWaitsFor { what, collection: Some("demo".to_owned()), number, detail: None };
        let mut cycle = Cycle {
            number: 3,
            state: CycleState::Running,
            scope_sha256: "ab".repeat(32),
            root_epoch: 2,
            collections: vec![CycleCollection {
                collection: "demo".to_owned(),
                versions: vec![4, 5],
                destroyed: vec![4],
                records: 7,
            }],
            throttle: None,
            started_at: "2026-01-01T00:00:00.000Z".to_owned(),
            requested_by: Some("a".to_owned()),
            confirmed_by: None,
            not_before: None,
            waits_for: vec![wait(CycleWait::Agreement, None)],
            trouble: None,
            ended_at: None,
        };
        let said = told(&cycle);
        assert!(said.contains("1 of 2 versions") && said.contains("agreed to by a only"), "{said}");
        assert!(said.contains(&format!("keys cycle confirm {}", cycle.scope_sha256)), "{said}");
        assert!(cycle.waits_for.iter().all(for_people));
        cycle.waits_for = vec![wait(CycleWait::Paused, None), wait(CycleWait::Moving, None)];
        assert!(told(&cycle).contains("keys resume demo") && !cycle.waits_for.iter().all(for_people));
    }
}
