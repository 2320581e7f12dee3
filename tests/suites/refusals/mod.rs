//! What bad input gets, line by line.
//!
//! | line | tests |
//! | --- | --- |
//! | tus: wrong offset 409 | `an_upload_is_written_where_it_stands_and_nowhere_else` |
//! | unknown or foreign upload 404 | `unknown_and_foreign_uploads_are_absent` |
//! | expired 410 | `an_expired_upload_is_gone` |
//! | too large 413, wrong content type 415 | `tus_wants_its_version_its_content_type_and_a_length` |
//! | checksum mismatch 460 | `a_checksum_that_does_not_match_keeps_nothing` |
//! | bytes past the declared length 400 | `no_byte_past_the_declared_length` |
//! | consent missing, unreadable, for another notice or purpose 422 | `p10_no_recording_without_the_consent_that_the_notice_asks_for` |
//! | a completed upload refuses, HEAD repeats the record | `a_completed_upload_is_closed_and_names_its_record` |
//! | HEAD echoes `filetype` only | `head_tells_the_filetype_and_nothing_about_the_person` |
//! | a completed upload that is refused: 4xx, HEAD 410 | `what_is_no_recording_is_refused_audited_and_removed` |
//! | nothing half-written is ever playable | `nothing_half_written_is_ever_playable` |
//! | a file that is not what it claims, a polyglot | `content`, and `vault-core::media::container` |
//! | Range to the letter | `range`, and the model in `vault-fields::range` |
//! | flipped, truncated, swapped, reordered, missing parts; edited rows | `tampering` |
//! | superseded segments | `swapped_reordered_superseded_and_truncated_segments` (vault-core) |
//! | a swapped or foreign wrap | `p2_wraps_swapped_foreign_and_renamed` |
//! | tokens expired, revoked, foreign | `tokens` |
//! | sessions ended, expired, foreign | `sessions`, `the_reaper_closes_what_has_expired_with_what_was_served` (vault-server, over HTTP) |
//! | a playback URL without its requester's token | `p5_a_playback_address_is_absent_for_everyone_but_its_requester` |
//! | self-approval, also with two tokens | `a_second_token_of_the_same_person_is_not_a_second_person` |
//! | every route without a token and with each wrong role | `matrix` |
//! | an upload cut over HTTP/2 | `p3_an_upload_cut_over_http_2_keeps_what_came_and_goes_on` |

mod approval;
mod consent;
mod content;
mod http2;
mod range;
mod sessions;
mod tokens;
mod tus;

use std::time::{Duration, Instant};

use vault_tests::http::Caller;
use vault_tests::vault::Vault;

/// How long after its answer a refusal may take to be in the log.
const NOTED: Duration = Duration::from_secs(10);

/// How many records the vault shows.
fn records(vault: &Vault) -> usize {
    let page = vault.person("analyst").get("/v1/records?limit=500").expect(200).json();
    page["items"].as_array().expect("items").len()
}

/// Waits until the log has this many entries of a type, on whichever node: refusals are noted after they are answered.
#[track_caller]
fn has_entries(vault: &Vault, kind: &str, count: usize) {
    let start = Instant::now();
    for auditor in vault.person("auditor").each() {
        while shown(&auditor, kind) < count {
            assert!(start.elapsed() < NOTED, "the log has {} entries {kind}, not {count}", shown(&auditor, kind));
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(shown(&auditor, kind), count, "{kind}");
    }
}

/// How many entries of a type the log has.
fn entries(vault: &Vault, kind: &str) -> usize {
    shown(&vault.person("auditor"), kind)
}

fn shown(auditor: &Caller, kind: &str) -> usize {
    let page = auditor.get(&format!("/v1/audit/entries?type={kind}&limit=500")).expect(200).json();
    page["items"].as_array().expect("items").len()
}
