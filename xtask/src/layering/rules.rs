//! The layers as data.

/// Our crates and which of our crates each may depend on, tests aside.
pub const CRATES: &[(&str, &[&str])] = &[
    ("vault-memlock", &[]),
    ("vault-core", &["vault-memlock"]),
    ("vault-api", &[]),
    ("vault-fields", &[]),
    ("vault-web", &[]),
    ("vault-server", &["vault-memlock", "vault-core", "vault-api", "vault-fields", "vault-web"]),
    ("vault-cli", &["vault-memlock", "vault-core", "vault-api"]),
    ("vault-tests", &["vault-core", "vault-api", "vault-server"]),
    ("xtask", &[]),
];

/// The one crate with `unsafe` in it.
pub const UNSAFE_CRATE: &str = "vault_memlock";

/// Where bytes may be taken out of a `Secret`.
pub const EXPOSING: &[&[&str]] =
    &[&["vault_core", "secret"], &["vault_core", "keys"], &["vault_core", "media"], &["vault_server", "custody"]];

/// Inside `within`, but not in `but_in`, no path may begin with one of `never`, but for those in `though`.
pub struct PathRule {
    pub within: &'static [&'static str],
    pub but_in: &'static [&'static [&'static str]],
    pub never: &'static [&'static [&'static str]],
    /// Paths that are fine although they begin with one of `never`.
    pub though: &'static [&'static [&'static str]],
    pub why: &'static str,
}

/// http → app → {store, objects, custody} → vault-core; jobs beside app.
pub const PATHS: &[PathRule] = &[
    PathRule {
        within: &["vault_core"],
        but_in: &[],
        never: &[
            &["tokio"],
            &["futures_util"],
            &["std", "fs"],
            &["std", "net"],
            &["std", "env"],
            &["std", "process"],
            &["std", "thread"],
            &["std", "time", "SystemTime"],
            &["std", "time", "Instant"],
        ],
        though: &[],
        why: "vault-core has no I/O, no async, no ambient clock",
    },
    PathRule {
        within: &["vault_server", "http"],
        but_in: &[],
        never: &[
            &["vault_server", "store"],
            &["vault_server", "objects"],
            &["vault_server", "custody"],
            &["vault_server", "jobs"],
            &["vault_core", "keys"],
        ],
        though: &[],
        why: "http turns requests into calls of app and goes no deeper",
    },
    PathRule {
        within: &["vault_server", "app"],
        but_in: &[],
        never: &[&["vault_server", "http"], &["vault_server", "jobs"], &["axum"]],
        though: &[],
        why: "app does not know how it is called",
    },
    PathRule {
        within: &["vault_server", "jobs"],
        but_in: &[],
        never: &[&["vault_server", "http"], &["axum"]],
        though: &[],
        why: "jobs stand beside app, not on http",
    },
    PathRule {
        within: &["vault_server", "store"],
        but_in: &[],
        never: &[
            &["vault_server", "http"],
            &["vault_server", "app"],
            &["vault_server", "jobs"],
            &["vault_server", "objects"],
            &["vault_server", "custody"],
        ],
        // The name of an object is an identifier that rows keep.
        though: &[&["vault_server", "objects", "Name"]],
        why: "store is the metadata database and nothing else",
    },
    PathRule {
        within: &["vault_server", "objects"],
        but_in: &[],
        never: &[
            &["vault_server", "http"],
            &["vault_server", "app"],
            &["vault_server", "jobs"],
            &["vault_server", "store"],
            &["vault_server", "custody"],
        ],
        though: &[],
        why: "objects moves ciphertext and knows neither rows nor keys",
    },
    PathRule {
        // Custody may use store: wrapping counts itself in the caller's transaction.
        within: &["vault_server", "custody"],
        but_in: &[],
        never: &[
            &["vault_server", "http"],
            &["vault_server", "app"],
            &["vault_server", "jobs"],
            &["vault_server", "objects"],
        ],
        though: &[],
        why: "custody serves app, not the other way round",
    },
    PathRule {
        within: &["vault_server"],
        // An error is passed through there, no query written.
        but_in: &[&["vault_server", "store"], &["vault_server", "app", "error"]],
        never: &[&["sqlx"]],
        though: &[],
        why: "SQL lives in store, behind the portable seam",
    },
    PathRule {
        within: &["vault_server"],
        but_in: &[&["vault_server", "objects"]],
        never: &[&["object_store"]],
        though: &[],
        why: "media bytes go through objects",
    },
    PathRule {
        within: &["vault_cli"],
        but_in: &[],
        never: &[&["vault_core", "keys"], &["vault_core", "media"], &["vault_server"]],
        though: &[],
        why: "the CLI holds no vault key and opens no media",
    },
];

/// Inside `within`, nothing reads the field `field` (a call of a method of that name is fine).
pub struct FieldRule {
    pub within: &'static [&'static str],
    pub field: &'static str,
    pub why: &'static str,
}

/// `http` is handed the whole `Vault`; these fields of it are not for http.
pub const FIELDS: &[FieldRule] = &[
    FieldRule { within: &["vault_server", "http"], field: "store", why: "http never touches store" },
    FieldRule { within: &["vault_server", "http"], field: "objects", why: "http never touches objects" },
];
