//! `tokens issue|confirm|list|revoke`. A fresh token goes into a file, never onto the screen.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use vault_api::access::{Restricted, Revocation};
use vault_api::tokens::{IssuedToken, NewToken, Token, TokenQuery};
use zeroize::Zeroizing;

use crate::client::{Client, segment};
use crate::commands::access::journal_note;
use crate::commands::roles::RoleArg;
use crate::commands::{Context, Most};
use crate::credentials::write_private;
use crate::error::Failure;
use crate::output::{Report, Table};

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokensCommand {
    /// Issue a token and write it to a file that only its owner can read
    Issue(IssueArgs),
    /// List tokens; the tokens themselves are not shown
    List {
        /// Only this person's
        #[arg(long)]
        person: Option<String>,
        #[command(flatten)]
        most: Most,
    },
    /// Confirm a token that another administrator issued: it then carries all its holder's roles
    Confirm {
        /// The token's identifier, as `list` shows it
        token: String,
    },
    /// Revoke a token; it bites at once
    Revoke {
        /// The token's identifier, as `list` shows it
        token: String,
    },
}

/// Arguments of `tokens issue`.
#[derive(Args, Debug)]
pub struct IssueArgs {
    /// Whom it stands for: the person's identifier
    #[arg(long)]
    person: String,
    /// What it is for, as lists show it
    #[arg(long)]
    label: String,
    /// Only this of the person's roles; may be repeated [default: all]
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<RoleArg>,
    /// Only in this collection
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,
    /// When it ends (RFC 3339), at most a year ahead
    #[arg(long, value_name = "TIME")]
    expires_at: String,
    /// The file to write; must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs a command.
pub fn run(context: &Context<'_>, command: &TokensCommand) -> Result<Report, Failure> {
    let client = context.client()?;
    match command {
        TokensCommand::Issue(args) => issue(&client, args),
        TokensCommand::List { person, most } => {
            let query = TokenQuery { person_id: person.clone(), ..Default::default() };
            let page = client.list::<Token>("/v1/tokens", &query, most.items())?;
            let mut table = Table::new(["token", "person", "label", "until", "revoked"]);
            for token in &page.items {
                table.row([
                    token.id.clone(),
                    token.person.name.clone().unwrap_or_else(|| token.person.id.clone()),
                    token.label.clone(),
                    token.expires_at.clone(),
                    token.revoked_at.clone().unwrap_or_default(),
                ]);
            }
            Ok(Report::new(&page, table.render()))
        }
        TokensCommand::Confirm { token } => {
            let path = format!("/v1/tokens/{}/confirm", segment(token)?);
            let confirmed: Token = client.post(&path, &json!({}))?;
            Ok(Report::new(&confirmed, format!("token {token} is confirmed")))
        }
        TokensCommand::Revoke { token } => {
            let path = format!("/v1/tokens/{}", segment(token)?);
            let done: Restricted = client.delete_with(&path, &Revocation::default())?;
            Ok(Report::new(&done, format!("token {token} is revoked{}", journal_note(done))))
        }
    }
}

fn issue(client: &Client, args: &IssueArgs) -> Result<Report, Failure> {
    // Before asking: a token that then cannot be written would be lost and still valid.
    if args.out.exists() {
        return Err(Failure::Usage(format!("{} exists already", args.out.display())));
    }
    let body = NewToken {
        person_id: args.person.clone(),
        label: args.label.clone(),
        roles: (!args.roles.is_empty()).then(|| args.roles.iter().map(|role| (*role).into()).collect()),
        collection: args.collection.clone(),
        expires_at: args.expires_at.clone(),
    };
    let issued: IssuedToken = client.post("/v1/tokens", &body)?;
    let secret = Zeroizing::new(issued.secret);
    let line = Zeroizing::new(format!("{}\n", secret.as_str()));
    if let Err(failure) = write_private(&args.out, line.as_bytes()) {
        let path = format!("/v1/tokens/{}", segment(&issued.token.id)?);
        let revoked: Result<Restricted, Failure> = client.delete_with(&path, &Revocation::default());
        if revoked.is_err() {
            crate::output::note(&format!("token {} was issued but not written: revoke it", issued.token.id));
        }
        return Err(failure);
    }
    let id = &issued.token.id;
    let mut text = format!("token {id} written to {}, valid until {}", args.out.display(), issued.token.expires_at);
    if issued.token.confirmed_by.is_none() {
        text.push_str(&format!(
            "\nit carries no role that takes two to give until another administrator runs `vault-cli tokens confirm {id}`"
        ));
    }
    Ok(Report::new(&json!({ "token": issued.token, "file": args.out }), text))
}
