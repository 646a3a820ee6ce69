//! The rolling digest of a log: the checksums of its frames, in their order.

/// The digest with one more frame. For one frame, different digests stay different.
pub fn mix(digest: u64, frame: u32) -> u64 {
    (digest ^ u64::from(frame)).wrapping_mul(ODD).rotate_left(29).wrapping_add(1)
}

/// The digest without its last frame: the inverse of [`mix`].
pub fn unmix(digest: u64, frame: u32) -> u64 {
    digest.wrapping_sub(1).rotate_right(29).wrapping_mul(ODD_INVERSE) ^ u64::from(frame)
}

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
/// The product of both is 1, modulo 2^64.
const ODD_INVERSE: u64 = 0xf1de_83e1_9937_733d;
