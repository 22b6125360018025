//! Asking the local registry: within what time, and what its refusals are to a client.
//!
//! Not here: what it is asked (`agent`, `services`, `hold`), what it does (the crate `lobby`).

use std::time::Duration;

use axum::http::StatusCode;
use lobby_core::{
    local::SetError,
    port::registry::{Answer, RegistryCommand, RegistryError},
};

use crate::{App, error::ApiError};

/// How long the registry may take; a disk that is stuck for longer must not keep the client.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks the registry.
pub(crate) async fn ask<T>(app: &App, command: impl FnOnce(Answer<T>) -> RegistryCommand) -> Result<T, ApiError> {
    let answer = tokio::time::timeout(PATIENCE, app.state.handles.registry.ask(command)).await;
    Ok(answer.map_err(|_| ApiError::RegistryStuck)??)
}

/// The status of a refusal. What has no room is the client's to mend, as with labels: something has to go first.
pub(crate) const fn status(err: &RegistryError) -> StatusCode {
    match err {
        RegistryError::UnknownInstance(_) | RegistryError::UnknownCheck(_) => StatusCode::NOT_FOUND,
        RegistryError::FromLabel { .. } => StatusCode::CONFLICT,
        RegistryError::Set(SetError::Invalid(_) | SetError::TooLarge { .. })
        | RegistryError::Reserved(_)
        | RegistryError::ScriptsDisabled
        | RegistryError::Process { .. }
        | RegistryError::TooMany { .. } => StatusCode::BAD_REQUEST,
        RegistryError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        // Also `NotTtl`: older clients register again on 500 only.
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
