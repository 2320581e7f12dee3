//! The people a vault begins with, as `vault-server init --people FILE` reads them.
//!
//! ```toml
//! token_days = 90                 # how long their first tokens last; 90 when absent
//!
//! [[person]]
//! name = "Ada Lovelace"
//! roles = ["administrator"]
//!
//! [[person]]
//! name = "feedback-widget"
//! kind = "machine"                # "human" when absent
//! roles = ["uploader"]
//! ```

use std::collections::HashSet;
use std::time::Duration;

use serde::Deserialize;
use vault_core::access::binding::{NotGivable, compatible};
use vault_core::access::person::Kind;
use vault_core::access::role::Role;
use vault_core::time::Timestamp;

use crate::app::people::First;

/// Why a file of people was refused.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    /// Not the TOML that is asked for; the message names line and key.
    #[error("in the people file: {0}")]
    Parse(#[from] toml::de::Error),
    /// Two entries of one name: two persons would share their token's place in the file.
    #[error("{0} is named twice in the people file")]
    Twice(String),
    /// A vault needs two persons to give roles.
    #[error("the people file names fewer than two administrators: one alone could give every role")]
    Administrators,
    /// A role for the other kind, or two that nobody may hold together.
    #[error("{name} cannot be {role}: {why}")]
    Role {
        /// Who.
        name: String,
        /// Which role.
        role: &'static str,
        /// Why not.
        why: NotGivable,
    },
    /// Nobody waits a decade for a token to end.
    #[error("token_days: 1 to 366")]
    TokenDays,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "ninety")]
    token_days: u64,
    person: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default = "human")]
    kind: Kind,
    roles: Vec<Role>,
}

const fn ninety() -> u64 {
    90
}

const fn human() -> Kind {
    Kind::Human
}

/// Reads the file's text.
pub fn parse(text: &str, now: Timestamp) -> Result<Vec<First>, PeopleError> {
    let file: File = toml::from_str(text)?;
    if !(1..=366).contains(&file.token_days) {
        return Err(PeopleError::TokenDays);
    }
    let token_ends = now.plus(Duration::from_secs(file.token_days * 24 * 60 * 60));
    let mut names = HashSet::new();
    if let Some(twice) = file.person.iter().find(|p| !names.insert(p.name.trim().to_owned())) {
        return Err(PeopleError::Twice(twice.name.clone()));
    }
    if file.person.iter().filter(|p| p.roles.contains(&Role::Administrator)).count() < 2 {
        return Err(PeopleError::Administrators);
    }
    for person in &file.person {
        for role in &person.roles {
            let others: Vec<Role> = person.roles.iter().copied().filter(|other| other != role).collect();
            let fits =
                if role.held_by() == person.kind { compatible(*role, &others) } else { Err(NotGivable::WrongKind) };
            fits.map_err(|why| PeopleError::Role { name: person.name.clone(), role: role.name(), why })?;
        }
    }
    let first = |p: Entry| First { name: p.name.trim().to_owned(), kind: p.kind, roles: p.roles, token_ends };
    Ok(file.person.into_iter().map(first).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
    const TWO: &str =
        "[[person]]\nname = 'Ada'\nroles = ['administrator']\n[[person]]\nname = 'Bea'\nroles = ['administrator']\n";

    #[test]
    fn two_administrators_are_enough_and_one_is_not() {
        let people = parse(TWO, NOW).unwrap();
        assert_eq!(people.len(), 2);
        assert_eq!(people[0].kind, Kind::Human);
        assert_eq!(people[0].token_ends, NOW.plus(Duration::from_secs(90 * 86_400)));
        let one = TWO.replacen("['administrator']", "['auditor']", 1);
        assert!(matches!(parse(&one, NOW), Err(PeopleError::Administrators)));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        let text = |extra: &str| format!("{TWO}{extra}");
        assert!(parse(&text("rolls = []\n"), NOW).err().unwrap().to_string().contains("rolls"));
        assert!(matches!(parse(&TWO.replace("Bea", "Ada "), NOW), Err(PeopleError::Twice(_))));
        assert!(matches!(parse(&format!("token_days = 0\n{TWO}"), NOW), Err(PeopleError::TokenDays)));
        let machine = TWO.replacen("roles", "kind = 'machine'\nroles", 1);
        assert!(matches!(parse(&machine, NOW), Err(PeopleError::Role { why: NotGivable::WrongKind, .. })));
        let both = TWO.replacen("['administrator']", "['administrator', 'analyst']", 1);
        assert!(matches!(parse(&both, NOW), Err(PeopleError::Role { why: NotGivable::Conflict(_), .. })));
        assert!(matches!(parse(&TWO.replacen("administrator", "emperor", 1), NOW), Err(PeopleError::Parse(_))));
    }
}
