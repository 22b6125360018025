//! The local registry as outputs see it: what programs may ask of it, and what it shows.
//!
//! ```text
//! outputs ──commands (mpsc)──► registry ──view (watch)──► outputs
//! ```
//! A command is answered when it is on disk, in the view, and in a snapshot of the catalog. A full queue makes the caller
//! wait. Not here: how it is done (the crate `lobby`), the words of bodies and files (`wire::definition`).

use std::{
    collections::BTreeSet,
    fmt,
    ops::RangeInclusive,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use imbl::OrdMap;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    check::{Status, spec::Spec},
    instance::{Id, Instance},
    stats::RegistryCounts,
    time::Moment,
};

mod error;

pub use error::RegistryError;

/// Bound of the command queue: the heartbeats of a thousand programs at once.
pub const COMMANDS: usize = 1024;

/// Most checks that one registration may bring along; nobody is known to need more than a handful.
pub const CHECKS: usize = 64;

/// The check that takes the whole node out, as Consul names it.
pub const NODE_MAINTENANCE: &str = "_node_maintenance";

/// What the id of a check that takes an instance out begins with, as Consul names it; the id of the instance follows.
pub const SERVICE_MAINTENANCE: &str = "_service_maintenance:";

/// What the id of a proxy ends with that was registered together with its service, as Consul names it.
pub const SIDECAR: &str = "-sidecar-proxy";

/// The kind of an instance that stands before another one, as Consul names it.
pub const PROXY: &str = "connect-proxy";

/// The ports from which a proxy that names none gets one, the lowest that is free: those of Consul's default settings.
pub const PROXY_PORTS: RangeInclusive<u16> = 21_000..=21_255;

/// A check of Consul's own that every member shows; nobody may register one of this id.
pub const SERF_HEALTH: &str = "serfHealth";

/// A check as somebody registers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCheck {
    /// Unique on this node.
    pub id: Id,
    /// For people.
    pub name: String,
    /// What its author says about it.
    pub notes: String,
    /// The instance it judges; `None`: all of the node.
    pub instance: Option<Id>,
    /// What it is.
    pub spec: Spec,
}

/// An instance and the checks that come with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The instance.
    pub instance: Instance,
    /// Its checks, at most [`CHECKS`]. One of an id that is there already keeps its status and output.
    pub checks: Vec<NewCheck>,
    /// Whether checks of the instance that are not among these go.
    pub replace_checks: bool,
}

/// What an operator takes out or drains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Everything here.
    Node,
    /// One instance.
    Instance(Id),
}

/// What an output asks of the registry.
#[derive(Debug)]
pub enum RegistryCommand {
    /// Adds an instance, or replaces the one of its id.
    Register(Box<Registration>, Answer<()>),
    /// The same, until what is answered is dropped; not kept over a restart.
    Hold(Box<Registration>, Answer<Held>),
    /// Removes an instance and its checks.
    Deregister(Id, Answer<()>),
    /// Adds a check, or replaces the one of its id.
    SetCheck(Box<NewCheck>, Answer<()>),
    /// Removes a check.
    RemoveCheck(Id, Answer<()>),
    /// A program reports by itself.
    Beat {
        /// Its check, of the kind TTL.
        check: Id,
        /// How it is.
        status: Status,
        /// What it says; replaces the output.
        note: String,
        /// Told when it counts. Never waits for the disk.
        answer: Answer<()>,
    },
    /// Takes something out, for a reason, or (`None`) back in.
    Maintain(Target, Option<String>, Answer<()>),
    /// Whether it takes nothing new.
    Drain(Target, bool, Answer<()>),
    /// The same as the one in it, if whoever asks may change what is there by then. A [`RegistryCommand::Beat`] is not judged.
    Guarded(May, Box<RegistryCommand>),
}

/// Whether whoever asks may change what is of a service, by its name, or (`None`) of the node. Asked at the moment at which
/// a command is planned: what was seen before may have been replaced by somebody else.
#[derive(Clone)]
pub struct May(Arc<Judge>);

/// Says whether.
type Judge = dyn Fn(Option<&str>) -> bool + Send + Sync;

impl May {
    /// Asks this.
    pub fn new(may: impl Fn(Option<&str>) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(may))
    }

    /// Whether it may be.
    pub fn change(&self, service: Option<&str>) -> bool {
        (self.0)(service)
    }
}

impl fmt::Debug for May {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("May").finish_non_exhaustive()
    }
}

/// Where a command's answer goes.
pub type Answer<T> = oneshot::Sender<Result<T, RegistryError>>;

/// A registration that lasts as long as this does, unless it is taken away or replaced before.
#[derive(Debug)]
pub struct Held {
    _dropped: oneshot::Sender<()>,
    over: oneshot::Receiver<()>,
}

/// The registry's side of a [`Held`]: dropping it says that the registration is over.
#[derive(Debug)]
pub struct Holder {
    dropped: oneshot::Receiver<()>,
    _over: oneshot::Sender<()>,
}

impl Held {
    /// What to hand out, and what the registry keeps for as long as the registration is that of the hold.
    pub fn new() -> (Self, Holder) {
        let ((held, dropped), (holder, over)) = (oneshot::channel(), oneshot::channel());
        (Self { _dropped: held, over }, Holder { dropped, _over: holder })
    }

