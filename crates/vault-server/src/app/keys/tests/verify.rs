//! Every way in which a wrap may be damaged is found and named; nothing else is.

use super::*;

/// What `keys/verify` finds in the whole collection, page by page.
pub(super) async fn pages(house: &House, limit: u32) -> (u64, Vec<Value>) {
    let (mut checked, mut findings, mut cursor) = (0, Vec::new(), String::new());
    loop {
        let path = format!("{KEYS}/verify?limit={limit}{cursor}");
        let (status, page) = house.ask("key-officer", "GET", &path, Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        checked += page["checked"].as_u64().unwrap();
        findings.extend(page["findings"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (checked, findings),
        }
    }
}

pub(super) async fn findings(house: &House) -> Vec<Value> {
    pages(house, 50).await.1
}

async fn wrap(house: &House, n: u16) -> Vec<u8> {
    records::find(&house.vault.store, record(n)).await.unwrap().unwrap().wrap.unwrap()
}

async fn set(house: &House, n: u16, wrap: Vec<u8>) {
    let (id, version) = {
        let row = records::find(&house.vault.store, record(n)).await.unwrap().unwrap();
        (row.collection, row.kek_version)
    };
    let kek = KekRef { collection: id, version };
    let mut tx = house.vault.store.begin("test").await.unwrap();
    assert_eq!(keys::move_records(tx.conn(), kek, version, vec![(record(n), wrap)]).await.unwrap(), 1);
    tx.commit().await.unwrap();
}

fn flipped(mut wrap: Vec<u8>, at: usize) -> Vec<u8> {
    wrap[at] ^= 1;
    wrap
}

#[tokio::test]
async fn p12_every_kind_of_damage_to_a_wrap_is_found_and_nothing_else() {
    let (house, id) = house().await;
    for n in 0..30 {
        put(&house.vault, id, record(n)).await;
    }
    assert_eq!(rotate(&house).await.0, StatusCode::ACCEPTED);
    rewrap_all(&house.vault).await.unwrap();
    for n in 30..35 {
        put(&house.vault, id, record(n)).await;
    }
    // 35 records, two versions, two keys of its own; however large the pages are.
    for limit in [1, 7, 34, 35, 36, 10_000] {
        assert_eq!(pages(&house, limit).await, (39, Vec::new()), "limit {limit}");
    }

    let whole = wrap(&house, 3).await;
    // docs/format.md §5.3: magic 4, kind 1, owner 16, version 4, nonce 24, commitment 32, key 32, tag 16.
    for (n, at) in [(1, 0), (2, 4), (3, 24), (4, 25), (5, 60), (6, 90), (7, 128)] {
        let damaged = flipped(wrap(&house, n).await, at);
        set(&house, n, damaged).await;
    }
    set(&house, 8, whole).await;
    let short = wrap(&house, 9).await[..128].to_vec();
    set(&house, 9, short).await;
    house.by_hand("UPDATE records SET kek_version = 1 WHERE id LIKE '000a0000-%'").await;
    house.by_hand("UPDATE records SET kek_version = 9 WHERE id LIKE '000b0000-%'").await;
    let found: Vec<_> = findings(&house)
        .await
        .iter()
        .map(|one| {
            assert_eq!(one["scope"], "record", "{one}");
            let id: RecordId = one["record_id"].as_str().unwrap().parse().unwrap();
            (id, one["kek_version"].as_u64().unwrap(), one["problem"].as_str().unwrap().to_owned())
        })
        .collect();
    let expected = [
        (1, 2, "malformed"),
        (2, 2, "malformed"),
        (3, 2, "names-another-key"),
        (4, 2, "wrong-key"),
        (5, 2, "wrong-key"),
        (6, 2, "forged"),
        (7, 2, "forged"),
        (8, 2, "forged"),
        (9, 2, "malformed"),
        (10, 1, "names-another-key"),
        (11, 9, "names-another-key"),
    ];
    assert_eq!(found, expected.map(|(n, version, problem)| (record(n), version, problem.to_owned())));
}

#[tokio::test]
async fn p12_damage_to_a_version_or_to_the_collections_own_keys_is_found() {
    let (house, id) = house().await;
    for n in 0..3 {
        put(&house.vault, id, record(n)).await;
    }
    let mine = id.to_string();
    let child = |kind, wrap: Vec<u8>| {
        let store = house.vault.store.clone();
        async move {
            let mut tx = store.begin("test").await.unwrap();
            keys::put_child(tx.conn(), KekRef { collection: id, version: 1 }, kind, &wrap).await.unwrap();
            tx.commit().await.unwrap();
        }
    };
    let stored = async |kind| {
        let mut reader = house.vault.store.read().await.unwrap();
        keys::child(reader.conn(), id, kind).await.unwrap().unwrap().1
    };
    let (staff, subject) = (stored(ChildKind::StaffAudit).await, stored(ChildKind::Subject).await);
    // Each in the other's place.
    child(ChildKind::StaffAudit, subject.clone()).await;
    child(ChildKind::Subject, flipped(subject.clone(), 100)).await;
    let found = findings(&house).await;
    let told = |scope: &str, problem: &str| json!({"scope": scope, "kek_version": 1, "problem": problem});
    assert_eq!(found, [told("staff-audit", "malformed"), told("subject", "forged")]);
    child(ChildKind::StaffAudit, staff).await;
    child(ChildKind::Subject, subject).await;
    assert_eq!(findings(&house).await, [] as [Value; 0]);

    // The version itself: what lies open in memory is not what is asked about; after a restart nothing under it opens.
    let kek = KekRef { collection: id, version: 1 };
    let row = {
        let mut reader = house.vault.store.read().await.unwrap();
        keys::kek(reader.conn(), kek).await.unwrap().unwrap()
    };
    let mut tx = house.vault.store.begin("test").await.unwrap();
    keys::move_kek(tx.conn(), kek, row.root_epoch, &flipped(row.wrap.clone(), 100)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(findings(&house).await, [told("kek", "forged")], "{mine}");
    let house = house.restarted().await;
    let found = findings(&house).await;
    assert_eq!(
        found[..3],
        [told("kek", "forged"), told("staff-audit", "version-unusable"), told("subject", "version-unusable")]
    );
    assert_eq!(found.len(), 6, "{found:?}");
    assert!(found[3..].iter().all(|one| one["problem"] == "version-unusable" && one["scope"] == "record"));
}

#[tokio::test]
async fn what_is_no_page_is_refused() {
    let (house, _) = house().await;
    for (query, code) in [("limit=0", 422), ("limit=10001", 422), ("cursor=%20", 400), ("cursor=", 400), ("x=1", 400)] {
        let (status, _) = house.ask("key-officer", "GET", &format!("{KEYS}/verify?{query}"), Value::Null).await;
        assert_eq!(status.as_u16(), code, "{query}");
    }
    assert_eq!(house.ask("analyst", "GET", &format!("{KEYS}/verify"), Value::Null).await.0, StatusCode::FORBIDDEN);
}
