//! Active content inside a well-formed container.
//!
//! A file can be two things at once: browsers look for markup in the first bytes, PDF readers for
//! `%PDF-` in the first kilobyte, archive tools for a directory at the end. So the first kilobyte
//! and all headers, metadata and padding are searched for markup and documents that begin there, and everything is
//! searched for the end of a ZIP directory (eight fixed bytes, so samples do not make one by chance).

use memchr::memmem;

use super::Refusal;
use super::state::{InvalidState, Reader, Writer};

/// At least the longest pattern with its delimiter, less one.
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
    /// Which of them are searched for markup: bit n stands for byte n.
    searched: u16,
}

impl Scanner {
    /// Searches `bytes`, which begin at `position`. Markup counts where it begins, byte by byte: in what is not media, and
    /// in the first kilobyte. So the answer does not depend on how a recording is cut into portions.
    pub(super) fn scan(&mut self, position: u64, bytes: &[u8], in_media: bool) -> Result<(), Refusal> {
        if bytes.is_empty() {
            return Ok(());
        }
        let sniffed = usize::try_from(SNIFFED.saturating_sub(position)).unwrap_or(usize::MAX);
        let searched = if in_media { bytes.len().min(sniffed) } else { bytes.len() };
        let mut joint = [0; 2 * CARRY];
        let (held, fresh) = (self.held, bytes.len().min(CARRY));
        joint[..held].copy_from_slice(&self.carry[..held]);
        joint[held..held + fresh].copy_from_slice(&bytes[..fresh]);
        let joint = &joint[..held + fresh];
        let carried = |at: usize| at < held && self.searched >> at & 1 == 1;
        let archive = |bytes: &[u8]| memmem::find(bytes, ZIP_END).map(|at| (at + ZIP_END.len(), "a ZIP archive"));
        let across = [archive(joint), find_markup(joint, carried)];
        let within = [archive(bytes), find_markup(bytes, |at| at < searched)];
        let within = within.map(|found| found.map(|(end, what)| (end + held, what)));
        // Of several the one that was whole first: so the reason does not depend on the cut either.
        if let Some((_, what)) = across.into_iter().chain(within).flatten().min() {
            return Err(Refusal::ActiveContent(what));
        }
        // What is searched of the fresh bytes comes first, so its bits are the lowest of theirs.
        let bits = |count: usize| u32::MAX.checked_shr(32 - u32::try_from(count.min(32)).unwrap_or(32)).unwrap_or(0);
        let (tail, flags) = if bytes.len() >= CARRY {
            let from = bytes.len() - CARRY;
            (&bytes[from..], bits(searched.saturating_sub(from)))
        } else {
            let from = joint.len().saturating_sub(CARRY);
            (&joint[from..], (u32::from(self.searched) | bits(searched) << held) >> from)
        };
        self.held = tail.len();
        self.carry[..tail.len()].copy_from_slice(tail);
        self.searched = u16::try_from(flags & bits(tail.len())).unwrap_or(u16::MAX);
        Ok(())
    }

    pub(super) fn save(&self, out: &mut Writer) {
        out.bytes(&self.carry[..self.held]);
        out.u32(u32::from(self.searched));
    }

    pub(super) fn restore(from: &mut Reader<'_>) -> Result<Self, InvalidState> {
        let bytes = from.bytes(CARRY)?;
        let mut carry = [0; CARRY];
        carry[..bytes.len()].copy_from_slice(bytes);
        let searched = u16::try_from(from.u32()?).map_err(|_| InvalidState)?;
        if searched >> bytes.len() != 0 {
            return Err(InvalidState);
        }
        Ok(Self { carry, held: bytes.len(), searched })
    }
}

/// Where the first markup ends that begins at a place which `counts`, and what it is.
fn find_markup(bytes: &[u8], counts: impl Fn(usize) -> bool) -> Option<(usize, &'static str)> {
    memchr::memchr2_iter(b'<', b'%', bytes).filter(|at| counts(*at)).find_map(|at| {
        let found = MARKUP.iter().find(|(pattern, delimited, _)| starts_with(&bytes[at..], pattern, *delimited));
        found.map(|(pattern, delimited, what)| (at + pattern.len() + usize::from(*delimited), *what))
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

    /// Structure, then samples, then structure, with markup at every place around their borders and that of the first
    /// kilobyte: what is said of a recording does not depend on how it is cut.
    #[test]
    fn markup_counts_where_it_begins_however_the_bytes_are_cut() {
        let zones = [(0, 40, false), (40, 1100, true), (1100, 1140, false)];
        let says = |bytes: &[u8], size: usize| {
            let mut scanner = Scanner::default();
            zones.iter().any(|(start, end, in_media)| {
                let mut at = *start;
                bytes[*start..*end].chunks(size).any(|piece| {
                    let refused = scanner.scan(at as u64, piece, *in_media).is_err();
                    at += piece.len();
                    let mut saved = Writer::default();
                    scanner.save(&mut saved);
                    scanner = Scanner::restore(&mut Reader::new(&saved.into_bytes())).unwrap();
                    refused
                })
            })
        };
        for begins in (20..60).chain(1000..1120) {
            let mut bytes = vec![b' '; 1140];
            bytes[begins..begins + 7].copy_from_slice(b"<script");
            let counts = !(1024..1100).contains(&begins);
            for size in [1, 2, 5, 14, 15, 16, 100, 1140] {
                assert_eq!(says(&bytes, size), counts, "at {begins}, in portions of {size}");
            }
        }
    }
}
