//! The list: what an entry has to say, and whether it says anything.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;

pub(super) const DEPTHS: [&str; 3] = ["read", "partly", "not-read"];

/// The texts of an entry, and how many words each has at least: a reason is more than a name.
const TEXTS: [(&str, usize); 9] = [
    ("purpose", 2),
    ("trust", 3),
    ("looked", 8),
    ("unread", 2),
    ("unsafe", 4),
    ("build", 4),
    ("advisories", 2),
    ("held", 2),
    ("remark", 4),
];

/// Of unsafe code, in words that the source is held to.
const FORBIDDEN: &str = "forbidden by the crate";

/// Words of those who mean to write it later.
const LATER: [&str; 5] = ["todo", "tbd", "fixme", "xxx", "placeholder"];

pub(super) struct Entry {
    pub depth: String,
    texts: BTreeMap<&'static str, String>,
    unknown: Vec<String>,
}

impl Entry {
    fn parse(raw: &toml::Table) -> Self {
        let text = |key: &str| raw.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        let known =
            |key: &str| ["name", "version", "depth"].contains(&key) || TEXTS.iter().any(|(text, _)| *text == key);
        let texts = TEXTS.iter().filter(|(key, _)| raw.contains_key(*key)).map(|(key, _)| (*key, text(key))).collect();
        let unknown = raw.keys().filter(|key| !known(key)).cloned().collect();
        Self { depth: text("depth"), texts, unknown }
    }

    /// What is wrong with it, given what the crate's source says.
    pub(super) fn gaps(&self, source: Option<Source>) -> Vec<String> {
        let mut gaps: Vec<String> = self.unknown.iter().map(|key| format!("`{key}` is no field")).collect();
        if !DEPTHS.contains(&self.depth.as_str()) {
            gaps.push("`depth` is missing or unknown".to_owned());
        }
        for (key, words) in TEXTS {
            match self.texts.get(key) {
                Some(text) if !says(text, words) => gaps.push(format!("`{key}` says nothing: {text:?}")),
                Some(_) if self.refused(key, source) => gaps.push(format!("`{key}` has nothing to be about")),
                None if self.needed(key, source) => gaps.push(format!("`{key}` is missing")),
                _ => {}
            }
        }
        if self.texts.values().any(|text| text.contains(FORBIDDEN)) && source.is_some_and(|source| !source.forbids) {
            gaps.push(format!("`{FORBIDDEN}` is said, and it is not"));
        }
        gaps
    }

    fn needed(&self, key: &str, source: Option<Source>) -> bool {
        match key {
            "looked" => self.depth != "not-read",
            "unread" => self.depth == "partly",
            "unsafe" => source.is_some_and(|source| source.has_unsafe),
            "build" => source.is_some_and(|source| source.runs),
            key => key != "remark",
        }
    }

    fn refused(&self, key: &str, source: Option<Source>) -> bool {
        match key {
            "looked" | "unread" => self.depth == "not-read",
            "unsafe" => source.is_some_and(|source| !source.has_unsafe),
            "build" => source.is_some_and(|source| !source.runs),
            _ => false,
        }
    }
}

/// Different words of two letters or more, and none that puts it off.
fn says(text: &str, words: usize) -> bool {
    let lower = text.to_lowercase();
    let found: BTreeSet<&str> =
        lower.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() >= 2).collect();
    found.len() >= words && !LATER.iter().any(|later| found.contains(later))
}

#[derive(Default)]
pub(super) struct List {
    /// By name and version.
    pub entries: BTreeMap<(String, String), Entry>,
    pub asides: BTreeSet<String>,
    /// What is wrong with the list itself.
    pub faults: Vec<String>,
}

impl List {
    /// Adds a file of the list.
    pub(super) fn add(&mut self, file: &str, text: &str) -> Result<(), String> {
        let table: toml::Table = text.parse().map_err(|error| format!("{file}: {error}"))?;
        if !table.get("reviewed").and_then(toml::Value::as_str).is_some_and(is_date) {
            self.faults.push(format!("{file}: `reviewed` is no date"));
        }
        for raw in tables(&table, "crate") {
            let text = |key: &str| raw.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned();
            let key = (text("name"), text("version"));
            let name = format!("{} {}", key.0, key.1);
            if self.entries.insert(key, Entry::parse(raw)).is_some() {
                return Err(format!("{file}: {name} stands twice"));
            }
        }
        for raw in tables(&table, "aside") {
            let text = |key: &str| raw.get(key).and_then(toml::Value::as_str).unwrap_or_default();
            if !says(text("why"), 3) {
                self.faults.push(format!("{file}: {} is set aside without a reason", text("name")));
            }
            self.asides.insert(text("name").to_owned());
        }
        Ok(())
    }

