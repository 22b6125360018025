//! The instances of services as targets for Prometheus' HTTP service discovery.
//!
//! ```text
//! GET /v1/http_sd?service=NAME&tag=T&passing&where=SELECTOR    [{"targets": ["10.0.0.7:80"], "labels": {…}}]
//! ```
//! One group for each instance, ordered by service, node and id. Nobody can scrape an instance without a port, nor one of a
//! failed node that is not held: they are left out. Prometheus refuses a whole document for one bad label name or address, so neither gets
//! in. While the catalog is not warm an empty answer is 503, because Prometheus keeps its old targets on an error.
//! Not here: targets made of labels (`prometheus`).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv6Addr,
    sync::Arc,
};

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use lobby_core::{
    catalog::{InstanceView, ServiceView, Snapshot, subject::InstanceSubject},
    check::Status,
    selector::Selector,
};
use serde::Serialize;

use crate::{
    App, View, answer,
    body::{self, Body},
    catalog_api::node,
    error::ApiError,
    query::{self, Query},
};

/// What a request may say. A slip in a name would hand out other targets.
const PARAMETERS: &[&str] = &["service", "tag", "passing", "where"];

/// Above this many instances a body is made on a thread of its own: about 2 ms of work.
const ASIDE: usize = 1000;

/// Which instances are wanted.
#[derive(Debug)]
struct Wanted {
    /// Names in lower case; none: all services.
    services: BTreeSet<String>,
    /// All of them must be there.
    tags: Vec<String>,
    passing: bool,
    selector: Option<Selector>,
}

#[derive(Serialize)]
struct Group {
    targets: [String; 1],
    labels: BTreeMap<String, String>,
}

pub(crate) async fn targets(
    State(app): State<App>,
    Extension(view): Extension<View>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let text = uri.query().unwrap_or_default();
    let wanted = Wanted::from_query(&query::parse(text)?)?;
    let snapshot = view.snapshot;
    if !snapshot.warm && wanted.groups(&snapshot).is_empty() {
        return Err(ApiError::NotWarm);
    }
    let etag = body::etag([snapshot.revision.0]);
    // Two spellings of one question are two questions, which costs a body and nothing else.
    let key = format!("{} {text}", uri.path());
    let (cache, of) = (&app.state.bodies, snapshot.clone());
    let make = async || {
        let aside = snapshot.services.values().map(|service| service.instances.len()).sum::<usize>() > ASIDE;
        let make = move || Body::new(answer::pretty(&wanted.groups(&snapshot)));
        // The task only fails when the agent stops, and then nobody waits for the body.
        if aside { tokio::task::spawn_blocking(make).await.unwrap_or_else(|_| Body::new(Vec::new())) } else { make() }
    };
    Ok(cache.body(&of, &key, make).await.answer(&headers, etag).await)
}

impl Wanted {
    fn from_query(query: &Query<'_>) -> Result<Self, ApiError> {
        query.only(PARAMETERS)?;
        let given = |field| query.all(field).filter(|text| !text.is_empty());
        Ok(Self {
            services: given("service").map(str::to_ascii_lowercase).collect(),
            tags: given("tag").map(str::to_owned).collect(),
            passing: query.flag("passing")?,
            selector: query.selector()?,
        })
    }

    fn groups(&self, snapshot: &Snapshot) -> Vec<Group> {
        let services: Vec<&Arc<ServiceView>> = match self.services.is_empty() {
            true => snapshot.services.values().collect(),
            false => self.services.iter().filter_map(|name| snapshot.service(name)).collect(),
        };
        let group = |service: &ServiceView, view: &InstanceView| group(snapshot, service, view);
        let views = services.into_iter().flat_map(|service| service.instances.values().map(move |view| (service, view)));
        views.filter(|(_, view)| self.takes(snapshot, view)).filter_map(|(service, view)| group(service, view)).collect()
    }

    fn takes(&self, snapshot: &Snapshot, view: &InstanceView) -> bool {
        let subject = InstanceSubject::new(snapshot, view);
        !view.node.failed
            && (!self.passing || view.status == Status::Passing)
            && self.tags.iter().all(|tag| view.instance.tags.contains(tag))
            && self.selector.as_ref().is_none_or(|selector| selector.takes(&subject))
    }
}

/// The group of one instance, unless nobody could reach it.
fn group(snapshot: &Snapshot, service: &ServiceView, view: &InstanceView) -> Option<Group> {
    let (instance, of) = (&*view.instance, &*view.node);
    let host = if instance.address.is_empty() { node::address(snapshot, of) } else { &instance.address };
    let target = target(host, instance.port)?;
    let tags = instance.tags.iter().fold(",".to_owned(), |tags, tag| tags + tag + ",");
    let plain = [
        ("service", service.name.as_str()),
        ("id", instance.id.as_str()),
        ("node", of.name.as_str()),
        ("tags", &tags),
        ("status", view.status.as_str()),
        ("drain", if view.is_draining() { "true" } else { "false" }),
        ("datacenter", of.datacenter.as_deref().unwrap_or_else(|| node::datacenter(snapshot))),
    ];
    let mut labels: BTreeMap<_, _> = plain.into_iter().map(|(name, value)| (label(name), value.to_owned())).collect();
    // In the order of their keys: of those that become one name the last wins.
    labels.extend(instance.meta.iter().map(|(key, value)| (label(&format!("meta_{key}")), value.clone())));
    Some(Group { targets: [target], labels })
}

/// A label name that Prometheus accepts.
fn label(name: &str) -> String {
    let rewritten = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    "__meta_lobby_".chars().chain(rewritten).collect()
}

/// `host:port`; `None` when Prometheus would refuse it.
fn target(host: &str, port: u16) -> Option<String> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let is_ip6 = bare.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    let refused = |c: char| matches!(c, '/' | ':' | '%' | '[' | ']') || c.is_whitespace() || c.is_control();
    match (port, is_ip6) {
        (0, _) => None,
        (_, true) => Some(format!("[{bare}]:{port}")),
        (_, false) => (!host.is_empty() && !host.contains(refused)).then(|| format!("{host}:{port}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_scraped() {
        for (host, port, want) in [
            ("10.0.0.7", 80, Some("10.0.0.7:80")),
            ("web.example.com", 1, Some("web.example.com:1")),
            ("2001:db8::1", 80, Some("[2001:db8::1]:80")),
            ("[2001:db8::1]", 80, Some("[2001:db8::1]:80")),
            ("fe80::1%eth0", 80, Some("[fe80::1%eth0]:80")),
            ("10.0.0.7", 0, None),
            ("", 80, None),
            ("a:81", 80, None),
            ("a b", 80, None),
            ("a/b", 80, None),
            ("[a]", 80, None),
        ] {
            assert_eq!(target(host, port).as_deref(), want, "{host:?} {port}");
        }
    }

    #[test]
    fn names_that_prometheus_takes() {
        for (name, want) in
            [("id", "__meta_lobby_id"), ("meta_a-b", "__meta_lobby_meta_a_b"), ("meta_ž.", "__meta_lobby_meta___")]
        {
            assert_eq!(label(name), want);
        }
    }
}
