//! The cycle of keys that makes erasures final (`docs/keys.md` §8).
//!
//! | call | who | does |
//! | --- | --- | --- |
//! | `GET /v1/root/cycle` | key-officer | → 200 [`CycleStatus`]: the cycle under way or the last one, and when the next is due |
//! | `POST /v1/root/cycle` [`BeginCycle`] | key-officer | → 202 [`Cycle`]; 200 where only a plan was asked for; 409 while one is under way |
//! | `POST /v1/root/cycle/confirm` [`ConfirmCycle`] | another key-officer | → 200 [`Cycle`] |
//! | `DELETE /v1/root/cycle` | key-officer | → 200 [`Cycle`], cancelled |

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of beginning a cycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BeginCycle {
    /// Why; goes into the audit log. 1 to 2,000 characters.
    #[schema(min_length = 1, max_length = 2000, example = "November's cycle")]
    pub reason: String,
    /// Only say what it would be about.
    #[serde(default)]
    pub plan_only: bool,
    /// At most so many record keys a second in each collection's rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, example = 5000)]
    pub throttle: Option<u32>,
}

/// Body of agreeing to a cycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmCycle {
    /// The scope that is agreed to, by its hash: [`Cycle::scope_sha256`] as it was shown.
    #[schema(min_length = 64, max_length = 64)]
    pub scope_sha256: String,
}

/// Where a cycle stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CycleState {
    /// Only thought of: nothing was done.
    Planned,
    /// Under way.
    Running,
    /// Somebody has cancelled it.
    Cancelled,
    /// Everything in its scope is destroyed.
    Done,
}

/// What a cycle waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CycleWait {
    /// The vault itself: the next step is taken by its jobs.
    Vault,
    /// Record keys are being moved in a collection.
    Moving,
    /// Somebody has paused the moving of record keys: resume it.
    Paused,
    /// Two key officers have to agree to the scope.
    Agreement,
    /// The destruction of a version cools off, or waits for the confirmation that somebody asked for by itself.
    CoolingOff,
    /// Something is under a version although all that opens was moved: damaged wraps (`keys verify` lists them).
    Needed,
    /// The destruction of a version was cancelled, or something came to need it: destroy it by itself, or begin another
    /// cycle.
    Ended,
    /// Rows of a collection's keys were edited or lost; the others go on. Somebody has to look into it, or cancel the cycle.
    Trouble,
    /// Two key officers have to destroy a root epoch, attesting that no copy of its key is left.
    Epoch,
}

/// One thing that a cycle waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CycleWaitsFor {
    /// What.
    pub what: CycleWait,
    /// The collection's name, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "demo")]
    pub collection: Option<String>,
    /// The version or root epoch, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, example = 1)]
    pub number: Option<u32>,
    /// What is wrong, where something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What a cycle is about in one collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CycleCollection {
    /// The collection's name.
    #[schema(example = "demo")]
    pub collection: String,
    /// The versions that are to be destroyed.
    pub versions: Vec<u32>,
    /// Those of them that are.
    pub destroyed: Vec<u32>,
    /// Record keys under those that are not. In a plan: how many are to be moved.
    #[schema(example = 1_000)]
    pub records: u64,
}

/// A cycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cycle {
    /// Its number, counted from 1.
    #[schema(minimum = 1, example = 7)]
    pub number: u32,
    /// Where it stands.
    pub state: CycleState,
    /// SHA-256 of the scope's text, in hex: what two key officers agree to.
    pub scope_sha256: String,
    /// The highest root epoch there was when it began. It is destroyed in the end, with all before it.
    #[schema(minimum = 1, example = 1)]
    pub root_epoch: u32,
    /// What it is about.
    pub collections: Vec<CycleCollection>,
    /// At most so many record keys a second in each collection, if it is throttled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle: Option<u32>,
    /// When it began.
    #[schema(format = "date-time")]
    pub started_at: String,
    /// Who agreed first: who began it, or, of one that began by schedule, the first to confirm it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "uuid")]
    pub requested_by: Option<String>,
    /// Who agreed second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "uuid")]
    pub confirmed_by: Option<String>,
    /// Versions are destroyed from then on: the cooling-off time after the second has agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub not_before: Option<String>,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<CycleWaitsFor>,
    /// Why nothing can be said of what comes next: rows and log do not agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub ended_at: Option<String>,
}

/// Answer of `GET /v1/root/cycle`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CycleStatus {
    /// The cycle under way, or the last one; absent when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycle: Option<Cycle>,
    /// When the next one begins by itself; absent without a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub next_at: Option<String>,
}
