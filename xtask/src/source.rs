//! Rust source as the layering check reads it: without comments, literals and test modules, and
//! as a list of the paths that it names.
//!
//! A lexer and a reader of `use` trees, not a compiler: macros that build paths out of pieces
//! escape it. That is accepted; the check guards against drift, not against malice.

/// One lexical unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// An identifier or keyword.
    Word(&'a str),
    /// `::`
    Separator,
    /// Any other character that is not white space.
    Mark(char),
}

/// A path named in the source, resolved to its crate, with the line it stands on.
#[derive(Debug, PartialEq, Eq)]
pub struct NamedPath {
    pub line: usize,
    pub segments: Vec<String>,
}

/// The text with comments and literals blanked out; lines stay where they are.
pub fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let keep_lines = |out: &mut String, span: &[char]| {
        out.push(' ');
        out.extend(span.iter().filter(|c| **c == '\n'));
    };
    while let Some(&here) = chars.get(at) {
        let rest = &chars[at..];
        let end = match here {
            '/' if rest.starts_with(&['/', '/']) => Some(line_end(rest)),
            '/' if rest.starts_with(&['/', '*']) => Some(block_comment_end(rest)),
            '"' => Some(string_end(rest)),
            'r' | 'b' | 'c' if !at.checked_sub(1).and_then(|i| chars.get(i)).is_some_and(|c| is_word(*c)) => {
                prefixed_string_end(rest)
            }
            '\'' => char_end(rest),
            _ => None,
        };
        match end {
            Some(length) => {
                keep_lines(&mut out, &rest[..length]);
                at += length;
            }
            None => {
                out.push(here);
                at += 1;
            }
        }
    }
    out
}

fn line_end(rest: &[char]) -> usize {
    rest.iter().position(|c| *c == '\n').unwrap_or(rest.len())
}

