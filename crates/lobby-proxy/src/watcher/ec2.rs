//! EC2 instances by tag. Decides that one poll serves all tags of a region, credentials and endpoint, how often it is made, and
//! what an instance is as a backend.
//!
//! ```text
//! tags ─► one DescribeInstances (all pages), signed ─► instances ─► those with each tag ─► backends of each service
//! ```
//! A poll that fails in the middle is none: everybody keeps what they have. Throttled, it asks less often, by chance.

mod instances;
mod sign;
mod who;
mod xml;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::{sync::mpsc, time::sleep};

use super::{
    chance::{draw, pause, time_of_day},
    told::Told,
};
use crate::{
    Backend,
    fetch::{Fetch, Request},
    settings::Ec2Watch,
};
use instances::{Instance, page, refusal};
use sign::{Signable, escape, sign};
use who::{Environment, Who};

/// One page of an answer; more AWS does not give.
const PAGE: &str = "1000";

/// Most pages: what would come after 100 000 instances is no list of servers for a proxy.
const MOST_PAGES: usize = 100;

/// Most values of one filter, which is AWS's bound.
const MOST_VALUES: usize = 200;

/// For one page.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Longest pause when EC2 wants fewer requests.
const LONGEST: Duration = Duration::from_secs(300);

/// Shortest time between two polls, whatever is configured.
const SHORTEST: Duration = Duration::from_millis(100);

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// All tags, by whom they are asked from.
#[derive(Debug, Default)]
pub(super) struct Polls(Vec<Vec<(usize, Ec2Watch)>>);

impl Polls {
    pub(super) fn add(&mut self, at: usize, watch: Ec2Watch) {
        let is_same =
            |of: &Ec2Watch| (&of.region, &of.credentials, &of.endpoint) == (&watch.region, &watch.credentials, &watch.endpoint);
        match self.0.iter_mut().find(|tags| tags.first().is_some_and(|(_, of)| is_same(of))) {
            Some(tags) => tags.push((at, watch)),
            None => self.0.push(vec![(at, watch)]),
        }
    }

    pub(super) fn into_polls(self, environment: &BTreeMap<String, String>) -> impl Iterator<Item = Poll> {
        self.0.into_iter().filter_map(|tags| {
            let (_, first) = tags.first()?;
            let (region, credentials) = (first.region.clone(), first.credentials.clone());
            let who = Who::new(Environment(environment.clone()), region, credentials);
            Some(Poll { endpoint: first.endpoint.clone(), who, tags })
        })
    }
}

/// One poll for several tags.
#[derive(Debug)]
pub(super) struct Poll {
    endpoint: Option<String>,
    who: Who,
    tags: Vec<(usize, Ec2Watch)>,
}

/// Why a poll failed.
#[derive(Debug)]
struct Failure {
    text: String,
    is_throttled: bool,
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self { text, is_throttled: false }
    }
}

impl Poll {
    /// Until the join ends.
    pub(super) async fn run<F: Fetch>(mut self, fetch: F, told: mpsc::Sender<(usize, Told)>) {
        let interval = self.tags.iter().map(|(_, watch)| watch.interval).min().unwrap_or(LONGEST).max(SHORTEST);
        let mut throttled = 0;
        loop {
            let answer = self.ask(&fetch).await;
            throttled = match &answer {
                Err(failure) if failure.is_throttled => u32::saturating_add(throttled, 1),
                _ => 0,
            };
            for (at, watch) in &self.tags {
                let news = match &answer {
                    Ok(instances) => Told::backends(backends(instances, watch)),
                    Err(failure) => Told::trouble(format!("ec2: {}", failure.text)),
                };
                if told.send((*at, news)).await.is_err() {
                    return;
                }
            }
            sleep(pause(interval, throttled, LONGEST, draw())).await;
        }
    }

