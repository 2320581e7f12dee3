//! `people add|list|show|disable`.

use clap::{Subcommand, ValueEnum};
use vault_api::page::PageQuery;
use vault_api::people::{NewPerson, Person, PersonKind, Reason};

use crate::client::segment;
use crate::commands::{Context, Most};
use crate::error::Failure;
use crate::output::{Report, Table, clean, wire_name};

/// What to do with persons and machines.
#[derive(Debug, Subcommand)]
pub enum PeopleCommand {
    /// Enter a person or machine
    Add {
        /// The name that decisions show
        name: String,
        /// Person or machine
        #[arg(long, default_value = "human")]
        kind: KindArg,
    },
    /// List persons and machines
    List {
        #[command(flatten)]
        most: Most,
    },
    /// Show one
    Show {
        /// The person's identifier
        person: String,
    },
    /// End all of a person's roles, tokens and sessions
    Disable {
        /// The person's identifier
        person: String,
        /// Why; kept in the audit log
        #[arg(long)]
        reason: String,
    },
}

/// Person or machine.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum KindArg {
    /// A human being
    Human,
    /// A program
    Machine,
}

/// Runs a command.
pub fn run(context: &Context<'_>, command: &PeopleCommand) -> Result<Report, Failure> {
    let client = context.client()?;
    let person: Person = match command {
        PeopleCommand::List { most } => {
            let page = client.list::<Person>("/v1/people", &PageQuery::default(), most.items())?;
            let mut table = Table::new(["person", "name", "kind", "state"]);
            for person in &page.items {
                table.row([person.id.clone(), person.name.clone(), wire_name(&person.kind), wire_name(&person.state)]);
            }
            return Ok(Report::new(&page, table.render()));
        }
        PeopleCommand::Add { name, kind } => {
            let kind = match kind {
                KindArg::Human => PersonKind::Human,
                KindArg::Machine => PersonKind::Machine,
            };
            client.post("/v1/people", &NewPerson { name: name.clone(), kind })?
        }
        PeopleCommand::Show { person } => client.get(&format!("/v1/people/{}", segment(person)?), &())?,
        PeopleCommand::Disable { person, reason } => {
            client.post(&format!("/v1/people/{}/disable", segment(person)?), &Reason { reason: reason.clone() })?
        }
    };
    let text =
        format!("{} {} ({}, {})", person.id, clean(&person.name), wire_name(&person.kind), wire_name(&person.state));
    Ok(Report::new(&person, text))
}
