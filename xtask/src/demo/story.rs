//! The story, one paragraph for each step.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::vault::{Vault, write_private};
use super::{disk, http};
use crate::run;

const PURPOSE: &str = "service-improvement";
const REASON: &str = "Hear what the customer said about the delivery";
const CASE: &str = "C-2026-118";
/// What the log must tell of all this.
const ACTS: [&str; 6] =
    ["upload.completed", "access.requested", "access.approved", "playback.opened", "playback.closed", "access.revoked"];
/// How long a revocation may take to bite (promise 6).
const BITE: Duration = Duration::from_secs(1);

/// Tells it, checking each sentence.
pub fn tell(vault: &Vault, folder: &Path) -> Result<(), String> {
    let path = run::root().join("tests/fixtures/media/chromium-video.webm");
    let file = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;

    let record = upload(vault, folder, &path, &file)?;
    let request = ask(vault, &record)?;
    approve(vault, &request)?;
    let session = play(vault, &request, &file)?;
    revoke(vault, &request, &session)?;
    at_rest(vault, &file)?;
    verify(vault, folder)
}

fn upload(vault: &Vault, folder: &Path, path: &Path, file: &[u8]) -> Result<String, String> {
    let consent = folder.join("consent.json");
    let given = json!({
        "notice_sha256": vault.told("notice_sha256"), "purposes": [PURPOSE], "given_at": "2026-01-15T10:00:00Z",
    });
    write_private(&consent, &given.to_string())?;
    let start = Instant::now();
    let said = vault.cli(
        "uploader",
        &[
            "upload",
            &path.to_string_lossy(),
            "--collection",
            vault.told("collection"),
            "--consent",
            &consent.to_string_lossy(),
        ],
    )?;
    let record = text(&said, "record_id")?;
    println!(
        "\n1. Upload. The widget sends {}, a browser's recording of {}, by tus, with the respondent's consent",
        name(path),
        bytes(file.len())
    );
    println!("   to the exact notice that was shown. After {} it is record {record}.", took(start));
    Ok(record)
}

fn ask(vault: &Vault, record: &str) -> Result<String, String> {
    let said = vault.cli(
        "analyst",
        &[
            "access",
            "request",
            record,
            "--purpose",
            PURPOSE,
            "--reason",
            REASON,
            "--case-number",
            CASE,
            "--right",
            "view",
            "--right",
            "export",
        ],
    )?;
    let request = text(&said, "id")?;
    let early = open_session(vault, &request)?;
    must(early.status >= 400, "a session opened before the approval")?;
    let alone = vault.request(
        "POST",
        &format!("/v1/access-requests/{request}/approve"),
        Some("analyst"),
        &[],
        Some(&json!({})),
    )?;
    must(alone.status >= 400, "the analyst approved their own request")?;
    println!("\n2. Access request. The analyst asks for it, for the purpose {PURPOSE}, with a reason and case {CASE}.");
    println!("   Playing it now is refused: {}. Approving it alone too: {}.", early.spelled(), alone.spelled());
    Ok(request)
}

fn approve(vault: &Vault, request: &str) -> Result<(), String> {
    let said = vault.cli("approver", &["access", "approve", request, "--comment", "Within the procedure"])?;
    println!(
        "\n3. Approval. Another person, the privacy officer, approves: grant {}, until {}.",
        text(&said, "grant_id")?,
        text(&said, "expires_at")?
    );
    Ok(())
}

fn open_session(vault: &Vault, request: &str) -> Result<http::Answer, String> {
    let path = format!("/v1/access-requests/{request}/sessions");
    vault.request("POST", &path, Some("analyst"), &[], Some(&json!({"representation": "original"})))
}

fn play(vault: &Vault, request: &str, file: &[u8]) -> Result<String, String> {
    let start = Instant::now();
    let opened = open_session(vault, request)?;
    must(opened.status == 201, &format!("opening a session answered {}", opened.spelled()))?;
    let url = text(&opened.json()?, "playback_url")?;
    println!(
        "\n4. Playback. A session is open after {}: `playback.opened` is in the log, under a signed checkpoint,",
        took(start)
    );
    println!("   before the first byte can be decrypted. The analyst's player seeks:");

    let (length, half) = (file.len(), file.len() / 2);
    let seeks = [
        (format!("bytes=0-{}", 65_535), 0..65_536),
        (format!("bytes={half}-{}", half + 99_999), half..half + 100_000),
        ("bytes=-1000".to_owned(), length - 1000..length),
        ("bytes=1-1".to_owned(), 1..2),
    ];
    for (range, expected) in seeks {
        let start = Instant::now();
        let answer = vault.request("GET", &url, Some("analyst"), &[("range", &range)], None)?;
        must(answer.status == 206, &format!("Range {range} answered {}", answer.spelled()))?;
        must(answer.body == file[expected.clone()], &format!("Range {range} is not what was recorded"))?;
        let content_range = answer.header("content-range").unwrap_or_default().to_owned();
        println!(
            "     {range:<22} 206  {content_range:<28} {:>10}  {:>8}  as recorded",
            bytes(answer.body.len()),
            took(start)
        );
    }
    let start = Instant::now();
    let whole = vault.request("GET", &url, Some("analyst"), &[], None)?;
    must(whole.status == 200 && whole.body == file, "the whole recording is not what was uploaded")?;
    println!(
        "     {:<22} 200  {:<28} {:>10}  {:>8}  byte for byte",
        "(all of it)",
        "",
        bytes(whole.body.len()),
        took(start)
    );

    let nobody = vault.request("GET", &url, None, &[], None)?;
    let other = vault.request("GET", &url, Some("approver"), &[], None)?;
    must(nobody.status == 404 || nobody.status == 401, "the address alone plays")?;
    must(other.status >= 400, "another person's token plays")?;
    println!(
        "   The same address without a token: {}. With the approver's token: {}.",
        nobody.spelled(),
        other.spelled()
    );
    let closed = vault.request("DELETE", &url, Some("analyst"), &[], None)?;
    must(closed.status == 204, &format!("ending the session answered {}", closed.spelled()))?;
    println!("   The analyst ends the session; `playback.closed` narrows the log to the ranges that were served.");

    let second = open_session(vault, request)?;
    must(second.status == 201, &format!("a second session answered {}", second.spelled()))?;
    text(&second.json()?, "playback_url")
}

