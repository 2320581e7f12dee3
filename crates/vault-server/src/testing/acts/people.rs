//! Persons, roles and tokens.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Act, Stage, answers, nothing, text};

/// Whether a token is let in, asked anew.
async fn is_let_in(stage: &Stage, token: &str) -> bool {
    stage.house.clock.advance(core::time::Duration::from_secs(2));
    let (status, said) = stage.ask_with(token, "GET", "/v1/me", Value::Null).await;
    assert!([StatusCode::OK, StatusCode::UNAUTHORIZED].contains(&status), "{status} {said}");
    status == StatusCode::OK
}

/// A role that a second administrator has to confirm.
async fn proposed(stage: &Stage) -> Value {
    let person = stage.house.enter(&stage.fresh("Person"), "human").await;
    let body = json!({"person_id": person.to_string(), "role": "approver", "reason": "needed"});
    let proposed = stage.must("administrator", "POST", "/v1/role-bindings", body).await;
    assert_eq!(proposed["state"], "proposed");
    proposed["id"].clone()
}

/// A person with a role, and a token that has been used.
async fn member(stage: &Stage) -> Value {
    let person = stage.house.enter(&stage.fresh("Person"), "human").await;
    let binding = stage.house.give(person, "auditor").await;
    let (token, secret) = stage.house.issue_confirmed(person).await;
    assert!(is_let_in(stage, &secret).await);
    json!({"person": person.to_string(), "binding": binding["id"], "token": token, "secret": secret})
}

async fn may_read_the_log(stage: &Stage, member: &Value) -> bool {
    stage.house.clock.advance(core::time::Duration::from_secs(2));
    let path = "/v1/audit/entries?limit=1";
    stage.ask_with(text(&member["secret"]), "GET", path, Value::Null).await.0 == StatusCode::OK
}

