//! Hashes texts to the keys of indexes.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::{LazyLock, OnceLock};

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;

/// The seed of all keys of this process, once it was needed.
static SEED: OnceLock<u64> = OnceLock::new();

static HASHER: LazyLock<SeedableRandomState> = LazyLock::new(|| {
    static SHARED: OnceLock<SharedSeed> = OnceLock::new();
    let seed = key_seed(None);
    SeedableRandomState::with_seed(seed, SHARED.get_or_init(|| SharedSeed::from_u64(seed)))
});

/// The key under which a text is indexed: never 0. Equal texts have equal keys, as
/// long as [`key_seed`] is the same; different ones may, too, so what is found by key
/// must be compared.
pub fn key(text: &str) -> u32 {
    key_of(text.as_bytes())
}

/// [`key`], of a text as bytes.
pub fn key_of(text: &[u8]) -> u32 {
    let mut hasher = HASHER.build_hasher();
    hasher.write(text);
    ((hasher.finish() >> 32) as u32).max(1)
}

/// The seed of all keys of this process. It is secret, so that nobody can choose texts whose keys
/// collide, which would make look-ups slow. The first call sets it: to `known`, the seed of an
/// existing index, or to a random number.
pub fn key_seed(known: Option<u64>) -> u64 {
    let random = || std::hash::RandomState::new().build_hasher().finish();
    *SEED.get_or_init(|| known.unwrap_or_else(random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_is_settled_once() {
        let seed = key_seed(Some(7));
        let before = key("a text");
        assert_eq!(key_seed(Some(seed ^ 1)), seed);
        assert_eq!(key_seed(None), seed);
        assert_eq!(key("a text"), before);
        let other = SharedSeed::from_u64(seed ^ 1);
        let mut hasher = foldhash::quality::FoldHasher::with_seed(seed ^ 1, &other);
        hasher.write(b"a text");
        assert_ne!((hasher.finish() >> 32) as u32, before, "other seeds make other keys");
    }
}
