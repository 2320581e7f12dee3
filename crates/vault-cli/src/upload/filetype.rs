//! What to claim as `filetype`. A courtesy to the user: the vault recognises for itself, and refuses
//! a claim that does not fit.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// How much of the file's beginning and end is looked at. Tracks stand in the first kilobytes of
/// recordings made in browsers; MP4 files of other origin may carry them at the end.
const LOOK: u64 = 256 * 1024;

/// The content type of a recording, from its bytes.
pub fn recognise(file: &mut File) -> io::Result<Option<&'static str>> {
    let size = file.metadata()?.len();
    let mut bytes = Vec::new();
    file.by_ref().take(LOOK).read_to_end(&mut bytes)?;
    let head = bytes.len().min(16);
    if size > LOOK {
        file.seek(SeekFrom::Start(size.saturating_sub(LOOK).max(LOOK)))?;
        file.by_ref().take(LOOK).read_to_end(&mut bytes)?;
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(of_bytes(&bytes, head))
}

fn of_bytes(bytes: &[u8], head: usize) -> Option<&'static str> {
    let begins = |magic: &[u8]| bytes.get(..head).is_some_and(|start| start.starts_with(magic));
    let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    if begins(&[0x1a, 0x45, 0xdf, 0xa3]) {
        // Codec identifiers of Matroska: those of video tracks begin with V_.
        let video = [b"V_VP8".as_slice(), b"V_VP9", b"V_AV1", b"V_MPEG", b"V_MS/"].into_iter().any(holds);
        return Some(if video { "video/webm" } else { "audio/webm" });
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        return Some(if holds(b"vide") { "video/mp4" } else { "audio/mp4" });
    }
    if begins(b"OggS") {
        return Some(if holds(b"\x80theora") { "video/ogg" } else { "audio/ogg" });
    }
    if begins(b"RIFF") && bytes.get(8..12) == Some(b"WAVE") {
        return Some("audio/wav");
    }
    // ID3v2, or the frame sync of MPEG layer III.
    let frame = matches!(bytes, [0xff, second, ..] if second & 0xe6 == 0xe2);
    (begins(b"ID3") || frame).then_some("audio/mpeg")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recordings_at_hand() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/media/");
        for (name, expected) in [
            ("chromium-video.webm", "video/webm"),
            ("chromium-voice.webm", "audio/webm"),
            ("chromium-video.mp4", "video/mp4"),
        ] {
            let mut file = File::open(format!("{folder}{name}")).unwrap();
            assert_eq!(recognise(&mut file).unwrap(), Some(expected), "{name}");
            assert_eq!(file.stream_position().unwrap(), 0);
        }
    }

    #[test]
    fn other_kinds_by_their_first_bytes() {
        let of = |bytes: &[u8]| of_bytes(bytes, bytes.len());
        assert_eq!(of(b"RIFF\0\0\0\0WAVEfmt "), Some("audio/wav"));
        assert_eq!(of(b"OggS\0\x02"), Some("audio/ogg"));
        assert_eq!(of(b"ID3\x04"), Some("audio/mpeg"));
        assert_eq!(of(&[0xff, 0xfb, 0x90, 0x00]), Some("audio/mpeg"));
        assert_eq!(of(b"<html>"), None);
        assert_eq!(of(b""), None);
    }
}