pub(super) const ACTS: &[Act] = &[
    Act {
        name: "a person is entered",
        makes: &["add_person"],
        prepare: |stage| Box::pin(async move { json!(stage.fresh("Person")) }),
        run: |stage, name| {
            let body = json!({"name": name, "kind": "human"});
            Box::pin(stage.ask("administrator", "POST", "/v1/people", body))
        },
        holds: |stage, name| {
            Box::pin(async move {
                assert!(stage.count(format!("persons WHERE name = '{}'", text(name))).await > 0);
            })
        },
    },
    Act {
        name: "a role is proposed",
        makes: &["propose_role"],
        prepare: |stage| {
            Box::pin(async move { json!(stage.house.enter(&stage.fresh("Person"), "human").await.to_string()) })
        },
        run: |stage, person| {
            let body = json!({"person_id": person, "role": "approver", "reason": "needed"});
            Box::pin(stage.ask("administrator", "POST", "/v1/role-bindings", body))
        },
        holds: |stage, person| {
            Box::pin(async move {
                let rows = format!("role_bindings WHERE person_id = '{}' AND state = 'proposed'", text(person));
                assert_eq!(stage.count(rows).await, 1);
            })
        },
    },
    Act {
        name: "a role is confirmed",
        makes: &["confirm_role"],
        prepare: |stage| Box::pin(proposed(stage)),
        run: |stage, id| {
            Box::pin(async move {
                let path = format!("/v1/role-bindings/{}/confirm", text(id));
                stage.ask("administrator-2", "POST", &path, Value::Null).await
            })
        },
        holds: |stage, id| {
            Box::pin(async move {
                let rows = format!("role_bindings WHERE id = '{}' AND state = 'active'", text(id));
                assert_eq!(stage.count(rows).await, 1);
            })
        },
    },
    Act {
        name: "a role is taken away",
        makes: &["revoke_role", "note_journalled"],
        prepare: |stage| Box::pin(member(stage)),
        run: |stage, member| {
            Box::pin(async move {
                let path = format!("/v1/role-bindings/{}", text(&member["binding"]));
                stage.ask("administrator", "DELETE", &path, Value::Null).await
            })
        },
        holds: |stage, member| {
            Box::pin(async move {
                stage.until("the role is taken away", async || !may_read_the_log(stage, member).await).await;
            })
        },
    },
    Act {
        name: "a token is issued",
        makes: &["issue_token"],
        prepare: |stage| {
            Box::pin(async move { json!(stage.house.enter(&stage.fresh("Person"), "human").await.to_string()) })
        },
        run: |stage, person| {
            Box::pin(async move {
                let ends = vault_core::time::Clock::now(&*stage.house.clock).plus(core::time::Duration::from_hours(24));
                let body = json!({"person_id": person, "label": "test", "expires_at": ends.to_string()});
                stage.ask("administrator", "POST", "/v1/tokens", body).await
            })
        },
        holds: |stage, person| {
            Box::pin(async move {
                assert!(stage.count(format!("tokens WHERE person_id = '{}'", text(person))).await > 0);
            })
        },
    },
    Act {
        name: "a token is confirmed",
        makes: &["confirm_token"],
        prepare: |stage| {
            Box::pin(async move {
                let person = stage.house.enter(&stage.fresh("Person"), "human").await;
                stage.house.give(person, "auditor").await;
                let (token, secret) = stage.house.issue(person).await;
                json!({"token": token, "secret": secret})
            })
        },
        run: |stage, issued| {
            Box::pin(async move {
                let path = format!("/v1/tokens/{}/confirm", text(&issued["token"]));
                stage.ask("administrator-2", "POST", &path, Value::Null).await
            })
        },
        holds: |stage, issued| {
            Box::pin(async move { assert!(may_read_the_log(stage, issued).await, "it carries the role") })
        },
    },
    Act {
        name: "a token is revoked",
        makes: &["revoke_token", "note_journalled"],
        prepare: |stage| Box::pin(member(stage)),
        run: |stage, member| {
            Box::pin(async move {
                let path = format!("/v1/tokens/{}", text(&member["token"]));
                stage.ask("administrator", "DELETE", &path, Value::Null).await
            })
        },
        holds: |stage, member| {
            Box::pin(async move {
                let secret = text(&member["secret"]);
                stage.until("the token is revoked", async || !is_let_in(stage, secret).await).await;
            })
        },
    },
    Act {
        name: "a person is disabled",
        makes: &["disable_person", "note_journalled"],
        prepare: |stage| Box::pin(member(stage)),
        run: |stage, member| {
            Box::pin(async move {
                let path = format!("/v1/people/{}/disable", text(&member["person"]));
                stage.ask("administrator", "POST", &path, json!({"reason": "left"})).await
            })
        },
        holds: |stage, member| {
            Box::pin(async move {
                let secret = text(&member["secret"]);
                stage.until("the person is disabled", async || !is_let_in(stage, secret).await).await;
            })
        },
    },
    Act {
        name: "a token is used for the first time in an hour",
        makes: &["note_token_use"],
        prepare: |stage| {
            Box::pin(async move {
                stage.house.clock.advance(core::time::Duration::from_hours(1));
                Value::Null
            })
        },
        run: |stage, _| Box::pin(stage.ask("auditor", "GET", "/v1/records?limit=1", Value::Null)),
        holds: answers,
    },
    Act {
        name: "somebody is refused what they may not do",
        makes: &["note_denial"],
        prepare: |stage| {
            Box::pin(async move {
                stage.house.clock.advance(core::time::Duration::from_hours(1));
                Value::Null
            })
        },
        // The refusal stands whether or not it can be noted, and is noted with the next one.
        run: |stage, _| {
            Box::pin(async move {
                let (status, said) = stage.ask("analyst", "GET", "/v1/people", Value::Null).await;
                if status != StatusCode::FORBIDDEN {
                    return (status, said);
                }
                let (status, said) = stage.ask("analyst", "GET", "/v1/people", Value::Null).await;
                // The refusal stands, whether it can be noted or not.
                (if status == StatusCode::FORBIDDEN { StatusCode::OK } else { status }, said)
            })
        },
        holds: answers,
    },
    Act {
        name: "people, roles and tokens are listed",
        makes: &[],
        prepare: nothing,
        run: |stage, _| {
            Box::pin(async move {
                for path in ["/v1/people?limit=5", "/v1/role-bindings?limit=5", "/v1/tokens?limit=5", "/v1/me"] {
                    let (status, said) = stage.ask("administrator", "GET", path, Value::Null).await;
                    if !status.is_success() {
                        return (status, said);
                    }
                    let full = said["items"].as_array().is_none_or(|items| items.len() == 5);
                    assert!(full, "a page that could not be read is not short");
                }
                (StatusCode::OK, Value::Null)
            })
        },
        holds: answers,
    },
];
