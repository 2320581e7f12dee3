//! Promises and the tests that carry their numbers: what documents name exists, and which promise has no test yet.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::run::{self, Outcome};

/// As the design counts them (README, "What it promises").
const PROMISES: std::ops::RangeInclusive<u32> = 1..=12;

/// Where tests without a number are cited too.
const THREAT_MODEL: &str = "docs/threat-model.md";

/// The step.
pub fn check() -> Outcome {
    let mut git = run::command("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs", "*.js", "*.ts", "*.md"]);
    let listed = match run::output(git) {
        Ok(listed) => listed,
        Err(error) => return Outcome::Skipped(format!("needs git to list the files: {error}")),
    };
    let root = run::root();
    let (mut tests, mut named, mut functions) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
    for path in listed.lines() {
        let Ok(text) = std::fs::read_to_string(root.join(path)) else { continue };
        if Path::new(path).extension().is_some_and(|extension| extension == "md") {
            // CONTRIBUTING explains the form with an example of it; that one has to exist, too.
            named.extend(names(&text).into_iter().map(|(line, name)| (path.to_owned(), line, name)));
        } else {
            tests.extend(defined(&text));
            functions.extend(text.lines().filter_map(function).map(str::to_owned));
        }
    }
    let mut counts: BTreeMap<u32, usize> = PROMISES.map(|number| (number, 0)).collect();
    for number in tests.iter().filter_map(|name| number(name)) {
        *counts.entry(number).or_default() += 1;
    }
    let shown: Vec<String> = counts.iter().map(|(number, count)| format!("{number}: {count}")).collect();
    println!("    tests that carry a promise's number: {}", shown.join(", "));
    let mut found = findings(&tests, &named);
    let model = std::fs::read_to_string(root.join(THREAT_MODEL)).unwrap_or_default();
    let missing = cited(&model).into_iter().filter(|(_, name)| !functions.contains(name));
    found.extend(missing.map(|(line, name)| format!("{THREAT_MODEL}:{line}: there is no test {name}")));
    Outcome::of_findings(&found)
}

fn findings(tests: &BTreeSet<String>, named: &[(String, usize, String)]) -> Vec<String> {
    let unknown = tests.iter().filter(|name| number(name).is_none_or(|n| !PROMISES.contains(&n)));
    let mut found: Vec<String> = unknown.map(|name| format!("{name} carries the number of no promise")).collect();
    for (path, line, name) in named {
        if !tests.contains(name) {
            found.push(format!("{path}:{line}: there is no test {name}"));
        }
    }
    found
}

/// The promise that a test's name carries.
fn number(name: &str) -> Option<u32> {
    name.strip_prefix('p')?.split('_').next()?.parse().ok()
}

/// Names like `p4_…` in a text, with their lines.
fn names(text: &str) -> Vec<(usize, String)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for word in line.split(|c| !is_word(c)) {
            if number(word).is_some() && word.contains('_') {
                found.push((at + 1, word.to_owned()));
            }
        }
    }
    found
}

/// The function that a line begins to define.
fn function(line: &str) -> Option<&str> {
    let rest = line.trim_start().trim_start_matches("async ").strip_prefix("fn ")?;
    rest.split('(').next()
}

/// Functions whose names begin like those of tests of promises.
fn defined(text: &str) -> Vec<String> {
    let numbered = |name: &&str| number(name).is_some() && name.contains('_');
    text.lines().filter_map(function).filter(numbered).map(str::to_owned).collect()
}

/// What a text cites in backticks as the name of a test: a sentence of five words or more, with their lines.
fn cited(text: &str) -> Vec<(usize, String)> {
    let is_name = |word: &&str| {
        word.matches('_').count() >= 4 && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let of_line = |(at, line): (usize, &str)| -> Vec<(usize, String)> {
        line.split('`').skip(1).step_by(2).filter(is_name).map(|word| (at + 1, word.to_owned())).collect()
    };
    text.lines().enumerate().flat_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_text_cites_as_a_test_is_found() {
        let text =
            "see `a_test_of_something_else`, `sessions_per_person`,\n`p1_a_b_c_d` and an_unquoted_name_of_a_test";
        let cited = cited(text);
        assert_eq!(cited, [(1, "a_test_of_something_else".to_owned()), (2, "p1_a_b_c_d".to_owned())]);
        assert_eq!(function("    async fn what_it_is(x: u8) {"), Some("what_it_is"));
    }

    #[test]
    fn tests_and_their_mentions_are_matched() {
        let tests: BTreeSet<String> =
            defined("  fn p4_nothing_else() {}\nasync fn p99_odd() {}\nfn p() {}").into_iter().collect();
        let named = names("see `p4_nothing_else` and\n`p5_not_there`, p12 and p_x");
        let named: Vec<_> = named.into_iter().map(|(line, name)| ("a.md".to_owned(), line, name)).collect();
        assert_eq!(
            findings(&tests, &named),
            ["p99_odd carries the number of no promise", "a.md:2: there is no test p5_not_there"]
        );
    }
}
