//! Varints: numbers of up to 64 bits, seven of them a byte, the lowest first. The
//! highest bit of each byte but the last is set.

use super::WireFault;

/// Longest encoding of a 64-bit varint, in bytes.
pub const VARINT_BYTES_MAX: usize = 10;

/// Reads the first varint of `rest`. Keys and lengths usually have one byte, and rarely more than
/// two.
#[inline(always)]
pub fn read_varint(rest: &mut &[u8]) -> Result<u64, WireFault> {
    let (number, after) = match **rest {
        [byte, ref after @ ..] if byte < 0x80 => (u64::from(byte), after),
        [low, high, ref after @ ..] if high < 0x80 => {
            (u64::from(low & 0x7f) | u64::from(high) << 7, after)
        }
        _ => {
            // Passed by value, so that the caller can keep `rest` in registers.
            let (number, length) = long_varint(rest);
            match rest.split_at_checked(length) {
                Some((read, after)) if !read.is_empty() => (number, after),
                _ => return Err(varint_fault(rest)),
            }
        }
    };
    *rest = after;
    Ok(number)
}

/// The first varint of `bytes` and its length; the length is 0 if there is none. Up to eight bytes
/// are read as one word, from which the highest bit of each byte is removed in steps: pairs of
/// bytes, pairs of these, and both halves.
pub(super) fn long_varint(bytes: &[u8]) -> (u64, usize) {
    const MORE: u64 = 0x8080_8080_8080_8080;
    let word = match (bytes.first_chunk::<8>(), bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(word), ..) => u64::from_le_bytes(*word),
        // Both have the same bytes where they overlap.
        (None, Some(first), Some(last)) => {
            let behind = 8 * (bytes.len() - last.len());
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << behind
        }
        _ => bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    let last = !word & MORE;
    if last == 0 {
        return longest_varint(bytes);
    }
    let length = last.trailing_zeros() as usize / 8 + 1;
    if length > bytes.len() {
        return (0, 0);
    }
    // All bits up to the last one of the last byte.
    let own = word & (last ^ (last - 1)) & !MORE;
    let pairs = (own & 0x007f_007f_007f_007f) | (own & 0x7f00_7f00_7f00_7f00) >> 1;
    let halves = (pairs & 0x0000_3fff_0000_3fff) | (pairs & 0x3fff_0000_3fff_0000) >> 2;
    ((halves & 0x0fff_ffff) | (halves & 0x0fff_ffff_0000_0000) >> 4, length)
}

/// A varint of more than eight bytes, or none.
#[cold]
fn longest_varint(bytes: &[u8]) -> (u64, usize) {
    let mut number = 0;
    for (position, byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * position);
        if *byte < 0x80 {
            // The tenth byte has room for one bit.
            let fits = position < VARINT_BYTES_MAX - 1 || *byte <= 1;
            return if fits { (number, position + 1) } else { (0, 0) };
        }
    }
    (0, 0)
}

#[cold]
fn varint_fault(bytes: &[u8]) -> WireFault {
    if bytes.len() < VARINT_BYTES_MAX { WireFault::Truncated } else { WireFault::VarintTooLong }
}

/// Appends a varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number as u8 & 0x7f) | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Length of the encoding of a varint, in bytes.
#[inline]
pub fn varint_len(number: u64) -> usize {
    // Seven bits a byte: the number of significant bits, divided and rounded up.
    (((number | 1).ilog2() as usize * 9) + 73) / 64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_read_as_they_are_written() {
        for shift in 0..64 {
            for number in [1_u64 << shift, (1_u64 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                put_varint(&mut out, number);
                assert_eq!(out.len(), varint_len(number), "{number}");
                let mut rest = out.as_slice();
                assert_eq!(read_varint(&mut rest), Ok(number));
                assert!(rest.is_empty());
            }
        }
    }

    #[test]
    fn a_varint_of_more_than_64_bits_is_refused() {
        let mut eleven: &[u8] = &[0xff; 11];
        assert_eq!(read_varint(&mut eleven), Err(WireFault::VarintTooLong));
        let mut seventy_bits: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(read_varint(&mut seventy_bits), Err(WireFault::VarintTooLong));
    }

    /// Whatever stands behind it, and however few bytes there are.
    #[test]
    fn a_varint_ends_where_it_ends() {
        for length in 1..=VARINT_BYTES_MAX {
            let number = (1 << (7 * (length - 1))) | 1_u64;
            let mut whole = Vec::new();
            put_varint(&mut whole, number);
            assert_eq!(whole.len(), length);
            for behind in 0..12 {
                let bytes = [whole.as_slice(), &[0xff; 12][..behind]].concat();
                let mut rest = bytes.as_slice();
                assert_eq!(read_varint(&mut rest), Ok(number), "{behind} behind {length}");
                assert_eq!(rest.len(), behind);
            }
            for end in 0..length {
                let mut rest = &whole[..end];
                assert_eq!(read_varint(&mut rest), Err(WireFault::Truncated), "{end} of {length}");
                assert_eq!(long_varint(rest).1, 0, "{end} of {length}");
            }
        }
    }

    /// Any number may be written with more bytes than it takes.
    #[test]
    fn what_is_longer_than_it_must_be_is_read_alike() {
        for number in [0, 1, 127, 128, 1 << 20] {
            for length in 4..=VARINT_BYTES_MAX {
                let bytes = padded(number, length);
                let mut rest = bytes.as_slice();
                assert_eq!(read_varint(&mut rest), Ok(number), "{number} in {length} bytes");
                assert!(rest.is_empty());
            }
        }
    }

    fn padded(number: u64, length: usize) -> Vec<u8> {
        let byte = |place: usize| {
            let more = if place + 1 < length { 0x80 } else { 0 };
            (number >> (7 * place) & 0x7f) as u8 | more
        };
        (0..length).map(byte).collect()
    }
}
