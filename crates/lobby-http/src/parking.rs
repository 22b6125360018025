//! How a request waits: in its handler, or put aside, so that it costs what is waited for and its own head, and no more.
//!
//! ```text
//! request ─► handler ─► parked(wait) ─► serve::connection: drops handler, layers and buffers; keeps wait and head
//!    ▲                                     │ the wait is over, or the agent stops
//!    └──────── the same head, `Over` ◄─────┘
//! ```
//! Who waits long on many connections answers with [`parked`] where the request says [`Parking::Free`], before anything was
//! done, and is asked again after the wait. Without the serving loop (as in tests of the router) nothing is put aside.
//! Not here: what is waited for and how long (`watch`, `consul`).

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    extract::FromRequestParts,
    http::request::Parts,
    response::{IntoResponse, Response},
};
use tokio::time::error::Elapsed;

/// Completes when the request is to be asked again, for there is news or the time is over.
pub(crate) type Wait = Pin<Box<dyn Future<Output = Result<(), Elapsed>> + Send>>;

/// How a request may wait. The serving loop puts it among the request's extensions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Parking {
    /// In its handler.
    #[default]
    InPlace,
    /// Put aside.
    Free,
    /// It was put aside, and is to be answered now.
    Over,
}

/// Among the extensions of a response that is none yet. Whoever takes the wait is the one that waits.
#[derive(Clone)]
struct Parked(Arc<Mutex<Option<Wait>>>);

impl<S: Sync> FromRequestParts<S> for Parking {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or_default())
    }
}

/// Instead of an answer: the request is to be put aside until this is over.
pub(crate) fn parked(wait: impl Future<Output = Result<(), Elapsed>> + Send + 'static) -> Response {
    let mut response = ().into_response();
    response.extensions_mut().insert(Parked(Arc::new(Mutex::new(Some(Box::pin(wait))))));
    response
}

/// Whether this is no answer.
pub(crate) fn is_parked(response: &Response) -> bool {
    response.extensions().get::<Parked>().is_some()
}

/// What is waited for, if this is no answer.
pub(crate) fn take(response: &mut Response) -> Option<Wait> {
    let Parked(wait) = response.extensions_mut().remove()?;
    wait.lock().unwrap_or_else(PoisonError::into_inner).take()
}