    pub(super) fn counted(&self, depth: &str) -> usize {
        self.entries.values().filter(|entry| entry.depth == depth).count()
    }
}

fn tables<'a>(table: &'a toml::Table, key: &str) -> impl Iterator<Item = &'a toml::Table> {
    table.get(key).and_then(toml::Value::as_array).into_iter().flatten().filter_map(toml::Value::as_table)
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.len() == 3
        && [4, 2, 2]
            .iter()
            .zip(&parts)
            .all(|(digits, part)| part.len() == *digits && part.chars().all(|c| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: &str = "
depth = 'read'
purpose = 'the cipher'
trust = 'kept by three people'
looked = 'all of it, against the standard: lengths, order, comparison'
advisories = 'none known'
held = 'known answers'
";

    fn gaps(text: &str, source: Source) -> Vec<String> {
        Entry::parse(&text.parse().expect("TOML")).gaps(Some(source))
    }

    #[test]
    fn an_entry_says_what_it_has_to_say() {
        let plain = Source::default();
        assert_eq!(gaps(READ, plain), Vec::<String>::new());
        for key in ["purpose", "trust", "looked", "advisories", "held", "depth"] {
            let line = READ.lines().find(|line| line.starts_with(key)).expect("a line");
            let found = gaps(&READ.replace(line, ""), plain);
            assert!(found.len() == 1 && found[0].contains(key), "{key}: {found:?}");
            for empty in
                ["", "   ", "-", "Tbd.", "todo: say what was read here, and all of it", "x x x x x x x x x", "yes"]
            {
                let found = gaps(&READ.replace(line, &format!("{key} = '{empty}'")), plain);
                assert!(found.len() == 1 && found[0].contains(key), "{key} = {empty:?}: {found:?}");
            }
        }
        assert_eq!(gaps(&format!("{READ}\nunsfae = 'none at all here'"), plain).len(), 1, "a misspelt field");
    }

    #[test]
    fn what_was_read_fits_how_far() {
        let plain = Source::default();
        let partly = READ.replace("'read'", "'partly'");
        assert!(gaps(&partly, plain).iter().any(|gap| gap.contains("unread")), "partly says what is left");
        assert!(gaps(&format!("{partly}\nunread = 'the curve'"), plain).is_empty());
        let not = READ.replace("'read'", "'not-read'");
        assert!(gaps(&not, plain).iter().any(|gap| gap.contains("looked")), "nothing was looked at");
    }

    #[test]
    fn unsafe_code_and_what_runs_while_building_are_spoken_of_where_they_are() {
        for (key, source) in [
            ("unsafe", Source { has_unsafe: true, ..Source::default() }),
            ("build", Source { runs: true, ..Source::default() }),
        ] {
            let found = gaps(READ, source);
            assert!(found.len() == 1 && found[0].contains(key), "{key}: {found:?}");
            let told = format!("{READ}\n{key} = 'one block, within its bounds'");
            assert!(gaps(&told, source).is_empty(), "{key}");
            assert_eq!(gaps(&told, Source::default()).len(), 1, "{key} of what is not there");
        }
        let claim = READ.replace("three people", "three people, no unsafe code (forbidden by the crate)");
        assert!(gaps(&claim, Source { forbids: true, ..Source::default() }).is_empty());
        assert_eq!(gaps(&claim, Source::default()).len(), 1, "a claim that the source does not make");
    }

    #[test]
    fn a_list_has_a_date_no_crate_twice_and_reasons_for_its_asides() {
        let list = |text: &str| {
            let mut list = List::default();
            list.add("a.toml", text).map(|()| list)
        };
        let crates = "reviewed = '2026-01-02'\n[[crate]]\nname = 'a'\nversion = '1'\n";
        assert!(list(crates).expect("a list").faults.is_empty());
        assert!(list(&format!("{crates}[[crate]]\nname = 'a'\nversion = '1'\n")).is_err());
        assert_eq!(list(&crates.replace("2026-01-02", "lately")).expect("a list").faults.len(), 1);
        let aside = format!("{crates}[[aside]]\nname = 'b'\nwhy = 'names of objects'\n");
        assert!(list(&aside).expect("a list").faults.is_empty());
        for why in ["why = ''", "why = ' '", "why = 'because'", ""] {
            let bare = aside.replace("why = 'names of objects'", why);
            assert_eq!(list(&bare).expect("a list").faults.len(), 1, "{why}");
        }
    }
}
