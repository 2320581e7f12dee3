//! A vault with an open collection, records without media, and people who ask and decide.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Value, json};
use vault_core::ids::{ObjectId, PersonId, RecordId};
use vault_core::keys::hierarchy::RecordKey;
use vault_core::keys::lifecycle::Policy;
use vault_core::time::Clock as _;

use crate::app::callers::{Caller, authenticate};
use crate::app::collections;
use crate::store::collections::CollectionRow;
use crate::store::records::{self, ObjectRow, RecordRow, RecordState};
use crate::store::uploads::ConsentTerms;
use crate::testing::{self, House};

pub(super) struct Stage {
    pub house: House,
    /// The one collection, open.
    pub collection: CollectionRow,
    /// People beside the cast: `analyst-2`, and `both`, who may ask and decide, only never on their own.
    more: BTreeMap<&'static str, (PersonId, String)>,
}

impl Stage {
    pub(super) async fn set() -> Self {
        let house = House::new().await;
        let mut body = testing::collection("demo", "2030-01-01T00:00:00Z");
        body["purposes"] = json!([{"name": "service-improvement", "basis": "consent"},
                                  {"name": "complaint-handling", "basis": "consent"}]);
        body["access"]["rights"] = json!(["view", "export"]);
        let (status, answer) = house.ask("administrator", "POST", "/v1/collections", body).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        let (status, answer) = house.ask("administrator", "POST", "/v1/collections/demo/open", Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let collection = collections::find(&house.vault, &"demo".parse().unwrap()).await.unwrap();
        let mut more = BTreeMap::new();
        for (name, roles) in [("analyst-2", &["analyst"][..]), ("both", &["analyst", "approver"])] {
            let person = house.enter(name, "human").await;
            for role in roles {
                house.give(person, role).await;
            }
            more.insert(name, (person, house.issue_confirmed(person).await.1));
        }
        Self { house, collection, more }
    }

    /// Who calls with that person's token.
    pub(super) async fn caller(&self, name: &str) -> Arc<Caller> {
        let token = self.more.get(name).map_or_else(|| self.house.token(name), |(_, token)| token);
        authenticate(&self.house.vault, token).await.unwrap()
    }

    /// The person of that name.
    pub(super) fn person(&self, name: &str) -> PersonId {
        self.more.get(name).map_or_else(|| self.house.id(name), |(person, _)| *person)
    }

    /// A record with consent for `purposes`: rows and a wrapped key, no media.
    pub(super) async fn record(&self, purposes: &[&str]) -> RecordId {
        let now = self.house.clock.now();
        let (id, object) = (RecordId::new(now), ObjectId::new(now));
        let vault = &self.house.vault;
        let mut tx = vault.store.begin("test_record").await.unwrap();
        let key = RecordKey::generate();
        let (kek_version, wrap) =
            vault.keys.wrap_record_key(&mut tx, self.collection.id, &Policy::default(), id, &key).await.unwrap();
        let record = RecordRow {
            id,
            collection: self.collection.id,
            state: RecordState::Available,
            kek_version,
            wrap: Some(wrap),
            pseudonym: None,
            details: None,
            consent: None,
            terms: ConsentTerms {
                purposes: purposes.iter().map(|p| (*p).to_owned()).collect(),
                expires_at: None,
                notice_sha256: self.collection.policy.notice.sha256(),
            },
            media: "audio".to_owned(),
            content_type: "audio/webm".to_owned(),
            size: 1,
            received_at: now,
            retain_until: None,
            key_tag: Some(key.field_key().tag()),
        };
        let object = ObjectRow {
            id: object,
            content_type: "audio/webm".to_owned(),
            header: vec![0; 74],
            segment_length: 64 * 1024,
            plaintext_length: 1,
        };
        records::insert(&mut tx, &record, &object).await.unwrap();
        tx.commit().await.unwrap();
        id
    }
}
