//! Saving and restoring: fixed-width big-endian fields, no more.

/// Bytes that are not a saved state of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the saved state of the content check is invalid")]
pub struct InvalidState;

#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    /// At most 65,535 bytes; the states hold a few hundred.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(&bytes[..usize::from(length)]);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], InvalidState> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(InvalidState)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, InvalidState> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn bool(&mut self) -> Result<bool, InvalidState> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(InvalidState),
        }
    }

    pub(super) fn u32(&mut self) -> Result<u32, InvalidState> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, InvalidState> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// A byte string of at most `most` bytes.
    pub(super) fn bytes(&mut self, most: usize) -> Result<&'a [u8], InvalidState> {
        let length = usize::from(u16::from_be_bytes(self.array()?));
        if length > most {
            return Err(InvalidState);
        }
        let (head, rest) = self.0.split_at_checked(length).ok_or(InvalidState)?;
        self.0 = rest;
        Ok(head)
    }

    /// A count of at most `most`.
    pub(super) fn count(&mut self, most: usize) -> Result<usize, InvalidState> {
        let count = usize::from(self.u8()?);
        if count <= most { Ok(count) } else { Err(InvalidState) }
    }

    pub(super) const fn end(self) -> Result<(), InvalidState> {
        if self.0.is_empty() { Ok(()) } else { Err(InvalidState) }
    }
}
