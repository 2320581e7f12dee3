//! `login` and `whoami`.

use std::io::{self, BufRead, IsTerminal, Read};

use clap::Args;
use serde_json::json;
use vault_api::people::Me;
use zeroize::Zeroizing;

use crate::client::{Client, normalise};
use crate::commands::Context;
use crate::credentials::{is_token, login_path, write_login};
use crate::error::Failure;
use crate::output::{Report, clean, wire_name};

/// Arguments of `login`.
#[derive(Args, Debug)]
pub struct LoginArgs {}

/// Asks for a token, tries it, and keeps it in a file that only its owner can read.
pub fn run(context: &Context<'_>, _: &LoginArgs) -> Result<Report, Failure> {
    let url = context.global.url.as_deref().ok_or_else(|| Failure::Usage("login needs --url".to_owned()))?;
    let url = normalise(url, context.global.allow_plain_http)?;
    let token = ask()?;
    if !is_token(&token) {
        return Err(Failure::Token("that is not a token: fv_ and 43 characters".to_owned()));
    }
    let me: Me = Client::new(url.clone(), Some(&token), context.global.ca_file.as_deref())?.get("/v1/me", &())?;
    let path = login_path(context.global.config_home.as_deref())?;
    write_login(&path, &url, &token)?;
    let text = format!("logged in to {url} as {}, kept in {}", clean(&me.person.name), path.display());
    Ok(Report::new(&json!({ "url": url, "person": me.person, "file": path }), text))
}

/// Whom the token stands for.
pub fn whoami(context: &Context<'_>) -> Result<Report, Failure> {
    let me: Me = context.client()?.get("/v1/me", &())?;
    let mut text = format!("{} ({})\n", clean(&me.person.name), me.person.id);
    for binding in &me.roles {
        let place = binding.collection.as_deref().unwrap_or("the whole vault");
        text.push_str(&format!("  {} in {}\n", wire_name(&binding.role), clean(place)));
    }
    text.push_str(&format!("token {} until {}", clean(&me.token.label), me.token.expires_at));
    Ok(Report::new(&me, text))
}

/// The token from the terminal without echo, or the first line of standard input.
fn ask() -> Result<Zeroizing<String>, Failure> {
    let read = if io::stdin().is_terminal() {
        rpassword::prompt_password("Token: ").map(Zeroizing::new)
    } else {
        let mut line = Zeroizing::new(String::new());
        io::stdin().lock().take(4096).read_line(&mut line).map(|_| line)
    };
    let line = read.map_err(|error| Failure::Token(format!("no token read: {error}")))?;
    Ok(Zeroizing::new(line.trim().to_owned()))
}
