//! The JSON Schema of plans, made from the types that read them.

use serde_json::{Value as Json, json};

use super::decode::{Decode as _, Definitions};
use super::raw::RawPlan;

/// JSON Schema, draft 7.
#[must_use]
pub fn plan_schema() -> Json {
    let mut definitions = Definitions::new();
    let root = RawPlan::schema(&mut definitions);
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "runbook plan",
        "allOf": [root],
        "definitions": definitions,
    })
}
