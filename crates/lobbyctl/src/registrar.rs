//! The registration of a program that runs here: made when it is ready, undone before it is stopped.
//!
//! ```text
//! probes pass ─► register (again and again while no daemon answers) ─► drain ─► deregister
//! ```
//! The daemon watches the process as well, so that nothing here has to work for a killed program to be gone.
//! Not here: the program (`program`), its first look (`first`).

use std::{cell::Cell, time::Duration};

use lobby::client::{Client, ClientError};
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
    /// The daemon may have it.
    may_be_there: Cell<bool>,
}

impl<'a> Registrar<'a> {
    /// Of what was typed. Nothing is asked yet.
    pub(crate) fn new(client: &'a Client, run: &Run) -> anyhow::Result<Self> {
        let mut definition = Definition::typed(&run.name, &run.offer)?;
        let port = run.offer.port;
        let mut probes = Vec::new();
        for (idx, check) in run.offer.check.iter().enumerate() {
            let Some(probe) = check.probe(port) else { continue };
            probes.push(probe);
            // It has just passed when the daemon hears of it.
            if !check.has_status() {
                definition.body["Checks"][idx]["Status"] = "passing".into();
            }
        }
        Ok(Self { client, definition, probes, may_be_there: Cell::new(false) })
    }

    /// The instance goes with this process.
    pub(crate) fn bind(&mut self, pid: i32) {
        let id = format!("service:{}:process", self.definition.id);
        self.definition.push_check(json!({ "CheckID": id, "Name": "process", "PID": pid }));
    }

    /// Waits until the program is ready, then until it is registered or cannot be. What fails is said once.
    pub(crate) async fn register(&self) {
        for probe in &self.probes {
            first::passes(probe).await;
        }
        let Definition { name, id, body } = &self.definition;
        let (mut pause, mut told) = (BACKOFF.0, false);
        loop {
            self.may_be_there.set(true);
            match self.client.register(name, id, body).await {
                Ok(()) if told => return say(format_args!("{id} is registered now")),
                Ok(()) => return,
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

    /// Takes it out: nothing new comes to it for this long, then it is deregistered.
    pub(crate) async fn retreat(&self, drain: Duration) {
        let Definition { name, id, .. } = &self.definition;
        if self.may_be_there.get() && !drain.is_zero() {
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
        if !self.may_be_there.replace(false) {
            return;
        }
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
