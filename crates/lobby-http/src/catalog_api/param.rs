//! What a request to Consul's read routes says beside its path: what to choose, in which order, how fresh, how written.
//!
//! ```text
//! query string, headers ─► Params (what the body depends on) + Asked (what only the headers depend on)
//! ```
//! Everything is read before the catalog is looked at, so that a wrong request is refused by an empty catalog too.
//! Not here: `index` and `wait` (`consul`), the token (`access`), the selectors of a filter (`filter`).

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use lobby_core::{check::Status, duration};

use crate::{
    consul::CONSISTENCY,
    error::{ApiError, shown},
    query::Query,
};

/// What the body of an answer depends on.
#[derive(Debug, Default)]
pub(crate) struct Params {
    /// Only what passes.
    pub(crate) passing: bool,
    /// Tags that an instance must have, in lower case.
    pub(crate) tags: Vec<String>,
    /// Pairs that the node must have.
    pub(crate) node_meta: Vec<(String, String)>,
    /// What to choose, as it was written: compiled it is far larger, and many requests wait.
    pub(crate) filter: Option<Box<str>>,
    /// Whose neighbours come first.
    pub(crate) near: Option<String>,
    /// Asked for the services of another cluster, of which there is none.
    pub(crate) peer: bool,
    /// With line ends and blanks.
    pub(crate) pretty: bool,
}

/// How fresh an answer should be, and what its headers say about it. All answers come from the same catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) consistency: &'static str,
    pub(crate) cached: bool,
}

/// What the headers of one request may ask of namespaces, which there are not.
const DEFAULT: &str = "default";

impl Params {
    pub(crate) fn from_query(query: &Query<'_>) -> Result<Self, ApiError> {
        let given = |field| query.get(field).filter(|value| !value.is_empty());
        Ok(Self {
            passing: passing(query)?,
            tags: query.all("tag").filter(|tag| !tag.is_empty()).map(str::to_lowercase).collect(),
            node_meta: query.all("node-meta").filter(|pair| !pair.is_empty()).map(pair).collect(),
            filter: given("filter").map(Into::into),
            near: given("near").map(str::to_owned),
            peer: given("peer").is_some(),
            pretty: query.has("pretty"),
        })
    }

    /// Whether these are tags that the request takes: all that it names, in whatever case.
    pub(crate) fn takes_tags(&self, tags: &[String]) -> bool {
        self.tags.iter().all(|wanted| tags.iter().any(|tag| tag.to_lowercase() == *wanted))
    }
}

impl Asked {
    pub(crate) fn from_request(query: &Query<'_>, headers: &HeaderMap) -> Result<Self, ApiError> {
        if let Some(text) = query.get("max_stale").filter(|text| !text.is_empty()) {
            let bad = || ApiError::Field { field: "max_stale", value: shown(text), want: "a duration such as 3s" };
            duration::parse(text).ok_or_else(bad)?;
        }
        cache_control(headers)?;
        let stale = query.has("stale") || query.has("max_stale");
        let (consistent, cached) = (query.has("consistent"), query.has("cached"));
        if consistent && (stale || cached) {
            let other = if stale { "stale" } else { "cached" };
            return Err(ApiError::Field { field: "consistent", value: other.to_owned(), want: "one of the two, not both" });
        }
        let consistency = match (stale, consistent) {
            (true, _) => "stale",
            (_, true) => "consistent",
            _ => "leader",
        };
        Ok(Self { consistency, cached })
    }
}

/// What the answer says of how fresh it is, where that is all that was asked of it.
pub(crate) fn told(mut response: Response, consistency: &'static str) -> Response {
    response.headers_mut().insert(CONSISTENCY, HeaderValue::from_static(consistency));
    response
}

/// Refuses namespaces and partitions but for the one that everything is in.
pub(crate) fn check_tenancy(query: &Query<'_>, headers: &HeaderMap) -> Result<(), ApiError> {
    let header = |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    for (field, header_name) in [("ns", "x-consul-namespace"), ("partition", "x-consul-partition")] {
        let values = query.all(field).map(str::to_owned).chain(header(header_name));
        if let Some(value) = values.into_iter().find(|value| !value.is_empty() && !value.eq_ignore_ascii_case(DEFAULT)) {
            return Err(ApiError::Field { field, value: shown(&value), want: DEFAULT });
        }
    }
    Ok(())
}

/// The checks that a state stands for: `None` of a state that no check has.
pub(crate) fn state(text: &str) -> Result<Option<Vec<Status>>, ApiError> {
    match text {
        "any" => Ok(Some(Status::ALL.to_vec())),
        // Consul knows the word, though no check of it is ever listed.
        "unknown" => Ok(None),
        text => match text.parse() {
            Ok(status) => Ok(Some(vec![status])),
            Err(_) => {
                Err(ApiError::Field { field: "state", value: shown(text), want: "any, passing, warning, critical or unknown" })
            }
        },
    }
}

