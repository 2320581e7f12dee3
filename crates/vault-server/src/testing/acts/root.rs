//! The root key's epochs; and cycles: begun, agreed to, cancelled, ended. `app::keys::cycle::tests::trouble` carries one out.

use serde_json::{Value, json};

use super::{Act, Stage, answered, text};
use crate::app::keys::{CycleCarrier as Carrier, carry_cycle_on as carry_on, rewrap_all};

const OFFICERS: [&str; 2] = ["key-officer", "key-officer-2"];
const CYCLE: &str = "/v1/root/cycle";

async fn root(stage: &Stage) -> Value {
    stage.must(OFFICERS[0], "GET", "/v1/root", Value::Null).await
}

/// The epochs and their states, newest first.
async fn epochs(stage: &Stage) -> Vec<(u64, String)> {
    let root = root(stage).await;
    let epochs = root["epochs"].as_array().unwrap().iter();
    epochs.map(|epoch| (epoch["epoch"].as_u64().unwrap(), text(&epoch["state"]).to_owned())).collect()
}

async fn cycle(stage: &Stage) -> Value {
    stage.must(OFFICERS[0], "GET", CYCLE, Value::Null).await["cycle"].clone()
}

async fn begun(stage: &Stage) -> Value {
    ended(stage).await;
    stage.must(OFFICERS[0], "POST", CYCLE, json!({"reason": "November"})).await
}

async fn agreed(stage: &Stage) -> Value {
    let cycle = begun(stage).await;
    let body = json!({"scope_sha256": cycle["scope_sha256"]});
    stage.must(OFFICERS[1], "POST", &format!("{CYCLE}/confirm"), body).await
}

/// No cycle is under way.
async fn ended(stage: &Stage) {
    if cycle(stage).await["state"] == "running" {
        stage.must(OFFICERS[0], "DELETE", CYCLE, Value::Null).await;
    }
    stage
        .until("record keys are moved", async || {
            stage.release().await;
            rewrap_all(&stage.house.vault).await.is_ok()
        })
        .await;
}

pub(super) const ACTS: &[Act] = &[
    Act {
        name: "the root is rotated",
        makes: &["rotate_root"],
        prepare: |stage| Box::pin(async move { json!(epochs(stage).await[0].0) }),
        run: |stage, _| Box::pin(stage.ask(OFFICERS[0], "POST", "/v1/root/rotate", json!({"reason": "Monthly"}))),
        holds: |stage, before| {
            Box::pin(async move {
                let root = root(stage).await;
                assert!(root["epochs"][0]["epoch"].as_u64() > before.as_u64());
                for former in &root["epochs"].as_array().unwrap()[1..] {
                    assert_eq!(former["wrapped"], 0, "{root}");
                }
            })
        },
    },
    Act {
        name: "a cycle is begun",
        makes: &["begin_cycle"],
        prepare: |stage| {
            Box::pin(async move {
                ended(stage).await;
                Value::Null
            })
        },
        run: |stage, _| Box::pin(stage.ask(OFFICERS[0], "POST", CYCLE, json!({"reason": "November"}))),
        holds: |stage, _| Box::pin(async move { assert_eq!(cycle(stage).await["state"], "running") }),
    },
    Act {
        name: "a cycle is agreed to",
        makes: &["confirm_cycle"],
        prepare: |stage| Box::pin(begun(stage)),
        run: |stage, cycle| {
            let body = json!({"scope_sha256": cycle["scope_sha256"]});
            Box::pin(stage.ask(OFFICERS[1], "POST", "/v1/root/cycle/confirm", body))
        },
        holds: |stage, _| {
            Box::pin(async move {
                let cycle = cycle(stage).await;
                assert_eq!(cycle["confirmed_by"], json!(stage.house.id(OFFICERS[1]).to_string()), "{cycle}");
            })
        },
    },
    Act {
        name: "a cycle is cancelled",
        makes: &["cancel_cycle"],
        prepare: |stage| Box::pin(agreed(stage)),
        run: |stage, _| Box::pin(stage.ask(OFFICERS[0], "DELETE", CYCLE, Value::Null)),
        holds: |stage, _| Box::pin(async move { assert_eq!(cycle(stage).await["state"], "cancelled") }),
    },
    Act {
        name: "a cycle that the log calls ended is ended in its row",
        makes: &["end_cycle"],
        prepare: |stage| {
            Box::pin(async move {
                agreed(stage).await;
                ended(stage).await;
                stage.quiet().await;
                let row = "UPDATE cycles SET state = 'running', ended_at = NULL
                    WHERE number = (SELECT MAX(number) FROM cycles)";
                stage.house.vault.store.by_hand(row).await;
                Value::Null
            })
        },
        run: |stage, _| Box::pin(async move { answered(carry_on(&stage.house.vault, &mut Carrier::default()).await) }),
        holds: |stage, _| Box::pin(async move { assert_eq!(cycle(stage).await["state"], "cancelled") }),
    },
];
