//! The registry inside of whole agents: what is asked of it, what is seen of it, and what a restart leaves.
//!
//! Here what the tests share. Not here: steps and entries by themselves (`saved/tests.rs`).

use std::{sync::Arc, time::Duration};

use lobby_core::{
    catalog::Snapshot,
    check::{
        Status,
        kind::Kind,
        spec::{Draft, ShortIntervals, Spec},
    },
    instance::{Id, Instance},
    port::registry::{LocalCheck, NewCheck, Registration, RegistryCommand, RegistryError, Target},
};
use tempfile::TempDir;

use crate::{Builder, Lobby, store::Store};

mod alias;
mod answer;
mod checks;
mod files;
mod flight;
mod laws;
mod lost;
mod process;
mod proxy;
mod refusal;
mod restart;

const SECOND: Duration = Duration::from_secs(1);

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

fn builder() -> Builder {
    Lobby::builder().name("a".parse().unwrap())
}

async fn agent() -> Lobby {
    builder().start().await.unwrap()
}

async fn stored(folder: &TempDir) -> Lobby {
    builder().store(Store::open(folder.path()).unwrap()).start().await.unwrap()
}

/// As after a kill: nothing is saved, nobody is told. What was appended is on disk, as the journal promised.
async fn kill_and_restart(lobby: Lobby, folder: &TempDir) -> Lobby {
    kill(lobby).await;
    stored(folder).await
}

async fn kill(lobby: Lobby) {
    let journal = lobby.counters.journal.clone();
    drop(lobby);
    // Its thread goes on in this process.
    if let Some(journal) = journal {
        journal.close().await;
    }
}

/// While this is there, a paused clock does not go on by itself while everybody waits for a disk.
struct Frozen(#[expect(dead_code, reason = "its end is what counts")] std::sync::mpsc::Sender<()>);

impl Frozen {
    fn new() -> Self {
        let (sender, receiver) = std::sync::mpsc::channel();
        tokio::task::spawn_blocking(move || receiver.recv());
        Self(sender)
    }

    /// Lets time pass by seconds, until this holds, in each of which everything is done that is due; says how many.
    async fn pass(&self, lobby: &Lobby, most: u64, holds: impl Fn() -> bool) -> u64 {
        for n in 0..most {
            if holds() {
                return n;
            }
            tokio::time::advance(SECOND).await;
            let mut n_quiet = 0;
            while n_quiet < 50 {
                n_quiet = if lobby.registry_stats().jobs == 0 { n_quiet + 1 } else { 0 };
                tokio::task::yield_now().await;
            }
        }
        most
    }
}

fn instance(name: &str) -> Instance {
    Instance { port: 80, ..Instance::new(id(name), id("web")) }
}

fn check(name: &str, instance: Option<&str>, draft: Draft) -> NewCheck {
    let spec = Spec::try_new(draft, ShortIntervals::Allow).unwrap();
    NewCheck { id: id(name), name: name.into(), notes: String::new(), instance: instance.map(id), spec }
}

fn ttl(seconds: u64) -> Draft {
    Draft { kinds: vec![Kind::Ttl { ttl: Duration::from_secs(seconds) }], ..Draft::default() }
}

fn registration(name: &str, checks: Vec<NewCheck>) -> Registration {
    Registration { instance: instance(name), checks, replace_checks: false }
}

async fn register(lobby: &Lobby, registration: Registration) -> Result<(), RegistryError> {
    lobby.registry().ask(|answer| RegistryCommand::Register(Box::new(registration), answer)).await
}

/// An instance of this name with one TTL check, `NAME-ttl`.
async fn register_ttl(lobby: &Lobby, name: &str, seconds: u64) {
    let check = check(&format!("{name}-ttl"), None, ttl(seconds));
    register(lobby, registration(name, vec![check])).await.unwrap();
}

async fn deregister(lobby: &Lobby, name: &str) -> Result<(), RegistryError> {
    lobby.registry().ask(|answer| RegistryCommand::Deregister(id(name), answer)).await
}

async fn set_check(lobby: &Lobby, check: NewCheck) -> Result<(), RegistryError> {
    lobby.registry().ask(|answer| RegistryCommand::SetCheck(Box::new(check), answer)).await
}

async fn beat(lobby: &Lobby, check: &str, status: Status) -> Result<(), RegistryError> {
    let (check, note) = (id(check), format!("it is {status}"));
    lobby.registry().ask(|answer| RegistryCommand::Beat { check, status, note, answer }).await
}

async fn maintain(lobby: &Lobby, target: Target, reason: Option<&str>) -> Result<(), RegistryError> {
    let reason = reason.map(str::to_owned);
    lobby.registry().ask(|answer| RegistryCommand::Maintain(target, reason, answer)).await
}

async fn drain(lobby: &Lobby, target: Target, drain: bool) -> Result<(), RegistryError> {
    lobby.registry().ask(|answer| RegistryCommand::Drain(target, drain, answer)).await
}

/// Ids and statuses of the instances of `web`, as the catalog has them now.
fn shown(snapshot: &Snapshot) -> Vec<(String, Status)> {
    let instances = snapshot.service("web").into_iter().flat_map(|service| service.instances.values());
    instances.map(|view| (view.instance.id.to_string(), view.status)).collect()
}

fn status(lobby: &Lobby, instance: &str) -> Option<Status> {
    shown(&lobby.reader().snapshot()).into_iter().find(|(id, _)| id == instance).map(|(_, status)| status)
}

fn local(lobby: &Lobby, check: &str) -> Arc<LocalCheck> {
    lobby.registry().view().checks.get(&id(check)).unwrap().clone()
}

/// Waits for a snapshot that shows this; says how long it took.
async fn until(lobby: &Lobby, holds: impl Fn(&Snapshot) -> bool) -> Duration {
    let (mut reader, clock) = (lobby.reader(), lobby.clock());
    let start = clock.moment();
    let wait = async { while !holds(&reader.changed().await.unwrap()) {} };
    tokio::time::timeout(Duration::from_secs(1000), wait).await.expect("it is shown in time");
    clock.moment().since(start)
}