/// Without a value it is meant; otherwise what Go takes for true and false, in any case.
fn passing(query: &Query<'_>) -> Result<bool, ApiError> {
    let Some(text) = query.get("passing") else { return Ok(false) };
    match text.to_ascii_lowercase().as_str() {
        "" | "1" | "t" | "true" => Ok(true),
        "0" | "f" | "false" => Ok(false),
        _ => Err(ApiError::Field { field: "passing", value: shown(text), want: "true or false" }),
    }
}

/// A key and its value; without a colon the value is empty.
fn pair(text: &str) -> (String, String) {
    let (key, value) = text.split_once(':').unwrap_or((text, ""));
    (key.to_owned(), value.to_owned())
}

/// The numbers among the words of the header must be numbers.
fn cache_control(headers: &HeaderMap) -> Result<(), ApiError> {
    for value in headers.get_all(header::CACHE_CONTROL) {
        let text = String::from_utf8_lossy(value.as_bytes());
        for (name, number) in text.split(',').filter_map(|word| word.split_once('=')) {
            let name = name.trim().to_ascii_lowercase();
            if matches!(name.as_str(), "max-age" | "stale-if-error") && number.trim().parse::<u64>().is_err() {
                return Err(ApiError::Field { field: "Cache-Control", value: shown(&text), want: "whole seconds" });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query;

    fn params(text: &str) -> Result<Params, ApiError> {
        Params::from_query(&query::parse(text).unwrap())
    }

    fn asked(text: &str) -> Result<Asked, ApiError> {
        Asked::from_request(&query::parse(text).unwrap(), &HeaderMap::new())
    }

    #[test]
    fn what_passes() {
        for (text, want) in [
            ("", false),
            ("passing", true),
            ("passing=", true),
            ("passing=1", true),
            ("passing=TRUE", true),
            ("passing=t", true),
            ("passing=false", false),
            ("passing=0", false),
            ("passing=F", false),
        ] {
            assert_eq!(params(text).unwrap().passing, want, "{text:?}");
        }
        assert!(matches!(params("passing=maybe"), Err(ApiError::Field { field: "passing", .. })));
    }

    #[test]
    fn tags_and_pairs() {
        let params = params("tag=Blue&tag=a%20b&tag=&node-meta=rack:r:2&node-meta=x").unwrap();
        assert_eq!(params.tags, ["blue", "a b"]);
        assert_eq!(params.node_meta, [("rack".into(), "r:2".into()), ("x".into(), String::new())]);
        assert!(params.takes_tags(&["A B".into(), "BLUE".into()]) && !params.takes_tags(&["blue".into()]));
    }

    #[test]
    fn how_fresh() {
        for (text, want, cached) in [
            ("", "leader", false),
            ("stale", "stale", false),
            ("stale=0", "stale", false),
            ("max_stale=3s", "stale", false),
            ("consistent=", "consistent", false),
            ("leader&cached", "leader", true),
            ("stale&cached", "stale", true),
        ] {
            assert_eq!(asked(text).unwrap(), Asked { consistency: want, cached }, "{text:?}");
        }
        for text in ["stale&consistent", "max_stale=3s&consistent", "cached&consistent", "max_stale=soon"] {
            assert!(asked(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn cache_control_takes_whole_seconds() {
        let check = |text: &'static str| {
            let headers = HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static(text))]);
            Asked::from_request(&Query::default(), &headers).is_ok()
        };
        for good in ["max-age=30, stale-if-error=300, must-revalidate", "MAX-AGE=1", "no-cache", "x=y", ""] {
            assert!(check(good), "{good}");
        }
        assert!(!check("max-age=1m") && !check("must-revalidate, Stale-If-Error = x"));
    }

    #[test]
    fn one_namespace() {
        let check = |text: &str, headers: &HeaderMap| check_tenancy(&query::parse(text).unwrap(), headers).is_ok();
        for good in ["", "ns=", "ns=default", "partition=Default&ns=default"] {
            assert!(check(good, &HeaderMap::new()), "{good}");
        }
        assert!(!check("ns=a", &HeaderMap::new()) && !check("partition=a", &HeaderMap::new()));
        for (name, value, want) in [
            ("x-consul-namespace", "default", true),
            ("x-consul-namespace", "a", false),
            ("x-consul-partition", "a", false),
            ("ns", "a", true),
        ] {
            let headers = HeaderMap::from_iter([(header::HeaderName::from_static(name), HeaderValue::from_static(value))]);
            assert_eq!(check("", &headers), want, "{name}: {value}");
        }
    }

    #[test]
    fn states() {
        assert_eq!(state("any").unwrap(), Some(Status::ALL.to_vec()));
        assert_eq!(state("warning").unwrap(), Some(vec![Status::Warning]));
        assert_eq!(state("unknown").unwrap(), None);
        assert!(state("Passing").is_err() && state("").is_err());
    }
}
