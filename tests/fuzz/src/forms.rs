//! One thing has one form: what targets ask of every reader that says so.

/// A reader that gives back what it read, written again.
pub type Again = fn(&[u8]) -> Option<Vec<u8>>;

/// Asks that what is read is written as the same bytes, that what is refused stays refused, and that nothing may stand behind a thing or be
/// missing at its end. Says whether it was read.
pub fn one_form(bytes: &[u8], again: Again) -> bool {
    let is_read = same_bytes(bytes, again);
    if is_read {
        let longer = [bytes, &[0]].concat();
        assert!(again(&longer).is_none(), "something stands behind it");
        assert!(again(&bytes[..bytes.len() - 1]).is_none(), "its end is missing");
    }
    is_read
}

/// Asks the same of a form that may end anywhere, as one whose content fills the rest of a letter.
pub fn same_bytes(bytes: &[u8], again: Again) -> bool {
    match again(bytes) {
        Some(written) => {
            assert!(written == bytes, "one thing, one form");
            true
        }
        None => {
            assert!(again(bytes).is_none(), "what is refused stays refused");
            false
        }
    }
}

/// Asks that nothing that was signed can be changed: every eighth byte, from one that depends on the length, is refused with a bit turned.
pub fn no_bit_turns(bytes: &[u8], again: Again) {
    let mut turned = bytes.to_vec();
    for at in (bytes.len() % 8..bytes.len()).step_by(8) {
        turned[at] ^= 1 << (at % 7);
        assert!(again(&turned).is_none(), "byte {at} was changed");
        turned[at] = bytes[at];
    }
}

/// Cuts an input into parts: each is a length of two bytes, big end first, and that many bytes; the last one may be shorter.
pub fn parts(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut parts, mut rest) = (Vec::new(), bytes);
    while let Some((length, more)) = rest.split_first_chunk::<2>() {
        let (part, after) = more.split_at(usize::from(u16::from_be_bytes(*length)).min(more.len()));
        parts.push(part);
        rest = after;
    }
    parts
}

/// Joins what [`parts`] cuts.
pub fn joined<B: AsRef<[u8]>>(parts: &[B]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts.iter().map(AsRef::as_ref) {
        out.extend(u16::try_from(part.len()).expect("a part is short").to_be_bytes());
        out.extend(part);
    }
    out
}
