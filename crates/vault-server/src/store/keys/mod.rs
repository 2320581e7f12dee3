//! Rows of keys. Wraps go in and out as bytes; what is in them is custody's.
//!
//! | file | rows of |
//! | --- | --- |
//! | `kek` | KEK versions: states, uses, the guard against retirement |
//! | `children` | what a KEK version wraps: record keys, staff audit keys, subject keys |
//! | `cycles` | cycles of keys, and how far they have come |
//! | `destructions` | keys to be destroyed, and the statements that do it |
//! | `exposure` | what tells which versions may have wrapped a record key |
//! | `rotations` | rotations under way and the last ones |
//! | `root` | root epochs, and the log keys they wrap |
//! | `vault` | what the vault knows of itself |

mod children;
mod cycles;
mod destructions;
mod exposure;
mod kek;
mod root;
mod rotations;
mod vault;

pub use children::{
    HeldWrap, all_wraps, child, children, holds_records, move_records, put_child, record_wraps, records_held,
};
pub use cycles::{
    CycleRow, CycleState, KekNow, collections_there, confirm_cycle, end_cycle, highest_cycle, hold_cycle,
    kek_destructions, keks_now, last_cycle, request_cycle, rotations_open,
};
pub use destructions::{
    DestructionRow, DestructionState, Doomed, all_pending_destructions, cancel_destruction, children_under,
    confirm_destruction, destroy_kek, destruction, destructions_due, empty_kek, finish_destruction, first_records,
    hold_kek, keks_alive, misnamed, pending_destruction, pending_destructions, set_epoch_state, wrapped_by,
};
pub use exposure::{HeldKey, all_keys};
pub use kek::{
    Counted, KekRow, active, count_moved, count_uses, insert_kek, kek, keks, keks_under, move_kek, step_kek,
};
pub use root::{
    LogKeyRow, end_log_key, held_by_epochs, insert_log_key, log_key, log_key_has_ended, log_keys_under, move_log_key,
    put_epoch, uploads_under,
};
pub use rotations::{
    Advance, RotationRow, RotationState, advance_rotation, begin_work, finish_rotation, pause_rotation, put_rotation,
    rotation, rotations_running, throttle_rotation,
};
pub use vault::{insert_meta, meta};
