//! The driver: hands a walker as many bytes as it asks for, however they come in, and passes
//! over what it need not see. It holds a few hundred bytes at most.

use super::scan::Scanner;
use super::state::{InvalidState, Reader, Writer};
use super::{Refusal, Tracks};

/// The most bytes a walker may ask to see at once: an Ogg page's header and the first of its payload.
pub(super) const MAX_AHEAD: usize = 320;

/// No recording comes near this; sums of sizes below it cannot overflow.
const MAX_POSITION: u64 = 1 << 60;

const TOO_LONG: Refusal = Refusal::Malformed("an impossible length");

/// What kind of bytes are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    /// Headers, metadata, padding: searched for active content.
    Structure,
    /// Samples and tables of numbers, where any byte sequence may occur.
    Media,
}

/// What a walker does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Show at least this many bytes from here on.
    Need(usize),
    /// The next `length` bytes, at least one, are understood.
    Take { length: u64, zone: Zone },
    /// Everything from here on, however much comes, is samples.
    Rest,
}

/// A container's structure.
pub(super) trait Walker {
    /// Looks at the bytes from position `at` on, as many as it has asked for so far.
    fn step(&mut self, at: u64, ahead: &[u8]) -> Result<Step, Refusal>;
    /// The recording ends at `at`, which is between two elements.
    fn finish(&mut self, at: u64) -> Result<Tracks, Refusal>;
    fn save(&self, out: &mut Writer);
}

#[derive(Default)]
pub(super) struct Feed {
    /// Bytes shown to the walker and not understood yet.
    ahead: Vec<u8>,
    /// Bytes still to pass over.
    skip: u64,
    /// Everything to come is to be passed over.
    rest: bool,
    in_media: bool,
    /// Where `ahead` begins.
    position: u64,
    scanner: Scanner,
}

impl Feed {
    pub(super) const fn taken(&self) -> u64 {
        self.position + self.ahead.len() as u64
    }

    pub(super) fn push(&mut self, walker: &mut impl Walker, mut bytes: &[u8]) -> Result<(), Refusal> {
        while !bytes.is_empty() {
            if self.rest {
                return self.pass(bytes);
            }
            if self.skip > 0 {
                let here = usize::try_from(self.skip).map_or(bytes.len(), |skip| skip.min(bytes.len()));
                let (passed, rest) = bytes.split_at(here);
                self.pass(passed)?;
                self.skip -= here as u64;
                bytes = rest;
                continue;
            }
            match walker.step(self.position, &self.ahead)? {
                Step::Need(count) => {
                    // A walker that asks for what it has, or for more than the bound, would never end.
                    if count <= self.ahead.len() || count > MAX_AHEAD {
                        return Err(Refusal::Malformed("an element's header is too long"));
                    }
                    let here = (count - self.ahead.len()).min(bytes.len());
                    self.ahead.extend_from_slice(&bytes[..here]);
                    bytes = &bytes[here..];
                }
                Step::Take { length, zone } => self.take(length, zone)?,
                Step::Rest => self.take_rest()?,
            }
        }
        // What the last bytes complete is understood now, so that a refusal comes with them.
        while self.skip == 0 && !self.ahead.is_empty() {
            match walker.step(self.position, &self.ahead)? {
                Step::Need(_) => break,
                Step::Take { length, zone } => self.take(length, zone)?,
                Step::Rest => self.take_rest()?,
            }
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, walker: &mut impl Walker) -> Result<Tracks, Refusal> {
        match (self.taken(), self.skip, self.ahead.is_empty()) {
            (0, ..) => Err(Refusal::Empty),
            (_, 0, true) => walker.finish(self.position),
            _ => Err(Refusal::Truncated),
        }
    }

    fn take(&mut self, length: u64, zone: Zone) -> Result<(), Refusal> {
        if length == 0 || length > MAX_POSITION {
            return Err(TOO_LONG);
        }
        self.in_media = zone == Zone::Media;
        let here = usize::try_from(length).map_or(self.ahead.len(), |length| length.min(self.ahead.len()));
        let end = self.end_of(here)?;
        self.scanner.scan(self.position, &self.ahead[..here], self.in_media)?;
        self.ahead.drain(..here);
        self.position = end;
        self.skip = length - here as u64;
        Ok(())
    }

    fn take_rest(&mut self) -> Result<(), Refusal> {
        self.rest = true;
        self.in_media = true;
        let ahead = core::mem::take(&mut self.ahead);
        self.pass(&ahead)
    }

    fn pass(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let end = self.end_of(bytes.len())?;
        self.scanner.scan(self.position, bytes, self.in_media)?;
        self.position = end;
        Ok(())
    }

    /// Where the next `count` bytes end.
    fn end_of(&self, count: usize) -> Result<u64, Refusal> {
        let end = self.position.checked_add(count as u64).filter(|end| *end <= MAX_POSITION);
        end.ok_or(TOO_LONG)
    }

    pub(super) fn save(&self, out: &mut Writer) {
        out.bytes(&self.ahead);
        out.u64(self.skip);
        out.bool(self.rest);
        out.bool(self.in_media);
        out.u64(self.position);
        self.scanner.save(out);
    }

    pub(super) fn restore(from: &mut Reader<'_>) -> Result<Self, InvalidState> {
        let ahead = from.bytes(MAX_AHEAD)?.to_vec();
        let (skip, rest, in_media, position) = (from.u64()?, from.bool()?, from.bool()?, from.u64()?);
        if position > MAX_POSITION || skip > MAX_POSITION || (skip > 0 && !ahead.is_empty()) {
            return Err(InvalidState);
        }
        Ok(Self { ahead, skip, rest, in_media, position, scanner: Scanner::restore(from)? })
    }
}
