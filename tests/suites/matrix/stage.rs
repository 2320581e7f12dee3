//! The things that the matrix's probes are about, and the probes.

use serde_json::{Value, json};
use vault_tests::vault::Vault;
use vault_tests::{access, collection, fixtures, tus};

/// A vault with one of everything.
pub struct Stage<'a> {
    pub vault: &'a Vault,
    /// An available record.
    record: String,
    /// A record that was erased.
    erased: String,
    /// The address of the completed upload that it came from.
    upload: String,
    /// A request of the analyst's that was denied.
    denied: String,
    /// A request of the analyst's with a grant in force.
    approved: String,
    /// Its open session's address.
    playback: String,
    /// A grant that may be revoked without ending that session.
    grant: String,
    /// A machine with a role and a token.
    machine: String,
    /// Its role binding, in force.
    binding: String,
    /// Its token's identifier.
    token: String,
}

/// A request to send.
pub struct Probe {
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl<'a> Stage<'a> {
    /// Sets the stage.
    pub fn set(vault: &'a Vault) -> Self {
        let recording = fixtures::media("chromium-voice.webm");
        let upload = tus::create(vault, "voice.webm", "audio/webm", recording.len());
        let _done = upload.patch(vault, 0, &recording).expect(204);
        let record = upload.record(vault).expect("a record");

        let erased = tus::upload(vault, "voice.webm", "audio/webm", &recording);
        let _certificate = vault.person("approver").delete(&format!("/v1/records/{erased}")).expect(200);

        let denied = access::request(vault, "analyst", &record, "Matrix", "M-1");
        let approver = vault.person("approver");
        let _denied = approver.post(&format!("/v1/access-requests/{denied}/deny"), &json!({})).expect(200);
        let approved = access::request(vault, "analyst", &record, "Matrix", "M-2");
        let _kept = access::approve(vault, "approver", &approved);
        let playback = access::open(vault, "analyst", &approved).playback_url;
        let other = access::request(vault, "analyst", &record, "Matrix", "M-3");
        let grant = access::approve(vault, "approver", &other).grant_id;

        let administrator = vault.person("administrator");
        let machine =
            administrator.post("/v1/people", &json!({"name": "Kiosk", "kind": "machine"})).expect(201).text("id");
        let role = json!({"person_id": machine, "role": "uploader", "collection": "demo", "reason": "Matrix"});
        let binding = administrator.post("/v1/role-bindings", &role).expect(201);
        assert_eq!(binding.text("state"), "active", "an uploader needs one administrator: {binding}");
        let binding = binding.text("id");
        let token = json!({"person_id": machine, "label": "kiosk", "expires_at": collection::in_a_month()});
        let token = administrator.post("/v1/tokens", &token).expect(201).json()["token"]["id"].clone();
        let token = token.as_str().expect("an identifier").to_owned();

        let upload = upload.location;
        Self { vault, record, erased, upload, denied, approved, playback, grant, machine, binding, token }
    }

    /// The probe of a route.
    pub fn probe(&self, method: &str, path: &str) -> Probe {
        let collection = &self.vault.dev.collection;
        let json = |path: String, body: Value| Probe {
            path,
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.to_string().into_bytes(),
        };
        let plain = |path: String| Probe { path, headers: Vec::new(), body: Vec::new() };
        let tus = |headers: &[(&'static str, &str)], body: &[u8], path: &str| Probe {
            path: path.to_owned(),
            headers: [("tus-resumable", "1.0.0")]
                .iter()
                .chain(headers)
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
            body: body.to_vec(),
        };
        // What is wrong with each body is said beside it: the route's own check comes after who may call it.
        match (method, path) {
            ("POST", "/v1/collections") => json(path.to_owned(), collection::bare(collection)), // the name is taken
            ("POST", "/v1/collections/{}/open") => json(format!("/v1/collections/{collection}/open"), json!({})), // it is open
            ("POST", "/v1/collections/{}/suspend" | "/v1/collections/{}/keys/rotate") => {
                json(path.replace("{}", collection), json!({"reason": ""})) // a reason is needed
            }
            ("POST", rotation) if rotation.starts_with("/v1/collections/{}/keys/rotation/") => {
                json(path.replace("{}", collection), json!({})) // none is under way
            }
            ("POST", "/v1/collections/{}/keys/{}/mark-compromised") => {
                let unnamed = json!({"incident": "", "reason": "x"}); // an incident has a name
                json(path.replacen("{}", collection, 1).replace("{}", "1"), unnamed)
            }
            ("POST", "/v1/collections/{}/reencryption") => {
                json(path.replace("{}", collection), json!({"exposed_by": 1, "reason": ""})) // a reason is needed
            }
            ("POST", control) if control.starts_with("/v1/collections/{}/reencryption/") => {
                json(path.replace("{}", collection), json!({})) // none is under way
            }
            ("GET", "/v1/collections/{}/keys/{}/exposure") => {
                plain(path.replacen("{}", collection, 1).replace("{}", "1"))
            }
            ("POST", "/v1/collections/{}/keys/{}/destroy") => {
                json(path.replacen("{}", collection, 1).replace("{}", "1"), json!({"reason": ""})) // a reason is needed
            }
            ("POST", "/v1/collections/{}/keys/{}/destroy/confirm")
            | ("DELETE", "/v1/collections/{}/keys/{}/destroy") => {
                plain(path.replacen("{}", collection, 1).replace("{}", "1")) // nobody has asked for it
            }
            ("POST", "/v1/root/{}/destroy") => {
                json(path.replace("{}", "1"), json!({"reason": "", "known_copies": 0})) // a reason is needed
            }
            (_, epoch) if epoch.starts_with("/v1/root/{}/destroy") => plain(path.replace("{}", "1")), // nobody has asked for it
            ("POST", "/v1/restore/confirm") => json(path.to_owned(), json!({"reason": ""})), // a reason is needed
            ("POST", "/v1/root/cycle") => json(path.to_owned(), json!({"reason": ""})),      // a reason is needed
            ("DELETE", "/v1/root/cycle") => plain(path.to_owned()),                          // no cycle is under way
            ("POST", "/v1/root/cycle/confirm") => {
                json(path.to_owned(), json!({"scope_sha256": "0".repeat(64)})) // no cycle is under way
            }
            ("POST", "/v1/root/rotate") => json(path.to_owned(), json!({"reason": ""})),
            ("POST", "/v1/people") => json(path.to_owned(), json!({"name": "", "kind": "human"})), // a name is needed
            ("POST", "/v1/people/{}/disable") => {
                json(format!("/v1/people/{}/disable", self.machine), json!({"reason": ""}))
            }
            ("POST", "/v1/role-bindings") => {
                json(path.to_owned(), json!({"person_id": self.machine, "role": "uploader", "reason": ""}))
            }
            ("POST", "/v1/role-bindings/{}/confirm") => {
                json(format!("/v1/role-bindings/{}/confirm", self.binding), json!({})) // it is in force
            }
            ("POST", "/v1/tokens") => {
                let ended = "2020-01-01T00:00:00Z";
                json(path.to_owned(), json!({"person_id": self.machine, "label": "x", "expires_at": ended}))
            }
            ("POST", "/v1/tokens/{}/confirm") => {
                // Made with the vault: there is nothing to confirm.
                let mine = self.vault.person("administrator").get("/v1/me").expect(200).json();
                let mine = mine["token"]["id"].as_str().expect("an identifier");
                json(format!("/v1/tokens/{mine}/confirm"), json!({}))
            }
            ("POST", "/v1/collections/{}/uploads") => {
                // No consent.
                let headers = [("upload-length", "10"), ("upload-metadata", "filetype YXVkaW8vd2VibQ==")];
                tus(&headers, b"", &format!("/v1/collections/{collection}/uploads"))
            }
            ("OPTIONS", "/v1/collections/{}/uploads") => plain(path.replace("{}", collection)),
            ("OPTIONS", "/v1/uploads/{}") => plain(self.upload.clone()),
            ("HEAD" | "DELETE", "/v1/uploads/{}") => tus(&[], b"", &self.upload), // complete: cannot be terminated
            ("PATCH", "/v1/uploads/{}") => {
                let headers = [("upload-offset", "0"), ("content-type", "application/offset+octet-stream")];
                tus(&headers, b"x", &self.upload)
            }
            ("POST", "/v1/access-requests") => {
                json(path.to_owned(), json!({"record_id": self.record, "purpose": "advertising", "reason": "Matrix"}))
            }
            ("POST", "/v1/access-requests/{}/approve" | "/v1/access-requests/{}/deny") => {
                json(path.replace("{}", &self.denied), json!({})) // it is decided
            }
            ("POST", "/v1/access-requests/{}/sessions") => {
                json(path.replace("{}", &self.approved), json!({"representation": "original"}))
            }
            ("GET", "/v1/access-requests/{}") => plain(path.replace("{}", &self.approved)),
            (_, "/v1/playback/{}") => plain(self.playback.clone()),
            ("DELETE", "/v1/grants/{}") => plain(path.replace("{}", &self.grant)),
            ("GET", "/v1/people/{}") => plain(path.replace("{}", &self.machine)),
            ("GET", "/v1/records/{}") => plain(path.replace("{}", &self.record)),
            ("DELETE", "/v1/records/{}") => {
                json(path.replace("{}", &self.record), json!({"reason": "x".repeat(2_001)})) // too long a reason
            }
            ("GET", "/v1/records/{}/erasure") => plain(path.replace("{}", &self.erased)),
            ("DELETE", "/v1/role-bindings/{}") => plain(path.replace("{}", &self.binding)),
            ("DELETE", "/v1/tokens/{}") => plain(path.replace("{}", &self.token)),
            ("GET", "/v1/audit/log/tile/{}") => plain(self.first_tile()),
            ("GET", _) => plain(path.replace("{}", collection)),
            (method, path) => panic!("no probe for {method} {path}: add one"),
        }
    }

    /// The address of a tile that exists: the first one of the tree's lowest level, as wide as the tree is now.
    fn first_tile(&self) -> String {
        let checkpoint = self.vault.person("auditor").get("/v1/audit/log/checkpoint").expect(200);
        let text = String::from_utf8(checkpoint.body).expect("a checkpoint is text");
        let size: u64 = text.lines().nth(1).and_then(|line| line.parse().ok()).expect("a tree size");
        if size >= 256 { "/v1/audit/log/tile/0/000".to_owned() } else { format!("/v1/audit/log/tile/0/000.p/{size}") }
    }
}
