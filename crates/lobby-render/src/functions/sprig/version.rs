//! `sprig_semver` and `sprig_semverCompare`. Decides how Masterminds' looser versions (`v1.2`) and ranges (`1.2 - 1.4`, `a || b`,
//! `!=1.3`) are said to the crate semver.

use std::sync::Arc;

use lobby_template::value::Object;
use lobby_template::{CallError, Str, Type, Value};
use semver::{Version, VersionReq};

use super::Named;
use crate::functions::arg::{of, text};

pub(super) fn funcs() -> Vec<Named> {
    vec![
        (
            "sprig_semver",
            of(&[Type::Str], |_, args| {
                let original = text(args, 0)?.into_owned();
                Ok(Arc::new(Semver { version: version(&original)?, original }).into())
            }),
        ),
        (
            "sprig_semverCompare",
            of(&[Type::Str, Type::Str], |_, args| Ok(satisfies(&text(args, 0)?, &version(&text(args, 1)?)?)?.into())),
        ),
    ]
}

/// A version as templates see it.
#[derive(Debug)]
struct Semver {
    version: Version,
    original: String,
}

impl Object for Semver {
    fn type_name(&self) -> &str {
        "*semver.Version"
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Original" => Some(self.original.as_str().into()),
            name => self.fields().into_iter().find(|(known, _)| *known == name).map(|(_, value)| value),
        }
    }

    fn fields(&self) -> Vec<(&str, Value)> {
        vec![
            ("Major", Value::uint64(self.version.major)),
            ("Minor", Value::uint64(self.version.minor)),
            ("Patch", Value::uint64(self.version.patch)),
            ("Prerelease", self.version.pre.as_str().into()),
            ("Metadata", self.version.build.as_str().into()),
        ]
    }

    fn text(&self) -> Option<Str> {
        Some(self.version.to_string().into())
    }
}

/// `1.2.3`, and `v1.2` as well.
fn version(text: &str) -> Result<Version, CallError> {
    let invalid = || CallError("Invalid Semantic Version".into());
    let plain = text.strip_prefix('v').unwrap_or(text);
    let end = plain.find(['-', '+']).unwrap_or(plain.len());
    let (core, rest) = plain.split_at(end);
    let missing = match core.split('.').count() {
        1 => ".0.0",
        2 => ".0",
        3 => "",
        _ => return Err(invalid()),
    };
    Version::parse(&format!("{core}{missing}{rest}")).map_err(|_| invalid())
}

/// Whether one of the ranges between `||` has the version.
fn satisfies(ranges: &str, version: &Version) -> Result<bool, CallError> {
    for range in ranges.split("||") {
        if satisfies_all(range, version).map_err(|()| CallError(format!("improper constraint: {ranges}")))? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn satisfies_all(range: &str, version: &Version) -> Result<bool, ()> {
    let is_within = |constraint: &str| VersionReq::parse(constraint).map(|req| req.matches(version)).map_err(|_| ());
    if let Some((from, to)) = range.split_once(" - ") {
        return Ok(is_within(&format!(">={}", plain(from)))? && is_within(&format!("<={}", plain(to)))?);
    }
    // An operator may stand apart from its version.
    let mut joined = range.replace(',', " ");
    for operator in ["=", ">", "<", "~", "^", "!"] {
        joined = joined.replace(&format!("{operator} "), operator);
    }
    let mut is_satisfied = true;
    for constraint in joined.split_whitespace() {
        let numbers = constraint.trim_start_matches(['=', '>', '<', '~', '^', '!']);
        let operator = &constraint[..constraint.len() - numbers.len()];
        let numbers = plain(numbers);
        is_satisfied &= match operator {
            "!=" => !is_within(&format!("={numbers}"))?,
            "" | "=" | "==" if matches!(numbers.as_str(), "*" | "x" | "X") => version.pre.is_empty(),
            "" | "=" => is_within(&format!("={numbers}"))?,
            "=>" | ">=" => is_within(&format!(">={numbers}"))?,
            "=<" | "<=" => is_within(&format!("<={numbers}"))?,
            "~>" | "~" => is_within(&format!("~{numbers}"))?,
            ">" | "<" | "^" => is_within(&format!("{operator}{numbers}"))?,
            _ => return Err(()),
        };
    }
    Ok(is_satisfied)
}

fn plain(version: &str) -> String {
    let version = version.trim();
    version.strip_prefix('v').unwrap_or(version).into()
}
