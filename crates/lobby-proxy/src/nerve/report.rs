//! Where it is told that a service is up or down. Decides what a way to tell has to bring, and what down means in the
//! catalog: the instance is taken away, as Nerve does it, and the log says why.
//!
//! ```text
//! Report ◄── Noop: the log only
//!        ◄── WhileHeld<H: Hold>: an instance is there for as long as something is held
//!                        ◄── Agent: the registry of the agent that runs in this process
//!                        ◄── a client of lobbyd: one open `/v1/hold` an instance (lobbyd and lobbyctl bring it)
//! ```
//! Whatever ends a program, `kill -9` too, drops what it holds. Not here: when something is told (`watch`).

use std::{
    collections::BTreeMap,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
};

use lobby_core::port::registry::{Held, RegistryCommand, RegistryError, RegistryHandle};

use super::{Payload, payload::PayloadError};

/// Why a report did not arrive. Whether it has counted is not known; it is made again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The registry of this process refuses.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The catalog takes no such instance.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// Another program refuses, or is not reached: in its client's words.
    #[error("{0}")]
    Client(String),
    /// No answer in this time.
    #[error("no answer within {0:?}")]
    Late(std::time::Duration),
}

/// A way to tell. Both reports may be repeated.
pub trait Report: Clone + Send + Sync + 'static {
    /// It is up, and is told so until it is down or this process ends. Replaces what was told under this id.
    fn up(&self, payload: &Payload) -> impl Future<Output = Result<(), ReportError>> + Send;
    /// It is down.
    fn down(&self, payload: &Payload) -> impl Future<Output = Result<(), ReportError>> + Send;
    /// Whether reports arrive; and if it was told to be up: whether exactly that is still told.
    fn ping(&self, payload: &Payload, is_told_up: bool) -> impl Future<Output = bool> + Send;
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Noop;

impl Report for Noop {
    async fn up(&self, _: &Payload) -> Result<(), ReportError> {
        Ok(())
    }

    async fn down(&self, _: &Payload) -> Result<(), ReportError> {
        Ok(())
    }

    async fn ping(&self, _: &Payload, _: bool) -> bool {
        true
    }
}

/// Registers an instance for as long as something is held.
pub trait Hold: Send + Sync + 'static {
    /// Dropping it takes the instance away, unless a newer one of its id is held.
    type Held: Send + 'static;
    /// Registers it, or replaces the one of its id.
    fn hold(&self, payload: &Payload) -> impl Future<Output = Result<Self::Held, ReportError>> + Send;
    /// Takes it away, for sure when this is answered as far as that can be.
    fn release(&self, payload: &Payload, held: Self::Held) -> impl Future<Output = Result<(), ReportError>> + Send;
    /// Ready when the instance is there no more although it is held. Dropping the future loses nothing; once it was ready,
    /// nobody asks again.
    fn ended(held: &mut Self::Held) -> impl Future<Output = ()> + Send;
}

/// Tells by holding. Clones share what is held.
pub struct WhileHeld<H: Hold>(Arc<Shared<H>>);

struct Shared<H: Hold> {
    hold: H,
    /// By id, one a service. Never locked across an await.
    held: Mutex<BTreeMap<String, (Payload, H::Held)>>,
}

impl<H: Hold> Clone for WhileHeld<H> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<H: Hold> WhileHeld<H> {
    /// Nothing is held yet.
    pub fn new(hold: H) -> Self {
        Self(Arc::new(Shared { hold, held: Mutex::default() }))
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<String, (Payload, H::Held)>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<H: Hold> Report for WhileHeld<H> {
    async fn up(&self, payload: &Payload) -> Result<(), ReportError> {
        let held = self.0.hold.hold(payload).await?;
        // What was held under this id is dropped only now that it has been replaced: it is gone at no moment.
        let before = self.held().insert(payload.id.clone(), (payload.clone(), held));
        drop(before);
        Ok(())
    }

    async fn down(&self, payload: &Payload) -> Result<(), ReportError> {
        let held = self.held().remove(&payload.id);
        match held {
            Some((_, held)) => self.0.hold.release(payload, held).await,
            None => Ok(()),
        }
    }

    async fn ping(&self, payload: &Payload, is_told_up: bool) -> bool {
        if !is_told_up {
            return true;
        }
        let mut all = self.held();
        let Some((told, held)) = all.get_mut(&payload.id) else { return false };
        if is_ready(H::ended(held)) {
            all.remove(&payload.id);
            return false;
        }
        told == payload
    }
}

/// Whether it is at this moment; asked again in each round, so nobody has to be woken.
fn is_ready(future: impl Future<Output = ()>) -> bool {
    pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// The registry of the agent in this process. What it holds is not kept over a restart.
#[derive(Debug, Clone)]
pub struct Agent(pub RegistryHandle);

impl Agent {
    /// Tells this registry.
    pub fn report(registry: RegistryHandle) -> WhileHeld<Self> {
        WhileHeld::new(Self(registry))
    }
}

impl Hold for Agent {
    type Held = Held;

    async fn hold(&self, payload: &Payload) -> Result<Held, ReportError> {
        let registration = Box::new(payload.registration()?);
        Ok(self.0.ask(|answer| RegistryCommand::Hold(registration, answer)).await?)
    }

    async fn release(&self, payload: &Payload, mut held: Held) -> Result<(), ReportError> {
        if is_ready(Self::ended(&mut held)) {
            // What is there under this id now is not ours.
            return Ok(());
        }
        let id = payload.instance()?.id;
        let answer = self.0.ask(|answer| RegistryCommand::Deregister(id, answer)).await;
        drop(held);
        match answer {
            // Somebody else was faster.
            Ok(()) | Err(RegistryError::UnknownInstance(_)) => Ok(()),
            Err(err) => Err(err.into()),
        }
    }

    async fn ended(held: &mut Held) {
        std::future::poll_fn(|cx| held.poll_over(cx)).await;
    }
}
