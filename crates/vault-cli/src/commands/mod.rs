//! The commands, one file for each group, and what they share.

pub mod access;
pub mod collections;
pub mod completions;
pub mod erase;
pub mod keys;
pub mod login;
pub mod people;
pub mod records;
pub mod reencrypt;
pub mod restore;
pub mod roles;
pub mod root;
pub mod tokens;

use clap::Args;
use zeroize::Zeroizing;

use crate::args::{Cli, Command, Global};
use crate::client::{Client, normalise};
use crate::credentials::{login_path, read_login, read_token_file};
use crate::error::Failure;
use crate::output::Report;
use crate::{audit, play, upload};

/// What a command works with.
pub struct Context<'a> {
    /// Options of every command.
    pub global: &'a Global,
}

impl Context<'_> {
    /// A client with the caller's token.
    pub fn client(&self) -> Result<Client, Failure> {
        let (kept_url, kept_token) = self.login()?.unzip();
        let url = self.url(kept_url.as_deref())?;
        let token = match (&self.global.token_file, kept_token) {
            (Some(path), _) => read_token_file(path)?,
            (None, Some(token)) if kept_url.as_ref() == Some(&url) => token,
            (None, Some(_)) => {
                return Err(Failure::Token(format!("the last login was for another address than {url}")));
            }
            (None, None) => return Err(Failure::Token("no token given".to_owned())),
        };
        Client::new(url, Some(&token), self.global.ca_file.as_deref())
    }

    /// A client for what is public.
    pub fn anonymous(&self) -> Result<Client, Failure> {
        let url = match &self.global.url {
            Some(_) => self.url(None)?,
            None => self.url(self.login()?.map(|(url, _)| url).as_deref())?,
        };
        Client::new(url, None, self.global.ca_file.as_deref())
    }

    fn login(&self) -> Result<Option<(String, Zeroizing<String>)>, Failure> {
        read_login(&login_path(self.global.config_home.as_deref())?)
    }

    /// The address that was given, else the last login's.
    fn url(&self, kept: Option<&str>) -> Result<String, Failure> {
        let url = self.global.url.as_deref().or(kept);
        let none = || Failure::Usage("no address: give --url, set FEEDBACK_VAULT_URL, or log in".to_owned());
        normalise(url.ok_or_else(none)?, self.global.allow_plain_http)
    }
}

/// How much of a list to show.
#[derive(Args, Clone, Copy, Debug)]
pub struct Most {
    /// Show at most this many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

impl Most {
    /// As a count.
    pub fn items(self) -> usize {
        usize::try_from(self.limit).unwrap_or(usize::MAX)
    }
}

/// Runs what the command line says.
pub fn run(cli: &Cli) -> Result<Report, Failure> {
    let context = Context { global: &cli.global };
    match &cli.command {
        Command::Upload(args) => upload::run(&context, args),
        Command::Records(command) => records::run(&context, command),
        Command::Access(command) => access::run(&context, command),
        Command::Play(args) => play::run(&context, args),
        Command::Erase(args) => erase::run(&context, args),
        Command::Keys(command) => keys::run(&context, command),
        Command::Root(command) => root::run(&context, command),
        Command::Restore(command) => restore::run(&context, command),
        Command::Collections(command) => collections::run(&context, command),
        Command::People(command) => people::run(&context, command),
        Command::Roles(command) => roles::run(&context, command),
        Command::Tokens(command) => tokens::run(&context, command),
        Command::Audit(command) => audit::run(&context, command),
        Command::Login(args) => login::run(&context, args),
        Command::Whoami => login::whoami(&context),
        Command::Completions { shell } => Ok(completions::run(*shell)),
    }
}
