//! Active content inside a well-formed container.
//!
//! A file can be two things at once: browsers look for markup in the first bytes, PDF readers for
//! `%PDF-` in the first kilobyte, archive tools for a directory at the end. So the first kilobyte
//! and all headers, metadata and padding are searched for markup and documents, and everything is
//! searched for the end of a ZIP directory (eight fixed bytes, so samples do not make one by chance).

use memchr::memmem;

use super::Refusal;
use super::state::{InvalidState, Reader, Writer};

/// Longest pattern less one.
const CARRY: usize = 15;
/// How far content sniffers look.
const SNIFFED: u64 = 1024;

/// End of central directory of an archive that is not split: signature and disk numbers.
const ZIP_END: &[u8] = b"PK\x05\x06\0\0\0\0";

/// In lower case; compared without regard to case. Short ones need a delimiter behind them.
const MARKUP: [(&[u8], bool, &str); 10] = [
    (b"<!doctype", false, "HTML"),
    (b"<html", true, "HTML"),
    (b"<head", true, "HTML"),
    (b"<body", true, "HTML"),
    (b"<script", false, "a script"),
    (b"<iframe", false, "HTML"),
    (b"<svg", true, "SVG"),
    (b"<?xml", true, "XML"),
    (b"<?php", false, "a script"),
    (b"%pdf-", false, "PDF"),
];

#[derive(Default)]
pub(super) struct Scanner {
    /// The last bytes seen, for patterns across portions.
    carry: [u8; CARRY],
    held: usize,
    carry_structure: bool,
}

impl Scanner {
    /// Searches `bytes`, which begin at `position`.
    pub(super) fn scan(&mut self, position: u64, bytes: &[u8], in_media: bool) -> Result<(), Refusal> {
        if bytes.is_empty() {
            return Ok(());
        }
        let structure = !in_media || position < SNIFFED;
        let mut joint = [0; 2 * CARRY];
        let (held, fresh) = (self.held, bytes.len().min(CARRY));
        joint[..held].copy_from_slice(&self.carry[..held]);
        joint[held..held + fresh].copy_from_slice(&bytes[..fresh]);
        let joint = &joint[..held + fresh];
        for (piece, structure) in [(joint, structure || self.carry_structure), (bytes, structure)] {
            if memmem::find(piece, ZIP_END).is_some() {
                return Err(Refusal::ActiveContent("a ZIP archive"));
            }
            if structure && let Some(what) = find_markup(piece) {
                return Err(Refusal::ActiveContent(what));
            }
        }
        let tail = if bytes.len() >= CARRY { &bytes[bytes.len() - CARRY..] } else { joint };
        let tail = &tail[tail.len().saturating_sub(CARRY)..];
        self.held = tail.len();
        self.carry[..tail.len()].copy_from_slice(tail);
        self.carry_structure = structure;
        Ok(())
    }

    pub(super) fn save(&self, out: &mut Writer) {
        out.bytes(&self.carry[..self.held]);
        out.bool(self.carry_structure);
    }

    pub(super) fn restore(from: &mut Reader<'_>) -> Result<Self, InvalidState> {
        let bytes = from.bytes(CARRY)?;
        let mut carry = [0; CARRY];
        carry[..bytes.len()].copy_from_slice(bytes);
        Ok(Self { carry, held: bytes.len(), carry_structure: from.bool()? })
    }
}

fn find_markup(bytes: &[u8]) -> Option<&'static str> {
    memchr::memchr2_iter(b'<', b'%', bytes).find_map(|at| {
        MARKUP
            .iter()
            .find(|(pattern, delimited, _)| starts_with(&bytes[at..], pattern, *delimited))
            .map(|(.., what)| *what)
    })
}

fn starts_with(bytes: &[u8], pattern: &[u8], delimited: bool) -> bool {
    let Some((head, rest)) = bytes.split_at_checked(pattern.len()) else { return false };
    head.eq_ignore_ascii_case(pattern)
        && (!delimited || rest.first().is_some_and(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b'>' | b'/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_found_however_the_bytes_are_cut() {
        let texts = [
            &b"abc<ScRiPt>alert(1)"[..],
            b"....%PDF-1.7",
            b"x<svg onload=",
            b"<!DOCTYPE html>",
            b"aaaaPK\x05\x06\0\0\0\0aaaa",
        ];
        for text in texts {
            for cut in 0..=text.len() {
                for second in cut..=text.len() {
                    let mut scanner = Scanner::default();
                    let pieces = [&text[..cut], &text[cut..second], &text[second..]];
                    let mut at = 0;
                    let found = pieces.iter().any(|piece| {
                        let refused = scanner.scan(at, piece, false).is_err();
                        at += piece.len() as u64;
                        refused
                    });
                    assert!(found, "{:?} cut at {cut} and {second}", String::from_utf8_lossy(text));
                }
            }
        }
    }

    #[test]
    fn samples_are_searched_for_archives_only() {
        let mut scanner = Scanner::default();
        assert_eq!(scanner.scan(5000, b"<script>", true), Ok(()));
        assert_eq!(scanner.scan(6000, b"PK\x05\x06\0\0\0\0", true), Err(Refusal::ActiveContent("a ZIP archive")));
        assert_eq!(Scanner::default().scan(5000, b"PK\x05\x06\0\0\0\x01 <svgx <htmly", false), Ok(()));
        assert!(Scanner::default().scan(1000, b"<script>", true).is_err(), "the first kilobyte is always searched");
    }
}
