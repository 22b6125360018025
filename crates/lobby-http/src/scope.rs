//! For whom a request of a Consul client is meant: our data centre, and the one name space and partition that there are.
//!
//! Other data centres are 500, as Consul answers; name spaces and partitions, which only its Enterprise version has, 400.
//! Not here: tokens (`access`).

use axum::http::{HeaderMap, Uri};

use crate::{
    View, consul,
    error::{ApiError, shown},
    query::{self, Query},
};

/// The parameters and headers that name a part of a fleet that we do not divide.
const PARTS: [(&str, &str); 2] = [("ns", "x-consul-namespace"), ("partition", "x-consul-partition")];

/// The decoded query string of a request that is meant for us.
pub(crate) fn query<'a>(uri: &'a Uri, headers: &HeaderMap, view: &View) -> Result<Query<'a>, ApiError> {
    let query = query::parse(uri.query().unwrap_or_default())?;
    consul::check_datacenter(&query, view)?;
    for (field, header) in PARTS {
        let header = headers.get(header).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let given = [query.get(field), header.as_deref()];
        if let Some(other) = given.into_iter().flatten().find(|value| !matches!(*value, "" | "default")) {
            return Err(ApiError::Field { field, value: shown(other), want: "nothing or default, for there is only one" });
        }
    }
    Ok(query)
}
