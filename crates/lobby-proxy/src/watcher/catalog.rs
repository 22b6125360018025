//! Instances of a catalog (lobbyd's, or a Consul's) as backends. Decides who is well, who is only lost, and what labels are.
//!
//! Well: passes (or warns, if that counts), or takes nothing new while it does. Lost: what it says of itself is good, but its
//! node was lost. Whatever else: not there, which is proof. Lobby's rule of holding nodes has spoken before.
//!
//! Labels, later ones win: the node's metadata, the node's labels (lobbyd only), the instance's metadata, and `tag:NAME` =
//! `true` for each tag. A node's label is split at its first colon, `deploy:SERVICE:primary:PORT` at its last.
//! The instance's metadata `haproxy_server_options` and `leader_id` (a number) become what they say. Whose options cannot be
//! taken is left out: without them (`ssl`, `check`) it would be used in a way that nobody asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use lobby_render::{
    Answer, Query, Source,
    answer::{HealthService, LabelledNode},
    source::News,
};
use tokio::sync::mpsc;

use super::{
    heard::{Heard, Sets},
    told::{Labels, State, Told},
};
use crate::{Backend, settings::LobbyWatch};

/// The check that stands for contact with a node, in Consul and here.
const CONTACT: &str = "serfHealth";

/// Longest words of a registration that go into a server line.
const OPTIONS_BYTES: usize = 1024;

/// News of one question that wait for the join.
const WAITING: usize = 4;

/// Asks the source until the join ends.
pub(super) async fn watch<S: Source>(source: Arc<S>, query: Query, at: usize, told: mpsc::Sender<(usize, Told)>) {
    let (sender, mut news) = mpsc::channel(WAITING);
    let pass_on = async {
        let mut warned = BTreeSet::new();
        while let Some(news) = news.recv().await {
            let news = match news {
                News::Answer(_, Answer::Service(instances) | Answer::Instances(instances)) => {
                    warn_of(&instances, &mut warned);
                    Told::Instances(instances)
                }
                News::Answer(_, Answer::Selected(nodes)) => Told::Labels(Arc::new(labels(&nodes))),
                News::Answer(..) => Told::trouble("the source answered another question"),
                News::Trouble { message, .. } | News::Failed { message, .. } => Told::trouble(message),
            };
            if told.send((at, news)).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(source.watch(query, sender), pass_on);
}

/// Warns of those who are left out for their options, once while they are; returns of how many.
fn warn_of(instances: &[Arc<HealthService>], warned: &mut BTreeSet<(String, String)>) -> usize {
    let unfit = instances.iter().filter(|instance| options(instance).is_none());
    let unfit: BTreeSet<_> = unfit.map(|instance| (instance.node.clone(), instance.id.clone())).collect();
    let n_new = unfit.difference(warned).count();
    if let Some((node, id)) = unfit.difference(warned).next() {
        tracing::warn!(
            n_new,
            ?node,
            ?id,
            "left out: haproxy_server_options longer than {OPTIONS_BYTES} bytes or with control characters"
        );
    }
    *warned = unfit;
    n_new
}

/// The labels of nodes by name.
fn labels(nodes: &[LabelledNode]) -> Labels {
    nodes.iter().map(|node| (plain_id(&node.id), node.labels.iter().map(|label| split(label)).collect())).collect()
}

fn split(label: &str) -> (String, String) {
    let parts = if label.starts_with("deploy:") { label.rsplit_once(':') } else { label.split_once(':') };
    let (name, value) = parts.unwrap_or((label, ""));
    (name.into(), value.into())
}

/// Lobby writes ids without the dashes that Consul's have.
fn plain_id(id: &str) -> String {
    id.replace('-', "")
}

/// What is known of a service; nothing before the labels are there that it looks at.
pub(super) fn heard(instances: &State, labels: Option<&State>, watch: &LobbyWatch) -> Heard {
    let failing = [Some(instances), labels].into_iter().flatten().find(|state| state.heard.trouble.is_some());
    let (trouble, failures) = failing.map(|state| (state.heard.trouble.clone(), state.heard.failures)).unwrap_or_default();
    let known = match (&instances.instances, labels) {
        (Some(known), None) => Some((known, None)),
        (Some(known), Some(State { labels: Some(labels), .. })) => Some((known, Some(&**labels))),
        _ => None,
    };
    Heard { sets: known.map(|(known, labels)| sets(known, labels, watch)), trouble, failures }
}

fn sets(instances: &[Arc<HealthService>], labels: Option<&Labels>, watch: &LobbyWatch) -> Sets {
    let (mut well, mut lost, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    for instance in instances {
        let has_tag = watch.tag.as_ref().is_none_or(|tag| instance.tags.contains(tag));
        let Some(backend) = backend(instance, labels).filter(|_| instance.port != 0) else { continue };
        match state(instance, watch.warning).filter(|_| has_tag) {
            Some(Contact::Well) => well.push(backend),
            Some(Contact::Lost) => lost.push(backend),
            None => gone.push(backend),
        }
    }
    Sets { well: well.into(), lost: lost.into(), gone: gone.into() }
}

#[derive(Debug, Clone, Copy)]
enum Contact {
    Well,
    Lost,
}

/// None: it is proved not to be well.
fn state(instance: &HealthService, warning: bool) -> Option<Contact> {
    let is_good = |status: &str| status == "passing" || (warning && status == "warning");
    if is_good(&instance.status) {
        return Some(Contact::Well);
    }
    let is_lost = instance.checks.iter().any(|check| check.check_id == CONTACT && check.status == "critical");
    let others_good = instance.checks.iter().all(|check| check.check_id == CONTACT || is_good(&check.status));
    (is_lost && others_good && instance.status == "critical").then_some(Contact::Lost)
}

/// The words of a registration; None: they cannot be taken.
fn options(instance: &HealthService) -> Option<&str> {
    let options = instance.service_meta.get("haproxy_server_options").map_or("", String::as_str);
    (options.len() <= OPTIONS_BYTES && !options.contains(char::is_control)).then_some(options)
}

fn backend(instance: &HealthService, labels: Option<&Labels>) -> Option<Backend> {
    let host = if instance.address.is_empty() { &instance.node_address } else { &instance.address };
    let meta = &instance.service_meta;
    let warns = instance.status == "warning";
    let options = options(instance)?;
    (!host.is_empty()).then(|| Backend {
        name: instance.node.clone(),
        host: host.trim_start_matches('[').trim_end_matches(']').into(),
        port: instance.port,
        id: meta.get("leader_id").and_then(|id| id.parse().ok()),
        weight: Some(u32::from(if warns { instance.weight_warning } else { instance.weight_passing })),
        haproxy_server_options: options.into(),
        labels: all_labels(instance, labels),
        is_backup: false,
        is_draining: instance.draining,
    })
}

fn all_labels(instance: &HealthService, labels: Option<&Labels>) -> BTreeMap<String, String> {
    let own = labels.and_then(|labels| labels.get(&plain_id(&instance.node_id)));
    let tags = instance.tags.iter().map(|tag| (format!("tag:{tag}"), "true".to_owned()));
    let pairs = |map: &BTreeMap<String, String>| map.clone().into_iter();
    pairs(&instance.node_meta).chain(own.into_iter().flat_map(pairs)).chain(pairs(&instance.service_meta)).chain(tags).collect()
}

#[cfg(test)]
mod tests;
