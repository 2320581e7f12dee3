//! Roles, actions, and the matrix between them. `docs/roles.md` is its golden copy, written by hand.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use super::person::Kind;

/// A role held by a person or a machine, for one collection or for the whole vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A widget, kiosk or telephony platform that sends recordings in.
    Uploader,
    /// A machine that makes derivatives.
    Processor,
    /// Listens and watches, under a grant.
    Analyst,
    /// The privacy officer: decides on requests, suspends, erases.
    Approver,
    /// The security team: rotates and destroys keys.
    KeyOfficer,
    /// Reads the log and proves it.
    Auditor,
    /// Configures collections, persons and tokens; never plays.
    Administrator,
}

impl Role {
    /// Every role, in the order of the golden table.
    pub const ALL: [Self; 7] = [
        Self::Uploader,
        Self::Processor,
        Self::Analyst,
        Self::Approver,
        Self::KeyOfficer,
        Self::Auditor,
        Self::Administrator,
    ];

    /// The role's name on the wire and in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uploader => "uploader",
            Self::Processor => "processor",
            Self::Analyst => "analyst",
            Self::Approver => "approver",
            Self::KeyOfficer => "key-officer",
            Self::Auditor => "auditor",
            Self::Administrator => "administrator",
        }
    }

    /// Who may hold it.
    #[must_use]
    pub const fn held_by(self) -> Kind {
        match self {
            Self::Uploader | Self::Processor => Kind::Machine,
            Self::Analyst | Self::Approver | Self::KeyOfficer | Self::Auditor | Self::Administrator => Kind::Human,
        }
    }

    /// Whether giving it takes a second administrator: roles that play, approve, hold keys, or give roles themselves.
    #[must_use]
    pub const fn needs_second_person(self) -> bool {
        match self {
            Self::Analyst | Self::Processor | Self::Approver | Self::KeyOfficer | Self::Administrator => true,
            Self::Uploader | Self::Auditor => false,
        }
    }

    /// Whether one person may not hold both: who configures or holds keys does not play, who
    /// configures neither approves nor holds keys.
    #[must_use]
    pub const fn conflicts_with(self, other: Self) -> bool {
        use Role::{Administrator, Analyst, Approver, KeyOfficer, Processor};
        matches!(
            (self, other),
            (Administrator, Analyst | Processor | Approver | KeyOfficer)
                | (Analyst | Processor | Approver | KeyOfficer, Administrator)
                | (KeyOfficer, Analyst | Processor)
                | (Analyst | Processor, KeyOfficer)
        )
    }

    /// Whether the matrix lets this role do `action`.
    #[must_use]
    pub fn may(self, action: Action) -> bool {
        action.roles().contains(&self)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Text that names no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such role")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;
    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or(UnknownRole)
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident $name:literal: $($role:ident)+;)*) => {
        /// Something a caller asks to do. A route declares one; what is not declared cannot be mounted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Action { $($(#[$doc])* $variant,)* }

        impl Action {
            /// Every action, in the order of the golden table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The action's name, as in the golden table.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The roles that may do it; every other role may not.
            #[must_use]
            pub const fn roles(self) -> &'static [Role] {
                match self { $(Self::$variant => &[$(Role::$role,)+],)* }
            }
        }
    };
}

actions! {
    /// Make a collection, as a draft.
    CollectionCreate "collection.create": Administrator;
    /// See a collection and its policy.
    CollectionRead "collection.read": Analyst Approver KeyOfficer Auditor Administrator;
    /// Let a collection take recordings.
    CollectionOpen "collection.open": Administrator;
    /// Stop a collection at once.
    CollectionSuspend "collection.suspend": Approver Administrator;
    /// Enter a person or machine.
    PersonAdd "person.add": Administrator;
    /// See persons, their roles and their tokens (never the tokens' text).
    PersonRead "person.read": Auditor Administrator;
    /// Give a role, or propose one that a second administrator confirms.
    RolePropose "role.propose": Administrator;
    /// Confirm a role that another administrator proposed.
    RoleConfirm "role.confirm": Administrator;
    /// Take a role away.
    RoleRevoke "role.revoke": Administrator;
    /// Make a token for a person or machine.
    TokenIssue "token.issue": Administrator;
    /// Take a token away.
    TokenRevoke "token.revoke": Administrator;
    /// Start an upload.
    UploadCreate "upload.create": Uploader;
    /// See what is known about records; never media.
    RecordRead "record.read": Analyst Approver Auditor;
    /// Erase a record.
    RecordErase "record.erase": Approver;
    /// Ask for access to records.
    AccessRequest "access.request": Analyst;
    /// See access requests; an analyst sees only their own.
    AccessRead "access.read": Analyst Approver Auditor;
    /// Approve or deny somebody else's request.
    AccessDecide "access.decide": Approver;
    /// Take a grant away.
    AccessRevoke "access.revoke": Approver;
    /// Redeem a grant: open a playback session.
    PlaybackOpen "playback.open": Analyst;
    /// Read the media of one's own session, or end it.
    PlaybackRead "playback.read": Analyst;
    /// See key versions and their states.
    KeyRead "key.read": KeyOfficer;
    /// Rotate a collection's key.
    KeyRotate "key.rotate": KeyOfficer;
    /// Destroy a key version.
    KeyDestroy "key.destroy": KeyOfficer;
    /// See root epochs.
    RootRead "root.read": KeyOfficer;
    /// Rotate the root key.
    RootRotate "root.rotate": KeyOfficer;
    /// Destroy a root epoch.
    RootDestroy "root.destroy": KeyOfficer;
    /// Read the audit log: checkpoint, tiles, entries with the openings the caller may see.
    AuditRead "audit.read": Auditor;
}

