//! Where backends come from: everything that is asked, as one picture of all services that is published when it changes.
//!
//! ```text
//! settings ─ plan ─► questions, each asked once ─┬─ catalog (our agent, a Consul)
//!                                                ├─ dns
//!                                                ├─ ec2: one poll for all tags of a region and credentials
//!                                                └─ docker
//!      join: answers ─► heard (multi) ─► backends::Keeper of each service ─► watch::Receiver<Picture>
//! ```
//! No answer is ever made empty by an error. Not here: what becomes of a set (`backends`), HTTP (`fetch`).

mod catalog;
mod chance;
mod dns;
mod docker;
mod ec2;
mod heard;
mod join;
mod parts;
mod plan;
#[cfg(test)]
mod tests;
mod told;
mod transport;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lobby_render::{
    Source,
    source::{Consul, Options, Patient},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{Picture, Settings, backend::Known, fetch::Fetch};
use join::Join;
use plan::{Question, Tree};

/// How long the whole waits for a part that has never answered: what it has may be in use since before a restart. Then the
/// others count without it.
const WARM_MAX: Duration = Duration::from_secs(60);

/// Answers that wait for the join, which is quick.
const WAITING: usize = 64;

/// The tasks that ask. They end when this is dropped.
#[derive(Debug)]
pub struct Watching {
    tasks: JoinSet<()>,
}

impl Watching {
    /// Comes back when a task has ended, which none should while the program runs; says how, for people.
    pub async fn ended(&mut self) -> String {
        match self.tasks.join_next().await {
            Some(Err(err)) => format!("a watcher has ended: {err}"),
            Some(Ok(())) | None => "a watcher has ended".into(),
        }
    }
}

/// Begins to ask for all services of the settings. The picture has one place for each, in their order, nothing known at
/// first. `source` is our own agent; `environment` is where `AWS_…`, `HOME` and the like are looked up.
pub fn start<F: Fetch, S: Source>(
    settings: &Settings,
    fetch: F,
    source: S,
    environment: &BTreeMap<String, String>,
) -> (watch::Receiver<Picture>, Watching) {
    let mut questions = Vec::new();
    let trees: Vec<_> = settings.services.iter().map(|service| Tree::new(service, &mut questions)).collect();
    let (told, news) = mpsc::channel(WAITING);
    let nothing: Picture = settings.services.iter().map(|_| Known::default()).collect();
    let (picture, seen) = watch::channel(nothing);
    let mut tasks = JoinSet::new();
    let source = Arc::new(Patient(source));
    let doubt = {
        let source = source.clone();
        Box::new(move || source.is_doubtful())
    };
    let join = Join::new(settings, trees, questions.len(), doubt, picture);
    // It keeps one end itself, so that a picture without questions lasts.
    tasks.spawn(join.run(news, told.clone()));
    let mut clouds = ec2::Polls::default();
    for (at, question) in questions.into_iter().enumerate() {
        let told = told.clone();
        match question {
            Question::Lobby(query) => drop(tasks.spawn(catalog::watch(source.clone(), query, at, told))),
            Question::Consul { address, token, query } => {
                let transport = transport::Direct { fetch: fetch.clone(), address, token };
                let consul = Arc::new(Patient(Consul::new(transport, Options::default())));
                tasks.spawn(catalog::watch(consul, query, at, told));
            }
            Question::Dns(watch) => drop(tasks.spawn(dns::watch(watch, at, told))),
            Question::Docker(watch) => drop(tasks.spawn(docker::watch(watch, fetch.clone(), at, told))),
            Question::Ec2(watch) => clouds.add(at, watch),
        }
    }
    for poll in clouds.into_polls(environment) {
        tasks.spawn(poll.run(fetch.clone(), told.clone()));
    }
    (seen, Watching { tasks })
}