    /// All instances that have one of the tags, and maybe others.
    async fn ask<F: Fetch>(&mut self, fetch: &F) -> Result<Vec<Instance>, Failure> {
        let region = self.who.region(fetch).await?;
        let url = self.who.environment.endpoint(self.endpoint.as_deref(), &region);
        let mut all = Vec::new();
        let mut next: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let body = form(&self.tags, next.as_deref());
            let page = self.page(fetch, &url, &region, body).await?;
            all.extend(
                page.instances.into_iter().filter(|instance| self.tags.iter().any(|(_, watch)| is_wanted(instance, watch))),
            );
            match page.next {
                None => return Ok(all),
                same if same == next => return Err(String::from("the answer has the same next page again").into()),
                token => next = token,
            }
        }
        Err(format!("more than {MOST_PAGES} pages of instances").into())
    }

    async fn page<F: Fetch>(&mut self, fetch: &F, url: &str, region: &str, body: String) -> Result<instances::Page, Failure> {
        let keys = self.who.keys(fetch, time_of_day()).await?;
        let (host, path) = host_and_path(url).ok_or_else(|| format!("{url} is no address"))?;
        let content = [("content-type", FORM)];
        let signable = Signable {
            method: "POST",
            host: &host,
            path,
            query: &[],
            headers: &content,
            body: body.as_bytes(),
            region,
            service: "ec2",
        };
        let mut headers = sign(&signable, &keys, time_of_day());
        headers.push(("content-type".into(), FORM.into()));
        let request =
            Request { method: "POST", url: url.into(), headers, body: body.into(), timeout: TIMEOUT, ..Request::default() };
        let response = fetch.fetch(request).await.map_err(|err| err.to_string())?;
        let text = String::from_utf8(response.body).map_err(|_| "the answer is no UTF-8".to_owned())?;
        if response.status == 200 {
            return Ok(page(&text)?);
        }
        let refusal = refusal(&text);
        if refusal.is_about_keys() {
            self.who.forget();
        }
        let is_throttled = refusal.is_throttled(response.status);
        Err(Failure { text: format!("status {} {} {}", response.status, refusal.code, refusal.message), is_throttled })
    }
}

/// The host as in the `Host` header, and the path.
fn host_and_path(url: &str) -> Option<(String, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let at = rest.find('/')?;
    let usual = if scheme == "https" { ":443" } else { ":80" };
    let host = rest[..at].strip_suffix(usual).unwrap_or(&rest[..at]);
    (!host.is_empty()).then(|| (host.to_ascii_lowercase(), &rest[at..]))
}

/// The question. Filters of different names must all hold, so with several names only that an instance has one of them is
/// asked; what has the wrong value is sorted out here.
fn form(tags: &[(usize, Ec2Watch)], next: Option<&str>) -> String {
    let names: BTreeSet<&str> = tags.iter().map(|(_, watch)| watch.tag_name.as_str()).collect();
    let values: BTreeSet<&str> = tags.iter().map(|(_, watch)| watch.tag_value.as_str()).collect();
    let (name, wanted) = match names.first() {
        Some(name) if names.len() == 1 && values.len() <= MOST_VALUES => (format!("tag:{name}"), values),
        _ => ("tag-key".to_owned(), names),
    };
    let mut pairs = vec![
        ("Action".to_owned(), "DescribeInstances".to_owned()),
        ("Version".into(), "2016-11-15".into()),
        ("MaxResults".into(), PAGE.into()),
        ("Filter.1.Name".into(), "instance-state-name".into()),
        ("Filter.1.Value.1".into(), "running".into()),
    ];
    if wanted.len() <= MOST_VALUES {
        pairs.push(("Filter.2.Name".into(), name));
        let value = |(at, value): (usize, &str)| (format!("Filter.2.Value.{}", at + 1), literal(value));
        pairs.extend(wanted.into_iter().enumerate().map(value));
    }
    pairs.extend(next.map(|token| ("NextToken".into(), token.into())));
    pairs.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect::<Vec<_>>().join("&")
}

/// In filters `*` and `?` stand for others.
fn literal(value: &str) -> String {
    value.chars().flat_map(|c| matches!(c, '*' | '?' | '\\').then_some('\\').into_iter().chain([c])).collect()
}

/// It runs, has exactly this tag, and an address.
fn is_wanted(instance: &Instance, watch: &Ec2Watch) -> bool {
    let has_tag = instance.tags.get(&watch.tag_name) == Some(&watch.tag_value);
    has_tag && instance.state == "running" && !instance.address.is_empty()
}

/// Those that are wanted; its tags are its labels.
fn backends(instances: &[Instance], watch: &Ec2Watch) -> Vec<Backend> {
    let mut found: Vec<_> = instances
        .iter()
        .filter(|instance| is_wanted(instance, watch))
        .map(|instance| Backend {
            name: instance.name.clone(),
            host: instance.address.clone(),
            port: watch.port,
            labels: instance.tags.clone(),
            ..Backend::default()
        })
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests;