fn block_comment_end(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with(&['/', '*']) {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(&['*', '/']) {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn string_end(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `r"…"`, `r#"…"#`, `b"…"`, `br"…"`, `b'…'`, `c"…"`; `None` when it is an ordinary word.
fn prefixed_string_end(rest: &[char]) -> Option<usize> {
    let prefix = rest.iter().take_while(|c| matches!(c, 'r' | 'b' | 'c')).count();
    let raw = rest[..prefix].contains(&'r');
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    match rest.get(prefix + hashes) {
        Some('"') if raw => {
            let closing: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            let from = prefix + hashes + 1;
            let end = (from..rest.len()).find(|at| rest[*at..].starts_with(&closing));
            Some(end.map_or(rest.len(), |at| at + closing.len()))
        }
        Some('"') if hashes == 0 && prefix == 1 => Some(prefix + string_end(&rest[prefix..])),
        Some('\'') if hashes == 0 && prefix == 1 && rest[0] == 'b' => {
            Some(prefix + char_end(&rest[prefix..]).unwrap_or(1))
        }
        _ => None,
    }
}

/// A character literal; `None` for a lifetime.
fn char_end(rest: &[char]) -> Option<usize> {
    match (rest.get(1)?, rest.get(2)) {
        ('\\', _) => rest.iter().skip(3).position(|c| *c == '\'').map(|at| at + 4),
        (_, Some('\'')) => Some(3),
        _ => None,
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The tokens of blanked source, each with its line, without items marked `#[cfg(test)]`.
pub fn tokens(blanked: &str) -> Vec<(usize, Token<'_>)> {
    let mut all = Vec::new();
    let mut line = 1;
    let mut rest = blanked;
    while let Some(here) = rest.chars().next() {
        let length = if is_word(here) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            all.push((line, Token::Word(&rest[..end])));
            end
        } else if rest.starts_with("::") {
            all.push((line, Token::Separator));
            2
        } else {
            line += usize::from(here == '\n');
            if !here.is_whitespace() {
                all.push((line, Token::Mark(here)));
            }
            here.len_utf8()
        };
        rest = &rest[length..];
    }
    without_test_items(all)
}

fn without_test_items(all: Vec<(usize, Token<'_>)>) -> Vec<(usize, Token<'_>)> {
    use Token::{Mark, Word};
    const MARKER: [Token<'_>; 7] = [Mark('#'), Mark('['), Word("cfg"), Mark('('), Word("test"), Mark(')'), Mark(']')];
    let mut kept = Vec::with_capacity(all.len());
    let mut at = 0;
    while at < all.len() {
        let marked = all[at..].iter().map(|(_, token)| *token).take(MARKER.len()).eq(MARKER);
        if !marked {
            kept.push(all[at]);
            at += 1;
            continue;
        }
        // The item ends at its closing brace, or at a semicolon before any brace opened.
        let mut depth = 0_usize;
        at += MARKER.len();
        while let Some((_, token)) = all.get(at) {
            at += 1;
            match token {
                Mark('{') => depth += 1,
                Mark('}') if depth <= 1 => break,
                Mark('}') => depth -= 1,
                Mark(';') if depth == 0 => break,
                _ => {}
            }
        }
    }
    kept
}

/// Every path that the tokens name. `module` is where the file stands: its crate, then its modules.
pub fn paths(tokens: &[(usize, Token<'_>)], module: &[String]) -> Vec<NamedPath> {
    let mut found = Vec::new();
    let mut inline: Vec<(String, usize)> = Vec::new();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some((line, token)) = tokens.get(at) {
        let here = || module.iter().chain(inline.iter().map(|(name, _)| name)).cloned().collect::<Vec<_>>();
        match token {
            Token::Mark('{') => depth += 1,
            Token::Mark('}') => {
                depth = depth.saturating_sub(1);
                inline.retain(|(_, opened)| *opened < depth);
            }
            Token::Word("mod") => {
                if let (Some((_, Token::Word(name))), Some((_, Token::Mark('{')))) =
                    (tokens.get(at + 1), tokens.get(at + 2))
                {
                    inline.push(((*name).to_owned(), depth));
                    at += 1;
                }
            }
            Token::Word("use") => {
                at += 1;
                let mut trees = Vec::new();
                at = use_tree(tokens, at, Vec::new(), &mut trees);
                found.extend(
                    trees.into_iter().map(|(line, path)| NamedPath { line, segments: resolved(path, &here()) }),
                );
                continue;
            }
            Token::Word(first) => {
                let follows = at.checked_sub(1).and_then(|i| tokens.get(i)).map(|(_, t)| *t);
                let begins = !matches!(follows, Some(Token::Separator | Token::Mark('.')));
                if begins && matches!(tokens.get(at + 1), Some((_, Token::Separator))) {
                    let mut path = vec![(*first).to_owned()];
                    while let (Some((_, Token::Separator)), Some((_, Token::Word(next)))) =
                        (tokens.get(at + 1), tokens.get(at + 2))
                    {
                        path.push((*next).to_owned());
                        at += 2;
                    }
                    found.push(NamedPath { line: *line, segments: resolved(path, &here()) });
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Reads one tree of a `use` from `at`; returns where it stopped.
fn use_tree(
    tokens: &[(usize, Token<'_>)],
    mut at: usize,
    mut prefix: Vec<String>,
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let mut line = tokens.get(at).map_or(0, |(line, _)| *line);
    while let Some((here, token)) = tokens.get(at) {
        match token {
            Token::Word("as") => {
                at += 1; // the new name is not a path
            }
            Token::Word(name) => {
                line = *here;
                prefix.push((*name).to_owned());
            }
            Token::Mark('*') => prefix.push("*".to_owned()),
            Token::Mark('{') => {
                loop {
                    at = use_tree(tokens, at + 1, prefix.clone(), found);
                    if !matches!(tokens.get(at), Some((_, Token::Mark(',')))) {
                        break;
                    }
                }
                return at + 1;
            }
            Token::Separator => {}
            Token::Mark(_) => break,
        }
        at += 1;
    }
    if !prefix.is_empty() {
        found.push((line, prefix));
    }
    at
}

fn resolved(path: Vec<String>, module: &[String]) -> Vec<String> {
    let mut base: Vec<String> = match path.first().map(String::as_str) {
        Some("crate") => module.iter().take(1).cloned().collect(),
        Some("self" | "super") => module.to_vec(),
        _ => return path,
    };
    let ups = path.iter().take_while(|segment| *segment == "super" || *segment == "self").collect::<Vec<_>>();
    for segment in &ups {
        if *segment == "super" {
            base.pop();
        }
    }
    let skip = if path[0] == "crate" { 1 } else { ups.len() };
    base.extend(path.into_iter().skip(skip));
    base
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(source: &str, module: &[&str]) -> Vec<String> {
        let module: Vec<String> = module.iter().map(|s| (*s).to_owned()).collect();
        let blanked = blank(source);
        paths(&tokens(&blanked), &module).into_iter().map(|p| p.segments.join("::")).collect()
    }

    #[test]
    fn use_trees_are_expanded_and_resolved() {
        let found = named(
            "use crate::{store::{Store, log as journal}, app::*};\nuse super::state::Vault;\nuse ::std::fs;",
            &["vault_server", "http", "tus"],
        );
        assert_eq!(
            found,
            [
                "vault_server::store::Store",
                "vault_server::store::log",
                "vault_server::app::*",
                "vault_server::http::state::Vault",
                "std::fs"
            ]
        );
    }

    #[test]
    fn paths_in_code_are_found_but_not_in_comments_and_literals() {
        let found = named(
            "// crate::a::b\n/* crate::c /* nested */ crate::d */ fn f<'a>(x: &'a str) -> char { \
             let _ = (\"crate::e\", r#\"crate::\"f\"#, b'\"', '\\'', 'x'); crate::g::h(x); super::i::J }",
            &["vault_server", "app"],
        );
        assert_eq!(found, ["vault_server::g::h", "vault_server::i::J"]);
    }

    #[test]
    fn super_in_an_inline_module_starts_there() {
        let found = named("mod inner { use super::a::A; } use super::b::B;", &["c", "m"]);
        assert_eq!(found, ["c::m::a::A", "c::b::B"]);
    }

    #[test]
    fn test_items_are_left_out() {
        let found = named("#[cfg(test)] mod tests { use crate::store::A; fn f() {} } use crate::app::B;", &["c"]);
        assert_eq!(found, ["c::app::B"]);
    }
}
