//! What steps took before, by step and host group. Knows nothing of where it was recorded.

use std::collections::BTreeMap;

use jiff::SignedDuration;

/// No more than the newest of them count: machines and programs change.
pub const MOST: usize = 20;

/// One duration per run of one plan, newest first: what the median host of the group took.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Past(BTreeMap<(String, String), Vec<SignedDuration>>);

impl Past {
    /// Adds one that is older than those that are there. `group` is empty for a step that runs nowhere.
    pub fn push(&mut self, step: &str, group: &str, took: SignedDuration) {
        let all = self.0.entry((step.to_owned(), group.to_owned())).or_default();
        if all.len() < MOST {
            all.push(took);
        }
    }

    #[must_use]
    pub fn of(&self, step: &str, group: &str) -> &[SignedDuration] {
        self.0.get(&(step.to_owned(), group.to_owned())).map_or(&[], Vec::as_slice)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, by step and group.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &[SignedDuration])> {
        self.0.iter().map(|((step, group), all)| (step.as_str(), group.as_str(), all.as_slice()))
    }
}
