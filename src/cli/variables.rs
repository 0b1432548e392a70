//! Variables of the command line: `--var K=V` and `--vars FILE`. Knows nothing of what plans do with them.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::CommandError;
use crate::plan::diagnostic::Quoted;
use crate::plan::model::Value;

/// Shared by every command that reads a plan.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct VarArgs {
    /// Value of a variable of the plan; true, false and whole numbers are taken as such
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub var: Vec<String>,
    /// Values of variables from a YAML mapping; --var goes before
    #[arg(long = "vars", value_name = "FILE")]
    pub vars: Vec<PathBuf>,
}

impl VarArgs {
    /// All values, later ones first replaced.
    ///
    /// # Errors
    /// When an argument is not `NAME=VALUE`, or a file is not a mapping of names to values.
    pub fn values(&self) -> Result<Vec<(String, Value)>, CommandError> {
        let mut values: indexmap::IndexMap<String, Value> = indexmap::IndexMap::new();
        for file in &self.vars {
            values.extend(read_file(file)?);
        }
        for argument in &self.var {
            let (name, value) = one(argument)?;
            values.insert(name, value);
        }
        Ok(values.into_iter().collect())
    }
}

fn one(argument: &str) -> Result<(String, Value), CommandError> {
    let Some((name, value)) = argument.split_once('=') else {
        return Err(CommandError::usage(format!("--var {} has no value", Quoted(argument)))
            .hint(format!("write --var {argument}=VALUE")));
    };
    if name.is_empty() {
        return Err(
            CommandError::usage(format!("--var {} has an empty name", Quoted(argument))).hint("write --var NAME=VALUE")
        );
    }
    let value = match value {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        text => match text.parse::<i64>() {
            Ok(n) if n.to_string() == text => Value::Int(n),
            _ => Value::Text(text.to_string()),
        },
    };
    Ok((name.to_string(), value))
}

fn read_file(path: &Path) -> Result<Vec<(String, Value)>, CommandError> {
    let wrong = |what: String| CommandError::usage(format!("--vars {}: {what}", path.display()));
    let meta = fs::metadata(path).map_err(|e| wrong(e.to_string()))?;
    if !meta.is_file() {
        return Err(wrong("not a regular file".into()));
    }
    if meta.len() > crate::plan::source::SIZE_LIMIT {
        return Err(wrong("larger than 16 MB".into()));
    }
    let bytes = fs::read(path).map_err(|e| wrong(e.to_string()))?;
    crate::plan::read_vars(&bytes).map_err(|why| wrong(why).hint("write a mapping: NAME: value, one on each line"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_name_and_value() {
        let value = |a: &str| one(a).map(|(_, v)| v).map_err(|e| e.message);
        assert_eq!(value("A=b=c"), Ok(Value::Text("b=c".into())));
        assert_eq!(value("A="), Ok(Value::Text(String::new())));
        assert_eq!(value("A=false"), Ok(Value::Bool(false)));
        assert_eq!(value("A=12"), Ok(Value::Int(12)));
        assert_eq!(value("A=012"), Ok(Value::Text("012".into())));
        assert_eq!(value("version"), Err("--var `version` has no value".into()));
        assert_eq!(value("=1"), Err("--var `=1` has an empty name".into()));
    }
}
