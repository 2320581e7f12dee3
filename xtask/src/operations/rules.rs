//! Alert rules and dashboard: read by Prometheus's own `promtool`, each alert shown to fire and to keep still.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Account, file};
use crate::{run, tools};

const ALERTS: &str = "deploy/prometheus/alerts.yml";
const CASES: &str = "deploy/prometheus/alerts_test.yml";
const DASHBOARD: &str = "deploy/grafana/feedback-vault.json";
const DOCUMENT: &str = "docs/operations/metrics.md";

pub(super) fn check(account: &mut Account) {
    account.enter(texts().unwrap_or_else(|findings| findings));
    let promtool = match tools::promtool() {
        Ok(promtool) => promtool,
        Err(reason) => return account.not_run("alert rules", &reason),
    };
    let mut rules = run::command(&promtool);
    let _ = account.run({
        rules.args(["check", "rules", "--lint-fatal", ALERTS]);
        rules
    });
    let mut cases = run::command(&promtool);
    let _ = account.run({
        cases.args(["test", "rules", CASES]);
        cases
    });
    match dashboard_as_rules() {
        Ok(folder) => {
            let mut rules = run::command(&promtool);
            let _ = account.run({
                rules.args(["check", "rules", "--lint-fatal"]).arg(folder.path().join("dashboard.yml"));
                rules
            });
        }
        Err(findings) => account.enter(findings),
    }
}

/// Alerts, their cases and their documentation name the same.
fn texts() -> Result<Vec<String>, Vec<String>> {
    let (alerts, cases, document) = (file(ALERTS)?, file(CASES)?, file(DOCUMENT)?);
    Ok(findings(&alerts, &cases, &document))
}

fn findings(alerts: &str, cases: &str, document: &str) -> Vec<String> {
    let alerts = severities(alerts);
    let mut found = Vec::new();
    if alerts.is_empty() {
        found.push(format!("{ALERTS} has no alert"));
    }
    let (fires, still) = shown(cases);
    for name in alerts.keys() {
        if !fires.contains(name) {
            found.push(format!("{CASES} does not show {name} firing"));
        }
        if !still.contains(name) {
            found.push(format!("{CASES} does not show {name} keeping still"));
        }
    }
    let documented = documented(document);
    if documented != alerts {
        found.push(format!("{DOCUMENT} documents {documented:?}, {ALERTS} has {alerts:?}"));
    }
    found
}

/// Each alert with its severity.
fn severities(alerts: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut current = None;
    for line in alerts.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("- alert: ") {
            current = Some(name.to_owned());
            found.insert(name.to_owned(), "none".to_owned());
        } else if let (Some(name), Some(labels)) = (&current, line.strip_prefix("labels: {severity: ")) {
            found.insert(name.clone(), labels.trim_end_matches('}').to_owned());
        }
    }
    found
}

/// The alerts that the cases show firing, and keeping still.
fn shown(cases: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut fires, mut still) = (BTreeSet::new(), BTreeSet::new());
    let mut current = String::new();
    for line in cases.lines() {
        if let Some((_, rest)) = line.split_once("alertname: ") {
            current = rest.split([',', '}', ' ']).next().unwrap_or_default().to_owned();
        }
        if let Some((_, expected)) = line.split_once("exp_alerts: ") {
            let into = if expected.starts_with("[]") { &mut still } else { &mut fires };
            into.insert(std::mem::take(&mut current));
        }
    }
    (fires, still)
}

/// Rows such as "| `VaultDown` page | …".
fn documented(document: &str) -> BTreeMap<String, String> {
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `Vault"));
    rows.filter_map(|row| {
        let (name, rest) = row.split_once("` ")?;
        Some((format!("Vault{name}"), rest.split(' ').next()?.to_owned()))
    })
    .collect()
}

/// Every query of the dashboard as a recording rule, so that promtool parses it. Grafana's own variables, if one is ever
/// used, would have to be replaced here.
fn dashboard_as_rules() -> Result<tempfile::TempDir, Vec<String>> {
    let failed = |error: String| vec![format!("{DASHBOARD}: {error}")];
    let dashboard: Value = serde_json::from_str(&file(DASHBOARD)?).map_err(|error| failed(error.to_string()))?;
    let mut rules = String::from("groups:\n  - name: dashboard\n    rules:\n");
    let mut queries = 0;
    for panel in dashboard["panels"].as_array().into_iter().flatten() {
        let before = queries;
        for target in panel["targets"].as_array().into_iter().flatten() {
            let Some(query) = target["expr"].as_str() else { continue };
            let quoted = Value::String(query.to_owned());
            rules.push_str(&format!("      - {{record: \"query:{queries}\", expr: {quoted}}}\n"));
            queries += 1;
        }
        if queries == before {
            return Err(failed(format!("the panel {} asks nothing", panel["title"])));
        }
    }
    let folder = tempfile::tempdir().map_err(|error| failed(error.to_string()))?;
    std::fs::write(folder.path().join("dashboard.yml"), rules).map_err(|error| failed(error.to_string()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_without_a_case_or_a_row_is_a_finding() {
        let alerts = "rules:\n  - alert: VaultDown\n    expr: up == 0\n    labels: {severity: page}\n";
        let cases = "- {eval_time: 1m, alertname: VaultDown, exp_alerts: []}\n\
                     - eval_time: 4m\n  alertname: VaultDown\n  exp_alerts: [{exp_labels: {severity: page}}]\n";
        let rows = "| `VaultDown` page | no answer | look |\n";
        assert_eq!(findings(alerts, cases, rows), Vec::<String>::new());
        let only_still = cases.lines().next().unwrap_or_default();
        assert!(findings(alerts, only_still, rows)[0].contains("firing"));
        let only_fires = cases.split_once('\n').map_or("", |(_, rest)| rest);
        assert!(findings(alerts, only_fires, rows)[0].contains("still"));
        assert_eq!(findings(alerts, cases, "| `VaultDown` ticket | no answer | look |\n").len(), 1);
        assert_eq!(findings(alerts, cases, "").len(), 1);
        assert!(findings("", cases, "")[0].contains("no alert"));
    }
}
