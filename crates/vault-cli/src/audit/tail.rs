//! `audit tail`.

use std::thread::sleep;
use std::time::Duration;

use clap::Args;
use vault_api::audit::{AuditEntry, AuditPage, OpeningStatus};
use vault_api::page::MAX_LIMIT;

use super::export::claimed;
use super::server::Server;
use crate::commands::Context;
use crate::error::Failure;
use crate::output::{Report, Table, clean, note};

/// How often `--follow` asks.
const EVERY: Duration = Duration::from_secs(1);

/// Arguments of `audit tail`.
#[derive(Args, Debug)]
pub struct TailArgs {
    /// How many entries
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    lines: u32,
    /// Go on with new entries until interrupted
    #[arg(long, short)]
    follow: bool,
}

/// Runs the command.
pub fn run(context: &Context<'_>, args: &TailArgs) -> Result<Report, Failure> {
    if args.follow && context.global.json {
        return Err(Failure::Usage("--follow does not end, so it cannot print one JSON document".to_owned()));
    }
    let client = context.client()?;
    let size = claimed(&Server::new(&client).note()?)?.size;
    let server = Server::new(&client);
    let page = server.page(size.saturating_sub(u64::from(args.lines)), args.lines)?;
    if !args.follow {
        return Ok(Report::new(&page, render(&page)));
    }
    let mut next = size.saturating_sub(u64::from(args.lines));
    let mut page = page;
    loop {
        for item in &page.items {
            // Lines as they come; standard output is for what ends.
            note(&line(item).join("  "));
            next = item.index + 1;
        }
        if page.items.is_empty() {
            sleep(EVERY);
        }
        page = server.page(next, MAX_LIMIT)?;
    }
}

fn render(page: &AuditPage) -> String {
    let mut table = Table::new(["index", "time", "type", "decision", "slots"]);
    for item in &page.items {
        table.row(line(item));
    }
    table.render()
}

fn line(item: &AuditEntry) -> [String; 5] {
    let text = |member: &str| clean(item.entry[member].as_str().unwrap_or("-"));
    let slots: Vec<String> = item
        .openings
        .iter()
        .map(|slot| match (slot.status, &slot.value) {
            (OpeningStatus::Opened, Some(value)) => format!("{}={}", slot.slot, clean(value)),
            (OpeningStatus::Erased, _) => format!("{} erased", slot.slot),
            (OpeningStatus::Missing, _) => format!("{} MISSING", slot.slot),
            _ => format!("{} withheld", slot.slot),
        })
        .collect();
    [item.index.to_string(), text("at"), text("type"), text("decision"), slots.join(" ")]
}
