//! Backends from real sources: names, EC2 (moto), and a stand-in for Docker.

mod dns;
mod docker;
mod ec2;

use std::{collections::BTreeMap, time::Duration};

use lobby_proxy::{
    Picture, Settings,
    settings::{Discovery, Service},
    watcher::{self, Watching},
};
use lobby_render::{Query, Source, source::News};
use tokio::sync::{mpsc, watch::Receiver};

use crate::fetch::Plain;

/// Ample for a poll of 100 ms.
const SOON: Duration = Duration::from_secs(20);

/// Between polls.
const EVERY: Duration = Duration::from_millis(100);

/// There is no agent here.
struct NoAgent;

impl Source for NoAgent {
    async fn watch(&self, _: Query, news: mpsc::Sender<News>) {
        news.closed().await;
    }
}

fn run(discoveries: Vec<Discovery>, fetch: Plain, environment: &[(&str, &str)]) -> (Receiver<Picture>, Watching) {
    let service = |(at, discovery): (usize, Discovery)| Service { name: format!("s{at}"), discovery, ..Service::default() };
    let services = discoveries.into_iter().enumerate().map(service).collect();
    let environment: BTreeMap<_, _> = environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    watcher::start(&Settings { services, ..Settings::default() }, fetch, NoAgent, &environment)
}

/// `NAME HOST:PORT` of each backend of a service, sorted; None: nothing is known.
fn shown(picture: &Receiver<Picture>, at: usize) -> Option<Vec<String>> {
    let known = &picture.borrow()[at];
    let backends = known.backends.as_ref()?;
    let mut all: Vec<_> = backends.iter().map(|b| format!("{} {}:{}", b.name, b.host, b.port)).collect();
    all.sort();
    Some(all)
}

async fn shows(picture: &Receiver<Picture>, at: usize, want: &[&str]) {
    lobby_testkit::eventually_async(SOON, async || {
        let seen = shown(picture, at);
        let is_there = seen.as_ref().is_some_and(|seen| seen == want);
        lobby_testkit::expect(is_there, (want, seen, picture.borrow()[at].trouble.clone()))
    })
    .await;
}

/// Waits for trouble that says this.
async fn complains(picture: &Receiver<Picture>, at: usize, part: &str) {
    lobby_testkit::eventually_async(SOON, async || {
        let trouble = picture.borrow()[at].trouble.clone();
        lobby_testkit::expect(trouble.as_ref().is_some_and(|text| text.contains(part)), trouble)
    })
    .await;
}
