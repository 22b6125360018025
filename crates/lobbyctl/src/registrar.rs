//! The registration of a program that runs here: made when it is ready, again when it is lost, undone before it is stopped.
//!
//! ```text
//! ┌► looks pass ─► register (again and again while no daemon answers) ─► lost? ─┐    told to stop ─► ours still? ─► drain
//! └──────────────── a pause, longer each time, and a word about it ◄───────────┘                         ─► deregister
//! ```
//! The instance has a check that names our program. A daemon that sees our processes watches it by that; for another one the
//! instance goes with a connection to it instead. Either way nothing here has to work for a killed program to be gone. Where
//! the check is another's, somebody has registered the same id after us, and it is left alone.
//! An instance that an operator deregisters comes back while its program runs: to take it out there are maintenance, drain,
//! and the end of the program.
//! Not here: the program (`program`), its first look (`first`), whether the daemon sees it (`sight`).

use std::{cell::Cell, time::Duration};

use lobby::client::{Client, ClientError, Holding};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    cli::service::Run,
    definition::Definition,
    failure::{say, usage},
    first::Look,
    sight,
};

/// Between two tries to register: at first, and at most. Each program has one of these, and the daemon is on this machine.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How often it is asked for what was registered, while the daemon watches our process: a hundredth of a check's work.
const CYCLE: Duration = Duration::from_secs(2);

/// Before what was lost is registered again: at first, and at most. What stands longer than that has no past.
const AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// How long a program waits to be told to stop for a daemon that does not answer.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) struct Registrar<'a> {
    client: &'a Client,
    /// All of it but what it is bound to.
    definition: Definition,
    looks: Vec<Look>,
    pid: i32,
    /// The id of the check that names our program.
    bond: String,
    /// The daemon may have it.
    may_be_there: Cell<bool>,
    /// It was said that it goes with a connection.
    is_held: Cell<bool>,
}

/// What a registration goes with.
enum Bond {
    Process,
    Connection(Holding),
}

/// Whose registration it is that the daemon has.
enum Owner {
    We,
    Other,
    Nobody,
}

impl<'a> Registrar<'a> {
    /// Of what was typed. Nothing is asked yet.
    pub(crate) fn new(client: &'a Client, run: &Run) -> anyhow::Result<Self> {
        let port = run.offer.port;
        // The next version of a program often starts on another port before this one ends.
        let id = port.map_or_else(|| run.name.clone(), |port| format!("{}-{port}", run.name));
        let mut definition = Definition::typed(&run.name, &id, &run.offer)?;
        let mut looks = Vec::new();
        for (idx, check) in run.offer.check.iter().enumerate() {
            let body = &mut definition.body["Checks"][idx];
            looks.extend(Look::of(body).map_err(|err| usage(format!("--check: {err}")))?);
            // It has just passed when the daemon hears of it.
            if check.is_run() && !check.has_status() {
                body["Status"] = "passing".into();
            }
        }
        let (may_be_there, is_held) = (Cell::new(false), Cell::new(false));
        Ok(Self { client, definition, looks, pid: 0, bond: String::new(), may_be_there, is_held })
    }

    /// The instance goes with this process.
    pub(crate) fn bind(&mut self, pid: i32) {
        self.pid = pid;
        self.bond = format!("service:{}:process:{pid}", self.definition.id);
    }

    /// Waits until the program is ready, registers it, and does so again each time it is lost. Ends when it cannot be.
    pub(crate) async fn register(&self) {
        let id = &self.definition.id;
        let mut pause = AGAIN.0;
        loop {
            for look in &self.looks {
                look.passes(self.client, id).await;
            }
            let Some(bond) = self.registered().await else { return };
            let start = Instant::now();
            self.lasts(bond).await;
            if start.elapsed() > AGAIN.1 {
                pause = AGAIN.0;
            }
            say(format_args!("{id} is registered no more, but its program runs: it will be registered again"));
            sleep(pause).await;
            pause = AGAIN.1.min(pause * 2);
        }
    }

    /// Waits until it is registered; `None` if it cannot be. What fails is said once.
    async fn registered(&self) -> Option<Bond> {
        let id = &self.definition.id;
        let (mut pause, mut told) = (BACKOFF.0, false);
        loop {
            self.may_be_there.set(true);
            match self.offer().await {
                Ok(bond) => {
                    if told {
                        say(format_args!("{id} is registered now"));
                    }
                    return Some(bond);
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
                    say(format_args!("{id} runs, but is not registered: {}", said(&err)));
                    return None;
                }
            }
        }
    }

    async fn offer(&self) -> Result<Bond, ClientError> {
        let mut definition = self.definition.clone();
        // Asked each time: the next daemon at an address may be another.
        let sees_us = sight::sees_us(self.client, &definition).await?;
        let (key, value) = if sees_us { ("PID", self.pid.into()) } else { ("Hold", true.into()) };
        let mut check = json!({ "CheckID": self.bond, "Name": "process" });
        check[key] = value;
        definition.push_check(check);
        let Definition { name, id, body } = &definition;
        if sees_us {
            return self.client.register(name, id, body).await.map(|()| Bond::Process);
        }
        let holding = self.client.hold(body).await?;
        if !self.is_held.replace(true) {
            let url = self.client.url();
            say(format_args!("{url} does not see our processes: {id} is registered there while our connection to it is open"));
        }
        Ok(Bond::Connection(holding))
    }

    /// Waits until nothing of its id is registered any more. A daemon that does not answer says nothing about that.
    async fn lasts(&self, bond: Bond) {
        match bond {
            Bond::Process => sleep(CYCLE).await,
            Bond::Connection(mut holding) => {
                holding.ended().await;
                if matches!(self.owner().await, Ok(Owner::Other)) {
                    self.lost();
                }
            }
        }
        let is_gone = |answer| matches!(answer, Err(ClientError::Refused { status: 404, .. }));
        while !is_gone(self.client.own_instance(&self.definition.id).await.map(drop)) {
            sleep(CYCLE).await;
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
