//! Bindings and tokens with the names that a list shows beside them.

use vault_core::ids::{BindingId, PersonId, TokenId};
use vault_core::time::Timestamp;

use super::{BindingRow, BindingState, Conn, Result, TokenRow};
use crate::store::row::Columns;

/// Which bindings a list shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindingFilter {
    /// Only this person's.
    pub person: Option<PersonId>,
    /// Only in this state.
    pub state: Option<BindingState>,
    /// Of the active ones, only those whose end is past (`true`) or is not (`false`).
    pub ended: Option<bool>,
}

/// A binding with names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingView {
    /// The binding.
    pub row: BindingRow,
    /// The holder's name.
    pub person: String,
    /// The collection's name.
    pub collection: Option<String>,
    /// The proposer's name.
    pub proposer: Option<String>,
    /// The confirmer's name.
    pub confirmer: Option<String>,
}

macro_rules! select_bindings {
    ($rest:literal) => {
        concat!(
            "SELECT b.id, b.person_id, b.role, b.collection_id, b.state, b.proposed_by, b.proposed_at, \
             b.confirmed_by, b.active_at, b.until, b.revoked_at, p.name AS person_name, c.name AS collection_name, \
             one.name AS proposer_name, two.name AS confirmer_name FROM role_bindings b \
             JOIN persons p ON p.id = b.person_id LEFT JOIN collections c ON c.id = b.collection_id \
             LEFT JOIN persons one ON one.id = b.proposed_by LEFT JOIN persons two ON two.id = b.confirmed_by ",
            $rest
        )
    };
}

impl BindingView {
    /// The binding, if there is one.
    pub async fn get(conn: &mut Conn, id: BindingId) -> Result<Option<Self>> {
        let row = sqlx::query(select_bindings!("WHERE b.id = $1")).bind(id.to_string()).fetch_optional(conn).await?;
        row.map(|row| Self::read(&Columns::of("role_bindings", &row))).transpose()
    }

    /// At most `limit` bindings behind `after`, in the order in which they were proposed.
    pub async fn page(
        conn: &mut Conn,
        filter: BindingFilter,
        now: Timestamp,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Self>> {
        let rows = sqlx::query(select_bindings!(
            "WHERE b.id > $1 AND ($2 = '' OR b.person_id = $2) AND ($3 = '' OR b.state = $3) \
             AND ($4 = 0 OR ($4 = 1 AND (b.until IS NULL OR b.until > $5)) OR ($4 = 2 AND b.until <= $5)) \
             ORDER BY b.id LIMIT $6"
        ))
        .bind(after)
        .bind(filter.person.map(|p| p.to_string()).unwrap_or_default())
        .bind(filter.state.map(BindingState::name).unwrap_or_default())
        .bind(filter.ended.map_or(0_i64, |ended| if ended { 2 } else { 1 }))
        .bind(now.as_millis())
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
        rows.iter().map(|row| Self::read(&Columns::of("role_bindings", row))).collect()
    }

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            row: BindingRow::read(columns)?,
            person: columns.text("person_name")?,
            collection: columns.maybe_text("collection_name")?,
            proposer: columns.maybe_text("proposer_name")?,
            confirmer: columns.maybe_text("confirmer_name")?,
        })
    }
}

/// A token with names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenView {
    /// The token.
    pub row: TokenRow,
    /// The name of whom it stands for.
    pub person: String,
    /// The name of the collection it is limited to.
    pub collection: Option<String>,
    /// The issuer's name.
    pub issuer: Option<String>,
    /// The confirmer's name.
    pub confirmer: Option<String>,
}

macro_rules! select_tokens {
    ($rest:literal) => {
        concat!(
            "SELECT t.id, t.person_id, t.hash, t.label, t.roles, t.collection_id, t.issued_by, t.confirmed_by, \
             t.created_at, t.expires_at, t.revoked_at, p.name AS person_name, c.name AS collection_name, \
             one.name AS issuer_name, two.name AS confirmer_name FROM tokens t \
             JOIN persons p ON p.id = t.person_id LEFT JOIN collections c ON c.id = t.collection_id \
             LEFT JOIN persons one ON one.id = t.issued_by LEFT JOIN persons two ON two.id = t.confirmed_by ",
            $rest
        )
    };
}

impl TokenView {
    /// The token, if there is one.
    pub async fn get(conn: &mut Conn, id: TokenId) -> Result<Option<Self>> {
        let row = sqlx::query(select_tokens!("WHERE t.id = $1")).bind(id.to_string()).fetch_optional(conn).await?;
        row.map(|row| Self::read(&Columns::of("tokens", &row))).transpose()
    }

    /// At most `limit` tokens behind `after`, of `person` where one is given.
    pub async fn page(conn: &mut Conn, person: Option<PersonId>, after: &str, limit: u32) -> Result<Vec<Self>> {
        let rows =
            sqlx::query(select_tokens!("WHERE t.id > $1 AND ($2 = '' OR t.person_id = $2) ORDER BY t.id LIMIT $3"))
                .bind(after)
                .bind(person.map(|p| p.to_string()).unwrap_or_default())
                .bind(i64::from(limit))
                .fetch_all(conn)
                .await?;
        rows.iter().map(|row| Self::read(&Columns::of("tokens", row))).collect()
    }

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            row: TokenRow::read(columns)?,
            person: columns.text("person_name")?,
            collection: columns.maybe_text("collection_name")?,
            issuer: columns.maybe_text("issuer_name")?,
            confirmer: columns.maybe_text("confirmer_name")?,
        })
    }
}
