//! The registration of a program that runs here: made when it is ready, undone before it is stopped.
//!
//! ```text
//! probes pass ─► register (again and again while no daemon answers) ─► ours still? ─► drain ─► deregister
//! ```
//! The instance has a check that names our program. A daemon of this machine watches the process by it; one of another machine
//! cannot, so that the instance goes with a connection to it instead. Either way nothing here has to work for a killed
//! program to be gone. Where the check is another's, somebody has registered the same id after us, and it is left alone.
//! Not here: the program (`program`), its first look (`first`).

use std::{cell::Cell, time::Duration};

use lobby::client::{Client, ClientError, Holding};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::{
    cli::service::Run,
    definition::{Definition, Probe},
    failure::say,
    first,
};

/// Between two tries to register: at first, and at most. Each program has one of these, and the daemon is on this machine.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How long a program waits to be told to stop for a daemon that does not answer.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) struct Registrar<'a> {
    client: &'a Client,
    definition: Definition,
    probes: Vec<Probe>,
    /// The daemon is on this machine.
    is_here: bool,
    /// The id of the check that names our program.
    bond: String,
    /// The daemon may have it.
    may_be_there: Cell<bool>,
}

/// Whose registration it is that the daemon has.
enum Owner {
    We,
    Other,
    Nobody,
}

impl<'a> Registrar<'a> {
    /// Of what was typed. Nothing is asked yet.
    pub(crate) fn new(client: &'a Client, run: &Run, is_here: bool) -> anyhow::Result<Self> {
        let port = run.offer.port;
        // The next version of a program often starts on another port before this one ends.
        let id = port.map_or_else(|| run.name.clone(), |port| format!("{}-{port}", run.name));
        let mut definition = Definition::typed(&run.name, &id, &run.offer)?;
        let mut probes = Vec::new();
        for (idx, check) in run.offer.check.iter().enumerate() {
            let Some(probe) = check.probe(port) else { continue };
            probes.push(probe);
            // It has just passed when the daemon hears of it.
            if !check.has_status() {
                definition.body["Checks"][idx]["Status"] = "passing".into();
            }
        }
        Ok(Self { client, definition, probes, is_here, bond: String::new(), may_be_there: Cell::new(false) })
    }

    /// The instance goes with this process, or with ours if the daemon cannot see it.
    pub(crate) fn bind(&mut self, pid: i32) {
        let id = &self.definition.id;
        self.bond = format!("service:{id}:process:{pid}");
        if !self.is_here {
            let url = self.client.url();
            say(format_args!("{url} may be another machine: {id} is registered there while our connection to it is open"));
        }
        let mut check = json!({ "CheckID": self.bond, "Name": "process" });
        let (key, value) = if self.is_here { ("PID", pid.into()) } else { ("Hold", true.into()) };
        check[key] = value;
        self.definition.push_check(check);
    }

    /// Waits until the program is ready, then until it is registered or cannot be. What fails is said once. Where a connection
    /// has to be held, it does not end, and the connection with it.
    pub(crate) async fn register(&self) {
        for probe in &self.probes {
            first::passes(probe).await;
        }
        let id = &self.definition.id;
        let (mut pause, mut told) = (BACKOFF.0, false);
        loop {
            self.may_be_there.set(true);
            match self.offer().await {
                Ok(held) => {
                    if std::mem::take(&mut told) {
                        say(format_args!("{id} is registered now"));
                    }
                    let Some(mut holding) = held else { return };
                    holding.ended().await;
                    if matches!(self.owner().await, Ok(Owner::Other)) {
                        return self.lost();
                    }
                    sleep(pause).await;
                    pause = BACKOFF.1.min(pause * 2);
                }
                Err(err) if err.is_temporary() => {
                    if !std::mem::replace(&mut told, true) {
                        say(format_args!("{}; {id} will be registered as soon as it can be", said(&err)));
                    }
                    sleep(pause).await;
                    pause = BACKOFF.1.min(pause * 2);
                }
                Err(err) => {
                    self.may_be_there.set(false);
                    return say(format_args!("{id} runs, but is not registered: {}", said(&err)));
                }
            }
        }
    }

    async fn offer(&self) -> Result<Option<Holding>, ClientError> {
        let Definition { name, id, body } = &self.definition;
        match self.is_here {
            true => self.client.register(name, id, body).await.map(|()| None),
            false => self.client.hold(body).await.map(Some),
        }
    }

    async fn owner(&self) -> Result<Owner, ClientError> {
        let checks = self.client.own_checks().await?.value;
        let is_of_it = |instance: &str| instance == self.definition.id;
        Ok(match checks.contains_key(&self.bond) {
            true => Owner::We,
            false if checks.values().any(|check| is_of_it(&check.instance)) => Owner::Other,
            false => Owner::Nobody,
        })
    }

    /// Whether it is there and may be taken out. Asked each time: somebody may register the same id at any moment. If not,
    /// nothing more is asked, for then the daemon takes it away by itself.
    async fn is_ours(&self) -> bool {
        if !self.may_be_there.get() {
            return false;
        }
        match timeout(PATIENCE, self.owner()).await {
            Ok(Ok(Owner::We)) => return true,
            Ok(Ok(Owner::Other)) => self.lost(),
            Ok(Ok(Owner::Nobody) | Err(ClientError::NotReachable { .. })) | Err(_) => {}
            Ok(Err(err)) => say(format_args!("{} is not deregistered: {}", self.definition.id, said(&err))),
        }
        self.may_be_there.set(false);
        false
    }

    fn lost(&self) {
        self.may_be_there.set(false);
        say(format_args!("{} is left alone: somebody else has registered it meanwhile", self.definition.id));
    }

    /// Takes it out: nothing new comes to it for this long, then it is deregistered.
    pub(crate) async fn retreat(&self, drain: Duration) {
        let Definition { name, id, .. } = &self.definition;
        if !drain.is_zero() && self.is_ours().await {
            match timeout(PATIENCE, self.client.drain(name, id, true)).await {
                Ok(Ok(())) => sleep(drain).await,
                // Nobody would notice the time.
                Ok(Err(ClientError::Refused { status: 404, .. })) | Err(_) => {}
                Ok(Err(err)) => say(format_args!("{id} does not drain: {}", said(&err))),
            }
        }
        self.deregister().await;
    }

    /// Takes it away, if it may be there. A daemon that does not answer takes it away when the process has ended.
    pub(crate) async fn deregister(&self) {
        if !self.is_ours().await {
            return;
        }
        self.may_be_there.set(false);
        let id = &self.definition.id;
        match timeout(PATIENCE, self.client.deregister(id)).await {
            Ok(Ok(()) | Err(ClientError::Refused { status: 404, .. } | ClientError::NotReachable { .. })) | Err(_) => {}
            Ok(Err(err)) => say(format_args!("{id} is not deregistered: {}", said(&err))),
        }
    }
}

fn said(err: &ClientError) -> String {
    match err {
        ClientError::NotReachable { .. } => format!("{err}: {}", err.cause()),
        _ => err.to_string(),
    }
}