impl Action {
    /// Whether that a thing exists is told only to those who may see it. The log's tiles and the root have addresses that
    /// anyone can compute: there is nothing to conceal.
    #[must_use]
    pub const fn conceals(self) -> bool {
        !matches!(self, Self::AuditRead | Self::RootRead | Self::RootRotate | Self::RootDestroy)
    }

    /// The action whose permission makes the thing visible that this one acts on: without it the
    /// thing looks absent, with it a refusal says forbidden.
    #[must_use]
    pub const fn visible_by(self) -> Self {
        match self {
            Self::CollectionCreate
            | Self::CollectionRead
            | Self::CollectionOpen
            | Self::CollectionSuspend
            | Self::UploadCreate
            | Self::KeyRead
            | Self::KeyRotate
            | Self::KeyDestroy => Self::CollectionRead,
            Self::PersonAdd
            | Self::PersonRead
            | Self::RolePropose
            | Self::RoleConfirm
            | Self::RoleRevoke
            | Self::TokenIssue
            | Self::TokenRevoke => Self::PersonRead,
            Self::RecordRead | Self::RecordErase => Self::RecordRead,
            Self::AccessRequest | Self::AccessRead | Self::AccessDecide | Self::AccessRevoke | Self::PlaybackOpen => {
                Self::AccessRead
            }
            Self::PlaybackRead => Self::PlaybackRead,
            Self::RootRead | Self::RootRotate | Self::RootDestroy => Self::RootRead,
            Self::AuditRead => Self::AuditRead,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of `docs/roles.md`: header cells, then (action, one cell for each role).
    fn golden() -> (Vec<String>, Vec<(String, Vec<bool>)>) {
        let text = include_str!("../../../../docs/roles.md");
        let cells = |line: &str| -> Vec<String> {
            line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
        };
        let mut lines = text.lines().skip_while(|line| !line.starts_with("| action |"));
        let header = cells(lines.next().unwrap());
        let rows = lines
            .skip(1)
            .take_while(|line| line.starts_with('|'))
            .map(|line| {
                let row = cells(line);
                let yes = row[1..]
                    .iter()
                    .map(|cell| match cell.as_str() {
                        "yes" => true,
                        "" => false,
                        other => panic!("a cell says {other:?}"),
                    })
                    .collect();
                (row[0].clone(), yes)
            })
            .collect();
        (header[1..].to_vec(), rows)
    }

    #[test]
    fn p5_the_matrix_is_the_golden_one() {
        let (roles, rows) = golden();
        assert_eq!(roles, Role::ALL.map(|role| role.name().to_owned()));
        assert_eq!(
            rows.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            Action::ALL.iter().map(|action| action.name()).collect::<Vec<_>>()
        );
        for ((name, cells), action) in rows.iter().zip(Action::ALL) {
            assert_eq!(cells, &Role::ALL.map(|role| role.may(*action)).to_vec(), "{name}");
        }
    }

    #[test]
    fn who_configures_or_holds_keys_cannot_play() {
        for role in [Role::Administrator, Role::KeyOfficer] {
            for action in [Action::PlaybackOpen, Action::PlaybackRead, Action::AccessRequest] {
                assert!(!role.may(action), "{role} {action}");
            }
            assert!(role.conflicts_with(Role::Analyst) && Role::Analyst.conflicts_with(role));
        }
    }

    #[test]
    fn conflicts_are_mutual_and_no_role_conflicts_with_itself() {
        for a in Role::ALL {
            assert!(!a.conflicts_with(a));
            for b in Role::ALL {
                assert_eq!(a.conflicts_with(b), b.conflicts_with(a), "{a} {b}");
            }
        }
    }

    #[test]
    fn names_read_back() {
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
            assert_eq!(serde_json::to_string(&role).unwrap(), format!("\"{role}\""));
        }
        assert_eq!("root".parse::<Role>(), Err(UnknownRole));
    }

    #[test]
    fn every_role_that_plays_approves_or_holds_keys_needs_two_to_give() {
        for action in
            [Action::PlaybackOpen, Action::AccessDecide, Action::KeyRotate, Action::KeyDestroy, Action::RoleConfirm]
        {
            for role in action.roles() {
                assert!(role.needs_second_person(), "{role} {action}");
            }
        }
    }
}
