//! What machines may do and a collection takes, until somebody takes it away: a token revoked, a role revoked, a person
//! disabled, a collection suspended. What was confirmed bites after any crash; what nobody asked for does not.

use serde_json::{Value, json};

use crate::acknowledged::Taken;
use crate::collection;
use crate::http::{Answer, Caller};
use crate::tus;
use crate::vault::Vault;

/// A collection beside the sample's: suspended, it disturbs nobody.
const ASIDE: &str = "aside";

/// What is taken from a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Its token.
    Token,
    /// Its role.
    Role,
    /// Everything.
    Person,
}

impl Loss {
    /// Each.
    pub const ALL: [Self; 3] = [Self::Token, Self::Role, Self::Person];

    /// The type of its entry in the log.
    #[must_use]
    pub const fn entry(self) -> &'static str {
        match self {
            Self::Token => "token.revoked",
            Self::Role => "role.revoked",
            Self::Person => "person.disabled",
        }
    }
}

/// A machine that uploads, with a token of its own, and is to lose something.
#[derive(Clone)]
pub struct Machine {
    /// What it is to lose.
    pub loss: Loss,
    /// Whether it was taken.
    pub taken: Taken,
    /// What the losing is asked of.
    path: String,
    token: String,
}

/// Machines, and a collection.
#[derive(Clone, Default)]
pub struct Rights {
    /// Those that lost something, and those that are to.
    pub machines: Vec<Machine>,
    /// Whether the collection was suspended.
    pub suspended: Taken,
    aside: bool,
}

impl Machine {
    /// Enters one, gives it the role of an uploader and a token.
    #[track_caller]
    fn enter(vault: &Vault, loss: Loss, number: usize) -> Self {
        let administrator = vault.person("administrator");
        let post = |path: &str, body: Value| administrator.post(path, &body).expect(201);
        let person = post("/v1/people", json!({"name": format!("Kiosk {number}"), "kind": "machine"})).text("id");
        let role =
            json!({"person_id": person, "role": "uploader", "collection": vault.dev.collection, "reason": "Kiosk"});
        let role = post("/v1/role-bindings", role).text("id");
        let issued =
            post("/v1/tokens", json!({"person_id": person, "label": "kiosk", "expires_at": collection::in_a_month()}));
        let token = issued.json()["token"]["id"].as_str().expect("an identifier").to_owned();
        let path = match loss {
            Loss::Token => format!("/v1/tokens/{token}"),
            Loss::Role => format!("/v1/role-bindings/{role}"),
            Loss::Person => format!("/v1/people/{person}/disable"),
        };
        Self { loss, taken: Taken::No, path, token: issued.text("secret") }
    }

    /// Asks for what takes it away; `None` when the server was gone.
    pub fn take(&self, administrator: &Caller) -> Option<Answer> {
        let answer = match self.loss {
            Loss::Token | Loss::Role => administrator.try_send("DELETE", &self.path, &[], &[]),
            Loss::Person => {
                let json = [("content-type", "application/json")];
                administrator.try_send("POST", &self.path, &json, br#"{"reason":"Gone"}"#)
            }
        }?;
        assert!([200, 202].contains(&answer.status), "{answer}");
        Some(answer)
    }

    /// Whether it can still begin an upload; a finding where the vault contradicts itself.
    fn may(&self, vault: &Vault) -> Result<bool, String> {
        let caller = vault.caller(Some(&self.token));
        let me = caller.get("/v1/me");
        let roles = (me.status == 200).then(|| me.json()["roles"].as_array().map_or(0, Vec::len));
        if roles == Some(1) {
            return Ok(true);
        }
        let consent = tus::consent(vault).to_string();
        let pairs = [("filename", "call.wav"), ("filetype", "audio/wav"), ("consent", consent.as_str())];
        let made = tus::creation(&caller, &vault.dev.collection, 1_000, &pairs);
        match (self.loss, roles, made.status) {
            (Loss::Token | Loss::Person, None, 401) if me.status == 401 => Ok(false),
            (Loss::Role, Some(0), 403 | 404) => Ok(false),
            (loss, _, _) => Err(format!("a machine that is to lose its {loss:?} is told {me}; {made}")),
        }
    }
}

impl Rights {
    /// Sees to it that there is something to take of each kind.
    #[track_caller]
    pub fn prepare(&mut self, vault: &Vault) {
        for loss in Loss::ALL {
            if !self.machines.iter().any(|machine| machine.loss == loss && machine.taken == Taken::No) {
                self.machines.push(Machine::enter(vault, loss, self.machines.len()));
            }
        }
        let administrator = vault.person("administrator");
        if !self.aside {
            let _made = administrator.post("/v1/collections", &collection::complete(ASIDE)).expect(201);
            self.aside = true;
            self.suspended = Taken::Confirmed;
        }
        if self.suspended != Taken::No {
            let open = format!("/v1/collections/{ASIDE}/open");
            assert_eq!(administrator.post(&open, &json!({})).expect(200).text("state"), "open");
            self.suspended = Taken::No;
        }
    }

    /// Asks for the suspension of the collection; `None` when the server was gone.
    pub fn suspend(administrator: &Caller) -> Option<Answer> {
        let json = [("content-type", "application/json")];
        let path = format!("/v1/collections/{ASIDE}/suspend");
        let answer = administrator.try_send("POST", &path, &json, br#"{"reason":"Review"}"#)?;
        assert_eq!(answer.status, 200, "{answer}");
        Some(answer)
    }

    /// Holds the vault to what was confirmed. Of those that lost something long ago `sample` are asked.
    pub fn findings(&mut self, vault: &Vault, pick: u64, sample: usize, findings: &mut Vec<String>) {
        let old = self.machines.len().saturating_sub(2 * Loss::ALL.len());
        let asked =
            |at: usize| old <= sample || (at + usize::try_from(pick % old as u64).expect("small")) % old < sample;
        for (_, machine) in self.machines.iter_mut().enumerate().filter(|(at, _)| *at >= old || asked(*at)) {
            match (machine.taken, machine.may(vault)) {
                (_, Err(finding)) => findings.push(finding),
                (Taken::No, Ok(true)) | (Taken::Confirmed, Ok(false)) => {}
                (Taken::Asked, Ok(true)) => machine.taken = Taken::No,
                (Taken::Asked, Ok(false)) => machine.taken = Taken::Confirmed,
                (taken, Ok(may)) => {
                    findings.push(format!(
                        "{:?}: its taking is {taken:?}, and the machine may upload: {may}",
                        machine.loss
                    ));
                }
            }
        }
        if !self.aside {
            return;
        }
        let shown = vault.person("administrator").get(&format!("/v1/collections/{ASIDE}"));
        let state = if shown.status == 200 { shown.text("state") } else { String::new() };
        match (self.suspended, state.as_str()) {
            (Taken::No, "open") | (Taken::Confirmed, "suspended") => {}
            (Taken::Asked, "open") => self.suspended = Taken::No,
            (Taken::Asked, "suspended") => self.suspended = Taken::Confirmed,
            (taken, _) => findings.push(format!("a collection's suspension is {taken:?}: {shown}")),
        }
        if self.suspended == Taken::Confirmed {
            let made = tus::creation(
                &vault.person("uploader"),
                ASIDE,
                1_000,
                &[("filename", "a.wav"), ("filetype", "audio/wav")],
            );
            if made.code() != "collection_not_open" {
                findings.push(format!("a suspended collection answers an upload with {made}"));
            }
        }
    }
}