fn revoke(vault: &Vault, request: &str, url: &str) -> Result<(), String> {
    let before = vault.request("GET", url, Some("analyst"), &[("range", "bytes=0-9")], None)?;
    must(before.status == 206, &format!("the second session answered {}", before.spelled()))?;
    let known = vault.request("GET", &format!("/v1/access-requests/{request}"), Some("approver"), &[], None)?.json()?;
    let grant = text(&known, "grant_id")?;
    vault.cli("approver", &["access", "revoke", &grant, "--reason", "Shown for the demonstration"])?;
    let start = Instant::now();
    let refused = loop {
        let answer = vault.request("GET", url, Some("analyst"), &[("range", "bytes=0-9")], None)?;
        if answer.status >= 400 {
            break answer;
        }
        must(start.elapsed() < BITE, "a revoked grant still plays after a second")?;
    };
    println!(
        "\n5. Revocation. A second session plays; the approver revokes the grant; {} later its next request is refused: {}.",
        took(start),
        refused.spelled()
    );
    Ok(())
}

fn at_rest(vault: &Vault, file: &[u8]) -> Result<(), String> {
    let look = disk::look(&vault.data, file, &[REASON, CASE, "chromium-video"])?;
    must(look.parts.0 > 0, "no part of the recording on disk: the search looked in the wrong place")?;
    if !look.found.is_empty() {
        return Err(format!("the recording, its name or its reason lies in the clear in {:?}", look.found));
    }
    println!(
        "\n6. At rest. The recording lies in {} part{} of {} in all, {} more than was recorded; the whole data",
        look.parts.0,
        if look.parts.0 == 1 { "" } else { "s" },
        bytes(look.parts.1 as usize),
        bytes((look.parts.1 as usize).saturating_sub(file.len()))
    );
    println!(
        "   directory is {} files, {}. A search of each for {} pieces of the recording, its filename, the reason and",
        look.all.0,
        bytes(look.all.1 as usize),
        look.samples - 3
    );
    println!("   the case number finds nothing. (The same search finds every piece in the original.)");
    Ok(())
}

fn verify(vault: &Vault, folder: &Path) -> Result<(), String> {
    let bundle = folder.join("audit-bundle");
    let shown = bundle.to_string_lossy().into_owned();
    vault.cli("auditor", &["audit", "export", "--out", &shown])?;
    let key = vault.told("log_public_key");
    let arguments = ["audit", "verify", "--public-key", key, "--bundle", &shown];
    let start = Instant::now();
    let said: Value =
        serde_json::from_str(&run::output(vault.bare_cli(&arguments))?).map_err(|error| error.to_string())?;
    println!(
        "\n7. Audit. The auditor exports the log and verifies it offline, with nothing but the public key, in {}:",
        took(start)
    );
    must(said["verified"] == true, &format!("the log does not verify: {said}"))?;
    let (size, slots) = (&said["tree_size"], &said["slots"]);
    println!("     {size} entries, each included in the signed tree of {size}; root {}", text(&said, "root")?);
    println!(
        "     what they commit to: {} openings read and matching, {} withheld, {} erased, {} missing; findings: {}",
        slots["opened"], slots["withheld"], slots["erased"], slots["missing"], said["findings_total"]
    );
    let mut exported = std::fs::read(&bundle).map_err(|error| error.to_string())?;
    for act in ACTS {
        must(position(&exported, act).is_some(), &format!("the log does not speak of {act}"))?;
    }
    println!("     in it: {}", ACTS.join(", "));

    // As long as the word that it replaces, so that nothing else of the file changes.
    let at = position(&exported, "playback.opened").ok_or("the log does not speak of playback.opened")?;
    exported[at..at + 15].copy_from_slice(b"playback.denied");
    std::fs::write(&bundle, exported).map_err(|error| error.to_string())?;
    let status = vault.bare_cli(&arguments).output().map_err(|error| error.to_string())?.status;
    must(
        status.code() == Some(3),
        &format!("a forged log: verification ended with {status} instead of a finding (3)"),
    )?;
    println!("   One word of one entry forged in the exported copy: verification ends with a finding (exit 3).");
    Ok(())
}

fn position(bytes: &[u8], text: &str) -> Option<usize> {
    bytes.windows(text.len()).position(|piece| piece == text.as_bytes())
}

fn must(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

fn text(value: &Value, member: &str) -> Result<String, String> {
    value[member].as_str().map(str::to_owned).ok_or_else(|| format!("no `{member}` in {value}"))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn took(start: Instant) -> String {
    let time = start.elapsed();
    if time < Duration::from_secs(1) {
        format!("{:.1} ms", time.as_secs_f64() * 1e3)
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

/// `244,419 B`
fn bytes(count: usize) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{grouped} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_grouped() {
        assert_eq!(
            [bytes(0), bytes(999), bytes(244_419), bytes(1_000_000)],
            ["0 B", "999 B", "244,419 B", "1,000,000 B"]
        );
    }
}
