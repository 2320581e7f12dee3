//! `roles give|confirm|list|take`.

use clap::{Args, Subcommand, ValueEnum};
use vault_api::access::Restricted;
use vault_api::roles::{NewRoleBinding, Role, RoleBinding, RoleBindingQuery};

use crate::client::segment;
use crate::commands::access::journal_note;
use crate::commands::{Context, Most};
use crate::error::Failure;
use crate::output::{Report, Table, clean, wire_name};

/// What to do with roles.
#[derive(Debug, Subcommand)]
pub enum RolesCommand {
    /// Give a role; roles that play, approve or hold keys wait for a second administrator
    Give(GiveArgs),
    /// Confirm a role that another administrator gave
    Confirm {
        /// The role binding
        binding: String,
    },
    /// List who holds which role
    List {
        /// Only this person's
        #[arg(long)]
        person: Option<String>,
        #[command(flatten)]
        most: Most,
    },
    /// Take a role away; it bites at once
    Take {
        /// The role binding
        binding: String,
    },
}

/// Arguments of `roles give`.
#[derive(Args, Debug)]
pub struct GiveArgs {
    /// Who is to hold it: the person's identifier
    #[arg(long)]
    person: String,
    /// The role
    #[arg(long)]
    role: RoleArg,
    /// The collection it holds in [default: the whole vault]
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,
    /// When it ends by itself (RFC 3339)
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Why; kept in the audit log
    #[arg(long)]
    reason: String,
}

/// A role.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum RoleArg {
    /// A machine that uploads recordings
    Uploader,
    /// A machine that derives from recordings
    Processor,
    /// Asks for access and plays
    Analyst,
    /// Privacy officer: approves, denies, revokes, erases
    Approver,
    /// Security team: rotates and retires keys
    KeyOfficer,
    /// Reads the log
    Auditor,
    /// Configures collections, persons and roles
    Administrator,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Uploader => Self::Uploader,
            RoleArg::Processor => Self::Processor,
            RoleArg::Analyst => Self::Analyst,
            RoleArg::Approver => Self::Approver,
            RoleArg::KeyOfficer => Self::KeyOfficer,
            RoleArg::Auditor => Self::Auditor,
            RoleArg::Administrator => Self::Administrator,
        }
    }
}

/// Runs a command.
pub fn run(context: &Context<'_>, command: &RolesCommand) -> Result<Report, Failure> {
    let client = context.client()?;
    let binding: RoleBinding = match command {
        RolesCommand::Give(args) => {
            let body = NewRoleBinding {
                person_id: args.person.clone(),
                role: args.role.into(),
                collection: args.collection.clone(),
                until: args.until.clone(),
                reason: args.reason.clone(),
            };
            client.post("/v1/role-bindings", &body)?
        }
        RolesCommand::Confirm { binding } => {
            client.post(&format!("/v1/role-bindings/{}/confirm", segment(binding)?), &serde_json::json!({}))?
        }
        RolesCommand::List { person, most } => {
            let query = RoleBindingQuery { person_id: person.clone(), ..Default::default() };
            let page = client.list::<RoleBinding>("/v1/role-bindings", &query, most.items())?;
            let mut table = Table::new(["binding", "person", "role", "in", "state"]);
            for binding in &page.items {
                table.row([
                    binding.id.clone(),
                    binding.person.name.clone().unwrap_or_else(|| binding.person.id.clone()),
                    wire_name(&binding.role),
                    binding.collection.clone().unwrap_or_else(|| "*".to_owned()),
                    wire_name(&binding.state),
                ]);
            }
            return Ok(Report::new(&page, table.render()));
        }
        RolesCommand::Take { binding } => {
            let done: Restricted = client.delete_with(
                &format!("/v1/role-bindings/{}", segment(binding)?),
                &vault_api::access::Revocation::default(),
            )?;
            return Ok(Report::new(&done, format!("role binding {binding} is revoked{}", journal_note(done))));
        }
    };
    let place = clean(binding.collection.as_deref().unwrap_or("the whole vault"));
    let text =
        format!("role binding {}: {} in {place}, {}", binding.id, wire_name(&binding.role), wire_name(&binding.state));
    Ok(Report::new(&binding, text))
}
