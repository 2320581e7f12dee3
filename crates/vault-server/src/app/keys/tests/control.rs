//! Planned only, paused, resumed, throttled; asked for twice at once.

use super::*;

const ROTATION: &str = "/v1/collections/calls/keys/rotation";

async fn ask(house: &House, path: &str, body: Value) -> (StatusCode, Value) {
    house.ask("key-officer", "POST", &format!("/v1/collections/calls/keys{path}"), body).await
}

async fn status(house: &House) -> Value {
    let (status, shown) = house.ask("key-officer", "GET", ROTATION, Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{shown}");
    shown["rotation"].clone()
}

/// Works until that many record keys are moved, and is then dropped in the middle: what a kill leaves.
async fn work_until_moved(house: &House, moved: u64) {
    let enough = async {
        loop {
            if status(house).await["moved"].as_u64().unwrap() >= moved {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = enough => {}
        outcome = rewrap_all(&house.vault) => panic!("it came to an end: {outcome:?}"),
    }
}

#[tokio::test]
async fn a_plan_tells_operations_with_reasons_and_changes_nothing() {
    let (house, id) = house().await;
    for n in 0..7 {
        put(&house.vault, id, record(n)).await;
    }
    let before = (versions(&house).await, logged(&house, "key.operation", 0).await.len());
    let (code, plan) = ask(&house, "/rotate", json!({"plan_only": true})).await;
    assert_eq!(code, StatusCode::OK, "{plan}");
    let expected = json!({"collection": "calls", "operations": [
        {"operation": "create", "version": 2, "because": "requested"},
        {"operation": "deactivate", "version": 1, "because": "superseded"},
        {"operation": "activate", "version": 2, "because": "requested"},
        {"operation": "rewrap", "version": 1, "to_version": 2, "records": 7, "because": "holds-wraps"},
    ]});
    assert_eq!(plan, expected);
    assert_eq!((versions(&house).await, logged(&house, "key.operation", 0).await.len()), before);
    assert_eq!(status(&house).await, Value::Null, "nothing was begun");

    // What is planned is what is done.
    assert_eq!(ask(&house, "/rotate", json!({})).await.0, StatusCode::ACCEPTED);
    let (code, refused) = ask(&house, "/rotate", json!({"plan_only": true})).await;
    assert_eq!((code, &refused["code"]), (StatusCode::CONFLICT, &json!("rotation_running")));
    let said = logged(&house, "key.operation", 4).await;
    let said: Vec<_> = said.iter().map(|data| (data["operation"].clone(), data["because"].clone())).collect();
    let operations = plan["operations"].as_array().unwrap();
    let planned: Vec<_> = operations.iter().map(|one| (one["operation"].clone(), one["because"].clone())).collect();
    assert_eq!(said, planned);
}

#[tokio::test]
async fn p7_a_paused_rotation_stays_paused_across_a_restart_and_goes_on_when_it_is_resumed() {
    let (house, id) = house().await;
    for n in 0..200 {
        put(&house.vault, id, record(n)).await;
    }
    for (path, body) in [("/rotation/pause", Value::Null), ("/rotation/resume", Value::Null)] {
        let (code, refused) = ask(&house, path, body).await;
        assert_eq!((code, &refused["code"]), (StatusCode::CONFLICT, &json!("rotation_not_running")), "{path}");
    }
    let (code, begun) = ask(&house, "/rotate", json!({"throttle": 400})).await;
    assert_eq!((code, &begun["throttle"]), (StatusCode::ACCEPTED, &json!(400)), "{begun}");
    let (vault, pausing) = (Arc::clone(&house.vault), async {
        while status(&house).await["moved"].as_u64().unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        ask(&house, "/rotation/pause", Value::Null).await
    });
    // Paused in the middle, the work ends by itself.
    let (worked, (code, paused)) = tokio::join!(rewrap_all(&vault), pausing);
    worked.unwrap();
    assert_eq!((code, &paused["state"]), (StatusCode::OK, &json!("paused")), "{paused}");
    let at = status(&house).await;
    let moved = at["moved"].as_u64().unwrap();
    assert!((1..200).contains(&moved), "{at}");
    assert_eq!(at["remaining"], 200 - moved);
    assert!(at["seconds_left"].is_null() && at["per_second"].as_u64().unwrap() > 0, "{at}");
    assert_eq!(ask(&house, "/rotation/pause", Value::Null).await.0, StatusCode::OK, "paused again is paused");
    assert_eq!(ask(&house, "/rotate", json!({})).await.1["code"], "rotation_running", "and it is under way");

    // New records go under the new version all the same.
    put(&house.vault, id, record(500)).await;
    let house = house.restarted().await;
    rewrap_all(&house.vault).await.unwrap();
    assert_eq!(status(&house).await["moved"], moved, "nobody moves what is paused");
    assert_eq!(opens(&house.vault, record(500)).await, Some(2));

    let (code, unbound) = ask(&house, "/rotation/throttle", json!({})).await;
    assert_eq!((code, &unbound["throttle"]), (StatusCode::OK, &Value::Null), "{unbound}");
    let (code, resumed) = ask(&house, "/rotation/resume", Value::Null).await;
    assert_eq!((code, &resumed["state"]), (StatusCode::OK, &json!("running")), "{resumed}");
    rewrap_all(&house.vault).await.unwrap();
    let done = status(&house).await;
    assert_eq!((&done["state"], &done["moved"], &done["remaining"]), (&json!("done"), &json!(200), &json!(0)));
    for n in 0..200 {
        assert_eq!(opens(&house.vault, record(n)).await, Some(2), "record {n}");
    }
    for control in ["pause-rewrap", "resume-rewrap", "throttle-rewrap"] {
        let said = logged(&house, "key.operation", 8).await;
        assert_eq!(said.iter().filter(|data| data["operation"] == control).count(), 1, "{control}");
    }
    let (code, refused) = ask(&house, "/rotation/throttle", json!({"records_per_second": 5})).await;
    assert_eq!((code, &refused["code"]), (StatusCode::CONFLICT, &json!("rotation_not_running")));
    assert!(verify::findings(&house).await.is_empty());
    oracle::sound(&house.vault, &[]).await;
}

#[tokio::test]
async fn a_throttle_that_moves_nothing_is_refused() {
    let (house, _) = house().await;
    for (path, body) in [("/rotate", json!({"throttle": 0})), ("/rotate", json!({"throttle": 0, "plan_only": true}))] {
        let (code, refused) = ask(&house, path, body).await;
        assert_eq!((code, &refused["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid_value")));
    }
    assert_eq!(versions(&house).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p7_of_two_officers_who_rotate_at_once_one_wins_and_the_other_is_told() {
    for _ in 0..5 {
        let (house, id) = house().await;
        put(&house.vault, id, record(1)).await;
        let ask = |who| house.ask(who, "POST", ROTATE, json!({"reason": "Leaver"}));
        let (one, two) = tokio::join!(ask("key-officer"), ask("key-officer-2"));
        let mut codes = [one.0.as_u16(), two.0.as_u16()];
        codes.sort_unstable();
        assert_eq!(codes, [202, 409], "{} {}", one.1, two.1);
        let lost = if one.0 == StatusCode::CONFLICT { one.1 } else { two.1 };
        assert_eq!(lost["code"], "rotation_running");
        rewrap_all(&house.vault).await.unwrap();
        let versions = versions(&house).await;
        assert_eq!(versions.iter().filter(|version| version.1 == "active").count(), 1, "{versions:?}");
        assert_eq!(opens(&house.vault, record(1)).await, Some(2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p7_two_officers_who_rotate_the_root_at_once_leave_one_epoch_in_force() {
    let (house, id) = house().await;
    put(&house.vault, id, record(1)).await;
    for round in 1..=4 {
        let ask = |who| house.ask(who, "POST", "/v1/root/rotate", json!({"reason": "Monthly"}));
        let (one, two) = tokio::join!(ask("key-officer"), ask("key-officer-2"));
        assert_eq!((one.0, two.0), (StatusCode::OK, StatusCode::OK), "{} {}", one.1, two.1);
        settle_root(&house.vault).await.unwrap();
        let (_, root) = house.ask("key-officer", "GET", "/v1/root", Value::Null).await;
        let epochs = root["epochs"].as_array().unwrap();
        assert_eq!((epochs.len(), &epochs[0]["state"]), (1 + 2 * round, &json!("active")), "{root}");
        // Whichever came last has everything, and no other has anything.
        let of_others = epochs[1..].iter().all(|epoch| epoch["state"] == "deactivated" && epoch["wrapped"] == 0);
        assert!(of_others && epochs[0]["wrapped"].as_u64().unwrap() >= 3, "{root}");
    }
    let house = house.restarted().await;
    assert_eq!(opens(&house.vault, record(1)).await, Some(1));
    assert!(verify::findings(&house).await.is_empty());
    oracle::sound(&house.vault, &[]).await;
}

#[tokio::test]
async fn p7_what_is_cut_short_over_and_over_comes_to_its_end() {
    let (mut house, id) = house().await;
    for n in 0..120 {
        put(&house.vault, id, record(n)).await;
    }
    assert_eq!(ask(&house, "/rotate", json!({"throttle": 200})).await.0, StatusCode::ACCEPTED);
    for moved in [10, 50, 90] {
        work_until_moved(&house, moved).await;
        house = house.restarted().await;
        assert!(verify::findings(&house).await.is_empty(), "between two versions every wrap opens");
    }
    rewrap_all(&house.vault).await.unwrap();
    let done = status(&house).await;
    assert_eq!((&done["state"], &done["moved"]), (&json!("done"), &json!(120)), "each was counted once");
    let (_, shown) = house.ask("key-officer", "GET", KEYS, Value::Null).await;
    assert_eq!(shown["versions"][0]["wraps"], 122, "and so was each wrap that stayed");
}
