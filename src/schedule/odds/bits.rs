//! A set of small numbers that is quickly searched for its least. Knows nothing of what they number.

/// A bit for each number.
#[derive(Debug, Default, Clone)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// An empty set of numbers below `end`.
    pub(super) fn below(end: usize) -> Self {
        Self(vec![0; end.div_ceil(64)])
    }

    pub(super) fn become_as(&mut self, other: &Self) {
        self.0.clone_from(&other.0);
    }

    pub(super) fn insert(&mut self, n: u32) {
        self.0[n as usize / 64] |= 1 << (n % 64);
    }

    pub(super) fn remove(&mut self, n: u32) {
        self.0[n as usize / 64] &= !(1 << (n % 64));
    }

    /// The least number in the set that is not below `from`.
    pub(super) fn first_from(&self, from: u32) -> Option<u32> {
        let start = from as usize / 64;
        let masked = self.0.get(start)? & (u64::MAX << (from % 64));
        let rest = self.0[start + 1..].iter().copied();
        let (word, bits) = (start..).zip(std::iter::once(masked).chain(rest)).find(|(_, bits)| *bits != 0)?;
        Some(word as u32 * 64 + bits.trailing_zeros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_is_found_within_a_word_and_beyond() {
        let mut set = Bits::below(300);
        assert_eq!(set.first_from(0), None);
        for n in [3, 64, 190, 299] {
            set.insert(n);
        }
        let from = |n| set.first_from(n);
        assert_eq!([from(0), from(3), from(4), from(64), from(65), from(191)], [3, 3, 64, 64, 190, 299].map(Some));
        set.remove(299);
        assert_eq!((set.first_from(191), set.first_from(5_000)), (None, None));
    }
}
