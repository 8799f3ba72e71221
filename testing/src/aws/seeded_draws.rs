//! Repeatable random numbers: equal seeds give equal draws. In: a seed. Out: numbers. Pure.

/// A sequence of draws (SplitMix64, Steele et al., 2014).
pub(super) struct SeededDraws(u64);

impl SeededDraws {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn seed(&mut self, seed: u64) {
        self.0 = seed;
    }

    pub(super) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, or zero if `bound` is zero.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.draw().checked_rem(bound).unwrap_or(0)
    }
}
