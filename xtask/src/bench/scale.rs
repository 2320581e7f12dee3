//! `scale`: pages of `GET /v1/records` with filters, of a vault that holds a million records.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use super::client::Connection;
use super::figure::{Bound, Figure, percentile, rounded};
use super::stage::{Stage, storage};
use crate::run;

const RECORDS: u64 = 1_000_000;
const PAGE: usize = 100;
const LIMIT_MS: f64 = 50.0;
const ROUNDS: usize = 5;
/// Pages in a round: as many of each filter.
const PAGES: usize = 200;

/// The 95th percentile of a page, against 50 ms.
pub fn measure(programs: &Path) -> Result<Figure, String> {
    let mut stage = Stage::start(programs)?;
    let database = format!("sqlite://{}", stage.vault.data.join("vault.db").display());
    stage.vault.pause()?;
    let mut fill = run::command(programs.join("examples/bench_server"));
    fill.args(["fill", &database, stage.vault.told("collection"), &RECORDS.to_string()]);
    let started = Instant::now();
    run::output(fill)?;
    let filled = started.elapsed().as_secs_f64();
    stage.vault.resume()?;

    let bearer = format!("Bearer {}", stage.token("analyst"));
    let mut connection = Connection::open(&stage.host())?;
    let mut chance = 0x5eed_u64;
    let (mut ours, mut worst) = (Vec::new(), vec![0.0_f64; FILTERS]);
    for round in 0..=ROUNDS {
        let mut pages = Vec::new();
        for page in 0..PAGES {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let path = format!("/v1/records?limit={PAGE}&{}", filter(page % FILTERS, chance >> 33));
            let started = Instant::now();
            connection.begin("GET", &path, &[("authorization", &bearer)], 0)?;
            let head = connection.head()?;
            let body = connection.body(&head)?;
            let took = started.elapsed().as_secs_f64() * 1e3;
            let items =
                serde_json::from_slice::<Value>(&body).ok().and_then(|page| Some(page["items"].as_array()?.len()));
            // A filter that finds less than a page would be measured for what it is not.
            if head.status != 200 || items != Some(PAGE) {
                return Err(format!("GET {path}: {} with {items:?} records", head.status));
            }
            pages.push(took);
            if round > 0 {
                worst[page % FILTERS] = worst[page % FILTERS].max(took);
            }
        }
        if round > 0 {
            ours.push(percentile(&pages, 0.95));
        }
    }
    let shown: Vec<String> = (0..FILTERS).map(|kind| filter(kind, 1 << 20)).collect();
    let about = json!({
        "records": RECORDS, "page": PAGE, "pages_a_round": PAGES, "reading": "95th percentile of a round's pages",
        "filters": shown, "worst_ms_of_each": worst.into_iter().map(rounded).collect::<Vec<_>>(),
        "seconds_to_fill": rounded(filled), "storage": storage(stage.folder.path()), "engine": "SQLite", "peer": "the limit",
    });
    Ok(Figure {
        name: "scale".to_owned(),
        unit: "ms".to_owned(),
        bound: Bound::AtMost(1.0),
        ours,
        peer: vec![LIMIT_MS],
        about,
    })
}

const FILTERS: usize = 6;

/// A filter of this kind, at a place that `chance` names. Records are spread over 2026 (`bench_server fill`).
fn filter(kind: usize, chance: u64) -> String {
    let month = 1 + chance % 11;
    // Not the first of January, before which there is nothing.
    let day = 2 + chance / 16 % 26;
    let on = format!("2026-{month:02}-{day:02}T00:00:00Z");
    let next = format!("2026-{month:02}-{:02}T00:00:00Z", day + 1);
    let much_later = format!("2026-{:02}-{day:02}T00:00:00Z", month + 1);
    match kind {
        0 => "state=available&kind=video".to_owned(),
        1 => format!("kind=audio&received_from={on}&received_until={next}"),
        2 => format!("state=available&received_until={on}"),
        3 => "state=restricted".to_owned(),
        4 => format!("state=erased&kind=audio&received_from={on}&received_until={much_later}"),
        _ => format!("collection=demo&state=restricted&kind=audio&received_until={much_later}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_name_days_that_there_are() {
        for chance in 0..10_000 {
            for kind in 0..FILTERS {
                let text = filter(kind, chance);
                for date in text.split("2026-").skip(1) {
                    let (month, day): (u32, u32) =
                        (date[..2].parse().expect("a month"), date[3..5].parse().expect("a day"));
                    assert!((1..=12).contains(&month) && (1..=28).contains(&day), "{text}");
                }
            }
        }
    }
}
