//! What the author wrote: text with places, the model, and every mistake in it at once. Knows nothing of time of day or hosts.

pub mod model;
pub mod span;
pub mod units;
