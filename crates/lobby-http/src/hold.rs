//! Registered while a connection is open: the program that goes takes its instance along, however it goes.
//!
//! ```text
//! POST /v1/hold    200 once it is registered; then a line end at once and every ten seconds, until either side ends
//!                  or the instance is taken away or replaced; 429 when too many hold already
//! ```
//! A check that says so stands among those of the instance. The body of the answer holds the registration; hyper drops it with the connection. It is not kept over a restart.
//! Not here: what a registration is (`wire::definition`), how it ends (the registry).

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::atomic::Ordering,
    task::{self, Poll},
    time::Duration,
};

use axum::{
    Extension,
    body::{Body, HttpBody},
    extract::{Request, State},
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use hyper::body::Frame;
use lobby_core::{
    check::{kind::Kind, spec::ShortIntervals},
    instance::Instance,
    port::registry::{Held, NewCheck, RegistryCommand},
    wire::definition::{self, Context, DefinitionError},
};
use serde_json::json;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::{
    App, View,
    agent::{self, Own},
    answer::{self, Streamed},
    consul::Stop,
    error::ApiError,
    registry,
    writer::Writer,
};

/// Between two signs of life: middle boxes forget connections that are silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The answer, which lasts as long as the registration does.
struct Holding {
    held: Option<Held>,
    _place: Place,
    heartbeat: Interval,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// One of the places for holds.
struct Place(App);

impl Place {
    fn take(app: &App) -> Result<Self, ApiError> {
        let before = app.counters().holds.fetch_add(1, Ordering::Relaxed);
        let place = Self(app.clone());
        if before < app.config().limits.holds { Ok(place) } else { Err(ApiError::TooManyHolds) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.counters().holds.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) async fn hold(
    State(app): State<App>,
    Extension(view): Extension<View>,
    stop: Stop,
    writer: Writer,
    request: Request,
) -> Result<Response, ApiError> {
    let (body, context) = agent::read(&app, &writer, request, ShortIntervals::Allow).await?;
    let mut registration = Box::new(definition::registration(&body, &context)?);
    if registration.checks.iter().all(|check| *check.spec.kind() != Kind::Hold) {
        registration.checks.push(held(&registration.instance, &context)?);
    }
    Own::new(&app, &view).may_hold(&writer, &registration)?;
    let place = Place::take(&app)?;
    let held = registry::ask_as(&app, &writer, |answer| RegistryCommand::Hold(registration, answer)).await?;
    let mut heartbeat = interval(HEARTBEAT);
    // After a stall one sign of life is as good as many.
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let body = Holding { held: Some(held), _place: place, heartbeat, stopped: Box::pin(stop.stopped()) };
    let mut response = Body::new(body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, answer::TEXT);
    response.extensions_mut().insert(Streamed);
    Ok(response)
}

/// The check that says that the connection is open.
fn held(instance: &Instance, context: &Context) -> Result<NewCheck, DefinitionError> {
    let (id, service) = (instance.id.as_str(), instance.service.as_str());
    let check = json!({
        "CheckID": format!("hold:{id}"),
        "Name": format!("Service '{service}' held"),
        "ServiceID": id,
        "Hold": true,
    });
    definition::check(&check, context)
}

impl HttpBody for Holding {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        // Over is also what somebody else has taken away or replaced.
        let is_over = self.held.as_mut().is_none_or(|held| held.poll_over(cx).is_ready());
        if is_over || self.stopped.as_mut().poll(cx).is_ready() {
            self.held = None;
            return Poll::Ready(None);
        }
        self.heartbeat.poll_tick(cx).map(|_| Some(Ok(Frame::data(Bytes::from_static(b"\n")))))
    }
}
