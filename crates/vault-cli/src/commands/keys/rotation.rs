//! A rotation: planned, begun, watched, paused, throttled.

use std::time::Duration;

use indicatif::ProgressBar;
use vault_api::keys::{KeyPlan, KeyRotation, RotateKeys, RotationState, RotationStatus, Throttle};

use super::path;
use crate::client::Client;
use crate::error::Failure;
use crate::output::{Report, Table, clean, wire_name};
use crate::progress;

/// How often `--wait` and `--watch` look.
const LOOK: Duration = Duration::from_millis(500);

/// What a rotation would do.
pub fn plan(client: &Client, collection: &str, request: &RotateKeys) -> Result<Report, Failure> {
    let plan: KeyPlan = client.post(&path(collection, "/rotate")?, request)?;
    let mut table = Table::new(["operation", "version", "to", "records", "because"]);
    for one in &plan.operations {
        let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        table.row([
            one.operation.clone(),
            one.version.to_string(),
            number(one.to_version.map(u64::from)),
            number(one.records),
            one.because.clone(),
        ]);
    }
    Ok(Report::new(&plan, format!("{}nothing was done", table.render())))
}

/// Begins a rotation, and waits for its end if that is wanted.
pub fn rotate(client: &Client, collection: &str, request: &RotateKeys, wait: bool) -> Result<Report, Failure> {
    let rotation: KeyRotation = client.post(&path(collection, "/rotate")?, request)?;
    let rotation = if wait { watch(client, collection, rotation)? } else { rotation };
    Ok(Report::new(&rotation, describe(&rotation)))
}

/// The rotation under way, or the last one.
pub fn status(client: &Client, collection: &str, watched: bool) -> Result<Report, Failure> {
    let mut status = read(client, collection)?;
    status.rotation = match status.rotation {
        Some(rotation) if watched => Some(watch(client, collection, rotation)?),
        other => other,
    };
    let name = clean(&status.collection);
    let text = match &status.rotation {
        Some(rotation) => format!("{name}: {}", describe(rotation)),
        None => format!("{name}: never rotated"),
    };
    Ok(Report::new(&status, text))
}

/// Stops it for a while.
pub fn pause(client: &Client, collection: &str) -> Result<Report, Failure> {
    control(client, collection, "/rotation/pause", None)
}

/// Lets it go on.
pub fn resume(client: &Client, collection: &str) -> Result<Report, Failure> {
    control(client, collection, "/rotation/resume", None)
}

/// Sets its speed.
pub fn throttle(client: &Client, collection: &str, records_per_second: Option<u32>) -> Result<Report, Failure> {
    control(client, collection, "/rotation/throttle", Some(Throttle { records_per_second }))
}

fn control(client: &Client, collection: &str, what: &str, body: Option<Throttle>) -> Result<Report, Failure> {
    let rotation: KeyRotation = client.post(&path(collection, what)?, &body.unwrap_or_default())?;
    Ok(Report::new(&rotation, describe(&rotation)))
}

fn read(client: &Client, collection: &str) -> Result<RotationStatus, Failure> {
    client.get(&path(collection, "/rotation")?, &())
}

/// Follows a rotation to its end with a bar. A later one may begin meanwhile: then this one is over.
fn watch(client: &Client, collection: &str, mut rotation: KeyRotation) -> Result<KeyRotation, Failure> {
    let bar = progress::count(rotation.moved + rotation.remaining, "record keys moved");
    loop {
        show(&bar, &rotation);
        if rotation.state == RotationState::Done {
            break;
        }
        std::thread::sleep(LOOK);
        match read(client, collection)?.rotation {
            Some(now) if now.to_version == rotation.to_version => rotation = now,
            _ => break,
        }
    }
    bar.finish_and_clear();
    Ok(rotation)
}

fn show(bar: &ProgressBar, rotation: &KeyRotation) {
    bar.set_length(rotation.moved + rotation.remaining);
    bar.set_position(rotation.moved);
    bar.set_message(match rotation.state {
        RotationState::Paused => "paused: record keys moved",
        RotationState::Running | RotationState::Done => "record keys moved",
    });
}

fn describe(rotation: &KeyRotation) -> String {
    let mut text = format!(
        "from version {} to {} ({}): {}, {} record keys moved, {} to move",
        rotation.from_version,
        rotation.to_version,
        clean(&rotation.because),
        wire_name(&rotation.state),
        rotation.moved,
        rotation.remaining.saturating_sub(rotation.damaged)
    );
    if rotation.damaged > 0 {
        text.push_str(&format!(", {} damaged: see keys verify", rotation.damaged));
    }
    if rotation.moved > 0 {
        text.push_str(&format!(", {} a second", rotation.per_second));
    }
    if let Some(throttle) = rotation.throttle {
        text.push_str(&format!(" (at most {throttle})"));
    }
    if let Some(seconds) = rotation.seconds_left {
        text.push_str(&format!(", about {seconds} s left"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_is_told_in_one_line() {
        let mut rotation = KeyRotation {
            from_version: 1,
            to_version: 2,
            state: RotationState::Running,
            because: "requested".to_owned(),
            moved: 100,
            remaining: 20,
            damaged: 0,
            throttle: Some(50),
            per_second: 40,
            seconds_left: Some(1),
            started_at: String::new(),
            updated_at: String::new(),
            finished_at: None,
        };
        let said = "from version 1 to 2 (requested): running, 100 record keys moved, 20 to move, 40 a second (at most 50), \
                    about 1 s left";
        assert_eq!(describe(&rotation), said);
        rotation =
            KeyRotation { state: RotationState::Done, damaged: 20, throttle: None, seconds_left: None, ..rotation };
        let said = "from version 1 to 2 (requested): done, 100 record keys moved, 0 to move, 20 damaged: see keys verify, \
                    40 a second";
        assert_eq!(describe(&rotation), said);
    }
}
