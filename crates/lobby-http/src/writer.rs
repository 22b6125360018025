//! Who changes what is registered: the one place that such routes ask, whatever their form.
//!
//! A write is of the service that it touches, before and after; a check of the node and the like touch all of them.
//! Not here: the doors that stand before every route, and what rights are (`access`).

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::{
    access::{Caller, Door, Need, Rights, need},
    error::ApiError,
};

/// The sender of a request that changes something.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    rights: Rights,
    /// The process that sent it, if the connection tells.
    pub(crate) pid: Option<u32>,
}

impl<S: Sync> FromRequestParts<S> for Writer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        // The outermost layer has put them there; whoever came around it may nothing.
        let rights = parts.extensions.get::<Rights>().cloned().ok_or(ApiError::AccessDenied)?;
        let pid = match parts.extensions.get().map(|caller: &Caller| caller.door) {
            Some(Door::Unix { pid, .. }) => pid,
            _ => None,
        };
        Ok(Self { rights, pid })
    }
}

impl Writer {
    /// Refuses who may not see what is there.
    pub(crate) fn may_read(&self) -> Result<(), ApiError> {
        need(&self.rights, Need::Read)
    }

    /// Refuses who may not write the service of this name.
    pub(crate) fn may_write(&self, service: &str) -> Result<(), ApiError> {
        need(&self.rights, Need::Write(service))
    }

    /// Refuses who may not write what touches every service of the node.
    pub(crate) fn may_write_node(&self) -> Result<(), ApiError> {
        need(&self.rights, Need::Labels)
    }
}
