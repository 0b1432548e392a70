//! A row of small bars, one for each value: a trend within a line of text. Knows nothing of what is counted.

use jiff::SignedDuration;

/// What a terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    Blocks,
    Ascii,
}

impl Ink {
    /// From the lowest to the highest.
    const fn levels(self) -> [char; 8] {
        match self {
            Self::Blocks => ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
            Self::Ascii => ['_', '.', ':', '-', '=', '+', '*', '#'],
        }
    }
}

/// One mark for each value, the least the lowest and the most the highest; all alike in the middle. A gap for none.
#[must_use]
pub fn sparkline(values: &[Option<SignedDuration>], ink: Ink) -> String {
    let known = || values.iter().flatten().map(|d| d.as_secs_f64());
    let (least, most) = (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
    let levels = ink.levels();
    let level = |d: SignedDuration| {
        let place = (d.as_secs_f64() - least) / (most - least);
        // Whole numbers from 0 to 7; 0 / 0 where all are alike.
        if place.is_finite() { levels[((place * 7.0).round() as usize).min(7)] } else { levels[3] }
    };
    values.iter().map(|d| d.map_or(' ', level)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(all: &[Option<i64>]) -> Vec<Option<SignedDuration>> {
        all.iter().map(|m| m.map(SignedDuration::from_mins)).collect()
    }

    #[test]
    fn the_least_is_lowest_the_most_is_highest_and_none_is_a_gap() {
        let values = minutes(&[Some(10), None, Some(24), Some(17)]);
        assert_eq!(sparkline(&values, Ink::Blocks), "▁ █▅");
        assert_eq!(sparkline(&values, Ink::Ascii), "_ #=");
    }

    #[test]
    fn values_that_are_all_alike_are_a_level_line() {
        assert_eq!(sparkline(&minutes(&[Some(5), Some(5)]), Ink::Blocks), "▄▄");
        assert_eq!(sparkline(&minutes(&[Some(-5)]), Ink::Ascii), "-");
        assert_eq!(sparkline(&[], Ink::Ascii), "");
    }
}
