//! Finding open commands by their opaque, at the cost of a multiplication.

use std::hash::{BuildHasher, Hasher};

/// Hashes opaques: they are chosen by clients, so each map has a secret of its own.
#[derive(Debug, Clone)]
pub struct Seed(u64);

/// A hash in the making.
#[derive(Debug)]
pub struct Hash(u64);

impl Default for Seed {
    /// One that nobody else knows.
    fn default() -> Self {
        Self(fastrand::u64(..))
    }
}

impl BuildHasher for Seed {
    type Hasher = Hash;

    fn build_hasher(&self) -> Hash {
        Hash(self.0)
    }
}

impl Hasher for Hash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_i32(i32::from(*byte));
        }
    }

    fn write_i32(&mut self, number: i32) {
        const FACTOR: u128 = 0x9E37_79B9_7F4A_7C15;
        let product = u128::from(self.0 ^ u64::from(number.cast_unsigned())).wrapping_mul(FACTOR);
        // Both halves of the product: the low one alone says nothing of the number's upper bits.
        let [low, high] = [product, product >> 64].map(|half| u64::try_from(half & u128::from(u64::MAX)));
        self.0 = low.unwrap_or_default() ^ high.unwrap_or_default();
    }
}
