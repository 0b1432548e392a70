//! The hash chain over the facts of a run. Knows nothing of where they are kept.

use sha2::{Digest, Sha256};

/// SHA-256.
pub type Hash = [u8; 32];

/// What the first fact is chained to: the run's name and everything that was frozen with it.
pub fn genesis(run: &str, frozen: &[&str]) -> Hash {
    let mut sha = Sha256::new();
    sha.update(b"runbook journal 1");
    for part in std::iter::once(&run).chain(frozen) {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part.as_bytes());
    }
    sha.finalize().into()
}

/// The hash of a fact, given that of the fact before it.
pub fn link(before: &Hash, seq: u64, at: &str, json: &str) -> Hash {
    let mut sha = Sha256::new();
    sha.update(before);
    sha.update(seq.to_be_bytes());
    sha.update((at.len() as u64).to_be_bytes());
    sha.update(at.as_bytes());
    sha.update(json.as_bytes());
    sha.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts() {
        let start = genesis("a", &["plan", "options"]);
        assert_ne!(start, genesis("a", &["plano", "ptions"]), "parts are kept apart");
        let one = link(&start, 1, "t", "{}");
        assert_ne!(one, link(&start, 2, "t", "{}"));
        assert_ne!(one, link(&start, 1, "u", "{}"));
        assert_ne!(one, link(&start, 1, "t", "{ }"));
        assert_ne!(one, link(&one, 1, "t", "{}"));
    }
}
