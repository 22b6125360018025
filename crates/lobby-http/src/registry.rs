//! Asking the local registry: within what time, and what its refusals are to a client.
//!
//! Not here: what it is asked (`agent`, `services`, `hold`), what it does (the crate `lobby`).

use std::time::Duration;

use axum::http::StatusCode;
use lobby_core::{
    local::SetError,
    port::registry::{Answer, May, RegistryCommand, RegistryError},
};

use crate::{App, error::ApiError, writer::Writer};

/// How long the registry may take; a disk that is stuck for longer must not keep the client.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks the registry.
pub(crate) async fn ask<T>(app: &App, command: impl FnOnce(Answer<T>) -> RegistryCommand) -> Result<T, ApiError> {
    let answer = tokio::time::timeout(PATIENCE, app.state.handles.registry.ask(command)).await;
    Ok(answer.map_err(|_| ApiError::RegistryStuck)??)
}

/// Asks the registry for what counts only if the writer may change what is there by the time it is done: what a route has
/// looked at may be of somebody else by then.
pub(crate) async fn ask_as<T>(
    app: &App,
    writer: &Writer,
    command: impl FnOnce(Answer<T>) -> RegistryCommand,
) -> Result<T, ApiError> {
    let writer = writer.clone();
    let may = May::new(move |service| service.map_or_else(|| writer.may_write_node(), |name| writer.may_write(name)).is_ok());
    ask(app, |answer| RegistryCommand::Guarded(may, Box::new(command(answer)))).await
}

/// The status of a refusal. What has no room is the client's to mend, as with labels: something has to go first.
pub(crate) const fn status(err: &RegistryError) -> StatusCode {
    match err {
        RegistryError::UnknownInstance(_) | RegistryError::UnknownCheck(_) => StatusCode::NOT_FOUND,
        RegistryError::FromLabel { .. } | RegistryError::FromFile { .. } | RegistryError::Changed(_) => StatusCode::CONFLICT,
        RegistryError::LabelTakesNoChecks { .. } => StatusCode::CONFLICT,
        RegistryError::Set(SetError::Invalid(_) | SetError::TooLarge { .. })
        | RegistryError::Reserved(_)
        | RegistryError::ScriptsDisabled
        | RegistryError::NoProxyPort
        | RegistryError::Process { .. }
        | RegistryError::TooMany { .. } => StatusCode::BAD_REQUEST,
        RegistryError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        // Also `NotTtl`: older clients register again on 500 only.
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
