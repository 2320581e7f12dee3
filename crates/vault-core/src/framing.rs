//! Framed byte strings for associated data and key derivation (`docs/format.md` §1).
//!
//! Every field carries its length, so no two different lists of fields make the same bytes: that
//! is what keeps a wrap for one record from opening as a wrap for another.

/// `label` and `fields`, each behind its length as four big-endian bytes.
///
/// The label names format and purpose (`feedback-vault/v1/record-wrap`) and separates domains.
///
/// ```
/// use vault_core::framing::framed;
///
/// assert_eq!(framed("x", &[b"ab"]), [0, 0, 0, 1, b'x', 0, 0, 0, 2, b'a', b'b']);
/// assert_ne!(framed("x", &[b"ab", b"c"]), framed("x", &[b"a", b"bc"]));
/// ```
///
/// # Panics
/// When a field is 4 GiB or longer; callers frame identifiers and short texts.
#[must_use]
pub fn framed(label: &str, fields: &[&[u8]]) -> Vec<u8> {
    let total = fields.iter().map(|f| f.len() + 4).sum::<usize>() + label.len() + 4;
    let mut out = Vec::with_capacity(total);
    for field in core::iter::once(label.as_bytes()).chain(fields.iter().copied()) {
        let Ok(len) = u32::try_from(field.len()) else { panic!("a framed field is shorter than 4 GiB") };
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(field);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_byte_between_fields_changes_the_frame() {
        assert_ne!(framed("x", &[b"ab", b"c"]), framed("x", &[b"a", b"bc"]));
        assert_ne!(framed("x", &[b"ab"]), framed("x", &[b"ab", b""]));
        assert_ne!(framed("xa", &[b"b"]), framed("x", &[b"ab"]));
    }
}