    /// Ready when the registration is over. Not to be asked again after that.
    pub fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Nobody sends: it ends when the other side is dropped.
        Pin::new(&mut self.over).poll(cx).map(|_| ())
    }
}

impl Holder {
    /// Waits until the [`Held`] is dropped; then, or when this is cancelled, the registration is over.
    pub async fn dropped(mut self) {
        let _ = (&mut self.dropped).await;
    }
}

/// Who registered an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A program, over the API.
    Api,
    /// A file in the folder `services.d`, by its name.
    File(Arc<str>),
    /// An open connection, for as long as it is open.
    Hold,
}

/// An instance that is registered here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalInstance {
    /// What is told of it.
    pub instance: Arc<Instance>,
    /// Who registered it.
    pub source: Source,
}

/// A check that is registered here, with all that only its own agent knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalCheck {
    /// Its id.
    pub id: Id,
    /// For people.
    pub name: Arc<str>,
    /// What its author says about it.
    pub notes: Arc<str>,
    /// The instance it judges; `None`: all of the node.
    pub instance: Option<Id>,
    /// What it is.
    pub spec: Arc<Spec>,
    /// The status shown.
    pub status: Status,
    /// The status by results alone; differs from the one shown while it is flapping.
    pub own_status: Status,
    /// It changed so often that it is held at its worst.
    pub is_flapping: bool,
    /// What it said last, up to its own bound.
    pub output: Arc<str>,
    /// Since when the status shown is shown, as far as this process knows.
    pub since: Moment,
    /// How long its own status had been critical when this was published.
    pub critical_for: Option<Duration>,
    /// When the instance goes if it stays critical.
    pub deregister_at: Option<Moment>,
}

/// Everything that is registered here. What labels make is not part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalView {
    /// By id.
    pub instances: OrdMap<Id, Arc<LocalInstance>>,
    /// By id.
    pub checks: OrdMap<Id, Arc<LocalCheck>>,
    /// The whole node takes nothing new.
    pub is_draining: bool,
}

impl LocalView {
    /// The proxy that was registered together with this instance, if it is still that.
    pub fn sidecar(&self, of: &Id) -> Option<&Arc<LocalInstance>> {
        let known = self.instances.get(format!("{of}{SIDECAR}").as_str())?;
        let is_proxy = known.instance.kind == PROXY && !of.as_str().ends_with(SIDECAR);
        let proxy: Value = serde_json::from_str(Some(&*known.instance.proxy).filter(|_| is_proxy)?).ok()?;
        (proxy.get("DestinationServiceID")? == of.as_str()).then_some(known)
    }

    /// The port of this instance: its own, or for a proxy that names none the one that it has here already, or else the
    /// lowest of [`PROXY_PORTS`] that nothing here has.
    pub fn port(&self, of: &Instance) -> Result<u16, RegistryError> {
        if of.port != 0 || of.kind != PROXY {
            return Ok(of.port);
        }
        let before = self.instances.get(&of.id).map(|known| known.instance.port).filter(|port| *port != 0);
        let taken: BTreeSet<_> = self.instances.values().map(|known| known.instance.port).collect();
        before.or_else(|| PROXY_PORTS.into_iter().find(|port| !taken.contains(port))).ok_or(RegistryError::NoProxyPort)
    }

    /// The checks of one instance, sorted by id.
    pub fn checks_of(&self, instance: &Id) -> impl Iterator<Item = &Arc<LocalCheck>> {
        self.checks.values().filter(move |check| check.instance.as_ref() == Some(instance))
    }
}

/// Asks the registry and shows it. Cheap to clone.
#[derive(Clone)]
pub struct RegistryHandle {
    commands: mpsc::Sender<RegistryCommand>,
    view: watch::Receiver<Arc<LocalView>>,
    counts: Option<Counts>,
}

/// Reads what the registry counts.
type Counts = Arc<dyn Fn() -> RegistryCounts + Send + Sync>;

impl fmt::Debug for RegistryHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryHandle").finish_non_exhaustive()
    }
}

impl RegistryHandle {
    /// Commands go to whoever holds the other end.
    pub const fn new(commands: mpsc::Sender<RegistryCommand>, view: watch::Receiver<Arc<LocalView>>) -> Self {
        Self { commands, view, counts: None }
    }

    /// The same, with what the registry counts.
    #[must_use]
    pub fn counting(self, counts: impl Fn() -> RegistryCounts + Send + Sync + 'static) -> Self {
        Self { counts: Some(Arc::new(counts)), ..self }
    }

    /// A registry that takes nothing and shows nothing.
    pub fn none() -> Self {
        Self::new(mpsc::channel(1).0, watch::channel(Arc::default()).1)
    }

    /// What is registered now.
    pub fn view(&self) -> Arc<LocalView> {
        self.view.borrow().clone()
    }

    /// What the registry counts, if it tells.
    pub fn counts(&self) -> Option<RegistryCounts> {
        self.counts.as_ref().map(|counts| counts())
    }

    /// Tells every change of the view.
    pub fn watch(&self) -> watch::Receiver<Arc<LocalView>> {
        self.view.clone()
    }

    /// Sends a command and waits for its answer.
    pub async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> RegistryCommand) -> Result<T, RegistryError> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| RegistryError::Stopping)?;
        answered.await.unwrap_or(Err(RegistryError::Stopping))
    }
}
