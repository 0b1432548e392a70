//! Numbers that look random and are the same for the same seed. Knows nothing of what they decide.

/// SplitMix64 (G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to `n - 1`; `n` is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap_or(0)
    }

    /// Above 0, at most 1.
    pub fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Two independent numbers around 0 with a spread of 1 (G. Marsaglia, T. A. Bray, "A convenient method for generating
    /// normal variables", 1964).
    pub fn normals(&mut self) -> (f64, f64) {
        loop {
            let (x, y) = (2.0 * self.unit() - 1.0, 2.0 * self.unit() - 1.0);
            let square = x * x + y * y;
            if square < 1.0 && square > 0.0 {
                let stretch = (-2.0 * square.ln() / square).sqrt();
                return (x * stretch, y * stretch);
            }
        }
    }

    /// One of those that are greater than `least` (G. Marsaglia, "Generating a variable from the tail of the normal
    /// distribution", 1964).
    pub fn normal_above(&mut self, least: f64) -> f64 {
        if least < 0.5 {
            loop {
                let (x, y) = self.normals();
                if let Some(found) = [x, y].into_iter().find(|z| *z > least) {
                    return found;
                }
            }
        }
        loop {
            let x = (least * least - 2.0 * self.unit().ln()).sqrt();
            if self.unit() * x <= least {
                return x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_have_their_mean_spread_and_tails() {
        let mut dice = Dice::new(1);
        let all: Vec<f64> = (0..20_000).map(|_| dice.normals()).flat_map(|(a, b)| [a, b]).collect();
        let n = all.len() as f64;
        let mean = all.iter().sum::<f64>() / n;
        let spread = (all.iter().map(|z| (z - mean) * (z - mean)).sum::<f64>() / n).sqrt();
        let above = all.iter().filter(|z| **z > 1.645).count() as f64 / n;
        assert!(
            mean.abs() < 0.02 && (spread - 1.0).abs() < 0.02 && (above - 0.05).abs() < 0.005,
            "{mean} {spread} {above}"
        );
    }

    /// Of what lies above 1, the share above 2 is 0.0228 / 0.1587; of what lies above 0, that above 1 is 0.1587 / 0.5.
    #[test]
    fn numbers_above_a_bound_are_spread_as_the_bound_leaves_them() {
        for (least, mark, share) in [(1.0, 2.0, 0.1434), (0.0, 1.0, 0.3173), (-3.0, 0.0, 0.5007)] {
            let mut dice = Dice::new(2);
            let all: Vec<f64> = (0..20_000).map(|_| dice.normal_above(least)).collect();
            assert!(all.iter().all(|z| *z > least));
            let found = all.iter().filter(|z| **z > mark).count() as f64 / all.len() as f64;
            assert!((found - share).abs() < 0.01, "above {least}: {found} of them above {mark}");
        }
    }
}
